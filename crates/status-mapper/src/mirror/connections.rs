//! Who is connected to what, mirrored for those who must know who may see what: as the registry is for the pollers.

use std::collections::HashMap;

use bus::{Bucket, BucketChange};
use futures_util::future::join_all;
use store::Database;
use uuid::Uuid;
use wire::ConnectionEntry;

use crate::metrics::Metrics;
use crate::mirror::AT_ONCE;

/// The bucket, and what it holds.
pub(super) struct Connections {
    pub(super) bucket: Bucket<ConnectionEntry>,
    /// `None` until it has been read.
    held: Option<HashMap<Uuid, ConnectionEntry>>,
}

impl Connections {
    pub(super) fn new(bucket: Bucket<ConnectionEntry>) -> Self {
        Self { bucket, held: None }
    }

    /// Takes in what the bucket says.
    pub(super) fn take(&mut self, change: BucketChange<ConnectionEntry>) {
        match (change, &mut self.held) {
            (BucketChange::Snapshot(entries), held) => {
                *held = Some(
                    entries
                        .into_iter()
                        .map(|entry| (entry.connection_id, entry))
                        .collect(),
                );
            }
            (BucketChange::Put(entry), Some(held)) => {
                held.insert(entry.connection_id, entry);
            }
            (BucketChange::Deleted(connection), Some(held)) => {
                held.remove(&connection);
            }
            (BucketChange::Put(_) | BucketChange::Deleted(_), None) => {}
        }
    }

    /// Puts what differs from the tables and deletes what is gone.
    ///
    /// # Errors
    /// When the database or the bus could not be asked, or the bucket has not been read yet.
    pub(super) async fn round(&mut self, database: &Database, metrics: &Metrics) -> anyhow::Result<()> {
        let Some(held) = &mut self.held else {
            anyhow::bail!("the bucket of connections has not been read yet");
        };
        let rows = store::reading::connections(database.pool()).await?;
        let wanted: HashMap<Uuid, ConnectionEntry> = rows
            .into_iter()
            .map(|row| {
                let entry = ConnectionEntry {
                    connection_id: row.id,
                    agent_id: row.agent,
                    account_id: row.account.map(|account| account.0),
                    server_id: row.server.0,
                    active: row.active,
                };
                (row.id, entry)
            })
            .collect();
        let gone = held
            .keys()
            .filter(|connection| !wanted.contains_key(connection))
            .map(|connection| (*connection, None));
        let mut writes: Vec<(Uuid, Option<&ConnectionEntry>)> = gone.collect();
        writes.extend(
            wanted
                .iter()
                .filter(|(connection, entry)| held.get(connection) != Some(entry))
                .map(|(connection, entry)| (*connection, Some(entry))),
        );
        for group in writes.chunks(AT_ONCE) {
            let done = join_all(group.iter().map(async |(connection, entry)| match entry {
                Some(entry) => self.bucket.put(entry).await,
                None => self.bucket.delete(*connection).await,
            }))
            .await;
            for ((connection, entry), done) in group.iter().zip(done) {
                done?;
                match entry {
                    Some(entry) => {
                        metrics.mirror_write("put");
                        held.insert(*connection, (*entry).clone());
                    }
                    None => {
                        metrics.mirror_write("delete");
                        held.remove(connection);
                    }
                }
            }
        }
        Ok(())
    }
}
