//! Following a stream.

use bus::{Delivery, From};
use futures_util::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use wire::{streams, subjects};

use crate::ground::{Ground, eventually, next, raw, soon, text, toolbox};

fn follow(ground: &Ground, from: From) -> impl Stream<Item = Delivery> + Unpin + use<> {
    ground
        .bus
        .follow(&streams::DTMA_RAW, vec![], from, CancellationToken::new())
}

async fn bodies(stream: &mut (impl Stream<Item = Delivery> + Unpin), count: usize) -> Vec<String> {
    let mut bodies = Vec::new();
    while bodies.len() < count {
        bodies.push(text(&next("a message", stream).await));
    }
    bodies
}

#[tokio::test]
async fn the_present_state_comes_first_and_then_every_change() {
    let ground = Ground::new().await;
    for (number, body) in [(1, "1 old"), (2, "2 old"), (1, "1 new")] {
        ground.report(number, body).await;
    }
    let mut all = follow(&ground, From::LastPerSubject);
    let first = next("a message", &mut all).await;
    assert_eq!(
        (text(&first).as_str(), first.pending, first.deliveries),
        ("2 old", 1, 1)
    );
    assert_eq!(bodies(&mut all, 1).await, ["1 new"]);
    for number in 0..1000 {
        ground.report(3, &number.to_string()).await;
    }
    let expected: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
    assert_eq!(bodies(&mut all, 1000).await, expected);
}

#[tokio::test]
async fn from_now_on_and_only_what_was_asked_for() {
    let ground = Ground::new().await;
    ground.report(1, "before").await;
    let filters = vec![subjects::raw(toolbox(1)), subjects::raw(toolbox(3))];
    let mut some = ground
        .bus
        .follow(&streams::DTMA_RAW, filters, From::New, CancellationToken::new());
    // Attached is who gets a message.
    let mut ping = 0;
    let first = loop {
        ground.report(1, &format!("ping {ping}")).await;
        ping += 1;
        let waiting = tokio::time::timeout(std::time::Duration::from_millis(200), some.next()).await;
        if let Ok(first) = waiting {
            break text(&first.unwrap());
        }
    };
    assert!(first.starts_with("ping"), "{first}");
    ground.report(2, "not asked for").await;
    ground.report(3, "asked for").await;
    loop {
        let body = text(&next("a message", &mut some).await);
        assert_ne!(body, "not asked for");
        if body == "asked for" {
            break;
        }
    }
}

#[tokio::test]
async fn after_a_restart_it_begins_with_the_present_state_again() {
    let mut ground = Ground::new().await;
    for (number, body) in [(1, "1 old"), (1, "1"), (2, "2")] {
        ground.report(number, body).await;
    }
    let mut all = follow(&ground, From::LastPerSubject);
    assert_eq!(bodies(&mut all, 2).await, ["1", "2"]);
    ground.server.kill().await.unwrap();
    ground.server.restart().await.unwrap();
    assert_eq!(bodies(&mut all, 2).await, ["1", "2"]);
    ground.report(1, "after").await;
    assert_eq!(bodies(&mut all, 1).await, ["after"]);
}

#[tokio::test]
async fn a_stream_that_was_made_again_is_followed() {
    let ground = Ground::new().await;
    ground.report(1, "before").await;
    let mut all = follow(&ground, From::LastPerSubject);
    assert_eq!(bodies(&mut all, 1).await, ["before"]);
    let begin = ground
        .bus
        .stream_state(&streams::DTMA_RAW)
        .await
        .unwrap()
        .created_at;
    ground.plain.delete_stream(streams::DTMA_RAW.name).await.unwrap();
    // It makes the stream itself, while it is asked for more.
    let publish = eventually("somebody makes it again", async || {
        ground
            .bus
            .publish_all(vec![raw(1, "again")])
            .await
            .remove(0)
            .is_ok()
    });
    let ((), again) = tokio::join!(publish, bodies(&mut all, 1));
    assert_eq!(again, ["again"]);
    assert!(
        ground
            .bus
            .stream_state(&streams::DTMA_RAW)
            .await
            .unwrap()
            .created_at
            > begin
    );
}

#[tokio::test]
async fn it_ends_with_shutdown() {
    let ground = Ground::new().await;
    let shutdown = CancellationToken::new();
    let mut all = ground
        .bus
        .follow(&streams::DTMA_RAW, vec![], From::LastPerSubject, shutdown.clone());
    ground.report(1, "one").await;
    assert_eq!(bodies(&mut all, 1).await, ["one"]);
    shutdown.cancel();
    assert!(soon("the end", all.next()).await.is_none());
}

#[tokio::test]
async fn the_last_message_and_how_much_there_is() {
    let ground = Ground::new().await;
    let subject = subjects::raw(toolbox(1));
    assert!(
        ground
            .bus
            .last(&streams::DTMA_RAW, &subject)
            .await
            .unwrap()
            .is_none()
    );
    ground.report(1, "one").await;
    ground.report(1, "two").await;
    ground.report(2, "three").await;
    let last = ground
        .bus
        .last(&streams::DTMA_RAW, &subject)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (text(&last).as_str(), last.sequence, last.subject),
        ("two", 2, subject)
    );
    let state = ground.bus.stream_state(&streams::DTMA_RAW).await.unwrap();
    assert_eq!(
        (state.messages, state.first_sequence, state.last_sequence),
        (3, 1, 3)
    );
    let error = ground.bus.backlog(&streams::MAPPER).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "failed to look up consumer status-mapper of DTMA_RAW: it does not exist"
    );
}
