//! Feeding the picture from the bus.

use std::time::Duration;

use access::Connection;
use anyhow::bail;
use bus::{Bucket, BucketChange, Bus, Delivery, Step};
use domain::{AccountId, ConnectionId, ServerId, ToolboxId};
use futures_util::StreamExt as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wire::{ConnectionEntry, StatusEvent, ToolboxEvent, streams, subjects};

use crate::fleet::Fleet;
use crate::picture::Picture;

/// Keeps the fleet in step with the bus until `shutdown`.
///
/// # Errors
/// What no waiting mends: a bucket that is not what is needed, a client that has ended.
pub async fn run(bus: Bus, fleet: Fleet, shutdown: CancellationToken) -> anyhow::Result<()> {
    tokio::try_join!(
        statuses(bus.clone(), fleet.clone(), shutdown.clone()),
        connections(bus, fleet, shutdown),
    )?;
    Ok(())
}

/// Follows the statuses. Until a picture is whole the one before it goes on answering.
async fn statuses(bus: Bus, fleet: Fleet, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut steps = bus.follow_present(&streams::MCP_STATUS, Vec::new(), shutdown.clone());
    let mut begun: Option<Picture> = None;
    let mut throttle = Throttle::default();
    while let Some(step) = steps.next().await {
        match step {
            Step::Restarted => {
                fleet.statuses_lost();
                begun = Some(Picture::default());
            }
            Step::Message(delivery) => {
                let outcome = match (event_of(&delivery), &mut begun) {
                    (None, _) => {
                        if let Some(held_back) = throttle.pass() {
                            let Delivery {
                                subject, sequence, ..
                            } = &delivery;
                            tracing::warn!(
                                subject,
                                sequence,
                                held_back,
                                "a status event cannot be read; skipped"
                            );
                        }
                        "undecodable"
                    }
                    (Some(Event::Server(event)), Some(picture)) => outcome(picture.take_server(event)),
                    (Some(Event::Server(event)), None) => outcome(fleet.take_server(event)),
                    (Some(Event::Toolbox(event)), Some(picture)) => outcome(picture.take_toolbox(event)),
                    (Some(Event::Toolbox(event)), None) => outcome(fleet.take_toolbox(event)),
                };
                fleet.metrics().event(outcome);
            }
            Step::Present => {
                if let Some(picture) = begun.take() {
                    let (servers, toolboxes) = (picture.servers.len(), picture.toolboxes.len());
                    fleet.swap(picture);
                    fleet.metrics().picture();
                    tracing::info!(servers, toolboxes, "the present is known");
                }
            }
            Step::Lost => {
                fleet.statuses_lost();
                begun = None;
            }
        }
    }
    if shutdown.is_cancelled() {
        return Ok(());
    }
    bail!("the status stream can no longer be followed");
}

#[expect(
    clippy::large_enum_variant,
    reason = "nearly every event is a server's, and none is kept in this form"
)]
enum Event {
    Server(StatusEvent),
    Toolbox(ToolboxEvent),
}

/// What a message says, where it can be read and speaks of what its subject says: by that, permissions are given.
fn event_of(delivery: &Delivery) -> Option<Event> {
    if let Some((account, server)) = subjects::server_of(&delivery.subject) {
        let event = StatusEvent::decode(&delivery.body).ok()?;
        let of = match &event {
            StatusEvent::Status(status) => status.account_id,
            StatusEvent::Deleted(tombstone) => tombstone.account_id,
        };
        let is_its = event.server_id() == server.0 && of == account.0;
        return is_its.then_some(Event::Server(event));
    }
    let event = ToolboxEvent::decode(&delivery.body).ok()?;
    let expected = subjects::toolbox_status(AccountId(event.account_id), ToolboxId(event.toolbox_id));
    (delivery.subject == expected).then_some(Event::Toolbox(event))
}

fn outcome(taken: bool) -> &'static str {
    if taken { "taken" } else { "stale" }
}

/// Follows who is connected to what.
async fn connections(bus: Bus, fleet: Fleet, shutdown: CancellationToken) -> anyhow::Result<()> {
    let Some(bucket) = bucket(&bus, &shutdown).await? else {
        return Ok(());
    };
    let mut changes = bucket.watch(shutdown.clone());
    while let Some(change) = changes.next().await {
        match change {
            BucketChange::Snapshot(entries) => {
                fleet
                    .connections()
                    .replace(entries.into_iter().map(connection).collect());
                fleet.connections_loaded();
            }
            BucketChange::Put(entry) => fleet.connections().put(connection(entry)),
            BucketChange::Deleted(key) => fleet.connections().remove(ConnectionId(key)),
        }
    }
    if shutdown.is_cancelled() {
        return Ok(());
    }
    bail!("the bucket of connections can no longer be watched");
}

/// How long a bucket that cannot be had for now is left alone.
const AGAIN: Duration = Duration::from_secs(1);

/// The bucket, as soon as it can be had; `None`: the service stops before.
async fn bucket(bus: &Bus, shutdown: &CancellationToken) -> anyhow::Result<Option<Bucket<ConnectionEntry>>> {
    loop {
        match bus.bucket().await {
            Ok(bucket) => return Ok(Some(bucket)),
            Err(error) if error.is_transient() => {
                tracing::debug!(%error, "the bucket of connections cannot be had yet");
            }
            Err(error) => return Err(error.into()),
        }
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(None),
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

fn connection(entry: ConnectionEntry) -> Connection {
    Connection {
        id: ConnectionId(entry.connection_id),
        agent: entry.agent_id,
        account: entry.account_id.map(AccountId),
        server: ServerId(entry.server_id),
        active: entry.active,
    }
}

/// Lets through one log line in a while, and counts those held back in between.
#[derive(Default)]
struct Throttle {
    last: Option<Instant>,
    held_back: u64,
}

/// A line every ten seconds tells that it goes on, and fills no disk.
const ONE_LINE_IN: Duration = Duration::from_secs(10);

impl Throttle {
    fn pass(&mut self) -> Option<u64> {
        let now = Instant::now();
        if self.last.is_some_and(|last| now - last < ONE_LINE_IN) {
            self.held_back += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.held_back))
    }
}
