//! The bucket `toolboxes`: what pollers need to know, mirrored from the tables.

use std::collections::HashMap;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::DeliverPolicy;
use domain::ToolboxId;
use futures_util::StreamExt;
use futures_util::stream::{self, Stream};
use tokio_util::sync::CancellationToken;
use wire::{ToolboxEntry, streams};

use crate::follow::AHEAD;
use crate::publish::encode;
use crate::source::{Event, Origin, Source};
use crate::streams::Target;
use crate::{Bus, BusError, Delivery, bucket};

/// The bucket of toolboxes.
#[derive(Debug, Clone)]
pub struct Toolboxes {
    bus: Bus,
}

/// What a watcher of the bucket learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryChange {
    /// The whole truth, by id: what is not in it is gone. First, and again after every reconnection and every
    /// recreation of the bucket.
    Snapshot(Vec<ToolboxEntry>),
    /// A toolbox is new or has changed.
    Put(ToolboxEntry),
    /// A toolbox is gone.
    Deleted(ToolboxId),
}

impl Toolboxes {
    pub(crate) fn new(bus: Bus) -> Self {
        Self { bus }
    }

    /// Writes a toolbox's entry.
    ///
    /// # Errors
    /// Those of publishing.
    pub async fn put(&self, entry: &ToolboxEntry) -> Result<(), BusError> {
        let subject = bucket::subject(ToolboxId(entry.toolbox_id));
        self.bus
            .publish_raw(subject, HeaderMap::new(), encode(entry)?)
            .await
            .map(|_| ())
    }

    /// Deletes a toolbox's entry; one that is not there is as good.
    ///
    /// # Errors
    /// Those of publishing.
    pub async fn delete(&self, toolbox: ToolboxId) -> Result<(), BusError> {
        let subject = bucket::subject(toolbox);
        self.bus
            .publish_raw(subject, bucket::deletion(), bytes::Bytes::new())
            .await
            .map(|_| ())
    }

    /// All entries, by id. One that cannot be read is left out.
    ///
    /// # Errors
    /// [`BusError::Timeout`] or [`BusError::Disconnected`] when nothing more comes for as long as
    /// [`crate::BusOptions::api_timeout`].
    pub async fn all(&self) -> Result<Vec<ToolboxEntry>, BusError> {
        let mut watch = Watch::new(&self.bus);
        loop {
            let step = tokio::time::timeout(self.bus.api_timeout(), watch.step()).await;
            let step = step.map_err(|_| {
                self.bus
                    .unanswered(format!("read the bucket {}", streams::TOOLBOXES.name))
            })?;
            match step? {
                Some(RegistryChange::Snapshot(entries)) => return Ok(entries),
                // Nothing but a snapshot comes first.
                _ => continue,
            }
        }
    }

    /// Watches the bucket until `shutdown` is cancelled: first a snapshot, then changes in order.
    ///
    /// An entry that cannot be read is logged, counted and skipped. The stream ends early only when it can never go
    /// on (which is logged as an error): treat that as a task that ended early.
    pub fn watch(
        &self,
        shutdown: CancellationToken,
    ) -> impl Stream<Item = RegistryChange> + Send + Unpin + use<> {
        stream::unfold((Watch::new(&self.bus), shutdown), |(mut watch, shutdown)| async {
            loop {
                tokio::select! {
                    biased;
                    () = shutdown.cancelled() => return None,
                    step = watch.step() => match step {
                        Ok(Some(change)) => return Some((change, (watch, shutdown))),
                        Ok(None) => {}
                        Err(error) => {
                            tracing::error!(%error, "failed to watch the bucket of toolboxes; it ends here");
                            return None;
                        }
                    },
                }
            }
        })
        .boxed()
    }
}

struct Watch {
    bus: Bus,
    source: Source,
    /// What is known so far, until that is everything.
    snapshot: Option<HashMap<ToolboxId, ToolboxEntry>>,
}

impl Watch {
    fn new(bus: &Bus) -> Self {
        let origin = Origin::Ordered {
            target: Target::Toolboxes,
            filters: vec![bucket::all_keys()],
            policy: DeliverPolicy::LastPerSubject,
        };
        Self {
            bus: bus.clone(),
            source: Source::new(bus, origin, AHEAD),
            snapshot: None,
        }
    }

    /// Takes one event in; what a watcher learns from it, if anything.
    async fn step(&mut self) -> Result<Option<RegistryChange>, BusError> {
        let (change, complete) = match self.source.next(AHEAD).await? {
            Event::Attached { pending } => {
                self.snapshot = Some(HashMap::new());
                (None, pending == 0)
            }
            // Complete when nothing is left to come. To count what there was at the beginning would not do: when
            // entries change meanwhile, as many messages may be about fewer toolboxes.
            Event::Message(delivery) => (self.read(&delivery), delivery.pending == 0),
            // What was the last to come may have been purged before it came.
            Event::Idle => (None, self.snapshot.is_some() && self.source.is_caught_up().await),
        };
        let Some(mut entries) = self.snapshot.take() else {
            return Ok(change);
        };
        match change {
            Some(RegistryChange::Put(entry)) => {
                entries.insert(ToolboxId(entry.toolbox_id), entry);
            }
            Some(RegistryChange::Deleted(toolbox)) => {
                entries.remove(&toolbox);
            }
            Some(RegistryChange::Snapshot(_)) | None => {}
        }
        if !complete {
            self.snapshot = Some(entries);
            return Ok(None);
        }
        let mut entries: Vec<ToolboxEntry> = entries.into_values().collect();
        entries.sort_unstable_by_key(|entry| entry.toolbox_id);
        Ok(Some(RegistryChange::Snapshot(entries)))
    }

    fn read(&self, delivery: &Delivery) -> Option<RegistryChange> {
        let problem = match bucket::toolbox_of(&delivery.subject) {
            None => "its key is not a toolbox id".to_owned(),
            Some(toolbox) if bucket::is_deletion(&delivery.headers) => {
                return Some(RegistryChange::Deleted(toolbox));
            }
            Some(toolbox) => match ToolboxEntry::decode(&delivery.body) {
                Ok(entry) if ToolboxId(entry.toolbox_id) == toolbox => {
                    return Some(RegistryChange::Put(entry));
                }
                Ok(_) => "it speaks of another toolbox than its key".to_owned(),
                Err(refused) => refused.to_string(),
            },
        };
        self.bus.metrics().undecodable(streams::TOOLBOXES.name);
        tracing::warn!(
            bucket = streams::TOOLBOXES.name,
            sequence = delivery.sequence,
            problem,
            "bucket entry skipped: it cannot be read"
        );
        None
    }
}
