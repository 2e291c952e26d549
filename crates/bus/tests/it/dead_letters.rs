//! Dead letters.

use std::time::Duration;

use async_nats::HeaderMap;
use bus::{Outgoing, Verdict};
use wire::{headers, streams, subjects};

use crate::ground::{
    Ground, QUICK, Running, Taken, all_acknowledged, dead_letter, eventually, raw, text, toolbox,
};

fn rejecting(ground: &Ground) -> Running {
    Running::start(&ground.bus, &QUICK, 4, |_| async {
        Verdict::Reject {
            reason: "no report\r\nat all".into(),
        }
    })
}

#[tokio::test]
async fn a_rejected_message_is_kept_whole_with_the_reason() {
    let ground = Ground::new().await;
    let running = rejecting(&ground);
    let event = Outgoing {
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        ..raw(7, "not a report")
    };
    let id = event.id.clone();
    let sequence = ground
        .bus
        .publish_all(vec![event])
        .await
        .remove(0)
        .unwrap()
        .sequence;
    let letter = dead_letter(&ground.bus, "DTMA_RAW").await;
    assert_eq!(text(&letter), "not a report");
    for (name, value) in [
        (headers::DLQ_REASON, "no report  at all"),
        (headers::DLQ_STREAM, "DTMA_RAW"),
        (headers::DLQ_SUBJECT, &subjects::raw(toolbox(7))),
        (headers::DLQ_SEQUENCE, &sequence.to_string()),
        (headers::DLQ_DELIVERIES, "1"),
        (headers::CE_ID, &id),
        (headers::CE_TYPE, "test.raw"),
        (headers::CE_SOURCE, "bus-test"),
        ("dlq-original-Nats-Msg-Id", &id),
    ] {
        assert_eq!(letter.header(name), Some(value), "{name}");
    }
    // As the message bore it: its trace, and the span that published it.
    let traceparent = letter.header("traceparent").unwrap();
    assert!(
        traceparent.starts_with("00-0af7651916cd43dd8448eb211c80319c-"),
        "{traceparent}"
    );
    all_acknowledged(&ground.bus, &QUICK).await;
    running.stop().await.unwrap();
    assert_eq!(
        ground
            .bus
            .stream_state(&streams::DTMA_DLQ)
            .await
            .unwrap()
            .messages,
        1
    );
}

#[tokio::test]
async fn a_message_that_keeps_failing_is_given_up_after_its_last_delivery() {
    let ground = Ground::new().await;
    let taken = Taken::default();
    let running = Running::start(&ground.bus, &QUICK, 4, {
        let taken = taken.clone();
        move |delivery| {
            taken.add(&delivery);
            async {
                Verdict::Retry {
                    after: Duration::from_millis(10),
                    reason: "database away".into(),
                }
            }
        }
    });
    ground.report(1, "hopeless").await;
    let letter = dead_letter(&ground.bus, "DTMA_RAW").await;
    assert_eq!(text(&letter), "hopeless");
    assert_eq!(
        letter.header(headers::DLQ_REASON),
        Some("given up after 3 deliveries: database away")
    );
    assert_eq!(letter.header(headers::DLQ_DELIVERIES), Some("3"));
    all_acknowledged(&ground.bus, &QUICK).await;
    assert_eq!(
        taken.all(),
        [
            ("hopeless".into(), 1),
            ("hopeless".into(), 2),
            ("hopeless".into(), 3)
        ]
    );
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_message_that_kills_its_handler_is_given_up_without_another() {
    let ground = Ground::new().await;
    ground.report(1, "poison").await;
    let taken = Taken::default();
    for time in 1..=QUICK.max_deliver {
        let running = Running::start(&ground.another_bus().await, &QUICK, 1, {
            let taken = taken.clone();
            move |delivery| {
                taken.add(&delivery);
                std::future::pending()
            }
        });
        eventually("the poison is taken", async || {
            taken.all().len() == usize::from(time)
        })
        .await;
        running.crash().await;
    }
    let survivor = Taken::default();
    let running = Running::taking(&ground.bus, &QUICK, &survivor);
    let letter = dead_letter(&ground.bus, "DTMA_RAW").await;
    assert_eq!(text(&letter), "poison");
    assert_eq!(
        letter.header(headers::DLQ_REASON),
        Some("delivered 3 times without a verdict on the last")
    );
    all_acknowledged(&ground.bus, &QUICK).await;
    assert_eq!(survivor.all(), []);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn headers_that_command_the_server_are_kept_as_data() {
    let ground = Ground::new().await;
    // Something that the forged rollup would remove.
    let running = rejecting(&ground);
    ground.report(1, "first").await;
    eventually("the first is buried", async || {
        ground
            .bus
            .stream_state(&streams::DTMA_DLQ)
            .await
            .unwrap()
            .messages
            == 1
    })
    .await;
    let mut forged = HeaderMap::new();
    // The server takes these names in this spelling only; so they reach the stream.
    forged.insert("nats-rollup", "all");
    forged.insert("nats-expected-last-sequence", "99");
    forged.insert("dlq-stream", "MCP_STATUS");
    let client = ground.plain.client();
    client
        .publish_with_headers(subjects::raw(toolbox(2)), forged, "second".into())
        .await
        .unwrap();
    eventually("both are buried", async || {
        ground
            .bus
            .stream_state(&streams::DTMA_DLQ)
            .await
            .unwrap()
            .messages
            == 2
    })
    .await;
    let letter = dead_letter(&ground.bus, "DTMA_RAW").await;
    assert_eq!(text(&letter), "second");
    assert_eq!(letter.header("dlq-original-nats-rollup"), Some("all"));
    assert_eq!(
        letter.header("dlq-original-nats-expected-last-sequence"),
        Some("99")
    );
    assert_eq!(letter.header("dlq-original-dlq-stream"), Some("MCP_STATUS"));
    assert_eq!(letter.header(headers::DLQ_STREAM), Some("DTMA_RAW"));
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_message_of_the_largest_size_can_be_buried_too() {
    let ground = Ground::new().await;
    let largest = ground.plain.client().server_info().max_payload;
    let running = rejecting(&ground);
    let body = vec![b'x'; largest];
    let client = ground.plain.client();
    client
        .publish(subjects::raw(toolbox(1)), body.into())
        .await
        .unwrap();
    let letter = dead_letter(&ground.bus, "DTMA_RAW").await;
    assert!(
        letter.body.len() > largest - 1000 && letter.body.len() < largest,
        "{}",
        letter.body.len()
    );
    assert_eq!(letter.header(headers::DLQ_STREAM), Some("DTMA_RAW"));
    all_acknowledged(&ground.bus, &QUICK).await;
    running.stop().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_buried_is_not_lost() {
    let ground = Ground::new().await;
    ground.plain.delete_stream(streams::DTMA_DLQ.name).await.unwrap();
    let taken = Taken::default();
    let running = Running::start(&ground.bus, &QUICK, 4, {
        let taken = taken.clone();
        move |delivery| {
            taken.add(&delivery);
            async { Verdict::Reject { reason: "bad".into() } }
        }
    });
    ground.report(1, "homeless").await;
    taken.wait_for("homeless").await;
    let backlog = ground.bus.backlog(&QUICK).await.unwrap();
    assert_eq!(backlog.ack_pending, 1);
    ground.bus.ensure_streams().await.unwrap();
    assert_eq!(text(&dead_letter(&ground.bus, "DTMA_RAW").await), "homeless");
    all_acknowledged(&ground.bus, &QUICK).await;
    running.stop().await.unwrap();
}
