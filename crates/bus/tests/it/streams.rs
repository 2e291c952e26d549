//! Streams: made, verified, never changed.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::stream::Config;
use bus::{Bus, BusError, BusOptions, Verdict, consume};
use tokio_util::sync::CancellationToken;
use wire::{ToolboxEntry, streams};

use crate::ground::{Ground, QUICK, soon};

#[tokio::test]
async fn ensuring_makes_everything_once() {
    let ground = Ground::new().await;
    let mut before = Vec::new();
    for spec in streams::ALL {
        before.push(ground.bus.stream_state(spec).await.unwrap());
    }
    ground.bus.ensure_streams().await.unwrap();
    ground.another_bus().await.ensure_streams().await.unwrap();
    for (spec, before) in streams::ALL.into_iter().zip(before) {
        assert_eq!(
            ground.bus.stream_state(spec).await.unwrap(),
            before,
            "{}",
            spec.name
        );
    }
    // Others read them as buckets.
    for spec in streams::BUCKETS {
        let bucket = ground.plain.get_key_value(spec.name).await.unwrap();
        assert_eq!(bucket.status().await.unwrap().history(), i64::from(spec.history));
    }
}

#[tokio::test]
async fn many_at_once_make_everything_once() {
    let ground = Ground::bare().await;
    let (one, other) = (ground.another_bus().await, ground.another_bus().await);
    let (first, second) = tokio::join!(one.ensure_streams(), other.ensure_streams());
    first.unwrap();
    second.unwrap();
}

#[tokio::test]
async fn every_difference_is_told_and_nothing_is_changed() {
    let ground = Ground::bare().await;
    let polls = Config {
        name: "POLLS".into(),
        subjects: vec!["poll.schedule.*".into(), "poll.due.*".into()],
        max_messages_per_subject: 5,
        allow_message_schedules: true,
        ..Default::default()
    };
    let letters = Config {
        name: "DTMA_DLQ".into(),
        subjects: vec!["dtma.dlq.>".into()],
        max_age: Duration::from_secs(3600),
        max_bytes: 256 << 20,
        description: Some("words are the operator's".into()),
        ..Default::default()
    };
    ground.plain.create_stream(polls).await.unwrap();
    ground.plain.create_stream(letters).await.unwrap();
    let error = ground.bus.ensure_streams().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the configuration on the NATS server is not the one needed (nothing was changed):\
         \n  stream POLLS, max_msgs_per_subject: have 5, want 1\
         \n  stream DTMA_DLQ, max_age: have 3600s, want 604800s"
    );
    assert!(!error.is_transient());
    let info = ground.plain.get_stream("POLLS").await.unwrap();
    assert_eq!(info.cached_info().config.max_messages_per_subject, 5);
}

#[tokio::test]
async fn the_bucket_is_verified_too() {
    let ground = Ground::bare().await;
    let config = async_nats::jetstream::kv::Config {
        bucket: streams::TOOLBOXES.name.into(),
        history: 7,
        ..Default::default()
    };
    ground.plain.create_key_value(config).await.unwrap();
    let Err(BusError::Differs(differences)) = ground.bus.bucket::<ToolboxEntry>().await else {
        panic!("not refused")
    };
    let fields: Vec<_> = differences
        .0
        .iter()
        .map(|it| (it.field.as_str(), it.have.as_str()))
        .collect();
    assert_eq!(
        fields,
        [("allow_msg_ttl", "not set"), ("max_msgs_per_subject", "7")]
    );
}

#[tokio::test]
async fn copies_that_a_single_server_cannot_keep_are_refused_for_good() {
    let ground = Ground::bare().await;
    let options = BusOptions {
        replicas: 3,
        ..BusOptions::new(ground.server.url(), "bus-test")
    };
    let bus = Bus::connect(options).await.unwrap();
    let error = bus.ensure_streams().await.unwrap_err();
    assert!(
        matches!(error, BusError::Refused { .. }) && !error.is_transient(),
        "{error}"
    );
}

#[tokio::test]
async fn what_somebody_deleted_is_made_again() {
    let ground = Ground::new().await;
    for spec in streams::ALL {
        ground.plain.delete_stream(spec.name).await.unwrap();
    }
    for spec in streams::BUCKETS {
        ground.plain.delete_key_value(spec.name).await.unwrap();
    }
    let error = ground.bus.stream_state(&streams::POLLS).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "failed to look up stream POLLS: it does not exist"
    );
    ground.bus.ensure_streams().await.unwrap();
    for spec in streams::ALL {
        assert_eq!(ground.bus.stream_state(spec).await.unwrap().messages, 0);
    }
    for spec in streams::BUCKETS {
        ground.plain.get_key_value(spec.name).await.unwrap();
    }
}

#[tokio::test]
async fn a_consumer_that_is_not_ours_is_refused() {
    let ground = Ground::new().await;
    let foreign = pull::Config {
        durable_name: Some(QUICK.name.into()),
        filter_subject: QUICK.filter.into(),
        ack_policy: AckPolicy::Explicit,
        ack_wait: Duration::from_secs(7),
        max_deliver: 4,
        ..Default::default()
    };
    ground
        .plain
        .create_consumer_on_stream(foreign, QUICK.stream.name)
        .await
        .unwrap();
    let consuming = consume(&ground.bus, &QUICK, 1, CancellationToken::new(), async |_| {
        Verdict::Done
    });
    let error = soon("the refusal", consuming).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the configuration on the NATS server is not the one needed (nothing was changed):\
         \n  consumer quick of DTMA_RAW, ack_wait: have 7s, want 1s\
         \n  consumer quick of DTMA_RAW, max_deliver: have 4, want not set"
    );
}
