//! Who is told of changes by webhook, mirrored for the notifiers, with the secrets sealed.

use std::collections::HashMap;

use bus::{Bucket, BucketChange, SealingKey, TokenHash};
use futures_util::future::join_all;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use store::Database;
use store::webhooks::Signing;
use uuid::Uuid;
use wire::{SealedSecret, WebhookEntry, WebhookFilters, WebhookKind, WebhookOptions, WebhookTemplate};

use crate::metrics::Metrics;
use crate::mirror::AT_ONCE;

/// The bucket, and what it holds.
pub(super) struct Webhooks {
    pub(super) bucket: Bucket<WebhookEntry>,
    key: SealingKey,
    /// `None` until it has been read.
    held: Option<HashMap<Uuid, Held>>,
}

/// What the bucket says of an endpoint.
struct Held {
    entry: WebhookEntry,
    /// The hashes of its secrets, as far as they can be opened: no seal is like another, even of the same secret.
    hashes: Vec<Option<TokenHash>>,
}

/// What the bucket should say of an endpoint.
struct Wanted {
    /// All but the secrets.
    entry: WebhookEntry,
    /// In the clear: only in memory, and never printed.
    secrets: Vec<(SecretString, Option<Timestamp>)>,
}

impl Webhooks {
    pub(super) fn new(bucket: Bucket<WebhookEntry>, key: SealingKey) -> Self {
        Self {
            bucket,
            key,
            held: None,
        }
    }

    /// Takes in what the bucket says.
    pub(super) fn take(&mut self, change: BucketChange<WebhookEntry>) {
        let key = &self.key;
        match (change, &mut self.held) {
            (BucketChange::Snapshot(entries), held) => {
                let read = |entry: WebhookEntry| (entry.webhook_id, Held::read(entry, key));
                *held = Some(entries.into_iter().map(read).collect());
            }
            (BucketChange::Put(entry), Some(held)) => {
                held.insert(entry.webhook_id, Held::read(entry, key));
            }
            (BucketChange::Deleted(webhook), Some(held)) => {
                held.remove(&webhook);
            }
            (BucketChange::Put(_) | BucketChange::Deleted(_), None) => {}
        }
    }

    /// Puts what differs from the table and deletes what is gone.
    ///
    /// # Errors
    /// When the database or the bus could not be asked, or the bucket has not been read yet.
    pub(super) async fn round(&mut self, database: &Database, metrics: &Metrics) -> anyhow::Result<()> {
        let Some(held) = &mut self.held else {
            anyhow::bail!("the bucket of webhooks has not been read yet");
        };
        let rows = store::webhooks::all(database.pool()).await?;
        let wanted: HashMap<Uuid, Wanted> = rows
            .into_iter()
            .map(|row| (row.webhook.id, Wanted::of(row)))
            .collect();
        let gone = held.keys().filter(|webhook| !wanted.contains_key(webhook));
        let mut writes: Vec<(Uuid, Option<WebhookEntry>)> = gone.map(|webhook| (*webhook, None)).collect();
        for (webhook, wanted) in wanted {
            if !held.get(&webhook).is_some_and(|held| wanted.is_said_by(held)) {
                writes.push((webhook, Some(wanted.sealed(&self.key))));
            }
        }
        for group in writes.chunks(AT_ONCE) {
            let done = join_all(group.iter().map(async |(webhook, entry)| match entry {
                Some(entry) => self.bucket.put(entry).await,
                None => self.bucket.delete(*webhook).await,
            }))
            .await;
            for ((webhook, entry), done) in group.iter().zip(done) {
                done?;
                match entry {
                    Some(entry) => {
                        metrics.mirror_write("put");
                        held.insert(*webhook, Held::read(entry.clone(), &self.key));
                    }
                    None => {
                        metrics.mirror_write("delete");
                        held.remove(webhook);
                    }
                }
            }
        }
        Ok(())
    }
}

