//! Tenants: nobody is sent a byte of what is not his, by any way, and what is revoked goes quiet.

use std::time::Duration;

use futures_util::StreamExt as _;
use jiff::SignedDuration;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use wire::stream::{GoneReason, StreamMessage};

use crate::client::{Events, Held, Socket};
use crate::ground::{Ground, deleted, id, status, token, token_for};

/// Everything that comes, as it comes, until a ping is answered.
async fn all_that_comes(socket: &mut Socket, into: &mut String) {
    socket.send(json!({"type": "ping"})).await;
    all_until(socket, into, "\"pong\"").await;
}

/// Everything that comes, as it comes, up to a message with this in it.
async fn all_until(socket: &mut Socket, into: &mut String, last: &str) {
    loop {
        match tokio::time::timeout(crate::ground::PATIENCE, socket.inner.next())
            .await
            .unwrap()
        {
            Some(Ok(Message::Text(text))) => {
                into.push_str(&text);
                if text.contains(last) {
                    return;
                }
            }
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_sent_a_byte_of_another_s() {
    let ground = Ground::new().await;
    // Account 1 has server 11, account 2 has 22 and 23.
    let (mine, theirs, marker) = (id(11), id(22), "of-2");
    ground
        .publish(&[
            status(11, 1, 1, "running"),
            status(22, 2, 1, "running"),
            status(23, 2, 1, "running"),
        ])
        .await;
    ground.toolbox(7, 1, 1, "active").await;
    ground.toolbox(8, 2, 1, "active").await;
    let replica = ground.replica().await;
    let mut other = Held::default();
    let mut of_other = Socket::of(&replica, &token(2)).await;
    of_other
        .send(json!({"type": "subscribe", "servers": "all", "toolboxes": true}))
        .await;
    other
        .read_until(&mut of_other, "the other's present", |held| held.present)
        .await;

    let mut seen = String::new();
    let epoch = other
        .cursor
        .as_deref()
        .unwrap()
        .split_once('.')
        .unwrap()
        .0
        .to_owned();
    let mut socket = Socket::of(&replica, &token(1)).await;
    for request in [
        json!({"type": "subscribe", "servers": [theirs]}),
        json!({"type": "subscribe", "servers": [theirs], "cursor": format!("{epoch}.0")}),
        json!({"type": "unsubscribe", "servers": [theirs]}),
        json!({"type": "subscribe", "servers": [theirs, mine], "toolboxes": true}),
        json!({"type": "unsubscribe", "servers": [mine], "toolboxes": true}),
        json!({"type": "subscribe", "servers": "all", "toolboxes": true, "cursor": format!("{epoch}.0")}),
        json!({"type": "subscribe", "servers": "all", "toolboxes": true}),
        json!({"type": "subscribe", "servers": "all", "cursor": other.cursor}),
    ] {
        socket.send(request).await;
        all_that_comes(&mut socket, &mut seen).await;
    }
    // While the other's change, go, and come back; until the other has seen it.
    ground
        .publish(&[
            status(22, 2, 2, "error"),
            deleted(23, 2, 2),
            status(23, 2, 3, "running"),
        ])
        .await;
    ground.toolbox(8, 2, 2, "unresponsive").await;
    other
        .read_until(&mut of_other, "the changes", |held| {
            held.versions() == [(22, 2), (23, 3)] && held.toolboxes[&id(8)] == "unresponsive"
        })
        .await;
    // Streams are told in order: whatever they brought came before this change of its own.
    ground.publish(&[status(11, 1, 2, "stopped")]).await;
    all_until(&mut socket, &mut seen, "\"stopped\"").await;
    // A new stream resumes over all of it.
    let mut resumed = Socket::of(&replica, &token(1)).await;
    resumed
        .send(
            json!({"type": "subscribe", "servers": "all", "toolboxes": true, "cursor": format!("{epoch}.0")}),
        )
        .await;
    all_that_comes(&mut resumed, &mut seen).await;
    let mut events = Events::of(
        &replica,
        &format!("all=true&toolboxes=true&servers={theirs}&cursor={epoch}.0"),
        &token(1),
    )
    .await;
    loop {
        let event = events.next().await;
        seen.push_str(&serde_json::to_string(&event.message).unwrap());
        if matches!(event.message, StreamMessage::Present { .. }) {
            break;
        }
    }
    assert!(seen.contains(&mine.to_string()) && seen.contains("of-1") && seen.contains("box-7"));
    for foreign in [
        marker,
        "box-8",
        &id(23).to_string(),
        &id(2).to_string(),
        &id(8).to_string(),
    ] {
        assert!(!seen.contains(foreign), "{foreign}: {seen}");
    }
    // The id that he asked for himself comes back to him in the refusals, and nowhere else.
    let refusals = seen.matches("\"code\":\"not_found\"").count();
    assert_eq!(
        (seen.matches(&theirs.to_string()).count(), refusals),
        (4, 4),
        "{seen}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_revoked_or_moves_away_says_so_and_is_quiet() {
    let ground = Ground::new().await;
    ground
        .publish(&[status(1, 1, 1, "running"), status(2, 2, 1, "running")])
        .await;
    ground.connect(1, 2, true).await;
    let replica = ground.replica().await;
    let mut socket = Socket::of(&replica, &token(1)).await;
    socket
        .send(json!({"type": "subscribe", "servers": [id(1), id(2)]}))
        .await;
    let mut held = Held::default();
    held.read_until(&mut socket, "present", |held| held.present).await;
    assert_eq!(held.servers.len(), 2);
    ground.connect(1, 2, false).await;
    let gone = |server, reason| StreamMessage::Gone {
        server_id: Some(id(server)),
        toolbox_id: None,
        reason,
    };
    assert_eq!(socket.next().await, gone(2, GoneReason::Revoked));
    // Its own moves to another account, without a word of farewell in the old one's subject.
    ground
        .publish(&[status(2, 2, 2, "error"), status(1, 2, 2, "error")])
        .await;
    assert_eq!(socket.next().await, gone(1, GoneReason::Moved));
    ground
        .publish(&[status(2, 2, 3, "running"), status(1, 2, 3, "running")])
        .await;
    let mut owner = Socket::of(&replica, &token(2)).await;
    owner.send(json!({"type": "subscribe", "servers": "all"})).await;
    let mut of_owner = Held::default();
    of_owner
        .read_until(&mut owner, "the new owner has both", |held| {
            held.versions() == [(1, 3), (2, 3)]
        })
        .await;
    assert!(socket.is_quiet().await);
    // It would be told as little if it asked.
    socket
        .send(json!({"type": "subscribe", "servers": [id(1)]}))
        .await;
    assert!(matches!(socket.next().await, StreamMessage::Error { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_the_token_is_the_end_of_the_stream_unless_there_is_a_newer_one() {
    let ground = Ground::new().await;
    let replica = ground.replica().await;
    let short = || token_for(1, SignedDuration::from_secs(3));
    let mut ends = Socket::of(&replica, &short()).await;
    let mut events = Events::of(&replica, "all=true", &short()).await;
    let mut renewed = Socket::of(&replica, &short()).await;
    renewed.send(json!({"type": "auth", "token": "rubbish"})).await;
    assert!(matches!(renewed.next().await, StreamMessage::Error { .. }));
    renewed.send(json!({"type": "auth", "token": token(1)})).await;
    let StreamMessage::Hello { expires_at, .. } = renewed.next().await else {
        panic!("hello")
    };
    assert!(expires_at > crate::ground::now() + SignedDuration::from_mins(30));
    let closed = ends.ending().await;
    assert_eq!((closed.code, closed.reason.as_str()), (4401, "token_expired"));
    let mut last = None;
    while let Some(event) = tokio::time::timeout(Duration::from_secs(20), events.receive())
        .await
        .unwrap()
    {
        last = Some(event.message);
    }
    let Some(StreamMessage::Bye {
        code: 4401, reason, ..
    }) = last
    else {
        panic!("{last:?}")
    };
    assert_eq!(reason, "token_expired");
    assert!(renewed.is_quiet().await, "the renewed one goes on");
    renewed.send(json!({"type": "auth", "token": token(2)})).await;
    let closed = renewed.ending().await;
    assert_eq!((closed.code, closed.reason.as_str()), (4403, "another_account"));
}
