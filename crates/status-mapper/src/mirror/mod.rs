//! The registry, mirrored to the pollers' bucket, the connections to theirs who must know who may see what, and the
//! webhooks to the notifiers'.
//!
//! ```text
//!  tables ─► read, every 2 s ─► wanted ─┐
//!                                       ├─ differ? ─► put · delete
//!  bucket ─► watched ─────────► held ───┘
//!                                │
//!                                └─ in it and no longer in the tables, or another's ─► departures
//! ```
//!
//! The bucket is watched and not remembered: what anybody else does to it, its deletion included, is put right by the
//! next round. It also is the memory of what there was, so departures are announced before it is told.

mod connections;
mod entry;
mod webhooks;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bus::{Bucket, BucketChange, Bus};
use domain::{AccountId, ServerId, ToolboxId};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use service::Readiness;
use store::StoreError;
use store::registry::{Registry, Unusable};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use wire::{ConnectionEntry, Entry, ToolboxEntry, WebhookEntry};

pub(crate) use crate::mirror::entry::Agents;

use crate::announcer::Announcer;
use crate::departures::Departures;
use crate::duty::Duty;
use crate::health::REGISTRY;
use crate::mirror::connections::Connections;
use crate::mirror::entry::{Held, Wanted};
use crate::mirror::webhooks::Webhooks;
use crate::pace::{Backoff, Rounds, Throttle};

/// Entries written at once.
const AT_ONCE: usize = 64;

/// Mirrors until shutdown, and at once when `soon` says that something was written.
///
/// # Errors
/// When the bucket can never be used as it is.
pub(crate) async fn run(
    announcer: Announcer,
    agents: Agents,
    every: std::time::Duration,
    readiness: Readiness,
    duty: watch::Receiver<Duty>,
    soon: Arc<Notify>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let Some(bus) = announcer.line.clone().first(&shutdown).await else {
        return Ok(());
    };
    let Some(toolboxes) = bucket::<ToolboxEntry>(&bus, &shutdown).await? else {
        return Ok(());
    };
    let Some(connections) = bucket::<ConnectionEntry>(&bus, &shutdown).await? else {
        return Ok(());
    };
    let Some(webhooks) = bucket::<WebhookEntry>(&bus, &shutdown).await? else {
        return Ok(());
    };
    let mut webhook_changes = webhooks.watch(shutdown.clone());
    let mut changes = toolboxes.watch(shutdown.clone());
    let mut connection_changes = connections.watch(shutdown.clone());
    let departures = Departures::new(announcer.clone(), bus);
    let mut mirror = Mirror {
        announcer,
        webhooks: Webhooks::new(webhooks, agents.key.clone()),
        agents,
        toolboxes,
        connections: Connections::new(connections),
        departures,
        held: None,
        versions: HashMap::new(),
        told_unusable: HashSet::new(),
        shutdown: shutdown.clone(),
    };
    let mut rounds = Rounds::every(every, shutdown.clone());
    let mut throttle = Throttle::default();
    loop {
        tokio::select! {
            change = changes.next() => match change {
                Some(change) => mirror.take(change),
                None if shutdown.is_cancelled() => return Ok(()),
                None => anyhow::bail!("the bucket of toolboxes can no longer be watched"),
            },
            change = connection_changes.next() => match change {
                Some(change) => mirror.connections.take(change),
                None if shutdown.is_cancelled() => return Ok(()),
                None => anyhow::bail!("the bucket of connections can no longer be watched"),
            },
            change = webhook_changes.next() => match change {
                Some(change) => mirror.webhooks.take(change),
                None if shutdown.is_cancelled() => return Ok(()),
                None => anyhow::bail!("the bucket of webhooks can no longer be watched"),
            },
            goes_on = next_round(&mut rounds, &soon) => {
                if !goes_on {
                    return Ok(());
                }
                let duty = *duty.borrow();
                let outcome = match duty {
                    Duty::Unknown => Err("it is not known whose duty the mirror is".to_owned()),
                    Duty::Elsewhere => Ok(()),
                    Duty::Here if mirror.held.is_none() => Err("the bucket has not been read yet".to_owned()),
                    Duty::Here => mirror.round().await.map_err(|error| {
                        let problem = format!("{error:#}");
                        if let Some(held_back) = throttle.pass() {
                            tracing::warn!(problem, held_back, "failed to mirror the registry; trying again");
                        }
                        problem
                    }),
                };
                readiness.set(REGISTRY, outcome);
            }
        }
    }
}

