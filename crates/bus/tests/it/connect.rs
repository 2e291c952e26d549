//! Connecting, and refusing to.

use std::path::PathBuf;

use bus::{Bus, BusError, BusOptions};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use crate::ground::{Ground, eventually, options, soon};

/// A server that greets with a version and hands out what the client introduces itself with.
async fn greeter(version: &str) -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let greeting = format!(
        r#"INFO {{"server_id":"S","server_name":"s","version":"{version}","max_payload":1048576,"headers":true}}"#
    );
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        stream
            .write_all(format!("{greeting}\r\n").as_bytes())
            .await
            .unwrap();
        let (mut introduction, mut ping) = (String::new(), String::new());
        stream.read_line(&mut introduction).await.unwrap();
        stream.read_line(&mut ping).await.unwrap();
        stream.write_all(b"PONG\r\n").await.unwrap();
        // Until the client goes.
        while stream.read_line(&mut ping).await.is_ok_and(|read| read > 0) {}
        introduction
    });
    (address.to_string(), task)
}

#[tokio::test]
async fn a_server_that_is_too_old_is_refused_at_once() {
    let (address, _server) = greeter("2.9.10").await;
    let error = soon("the refusal", Bus::connect(BusOptions::new(address, "bus-test")))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "nats-server 2.9.10 is too old: 2.14.0 or newer is needed"
    );
    assert!(!error.is_transient());
}

#[tokio::test]
async fn the_login_in_the_url_reaches_the_server_and_nobody_else() {
    let (address, server) = greeter("2.14.0").await;
    let bus = Bus::connect(BusOptions::new(
        format!("nats://ann:p%40ss@{address}"),
        "bus-test",
    ))
    .await
    .unwrap();
    assert!(!format!("{bus:?}").contains("p@ss"));
    drop(bus);
    let introduction = soon("the introduction", server).await.unwrap();
    assert!(
        introduction.contains(r#""user":"ann","pass":"p@ss""#),
        "{introduction}"
    );
    assert!(introduction.contains(r#""name":"bus-test""#), "{introduction}");
}

#[tokio::test]
async fn a_token_that_is_given_beside_the_url_wins() {
    let (address, server) = greeter("2.14.0").await;
    let options = BusOptions {
        token: Some("right".into()),
        ..BusOptions::new(format!("nats://wrong@{address}"), "bus-test")
    };
    drop(Bus::connect(options).await.unwrap());
    let introduction = soon("the introduction", server).await.unwrap();
    assert!(introduction.contains(r#""auth_token":"right""#), "{introduction}");
}

#[tokio::test]
async fn what_can_never_work_fails_at_once() {
    let error = Bus::connect(BusOptions::new("http://host", "bus-test"))
        .await
        .unwrap_err();
    assert!(matches!(error, BusError::Url(_)), "{error}");
    let options = BusOptions {
        credentials: Some(PathBuf::from("/nowhere/x.creds")),
        ..BusOptions::new("127.0.0.1:1", "bus-test")
    };
    let error = Bus::connect(options).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "failed to read NATS credentials from /nowhere/x.creds"
    );
}

#[tokio::test]
async fn connecting_waits_for_a_server_and_can_be_given_up() {
    let mut ground = Ground::bare().await;
    ground.server.stop().await.unwrap();
    // Given up.
    let connecting = Bus::connect(options(&ground.server));
    let given_up = tokio::time::timeout(std::time::Duration::from_millis(300), connecting).await;
    assert!(given_up.is_err());
    // Not given up.
    let connecting = tokio::spawn(Bus::connect(options(&ground.server)));
    ground.server.restart().await.unwrap();
    let bus = soon("the connection", connecting).await.unwrap().unwrap();
    assert!(bus.is_connected());
}

#[tokio::test]
async fn a_lost_connection_is_told_and_comes_back() {
    let mut ground = Ground::new().await;
    assert!(ground.bus.is_connected());
    ground.server.kill().await.unwrap();
    eventually("the loss is noticed", async || !ground.bus.is_connected()).await;
    let error = ground.bus.stream_state(&wire::streams::POLLS).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    ground.server.restart().await.unwrap();
    eventually("the connection is back", async || ground.bus.is_connected()).await;
    eventually("the streams are back", async || {
        ground.bus.ensure_streams().await.is_ok()
    })
    .await;
}
