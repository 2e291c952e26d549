//! Looking at what is on the server makes nothing and changes nothing.

use std::time::Duration;

use async_nats::jetstream::stream::Config;
use bus::{Bus, BusOptions, Found};
use wire::{ToolboxEntry, streams};

use crate::ground::Ground;

#[tokio::test]
async fn what_is_missing_stays_missing() {
    let ground = Ground::bare().await;
    let seen = ground.bus.inspect().await.unwrap();
    assert!(seen.things.iter().all(|thing| thing.found == Found::Missing));
    assert_eq!(
        seen.things.len(),
        streams::ALL.len() + streams::BUCKETS.len() + streams::CONSUMERS.len()
    );
    assert_eq!(ground.bus.server_time().await.unwrap(), None);
    assert!(
        ground
            .bus
            .existing_bucket::<ToolboxEntry>()
            .await
            .unwrap()
            .is_none()
    );
    ground.plain.get_stream("POLLS").await.unwrap_err();
    ground.plain.get_stream("KV_toolboxes").await.unwrap_err();
}

#[tokio::test]
async fn what_is_right_and_what_differs_are_told_apart() {
    let ground = Ground::bare().await;
    let letters = Config {
        name: "DTMA_DLQ".into(),
        subjects: vec!["dtma.dlq.>".into()],
        max_age: Duration::from_secs(3600),
        max_bytes: 256 << 20,
        ..Default::default()
    };
    ground.plain.create_stream(letters).await.unwrap();
    ground.bus.ensure_streams().await.unwrap_err();
    let seen = ground.bus.inspect().await.unwrap();
    assert_eq!(seen.version, ground.server.version().to_string());
    assert!(ground.bus.server_time().await.unwrap().is_some());
    for thing in &seen.things {
        match (&thing.found, thing.of.as_str()) {
            (Found::Differs(differences), "stream DTMA_DLQ") => {
                assert_eq!(differences.len(), 1);
                assert_eq!(differences[0].field, "max_age");
            }
            (Found::Missing, of) => assert!(of.starts_with("consumer "), "{of}"),
            (Found::Right, _) => {}
            (found, of) => panic!("{of}: {found:?}"),
        }
    }
    assert!(
        ground
            .bus
            .existing_bucket::<ToolboxEntry>()
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn whoever_does_not_want_to_wait_is_told_why() {
    let ground = Ground::bare().await;
    Bus::connect_once(BusOptions::new(ground.server.url(), "test"))
        .await
        .unwrap();
    // Nobody listens on port 1.
    let nowhere = BusOptions::new("nats://hush:hush@127.0.0.1:1", "test");
    let error = Bus::connect_once(nowhere).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("failed to connect to nats://127.0.0.1:1: "),
        "{text}"
    );
    assert!(!text.contains("hush"), "{text}");
}

#[tokio::test]
async fn dead_letters_are_counted_by_where_they_came_from() {
    let ground = Ground::new().await;
    for _ in 0..2 {
        let sent = ground.plain.publish("dtma.dlq.DTMA_RAW", "x".into()).await;
        sent.unwrap().await.unwrap();
    }
    let letters = ground.bus.subjects(&streams::DTMA_DLQ, ">", 10).await.unwrap();
    assert_eq!(letters, [("dtma.dlq.DTMA_RAW".to_owned(), 2)]);
}
