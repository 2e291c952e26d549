//! What is committed and not yet published: the relay's side of the outbox.
//!
//! Whoever writes a change publishes it right after the commit and marks it. A crash in between, or a bus that is away,
//! leaves rows behind; the relay finds them here.

use jiff::Timestamp;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::change::{OutboxRow, Unpublished};
use crate::error::Result;
use crate::instant::{Stored, stored};
use crate::lock_keys;

/// Takes the right to relay until the transaction ends. `false`: another replica has it.
///
/// Two relays at once would do no harm that message ids do not undo, but twice the work.
pub async fn try_relay_lock(connection: &mut PgConnection) -> Result<bool> {
    let taken = sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_xact_lock($1::int4, $2::int4) AS "taken!""#,
        lock_keys::SYSTEM,
        lock_keys::RELAY,
    )
    .fetch_one(connection)
    .await?;
    Ok(taken)
}

/// Unpublished rows of subjects that have one from before `older_than`, at most `limit`, ordered by subject and version.
///
/// What is younger is normally being published by whoever wrote it. Of a subject that is overdue *all* unpublished
/// rows are returned, oldest version first, because the clocks of two replicas may disagree on which is older.
pub async fn unpublished(
    executor: impl PgExecutor<'_>,
    older_than: Timestamp,
    limit: u32,
) -> Result<Vec<OutboxRow>> {
    let rows = sqlx::query_as!(
        Unpublished,
        r#"SELECT id, kind, subject_id, version, at, nats_subject, event::text AS "event!", traceparent
        FROM status_changes
        WHERE published_at IS NULL
            AND subject_id IN (SELECT subject_id FROM status_changes WHERE published_at IS NULL AND at < $1)
        ORDER BY subject_id, version
        LIMIT $2"#,
        stored(older_than) as Stored,
        i64::from(limit),
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(OutboxRow::try_from).collect()
}

/// Notes that these were published at `at`; returns how many were not noted before.
pub async fn mark_published(executor: impl PgExecutor<'_>, ids: &[Uuid], at: Timestamp) -> Result<u64> {
    if ids.is_empty() {
        return Ok(0);
    }
    let marked = sqlx::query!(
        "UPDATE status_changes SET published_at = $2 WHERE id = ANY($1) AND published_at IS NULL",
        ids,
        stored(at) as Stored,
    )
    .execute(executor)
    .await?;
    Ok(marked.rows_affected())
}

/// When the oldest unpublished change was decided; `None` when all are published. Its age is how far the outbox lags.
pub async fn oldest_unpublished(executor: impl PgExecutor<'_>) -> Result<Option<Timestamp>> {
    let oldest = sqlx::query_scalar!("SELECT min(at) FROM status_changes WHERE published_at IS NULL")
        .fetch_one(executor)
        .await?;
    Ok(oldest.map(Stored::to_jiff))
}
