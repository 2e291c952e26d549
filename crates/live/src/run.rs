//! Feeding the picture from the bus.

use std::time::Duration;

use access::Connection;
use anyhow::bail;
use bus::{Bucket, BucketChange, Bus, Delivery, Step};
use domain::{AccountId, ConnectionId, ServerId};
use futures_util::StreamExt as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wire::{ConnectionEntry, Cursor, streams};

use crate::fleet::{self, Fleet};
use crate::picture::Picture;
use crate::told;

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
    let mut epoch = 0;
    let mut throttle = Throttle::default();
    while let Some(step) = steps.next().await {
        match step {
            Step::Restarted => {
                fleet.statuses_lost();
                // Asked for before the first message is taken: what the stream holds by now has come before it is whole.
                let Some(position) = position(&bus, &shutdown).await? else {
                    return Ok(());
                };
                epoch = position.epoch;
                begun = Some(Picture::begun(position));
            }
            Step::Message(delivery) => {
                let taken = match &mut begun {
                    None => fleet.take_in(&delivery, epoch),
                    // What stood there already is told to nobody but who asks for it.
                    Some(picture) => {
                        picture.passed(delivery.sequence, delivery.published_at);
                        told::read(&delivery, epoch)
                            .map(|(event, told)| fleet::take(picture, event, told).newer)
                    }
                };
                if taken.is_none()
                    && let Some(held_back) = throttle.pass()
                {
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
                fleet.metrics().event(match taken {
                    None => "undecodable",
                    Some(true) => "taken",
                    Some(false) => "stale",
                });
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

/// Where the stream stands, as soon as it can be asked; `None`: the service stops before.
async fn position(bus: &Bus, shutdown: &CancellationToken) -> anyhow::Result<Option<Cursor>> {
    loop {
        match bus.stream_state(&streams::MCP_STATUS).await {
            Ok(state) => {
                return Ok(Some(Cursor {
                    epoch: Cursor::epoch_of(state.created_at),
                    sequence: state.last_sequence,
                }));
            }
            Err(error) if error.is_transient() => {
                tracing::debug!(%error, "the status stream cannot be looked up yet");
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
                fleet.connections_changed(None);
            }
            BucketChange::Put(entry) => {
                let connection = connection(entry);
                let before = fleet.connections().get(connection.id);
                fleet.connections().put(connection);
                for changed in [before, Some(connection)].into_iter().flatten() {
                    tell(&fleet, changed);
                }
            }
            BucketChange::Deleted(key) => {
                let before = fleet.connections().get(ConnectionId(key));
                fleet.connections().remove(ConnectionId(key));
                if let Some(before) = before {
                    tell(&fleet, before);
                }
            }
        }
    }
    if shutdown.is_cancelled() {
        return Ok(());
    }
    bail!("the bucket of connections can no longer be watched");
}

fn tell(fleet: &Fleet, changed: Connection) {
    // One that is nobody's shows nothing to anybody.
    if changed.account.is_some() {
        fleet.connections_changed(changed.account);
    }
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
