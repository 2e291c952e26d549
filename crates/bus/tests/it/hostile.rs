//! Publishers that mean harm: whoever can reach the server can send it any bytes as headers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bus::{Bucket, BucketChange, BusError, From};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use wire::{ToolboxEntry, headers, streams, subjects};

use crate::ground::{
    Ground, QUICK, Running, Taken, all_acknowledged, dead_letter, entry, next, raw, soon, text, toolbox,
};

/// Publishes raw bytes as headers.
async fn publish(ground: &Ground, headers: &[u8], body: &str) {
    publish_to(ground, &subjects::raw(toolbox(1)), headers, body).await;
}

async fn publish_to(ground: &Ground, subject: &str, headers: &[u8], body: &str) {
    let mut stream = TcpStream::connect(ground.server.address()).await.unwrap();
    let (head, whole) = (headers.len(), headers.len() + body.len());
    let mut bytes = br#"CONNECT {"verbose":false,"pedantic":false,"headers":true}"#.to_vec();
    bytes.extend_from_slice(format!("\r\nHPUB {subject} {head} {whole}\r\n").as_bytes());
    bytes.extend_from_slice(headers);
    bytes.extend_from_slice(format!("{body}\r\nPING\r\n").as_bytes());
    stream.write_all(&bytes).await.unwrap();
    let mut answer = String::new();
    while !answer.contains("PONG") {
        let mut buffer = [0; 1024];
        let read = soon("the server's answer", stream.read(&mut buffer))
            .await
            .unwrap();
        assert_ne!(read, 0, "the server hung up: {answer}");
        answer.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    assert!(!answer.contains("-ERR"), "{answer}");
}

#[tokio::test]
async fn a_status_line_in_a_message_is_not_the_server_speaking() {
    let ground = Ground::new().await;
    let taken = Taken::default();
    let running = Running::taking(&ground.bus, &QUICK, &taken);
    publish(
        &ground,
        b"NATS/1.0 409 Consumer Deleted\r\nA: b\r\n\r\n",
        "status",
    )
    .await;
    publish(&ground, b"NATS/1.0 503\r\n\r\n", "no responders").await;
    taken.wait_for("status").await;
    taken.wait_for("no responders").await;
    running.stop().await.unwrap();
}

#[tokio::test]
async fn what_the_client_cannot_read_becomes_a_dead_letter_and_costs_no_other_message() {
    let ground = Ground::new().await;
    let taken = Taken::default();
    let running = Running::taking(&ground.bus, &QUICK, &taken);
    publish(&ground, b"NATS/1.0\r\nno colon\r\n\r\n", "unreadable").await;
    let other = ground.another_bus().await;
    for number in 0..20 {
        other
            .publish_all(vec![raw(2, &number.to_string())])
            .await
            .remove(0)
            .unwrap();
    }
    for number in 0..20 {
        taken.wait_for(&number.to_string()).await;
    }
    let letter = dead_letter(&other, "DTMA_RAW").await;
    assert_eq!(text(&letter), "unreadable");
    assert_eq!(
        letter.header(headers::DLQ_REASON),
        Some("its headers cannot be read")
    );
    assert_eq!(
        letter.header(headers::DLQ_SUBJECT),
        Some(subjects::raw(toolbox(1)).as_str())
    );
    let original = STANDARD
        .decode(letter.header("dlq-original-headers").unwrap())
        .unwrap();
    assert_eq!(original, b"NATS/1.0\r\nno colon\r\n\r\n");
    all_acknowledged(&other, &QUICK).await;
    assert_eq!(other.stream_state(&streams::DTMA_DLQ).await.unwrap().messages, 1);
    assert_eq!(other.stream_state(&streams::DTMA_RAW).await.unwrap().messages, 20);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_follower_gets_past_what_the_client_cannot_read() {
    let ground = Ground::new().await;
    ground.report(2, "before").await;
    publish(&ground, b"NATS/1.0\r\nA: \xff\r\n\r\n", "unreadable").await;
    ground.report(3, "after").await;
    let mut all = ground.bus.follow(
        &streams::DTMA_RAW,
        vec![],
        From::LastPerSubject,
        CancellationToken::new(),
    );
    while text(&next("the message behind it", &mut all).await) != "after" {}
    ground
        .another_bus()
        .await
        .publish_all(vec![raw(4, "later")])
        .await
        .remove(0)
        .unwrap();
    while text(&next("a later message", &mut all).await) != "later" {}
    assert_eq!(
        text(&dead_letter(&ground.another_bus().await, "DTMA_RAW").await),
        "unreadable"
    );
}

#[tokio::test]
async fn a_watcher_gets_past_what_the_client_cannot_read() {
    let ground = Ground::new().await;
    let toolboxes: Bucket<ToolboxEntry> = ground.another_bus().await.bucket().await.unwrap();
    toolboxes.put(&entry(1, "before")).await.unwrap();
    let subject = format!("$KV.{}.{}", streams::TOOLBOXES.name, toolbox(2));
    publish_to(&ground, &subject, b"NATS/1.0\r\nno colon\r\n\r\n", "unreadable").await;
    toolboxes.put(&entry(3, "after")).await.unwrap();
    let watched = ground.bus.bucket::<ToolboxEntry>().await.unwrap();
    let mut changes = watched.watch(CancellationToken::new());
    let expected = BucketChange::Snapshot(vec![entry(1, "before"), entry(3, "after")]);
    assert_eq!(next("the snapshot", &mut changes).await, expected);
}

#[tokio::test]
async fn a_client_that_such_a_message_killed_says_so_and_the_next_gets_past_it() {
    let ground = Ground::new().await;
    let taken = Taken::default();
    let running = Running::taking(&ground.bus, &QUICK, &taken);
    ground.report(1, "before").await;
    taken.wait_for("before").await;
    // The client's task panics on this: nothing that we could prevent, and nothing to go on after.
    publish(&ground, b"NATS/1.0\r\nA: a\rb\r\n\r\n", "deadly").await;
    let error = soon("the end", running.task).await.unwrap().unwrap_err();
    assert!(matches!(error, BusError::Closed), "{error}");
    assert!(!ground.bus.is_connected());
    let error = ground.bus.ensure_streams().await.unwrap_err();
    assert!(matches!(error, BusError::Closed), "{error}");
    // The process ends, and another takes its place.
    let restarted = ground.another_bus().await;
    let running = Running::taking(&restarted, &QUICK, &taken);
    restarted
        .publish_all(vec![raw(2, "after")])
        .await
        .remove(0)
        .unwrap();
    taken.wait_for("after").await;
    assert_eq!(text(&dead_letter(&restarted, "DTMA_RAW").await), "deadly");
    all_acknowledged(&restarted, &QUICK).await;
    running.stop().await.unwrap();
}
