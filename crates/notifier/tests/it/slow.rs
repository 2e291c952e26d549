//! Who stops reading: costs no more than what he is subscribed to, delays nobody, and ends right or is let go.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::{Held, Socket};
use crate::ground::{Ground, id, service_token, status, token};

const SERVERS: u128 = 300;
const ROUNDS: u64 = 334;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stops_while_a_hundred_thousand_changes_pass_stays_within_its_bound_and_ends_right() {
    let ground = Ground::new().await;
    let all: Vec<_> = (1..=SERVERS)
        .map(|server| status(server, 1, 1, "running"))
        .collect();
    ground.publish(&all).await;
    let replica = ground
        .replica_with(|options| {
            // It is to be slow, not to be let go for it.
            options.write_timeout = Duration::from_secs(600);
            options.ping_every = Duration::from_secs(600);
        })
        .await;
    let mut stopped = Socket::of(&replica, &token(1)).await;
    let servers: Vec<_> = (1..=SERVERS).map(id).collect();
    stopped
        .send(json!({"type": "subscribe", "servers": servers}))
        .await;
    let mut of_stopped = Held::default();
    of_stopped
        .read_until(&mut stopped, "present", |held| held.present)
        .await;

    // Another reads all the while.
    let mut reads = Socket::of(&replica, &service_token()).await;
    reads.send(json!({"type": "subscribe", "servers": "all"})).await;
    let mut of_reader = Held::default();
    let last = ROUNDS + 1;
    let reading = of_reader.read_until(&mut reads, "all the last", |held| {
        held.servers.len() == servers.len() && held.servers.values().all(|(version, _)| *version == last)
    });
    let publishing = async {
        let mut most = 0;
        for version in 2..=last {
            let round: Vec<_> = (1..=SERVERS)
                .map(|server| status(server, 1, version, "stopped"))
                .collect();
            ground.publish(&round).await;
            for waiting in replica.hub.waiting() {
                assert!(waiting.all || waiting.pending <= waiting.named, "{waiting:?}");
                assert!(waiting.pending <= servers.len(), "{waiting:?}");
                most = waiting.pending.max(most);
            }
        }
        most
    };
    let began = Instant::now();
    let (most, ()) = tokio::join!(publishing, reading);
    println!(
        "{} changes in {:?}, at most {most} waiting",
        all.len() as u64 * ROUNDS,
        began.elapsed()
    );
    // Only then it was really stopped: its network's buffers are full.
    assert_eq!(most, servers.len());
    of_stopped
        .read_until(&mut stopped, "the last of all", |held| {
            held.servers
                .values()
                .all(|(version, state)| *version == last && state == "stopped")
        })
        .await;
    assert_eq!((of_stopped.servers.len(), of_stopped.resets), (servers.len(), 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_nothing_for_too_long_is_let_go_and_resumes() {
    let ground = Ground::new().await;
    let servers: Vec<_> = (1..=100).map(|server| status(server, 1, 1, "running")).collect();
    ground.publish(&servers).await;
    let replica = ground
        .replica_with(|options| options.write_timeout = Duration::from_secs(1))
        .await;
    let mut socket = Socket::of(&replica, &token(1)).await;
    socket.send(json!({"type": "subscribe", "servers": "all"})).await;
    let mut held = Held::default();
    held.read_until(&mut socket, "present", |held| held.present).await;
    let mut events = crate::client::Events::of(&replica, "all=true", &token(1)).await;
    events.next().await;
    let mut version = 1;
    // Until both are let go.
    while !replica.hub.waiting().is_empty() {
        version += 1;
        assert!(version < 20_000, "nobody is let go");
        let round: Vec<_> = (1..=100)
            .map(|server| status(server, 1, version, "stopped"))
            .collect();
        ground.publish(&round).await;
    }
    while let Ok(message) = socket.receive().await {
        held.take(&message);
    }
    let mut again = Socket::of(&replica, &token(1)).await;
    again
        .send(json!({"type": "subscribe", "servers": "all", "cursor": held.cursor}))
        .await;
    held.present = false;
    held.read_until(&mut again, "present", |held| held.present).await;
    assert_eq!(held.resets, 0);
    assert!(
        held.servers.values().all(|(have, _)| *have == version),
        "{version}: {held:?}"
    );
}
