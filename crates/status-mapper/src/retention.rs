//! The history's partitions: made ahead, dropped when their time is over, and with them the records of commands.

use std::time::Duration;

use store::{Database, StoreError};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::pace::{Backoff, Rounds};

/// How far ahead weeks are made: one that comes while nobody is there to make it does not end in the default partition.
const AHEAD: Duration = Duration::from_secs(15 * 24 * 3600);
/// Tries in one round. Locks that writers hold are waited for only briefly, so the first may fail on a busy system.
const TRIES: u32 = 10;

/// Records of commands deleted in one round, so that it is never a long transaction.
const COMMANDS: u32 = 10_000;

/// Looks after the history until shutdown.
pub(crate) async fn run(
    database: Database,
    keep: Duration,
    every: Duration,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut rounds = Rounds::every(every, shutdown.clone());
    while rounds.next().await {
        let mut backoff = Backoff::new();
        for left in (0..TRIES).rev() {
            match round(&database, keep).await {
                Ok(()) => break,
                Err(error) if left == 0 || !error.is_transient() => {
                    tracing::warn!(%error, "failed to look after the history; trying again in the next round");
                    break;
                }
                Err(error) => tracing::debug!(%error, "failed to look after the history; trying again"),
            }
            if !backoff.wait(&shutdown).await {
                break;
            }
        }
    }
    Ok(())
}

async fn round(database: &Database, keep: Duration) -> Result<(), StoreError> {
    let mut connection = database.pool().acquire().await?;
    let now = clock::now();
    let made = store::history::ensure_partitions(&mut connection, now, AHEAD).await?;
    let dropped = store::history::drop_older_than(&mut connection, now, keep).await?;
    let before = now.checked_sub(keep).unwrap_or(now);
    let commands = store::commands::drop_older_than(&mut *connection, before, COMMANDS).await?;
    if made > 0 || !dropped.partitions.is_empty() || dropped.rows > 0 || commands > 0 {
        tracing::info!(
            made,
            dropped = dropped.partitions.join(","),
            rows = dropped.rows,
            commands,
            "looked after the history"
        );
    }
    if !dropped.kept.is_empty() {
        tracing::warn!(
            partitions = dropped.kept.join(","),
            "history is kept beyond its time: it holds changes that were never published"
        );
    }
    Ok(())
}
