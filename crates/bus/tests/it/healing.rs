//! Consumers survive what happens to servers, streams and consumers.

use std::collections::HashSet;

use async_nats::jetstream::ErrorCode;
use bus::Verdict;
use tokio_util::sync::CancellationToken;
use wire::streams::{self, ConsumerSpec};

use crate::ground::{Ground, PATIENT, QUICK, Running, Taken, all_acknowledged, eventually, raw, soon};
use crate::observe;

/// Publishes until it is taken: what it stands in for may still be coming up.
async fn publish_until_taken(ground: &Ground, body: &str, taken: &Taken) {
    eventually(&format!("{body} is published"), async || {
        ground.bus.publish_all(vec![raw(1, body)]).await.remove(0).is_ok()
    })
    .await;
    taken.wait_for(body).await;
}

#[tokio::test]
async fn a_restart_of_the_server_loses_nothing() {
    let mut ground = Ground::new().await;
    let taken = Taken::default();
    let running = Running::taking(&ground.bus, &QUICK, &taken);
    for round in 0..3 {
        publish_until_taken(&ground, &format!("before {round}"), &taken).await;
        match round {
            0 => ground.server.stop().await.unwrap(),
            _ => ground.server.kill().await.unwrap(),
        }
        ground.server.restart().await.unwrap();
    }
    publish_until_taken(&ground, "after", &taken).await;
    all_acknowledged(&ground.bus, &QUICK).await;
    running.stop().await.unwrap();
    // What the server had not yet written when it was killed, it delivers again.
    let mut first_time = taken.bodies();
    let mut seen = HashSet::new();
    first_time.retain(|body| seen.insert(body.clone()));
    assert_eq!(first_time, ["before 0", "before 1", "before 2", "after"]);
}

#[tokio::test]
async fn what_was_stored_before_a_crash_is_delivered_after_it() {
    let mut ground = Ground::new().await;
    for number in 0..20 {
        ground.report(1, &number.to_string()).await;
    }
    ground.server.kill().await.unwrap();
    ground.server.restart().await.unwrap();
    let taken = Taken::default();
    let running = Running::taking(&ground.bus, &QUICK, &taken);
    taken.wait_for("19").await;
    assert_eq!(taken.all().len(), 20);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_deleted_stream_is_made_again_with_its_consumer() {
    let ground = Ground::new().await;
    let taken = Taken::default();
    let running = Running::taking(&ground.bus, &PATIENT, &taken);
    publish_until_taken(&ground, "before", &taken).await;
    for round in 0..3 {
        ground.plain.delete_stream(streams::DTMA_RAW.name).await.unwrap();
        publish_until_taken(&ground, &format!("after {round}"), &taken).await;
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_deleted_consumer_is_made_again() {
    let ground = Ground::new().await;
    let taken = Taken::default();
    let running = Running::taking(&ground.bus, &PATIENT, &taken);
    publish_until_taken(&ground, "before", &taken).await;
    all_acknowledged(&ground.bus, &PATIENT).await;
    ground
        .plain
        .delete_consumer_from_stream(PATIENT.name, PATIENT.stream.name)
        .await
        .unwrap();
    publish_until_taken(&ground, "after", &taken).await;
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_consumer_started_before_its_stream_waits_for_no_one() {
    let ground = Ground::bare().await;
    let taken = Taken::default();
    let running = Running::taking(&ground.bus, &QUICK, &taken);
    publish_until_taken(&ground, "first", &taken).await;
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_consumer_started_without_a_server_waits_for_it() {
    let mut ground = Ground::new().await;
    ground.server.kill().await.unwrap();
    eventually("the loss is noticed", async || !ground.bus.is_connected()).await;
    let taken = Taken::default();
    let running = Running::taking(&ground.bus, &QUICK, &taken);
    ground.server.restart().await.unwrap();
    publish_until_taken(&ground, "first", &taken).await;
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_freezes_and_thaws_goes_on_being_used() {
    let ground = Ground::new().await;
    let taken = Taken::default();
    let running = Running::taking(&ground.bus, &QUICK, &taken);
    publish_until_taken(&ground, "before", &taken).await;
    ground.server.pause().await.unwrap();
    let error = ground.bus.stream_state(&streams::DTMA_RAW).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    ground.server.resume().unwrap();
    publish_until_taken(&ground, "after", &taken).await;
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_says_nothing_any_more_is_given_up_and_that_is_told_once() {
    static SILENCED: ConsumerSpec = ConsumerSpec {
        name: "silenced",
        ..QUICK
    };
    let ground = Ground::new().await;
    let told = |text| observe::everything().told(&[text, SILENCED.name]);
    let taken = Taken::default();
    let running = Running::taking(&ground.bus, &SILENCED, &taken);
    publish_until_taken(&ground, "before", &taken).await;
    ground.server.pause().await.unwrap();
    eventually("the silence is noticed", async || told("failed to attach") > 0).await;
    ground.server.resume().unwrap();
    publish_until_taken(&ground, "after", &taken).await;
    running.stop().await.unwrap();
    assert_eq!(told("consumer lost"), 1);
    assert_eq!(told("failed to attach"), 1);
    assert_eq!(told("consumer attached"), 2);
}

#[tokio::test]
async fn work_under_way_outlives_a_restart_and_is_acknowledged_after_it() {
    let mut ground = Ground::new().await;
    let (gate, taken) = (CancellationToken::new(), Taken::default());
    let running = Running::start(&ground.bus, &PATIENT, 2, {
        let (gate, taken) = (gate.clone(), taken.clone());
        move |delivery| {
            taken.add(&delivery);
            let gate = gate.clone();
            async move {
                gate.cancelled().await;
                Verdict::Done
            }
        }
    });
    ground.report(1, "across").await;
    taken.wait_for("across").await;
    ground.server.restart().await.unwrap();
    eventually("the connection is back", async || ground.bus.is_connected()).await;
    gate.cancel();
    all_acknowledged(&ground.bus, &PATIENT).await;
    assert_eq!(taken.all(), [("across".into(), 1)]);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_stream_that_cannot_be_made_ends_the_consumer() {
    let ground = Ground::bare().await;
    let squatter = async_nats::jetstream::stream::Config {
        name: "SQUATTER".into(),
        subjects: vec!["dtma.raw.>".into()],
        ..Default::default()
    };
    ground.plain.create_stream(squatter).await.unwrap();
    let running = Running::taking(&ground.bus, &QUICK, &Taken::default());
    let error = soon("the end", running.task).await.unwrap().unwrap_err();
    let bus::BusError::Refused { error, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(error.code(), ErrorCode::STREAM_SUBJECT_OVERLAP.0);
}