/// The next round: in its time, or because something was written.
async fn next_round(rounds: &mut Rounds, soon: &Notify) -> bool {
    tokio::select! {
        biased;
        goes_on = rounds.next() => goes_on,
        () = soon.notified() => true,
    }
}

/// A bucket, made where it is missing; `None`: the service stops before.
///
/// # Errors
/// When it can never be used as it is.
async fn bucket<E: Entry>(bus: &Bus, shutdown: &CancellationToken) -> anyhow::Result<Option<Bucket<E>>> {
    let mut backoff = Backoff::new();
    loop {
        match bus.bucket::<E>().await {
            Ok(bucket) => return Ok(Some(bucket)),
            Err(error) if error.is_transient() => {
                tracing::debug!(%error, "failed to reach a bucket; trying again")
            }
            Err(error) => return Err(error.into()),
        }
        if !backoff.wait(shutdown).await {
            return Ok(None);
        }
    }
}

struct Mirror {
    announcer: Announcer,
    agents: Agents,
    toolboxes: Bucket<ToolboxEntry>,
    connections: Connections,
    webhooks: Webhooks,
    departures: Departures,
    /// What the bucket holds; `None` until it has been read.
    held: Option<HashMap<ToolboxId, Held>>,
    /// The servers' versions when they were last read: all that is known of one that is gone.
    versions: HashMap<ServerId, u64>,
    told_unusable: HashSet<(ToolboxId, Option<ServerId>)>,
    shutdown: CancellationToken,
}

impl Mirror {
    /// Takes in what the bucket says.
    fn take(&mut self, change: BucketChange<ToolboxEntry>) {
        let key = &self.agents.key;
        match (change, &mut self.held) {
            (BucketChange::Snapshot(entries), held) => {
                let read = |entry: ToolboxEntry| (ToolboxId(entry.toolbox_id), Held::read(entry, key));
                *held = Some(entries.into_iter().map(read).collect());
            }
            (BucketChange::Put(entry), Some(held)) => {
                held.insert(ToolboxId(entry.toolbox_id), Held::read(entry, key));
            }
            (BucketChange::Deleted(key), Some(held)) => {
                held.remove(&ToolboxId(key));
            }
            (BucketChange::Put(_) | BucketChange::Deleted(_), None) => {}
        }
    }

    async fn round(&mut self) -> anyhow::Result<()> {
        let registry = store::registry::read(self.announcer.database.pool()).await?;
        let instances = registry
            .toolboxes
            .iter()
            .map(|toolbox| toolbox.instances.len())
            .sum();
        self.announcer
            .metrics
            .registry(registry.toolboxes.len(), instances, registry.unusable.len());
        self.tell_unusable(&registry.unusable);
        self.say_farewell(&registry).await?;
        self.versions = registry
            .toolboxes
            .iter()
            .flat_map(|toolbox| &toolbox.instances)
            .map(|instance| (instance.id, instance.version))
            .collect();
        self.write(&registry).await?;
        let (database, metrics) = (&self.announcer.database, &self.announcer.metrics);
        self.connections.round(database, metrics).await?;
        self.webhooks.round(database, metrics).await
    }

