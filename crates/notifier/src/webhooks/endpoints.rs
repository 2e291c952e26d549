//! Who is told, in memory: the bucket, with the secrets opened.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use anyhow::bail;
use bus::{Bucket, BucketChange, SealingKey};
use futures_util::StreamExt as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;
use wire::WebhookEntry;

use crate::webhooks::sign::Secret;

/// One endpoint, ready to be told.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// What is known of it.
    pub(crate) entry: WebhookEntry,
    /// Where it is; `None`: its URL cannot be read.
    pub(crate) url: Option<Url>,
    /// What it is signed with; empty: our key does not open them.
    pub(crate) secrets: Vec<Secret>,
}

/// All endpoints. Cheap to clone; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Endpoints(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    key: SealingKey,
    known: RwLock<Known>,
    loaded: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Known {
    by_id: HashMap<Uuid, Arc<Endpoint>>,
    of_account: HashMap<Uuid, BTreeSet<Uuid>>,
}

impl Endpoints {
    pub(crate) fn new(key: SealingKey) -> Self {
        Self(Arc::new(Inner {
            key,
            known: RwLock::default(),
            loaded: watch::Sender::default(),
        }))
    }

    /// An endpoint.
    pub(crate) fn get(&self, id: Uuid) -> Option<Arc<Endpoint>> {
        self.read().by_id.get(&id).cloned()
    }

    /// The endpoints of an account, in the order of their ids.
    pub(crate) fn of_account(&self, account: Uuid) -> Vec<Arc<Endpoint>> {
        let known = self.read();
        let ids = known.of_account.get(&account).into_iter().flatten();
        ids.filter_map(|id| known.by_id.get(id).cloned()).collect()
    }

    /// Whose there are.
    pub(crate) fn accounts(&self) -> Vec<Uuid> {
        self.read().of_account.keys().copied().collect()
    }

    /// Waits until they are known.
    pub(crate) async fn loaded(&self) {
        let mut loaded = self.0.loaded.subscribe();
        // Fails only when they are gone, and then nobody waits.
        let _ = loaded.wait_for(|loaded| *loaded).await;
    }

    /// Keeps them in step with the bucket until `shutdown`.
    pub(crate) async fn run(
        self,
        bucket: Bucket<WebhookEntry>,
        gone: impl Fn(Uuid),
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut changes = bucket.watch(shutdown.clone());
        while let Some(change) = changes.next().await {
            for id in self.take(change) {
                gone(id);
            }
        }
        if shutdown.is_cancelled() {
            return Ok(());
        }
        bail!("the bucket of webhooks can no longer be watched");
    }

    /// Takes in what the bucket says; who is gone.
    fn take(&self, change: BucketChange<WebhookEntry>) -> Vec<Uuid> {
        let mut known = self.0.known.write().unwrap_or_else(PoisonError::into_inner);
        match change {
            BucketChange::Snapshot(entries) => {
                let before: Vec<_> = known.by_id.keys().copied().collect();
                *known = Known::default();
                for entry in entries {
                    known.put(self.open(entry));
                }
                self.0.loaded.send_replace(true);
                before
                    .into_iter()
                    .filter(|id| !known.by_id.contains_key(id))
                    .collect()
            }
            BucketChange::Put(entry) => {
                known.put(self.open(entry));
                Vec::new()
            }
            BucketChange::Deleted(id) => {
                known.remove(id);
                vec![id]
            }
        }
    }

    fn open(&self, entry: WebhookEntry) -> Endpoint {
        let id = entry.webhook_id;
        let opened = entry.secrets.iter().filter_map(|secret| {
            let text = self.0.key.open(id, &secret.sealed).ok()?;
            Secret::read(&text, secret.until)
        });
        let secrets: Vec<_> = opened.collect();
        if secrets.len() < entry.secrets.len() {
            tracing::warn!(webhook = %id, "the sealing key does not open a webhook's secrets");
        }
        Endpoint {
            url: entry.url.parse().ok(),
            secrets,
            entry,
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        // Every change leaves it whole, so a panic elsewhere while it was held does not spoil it.
        self.0.known.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn put(&mut self, endpoint: Endpoint) {
        let (id, account) = (endpoint.entry.webhook_id, endpoint.entry.account_id);
        self.remove(id);
        self.of_account.entry(account).or_default().insert(id);
        self.by_id.insert(id, Arc::new(endpoint));
    }

    fn remove(&mut self, id: Uuid) {
        let Some(before) = self.by_id.remove(&id) else {
            return;
        };
        let account = before.entry.account_id;
        if let Some(ids) = self.of_account.get_mut(&account) {
            ids.remove(&id);
            if ids.is_empty() {
                self.of_account.remove(&account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use wire::{SealedSecret, WebhookFilters, WebhookOptions, WebhookTemplate};

    use super::*;

    #[test]
    fn they_are_found_by_id_and_by_account() {
        let (key, _) = SealingKey::generate();
        let endpoints = Endpoints::new(key.clone());
        let entry = |id: u128, account: u128| WebhookEntry {
            webhook_id: Uuid::from_u128(id),
            account_id: Uuid::from_u128(account),
            url: "https://hooks.example".to_owned(),
            enabled: true,
            secrets: vec![
                SealedSecret {
                    sealed: key.seal(Uuid::from_u128(id), &"whsec_bmV3".into()),
                    until: None,
                },
                // Of another webhook: it opens nothing here.
                SealedSecret {
                    sealed: key.seal(Uuid::from_u128(99), &"whsec_bmV3".into()),
                    until: None,
                },
            ],
            filters: WebhookFilters::default(),
            template: WebhookTemplate::Standard,
            options: WebhookOptions::default(),
            created_at: Timestamp::UNIX_EPOCH,
        };
        let of = |account| {
            let found = endpoints.of_account(Uuid::from_u128(account));
            found
                .iter()
                .map(|it| it.entry.webhook_id.as_u128())
                .collect::<Vec<_>>()
        };
        assert!(
            endpoints
                .take(BucketChange::Snapshot(vec![entry(1, 7), entry(2, 7)]))
                .is_empty()
        );
        endpoints.take(BucketChange::Put(entry(3, 8)));
        assert_eq!((of(7), of(8)), (vec![1, 2], vec![3]));
        assert_eq!(endpoints.get(Uuid::from_u128(1)).unwrap().secrets.len(), 1);
        // It is another's now.
        endpoints.take(BucketChange::Put(entry(2, 8)));
        assert_eq!((of(7), of(8)), (vec![1], vec![2, 3]));
        assert_eq!(
            endpoints.take(BucketChange::Deleted(Uuid::from_u128(1))),
            [Uuid::from_u128(1)]
        );
        assert_eq!((of(7), endpoints.accounts()), (vec![], vec![Uuid::from_u128(8)]));
        let gone = endpoints.take(BucketChange::Snapshot(vec![entry(3, 8)]));
        assert_eq!(gone, [Uuid::from_u128(2)]);
    }
}
