//! The fleet against a real NATS: what comes, what goes, and what a loss does not lose.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::time::Duration;

use access::Viewer;
use bus::{Bus, BusOptions, Outgoing};
use domain::{AccountId, ServerId};
use embedded::{NatsOptions, NatsServer};
use jiff::Timestamp;
use live::Fleet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wire::{ConnectionEntry, ServerStatus, StatusEvent, Tombstone, subjects};

fn status(server: u128, account: u128, version: u64, state: &str) -> StatusEvent {
    StatusEvent::Status(ServerStatus {
        server_id: Uuid::from_u128(server),
        toolbox_id: Uuid::from_u128(7),
        account_id: Uuid::from_u128(account),
        name: "mcp".to_owned(),
        version,
        state: state.to_owned(),
        health: "healthy".to_owned(),
        uptime: None,
        last_started: None,
        last_error: None,
        status_on_toolbox: "running".to_owned(),
        container_id: None,
        as_of: None,
        changed_at: Timestamp::UNIX_EPOCH,
        previous: None,
        cause: None,
        monitored: true,
        command: None,
        override_until: None,
    })
}

async fn publish(bus: &Bus, account: u128, event: &StatusEvent) {
    let subject = subjects::server_status(AccountId(Uuid::from_u128(account)), ServerId(event.server_id()));
    bus.publish(subject, &Uuid::new_v4().to_string(), event)
        .await
        .unwrap();
}

async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let waiting = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting)
        .await
        .unwrap_or_else(|_| panic!("{what}: never"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_present_is_whole_follows_changes_and_survives_a_loss() {
    let dir = tempfile::tempdir().unwrap();
    let mut nats = NatsServer::start(NatsOptions {
        sync_always: false,
        ..NatsOptions::new(dir.path())
    })
    .await
    .unwrap();
    let bus = Bus::connect(BusOptions::new(nats.url(), "test")).await.unwrap();
    bus.ensure_streams().await.unwrap();
    for server in 1..=50 {
        publish(&bus, 1, &status(server, 1, 1, "running")).await;
    }
    publish(&bus, 2, &status(100, 2, 4, "stopped")).await;
    // Says that it is another's than its subject does, and what is no event at all.
    publish(&bus, 3, &status(200, 1, 9, "error")).await;
    let garbage = Outgoing {
        subject: subjects::server_status(AccountId(Uuid::from_u128(1)), ServerId(Uuid::from_u128(201))),
        id: "garbage".to_owned(),
        type_name: "x",
        body: "{".into(),
        traceparent: None,
        ttl: None,
        rollup: false,
    };
    bus.publish_all(vec![garbage]).await.pop().unwrap().unwrap();

    let fleet = Fleet::default();
    assert!(!fleet.is_loaded());
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(live::run(bus.clone(), fleet.clone(), shutdown.clone()));
    fleet.loaded().wait_for(|loaded| *loaded).await.unwrap();
    assert!(fleet.is_current(&bus));
    assert_eq!(fleet.counts().0, 51);

    // Whoever is connected sees one more; pages are cut where they should be.
    let guest = Viewer::Account(AccountId(Uuid::from_u128(2)));
    assert_eq!(fleet.visible(guest, None, 10, |_| true).len(), 1);
    let entry = ConnectionEntry {
        connection_id: Uuid::from_u128(5),
        agent_id: Uuid::from_u128(6),
        account_id: Some(Uuid::from_u128(2)),
        server_id: Uuid::from_u128(3),
        active: true,
    };
    bus.bucket::<ConnectionEntry>()
        .await
        .unwrap()
        .put(&entry)
        .await
        .unwrap();
    until("the connection shows", || {
        fleet.visible(guest, None, 10, |_| true).len() == 2
    })
    .await;
    let ids = |viewer, after: Option<u128>, limit| {
        let after = after.map(|after| ServerId(Uuid::from_u128(after)));
        let found = fleet.visible(viewer, after, limit, |_| true);
        found
            .iter()
            .map(|server| server.server_id.as_u128())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(guest, None, 10), [3, 100]);
    assert_eq!(ids(guest, Some(3), 10), [100]);
    assert_eq!(ids(Viewer::All, Some(48), 3), [49, 50, 100]);

    publish(&bus, 1, &status(1, 1, 2, "stopped")).await;
    let gone = StatusEvent::Deleted(Tombstone {
        server_id: Uuid::from_u128(2),
        toolbox_id: Uuid::from_u128(7),
        account_id: Uuid::from_u128(1),
        version: 2,
        changed_at: Timestamp::UNIX_EPOCH,
    });
    publish(&bus, 1, &gone).await;
    let first = ServerId(Uuid::from_u128(1));
    until("changes arrive", || {
        fleet.server(first).unwrap().state == "stopped" && fleet.counts().0 == 50
    })
    .await;

    // A loss: what was known goes on answering, and is told to be old.
    nats.kill().await.unwrap();
    until("the loss is noticed", || !fleet.is_current(&bus)).await;
    assert!(fleet.is_loaded() && fleet.server(first).is_some());
    nats.restart().await.unwrap();
    until("the picture is whole again", || fleet.is_current(&bus)).await;
    publish(&bus, 1, &status(1, 1, 3, "starting")).await;
    until("changes arrive again", || {
        fleet.server(first).unwrap().state == "starting"
    })
    .await;

    shutdown.cancel();
    running.await.unwrap().unwrap();
    nats.stop().await.unwrap();
}