    /// Announces what the bucket remembers and the tables no longer have, or have under another account.
    async fn say_farewell(&self, registry: &Registry) -> anyhow::Result<()> {
        let owners: HashMap<ToolboxId, AccountId> = registry
            .toolboxes
            .iter()
            .map(|toolbox| (toolbox.id, toolbox.account))
            .collect();
        let servers: HashMap<ServerId, AccountId> = registry
            .toolboxes
            .iter()
            .flat_map(|toolbox| {
                toolbox
                    .instances
                    .iter()
                    .map(|instance| (instance.id, toolbox.account))
            })
            .collect();
        for (toolbox, held) in self.held.iter().flatten() {
            let account = AccountId(held.entry.account_id);
            // What is not said here is still in the bucket, for whoever comes next.
            anyhow::ensure!(!self.shutdown.is_cancelled(), "the service stops");
            for instance in &held.entry.instances {
                let server = ServerId(instance.server_id);
                if servers.get(&server) != Some(&account) {
                    let version = self.versions.get(&server).copied().unwrap_or(0);
                    let outcome = self.departures.server(server, *toolbox, account, version).await;
                    passing(outcome.map(drop), "server", server.0)?;
                }
            }
            let outcome = match owners.get(toolbox) {
                Some(owner) if *owner == account => continue,
                Some(_) => self.departures.toolbox_moved(*toolbox, account).await,
                None => self.departures.retire_toolbox(*toolbox, account).await.map(drop),
            };
            passing(outcome, "toolbox", toolbox.0)?;
        }
        Ok(())
    }

    /// Puts what differs and deletes what is gone.
    async fn write(&mut self, registry: &Registry) -> anyhow::Result<()> {
        let Some(held) = &mut self.held else { return Ok(()) };
        let wanted: HashMap<ToolboxId, Wanted> = registry
            .toolboxes
            .iter()
            .map(|toolbox| (toolbox.id, Wanted::of(toolbox, &self.agents)))
            .collect();
        let gone = held
            .keys()
            .filter(|toolbox| !wanted.contains_key(toolbox))
            .map(|toolbox| (*toolbox, None));
        let mut writes: Vec<(ToolboxId, Option<ToolboxEntry>)> = gone.collect();
        for (toolbox, wanted) in wanted {
            let before = held.get(&toolbox);
            if !before.is_some_and(|held| wanted.is_said_by(held)) {
                writes.push((toolbox, Some(wanted.sealed(before, &self.agents.key))));
            }
        }
        // Group by group, and no further than to the first that fails: a bus that does not answer then costs one
        // time-out.
        for group in writes.chunks(AT_ONCE) {
            let done = join_all(group.iter().map(async |(toolbox, entry)| match entry {
                Some(entry) => self.toolboxes.put(entry).await,
                None => self.toolboxes.delete(toolbox.0).await,
            }))
            .await;
            let mut failed = None;
            for ((toolbox, entry), done) in group.iter().zip(done) {
                match (done, entry) {
                    (Ok(()), Some(entry)) => {
                        self.announcer.metrics.mirror_write("put");
                        held.insert(*toolbox, Held::read(entry.clone(), &self.agents.key));
                    }
                    (Ok(()), None) => {
                        self.announcer.metrics.mirror_write("delete");
                        held.remove(toolbox);
                    }
                    (Err(error), _) => failed = Some(error),
                }
            }
            if let Some(error) = failed {
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// A row that nothing can be done with is somebody's mistake: told once, and again when it comes back.
    fn tell_unusable(&mut self, unusable: &[Unusable]) {
        for row in unusable {
            if self.told_unusable.insert((row.toolbox, row.instance)) {
                let instance = row.instance.map(|instance| instance.to_string());
                tracing::warn!(toolbox = %row.toolbox, instance, why = row.why, "a row of the registry is unusable");
            }
        }
        let still: HashSet<_> = unusable.iter().map(|row| (row.toolbox, row.instance)).collect();
        self.told_unusable.retain(|row| still.contains(row));
    }
}

/// Whether the round can go on: an outage ends it, so that it is tried again; what ails one row must not keep all others
/// from being mirrored.
fn passing(outcome: anyhow::Result<()>, what: &'static str, id: uuid::Uuid) -> anyhow::Result<()> {
    match outcome {
        Ok(()) => Ok(()),
        Err(error) if is_outage(&error) => Err(error),
        Err(error) => {
            tracing::error!(what, %id, error = format!("{error:#}"), "failed to announce that something is gone");
            Ok(())
        }
    }
}

fn is_outage(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<StoreError>()
        .is_some_and(StoreError::is_transient)
        || error
            .downcast_ref::<bus::BusError>()
            .is_some_and(bus::BusError::is_transient)
}