impl Wanted {
    fn of(row: Signing) -> Self {
        let webhook = row.webhook;
        let previous = row.previous.zip(webhook.previous_until);
        let secrets = std::iter::once((row.secret, None))
            .chain(previous.map(|(secret, until)| (secret, Some(until))))
            .collect();
        let entry = WebhookEntry {
            webhook_id: webhook.id,
            account_id: webhook.account.0,
            url: webhook.wishes.url,
            enabled: webhook.wishes.enabled,
            secrets: Vec::new(),
            filters: WebhookFilters {
                servers: webhook.wishes.servers,
                toolboxes: webhook.wishes.toolboxes,
                kinds: webhook
                    .wishes
                    .kinds
                    .iter()
                    .filter_map(|kind| WebhookKind::from_label(kind))
                    .collect(),
            },
            template: WebhookTemplate::from_label(&webhook.wishes.template).unwrap_or_default(),
            options: WebhookOptions {
                after_seconds: webhook.wishes.after_seconds,
                not_during_own_commands: webhook.wishes.not_during_own_commands,
                at_most_every_seconds: webhook.wishes.at_most_every_seconds,
                summary_from: webhook.wishes.summary_from,
                summary_window: webhook.wishes.summary_window,
            },
            created_at: webhook.created_at,
        };
        Self { entry, secrets }
    }

    /// Whether the bucket says so already.
    fn is_said_by(&self, held: &Held) -> bool {
        let said = WebhookEntry {
            secrets: Vec::new(),
            ..held.entry.clone()
        };
        let ends = |secrets: &[SealedSecret]| secrets.iter().map(|secret| secret.until).collect::<Vec<_>>();
        let hash = |(secret, _): &(SecretString, _)| Some(TokenHash::of(secret.expose_secret()));
        self.entry == said
            && held.hashes == self.secrets.iter().map(hash).collect::<Vec<_>>()
            && ends(&held.entry.secrets) == self.secrets.iter().map(|(_, until)| *until).collect::<Vec<_>>()
    }

    /// The entry to put.
    fn sealed(self, key: &SealingKey) -> WebhookEntry {
        let webhook = self.entry.webhook_id;
        let secrets = self.secrets.iter().map(|(secret, until)| SealedSecret {
            sealed: key.seal(webhook, secret),
            until: *until,
        });
        WebhookEntry {
            secrets: secrets.collect(),
            ..self.entry
        }
    }
}

impl Held {
    fn read(entry: WebhookEntry, key: &SealingKey) -> Self {
        let hash = |secret: &SealedSecret| {
            let opened = key.open(entry.webhook_id, &secret.sealed).ok()?;
            Some(TokenHash::of(opened.expose_secret()))
        };
        let hashes = entry.secrets.iter().map(hash).collect();
        Self { entry, hashes }
    }
}

#[cfg(test)]
mod tests {
    use domain::AccountId;
    use store::webhooks::{Webhook, Wishes};

    use super::*;

    fn row() -> Signing {
        Signing {
            webhook: Webhook {
                id: Uuid::from_u128(1),
                account: AccountId(Uuid::from_u128(2)),
                wishes: Wishes {
                    url: "https://hooks.example".to_owned(),
                    enabled: true,
                    servers: Vec::new(),
                    toolboxes: Vec::new(),
                    kinds: vec!["error".to_owned()],
                    template: "slack".to_owned(),
                    after_seconds: 0,
                    not_during_own_commands: false,
                    at_most_every_seconds: 0,
                    summary_from: 0,
                    summary_window: 0,
                },
                previous_until: Some(Timestamp::UNIX_EPOCH),
                created_at: Timestamp::UNIX_EPOCH,
            },
            secret: "whsec_new".into(),
            previous: Some("whsec_old".into()),
        }
    }

    #[test]
    fn what_did_not_change_is_not_written_and_every_change_is() {
        let (key, _) = SealingKey::generate();
        let entry = Wanted::of(row()).sealed(&key);
        assert!(!serde_json::to_string(&entry).unwrap().contains("whsec"));
        assert_eq!(
            key.open(entry.webhook_id, &entry.secrets[1].sealed)
                .unwrap()
                .expose_secret(),
            "whsec_old"
        );
        let held = Held::read(entry.clone(), &key);
        assert!(
            Wanted::of(row()).is_said_by(&held),
            "seals differ, secrets do not"
        );

        let mut elsewhere = row();
        elsewhere.webhook.wishes.url = "https://other.example".to_owned();
        let mut rotated = row();
        rotated.secret = "whsec_newer".into();
        let mut longer = row();
        longer.webhook.previous_until = Some(Timestamp::MAX);
        let mut ended = row();
        ended.previous = None;
        let mut off = row();
        off.webhook.wishes.enabled = false;
        for changed in [elsewhere, rotated, longer, ended, off] {
            assert!(!Wanted::of(changed.clone()).is_said_by(&held), "{changed:?}");
        }
        let of_another_key = Held::read(entry, &SealingKey::generate().0);
        assert!(!Wanted::of(row()).is_said_by(&of_another_key));
    }
}
