//! Buckets that mirror a table: written entry by entry, read and watched whole.

use std::collections::HashMap;
use std::marker::PhantomData;

use async_nats::HeaderMap;
use futures_util::StreamExt;
use futures_util::stream::{self, Stream};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wire::Entry;

use crate::present::{Picture, Step};
use crate::publish::encode;
use crate::streams::Target;
use crate::{Bus, BusError, Delivery, bucket};

/// The bucket of one kind of entry.
#[derive(Debug, Clone)]
pub struct Bucket<E: Entry> {
    bus: Bus,
    entries: PhantomData<fn() -> E>,
}

/// What a watcher of a bucket learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BucketChange<E> {
    /// The whole truth, by key: what is not in it is gone. First, and again after every reconnection and every
    /// recreation of the bucket.
    Snapshot(Vec<E>),
    /// An entry is new or has changed.
    Put(E),
    /// The entry of this key is gone.
    Deleted(Uuid),
}

impl<E: Entry> Bucket<E> {
    pub(crate) fn new(bus: Bus) -> Self {
        Self {
            bus,
            entries: PhantomData,
        }
    }

    /// Writes an entry under its key.
    ///
    /// # Errors
    /// Those of publishing.
    pub async fn put(&self, entry: &E) -> Result<(), BusError> {
        let subject = bucket::subject(E::BUCKET, entry.key());
        self.bus
            .publish_raw(subject, HeaderMap::new(), encode(entry)?)
            .await
            .map(|_| ())
    }

    /// Deletes the entry of a key; one that is not there is as good.
    ///
    /// # Errors
    /// Those of publishing.
    pub async fn delete(&self, key: Uuid) -> Result<(), BusError> {
        let subject = bucket::subject(E::BUCKET, key);
        self.bus
            .publish_raw(subject, bucket::deletion(), bytes::Bytes::new())
            .await
            .map(|_| ())
    }

    /// All entries, by key. One that cannot be read is left out.
    ///
    /// # Errors
    /// [`BusError::Timeout`] or [`BusError::Disconnected`] when nothing more comes for as long as
    /// [`crate::BusOptions::api_timeout`].
    pub async fn all(&self) -> Result<Vec<E>, BusError> {
        let mut watch = Watch::new(&self.bus);
        loop {
            let step = tokio::time::timeout(self.bus.api_timeout(), watch.step()).await;
            let step =
                step.map_err(|_| self.bus.unanswered(format!("read the bucket {}", E::BUCKET.name)))?;
            match step? {
                Some(BucketChange::Snapshot(entries)) => return Ok(entries),
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
    ) -> impl Stream<Item = BucketChange<E>> + Send + Unpin + use<E> {
        stream::unfold((Watch::new(&self.bus), shutdown), |(mut watch, shutdown)| async {
            loop {
                tokio::select! {
                    biased;
                    () = shutdown.cancelled() => return None,
                    step = watch.step() => match step {
                        Ok(Some(change)) => return Some((change, (watch, shutdown))),
                        Ok(None) => {}
                        Err(error) => {
                            let bucket = E::BUCKET.name;
                            tracing::error!(bucket, %error, "failed to watch a bucket; it ends here");
                            return None;
                        }
                    },
                }
            }
        })
        .boxed()
    }
}

struct Watch<E> {
    bus: Bus,
    picture: Picture,
    /// What is known so far, until that is everything.
    snapshot: Option<HashMap<Uuid, E>>,
}

impl<E: Entry> Watch<E> {
    fn new(bus: &Bus) -> Self {
        Self {
            bus: bus.clone(),
            picture: Picture::new(bus, Target::Bucket(E::BUCKET), vec![bucket::all_keys(E::BUCKET)]),
            snapshot: None,
        }
    }

    /// Takes one step in; what a watcher learns from it, if anything.
    async fn step(&mut self) -> Result<Option<BucketChange<E>>, BusError> {
        match self.picture.step().await? {
            Step::Restarted => self.snapshot = Some(HashMap::new()),
            Step::Lost => {}
            Step::Message(delivery) => {
                let change = self.read(&delivery);
                let Some(entries) = &mut self.snapshot else {
                    return Ok(change);
                };
                match change {
                    Some(BucketChange::Put(entry)) => {
                        entries.insert(entry.key(), entry);
                    }
                    Some(BucketChange::Deleted(key)) => {
                        entries.remove(&key);
                    }
                    Some(BucketChange::Snapshot(_)) | None => {}
                }
            }
            Step::Present => {
                let entries = self.snapshot.take().unwrap_or_default();
                let mut entries: Vec<E> = entries.into_values().collect();
                entries.sort_unstable_by_key(Entry::key);
                return Ok(Some(BucketChange::Snapshot(entries)));
            }
        }
        Ok(None)
    }

    fn read(&self, delivery: &Delivery) -> Option<BucketChange<E>> {
        let problem = match bucket::key_of(E::BUCKET, &delivery.subject) {
            None => "its key is not an id".to_owned(),
            Some(key) if bucket::is_deletion(&delivery.headers) => {
                return Some(BucketChange::Deleted(key));
            }
            Some(key) => match E::read(&delivery.body) {
                Ok(entry) if entry.key() == key => return Some(BucketChange::Put(entry)),
                Ok(_) => "it speaks of another id than its key".to_owned(),
                Err(refused) => refused.to_string(),
            },
        };
        self.bus.metrics().undecodable(E::BUCKET.name);
        tracing::warn!(
            bucket = E::BUCKET.name,
            sequence = delivery.sequence,
            problem,
            "bucket entry skipped: it cannot be read"
        );
        None
    }
}
