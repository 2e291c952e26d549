//! Resuming: what changed meanwhile and nothing else, or an explicit new beginning.

use serde_json::json;
use wire::stream::{ResetReason, StreamMessage};

use crate::client::{Held, Socket};
use crate::ground::{Ground, Replica, deleted, eventually, id, status, token};

/// Subscribes to all from where `held` stands, and reads until all is present; which servers there was something about.
async fn resume(replica: &Replica, held: &mut Held) -> (Socket, Vec<u128>) {
    let mut socket = Socket::of(replica, &token(1)).await;
    let mut request = json!({"type": "subscribe", "servers": "all", "toolboxes": true});
    if let Some(cursor) = &held.cursor {
        request["cursor"] = cursor.as_str().into();
    }
    socket.send(request).await;
    held.present = false;
    held.heard_of.clear();
    held.read_until(&mut socket, "present", |held| held.present).await;
    let heard = held.heard_of.iter().map(|id| id.as_u128()).collect();
    (socket, heard)
}

/// Reads on until these have been heard of, and nothing else: a replica may be a moment behind the stream, and tells what it
/// then takes in as changes.
async fn hear(socket: &mut Socket, held: &mut Held, servers: &[u128]) {
    held.read_until(socket, "all that changed", |held| {
        servers.iter().all(|server| held.heard_of.contains(&id(*server)))
    })
    .await;
    let heard: Vec<_> = held.heard_of.iter().map(|id| id.as_u128()).collect();
    assert_eq!(heard, servers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn across_replicas_and_restarts_only_what_changed_comes() {
    let mut ground = Ground::new().await;
    let servers: Vec<_> = (1..=20).map(|server| status(server, 1, 1, "running")).collect();
    ground.publish(&servers).await;
    ground.toolbox(7, 1, 1, "active").await;
    let (one, two) = (ground.replica().await, ground.replica().await);
    let mut held = Held::default();
    let (socket, heard) = resume(&one, &mut held).await;
    assert_eq!(heard.len(), 20);
    drop(socket);

    // To another replica.
    ground
        .publish(&[
            status(3, 1, 2, "stopped"),
            deleted(4, 1, 2),
            status(21, 1, 1, "starting"),
        ])
        .await;
    let (mut socket, _) = resume(&two, &mut held).await;
    hear(&mut socket, &mut held, &[3, 4, 21]).await;
    drop(socket);
    let (mut socket, heard) = resume(&one, &mut held).await;
    assert_eq!(heard, [] as [u128; 0], "nothing changed");

    // Across a restart of the notifier, at the same address.
    let address = one.address();
    one.stop().await;
    let closed = socket.ending().await;
    assert_eq!((closed.code, closed.reason.as_str()), (1012, "restart"));
    ground
        .publish(&[status(5, 1, 2, "stopped"), deleted(6, 1, 2)])
        .await;
    ground.toolbox(7, 1, 2, "unseen").await;
    let one = Replica::start(&ground.nats.url(), address, |_| ()).await;
    let (mut socket, heard) = resume(&one, &mut held).await;
    assert_eq!(heard, [5, 6]);
    assert!(held.toolboxes.is_empty());

    // NATS is killed: the stream stays, says that it is stale, and says when it is whole again.
    ground.nats.kill().await.unwrap();
    held.read_until(&mut socket, "stale", |held| held.stale).await;
    ground.nats.restart().await.unwrap();
    held.read_until(&mut socket, "current", |held| !held.stale).await;
    eventually("the test's own connection is back", async || {
        ground.bus.is_connected()
    })
    .await;
    ground.publish(&[status(8, 1, 2, "error")]).await;
    held.read_until(&mut socket, "the change", |held| held.servers[&id(8)].0 == 2)
        .await;
    drop(socket);
    ground.publish(&[status(9, 1, 2, "error")]).await;
    let (mut socket, _) = resume(&two, &mut held).await;
    hear(&mut socket, &mut held, &[9]).await;
    assert_eq!((held.resets, held.servers.len()), (0, 19));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_while_nats_is_away_is_told_before_current() {
    let mut ground = Ground::new().await;
    ground
        .publish(&[status(1, 1, 1, "running"), status(2, 1, 1, "running")])
        .await;
    let replica = ground.replica().await;
    let mut held = Held::default();
    let (mut socket, _) = resume(&replica, &mut held).await;
    ground.nats.kill().await.unwrap();
    held.read_until(&mut socket, "stale", |held| held.stale).await;
    // Whoever comes meanwhile gets what is known, and hears that it is old.
    let mut late = Held::default();
    let (mut latecomer, heard) = resume(&replica, &mut late).await;
    assert_eq!((heard.len(), late.stale), (2, true));
    ground.nats.restart().await.unwrap();
    eventually("the test's own connection is back", async || {
        ground.bus.is_connected()
    })
    .await;
    ground
        .publish(&[status(1, 1, 2, "stopped"), deleted(2, 1, 2)])
        .await;
    for (socket, held) in [(&mut socket, &mut held), (&mut latecomer, &mut late)] {
        held.read_until(socket, "both", |held| !held.stale && held.versions() == [(1, 2)])
            .await;
        assert_eq!(held.resets, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_resumed_begins_anew_and_says_why() {
    let ground = Ground::new().await;
    ground
        .publish(&[status(1, 1, 1, "running"), status(2, 1, 1, "running")])
        .await;
    let replica = ground.replica().await;
    let mut held = Held::default();
    drop(resume(&replica, &mut held).await);
    let cursor = held.cursor.clone().unwrap();
    let (epoch, sequence) = cursor.split_once('.').unwrap();
    let sequence: u64 = sequence.parse().unwrap();
    for (cursor, reason) in [
        ("nonsense".to_owned(), ResetReason::Malformed),
        (format!("1{epoch}.{sequence}"), ResetReason::Malformed),
        (format!("1.{sequence}"), ResetReason::Epoch),
        (format!("{epoch}.{}", sequence + 1), ResetReason::Future),
    ] {
        let mut socket = Socket::of(&replica, &token(1)).await;
        socket
            .send(json!({"type": "subscribe", "servers": "all", "cursor": cursor}))
            .await;
        assert!(matches!(socket.next().await, StreamMessage::Subscribed { .. }));
        assert_eq!(socket.next().await, StreamMessage::Reset { reason }, "{cursor}");
        assert_eq!(socket.next().await, StreamMessage::Snapshot);
        let mut held = Held::default();
        held.read_until(&mut socket, "present", |held| held.present).await;
        assert_eq!(held.versions(), [(1, 1), (2, 1)]);
    }
    // From before everything: all that has been is known.
    let mut held = Held {
        cursor: Some(format!("{epoch}.0")),
        ..Held::default()
    };
    let (_socket, heard) = resume(&replica, &mut held).await;
    assert_eq!((heard.as_slice(), held.resets), (&[1, 2][..], 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_was_made_anew_is_told_in_full_on_open_connections() {
    let ground = Ground::new().await;
    ground
        .publish(&[status(1, 1, 5, "running"), status(2, 1, 5, "running")])
        .await;
    let replica = ground.replica().await;
    let mut held = Held::default();
    let (mut socket, _) = resume(&replica, &mut held).await;
    let before = held.cursor.clone();
    let plain = async_nats::connect(ground.nats.url()).await.unwrap();
    let context = async_nats::jetstream::new(plain);
    context.delete_stream("MCP_STATUS").await.unwrap();
    ground.bus.ensure_streams().await.unwrap();
    ground.publish(&[status(1, 1, 5, "running")]).await;
    held.read_until(&mut socket, "the new beginning", |held| {
        held.resets > 0 && held.present && !held.stale
    })
    .await;
    held.read_until(&mut socket, "the rest", |held| held.versions() == [(1, 5)])
        .await;
    let mut old = Held {
        cursor: before,
        ..Held::default()
    };
    drop(resume(&replica, &mut old).await);
    assert_eq!((old.resets, old.versions()), (1, vec![(1, 5)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_that_changed_meanwhile_are_made_up_for() {
    let ground = Ground::new().await;
    ground
        .publish(&[
            status(1, 1, 1, "running"),
            status(2, 2, 1, "running"),
            status(3, 2, 1, "running"),
        ])
        .await;
    ground.connect(1, 2, true).await;
    let replica = ground.replica().await;
    let mut held = Held::default();
    drop(resume(&replica, &mut held).await);
    assert_eq!(held.versions(), [(1, 1), (2, 1)]);
    // No event tells of either.
    ground.connect(1, 2, false).await;
    ground.connect(1, 3, true).await;
    eventually("the notifier knows", async || {
        let mut fresh = Held::default();
        drop(resume(&replica, &mut fresh).await);
        fresh.versions() == [(1, 1), (3, 1)]
    })
    .await;
    drop(resume(&replica, &mut held).await);
    assert_eq!((held.versions(), held.resets), (vec![(1, 1), (3, 1)], 0));
}
