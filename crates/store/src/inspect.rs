//! Looking at the database, for whoever wants to know what is wrong with it: nothing is written.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::migrate::Migrate as _;
use sqlx::{PgConnection, PgExecutor};

use crate::database::MIGRATOR;
use crate::error::Result;
use crate::instant::{Stored, before, stored, uncount};

/// The schema, set against what this version needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Migrations {
    /// Migrations that this version needs and that were run as they are.
    pub applied: usize,
    /// Those that were not run, `7 description`.
    pub missing: Vec<String>,
    /// Those that were run in another wording.
    pub changed: Vec<String>,
    /// One that began and did not end.
    pub unfinished: Option<i64>,
    /// How many more were run, by a newer version.
    pub newer: usize,
}

/// Commands that somebody should have seen to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LateCommands {
    /// Accepted a while ago, and the pollers have not been told of them.
    pub undispatched: u64,
    /// Past their deadline, and still not ended.
    pub overdue: u64,
}

/// The database's clock.
///
/// # Errors
/// Whatever the database refuses.
pub async fn clock(executor: impl PgExecutor<'_>) -> Result<Timestamp> {
    let now = sqlx::query_scalar!(r#"SELECT clock_timestamp() AS "now!: Stored""#)
        .fetch_one(executor)
        .await?;
    Ok(now.to_jiff())
}

/// The server's version, `17.2`.
///
/// # Errors
/// Whatever the database refuses.
pub async fn version(executor: impl PgExecutor<'_>) -> Result<String> {
    let version = sqlx::query_scalar!(r#"SELECT current_setting('server_version') AS "version!""#)
        .fetch_one(executor)
        .await?;
    Ok(version)
}

/// Which migrations were run. A database that never saw one misses all.
///
/// # Errors
/// Whatever the database refuses.
pub async fn migrations(connection: &mut PgConnection) -> Result<Migrations> {
    let table = MIGRATOR.table_name.as_ref();
    let there = sqlx::query_scalar!(r#"SELECT to_regclass($1) IS NOT NULL AS "there!""#, table)
        .fetch_one(&mut *connection)
        .await?;
    let (applied, unfinished) = if there {
        let unfinished = connection.dirty_version(table).await?;
        (connection.list_applied_migrations(table).await?, unfinished)
    } else {
        (Vec::new(), None)
    };
    let mut found = Migrations {
        unfinished,
        ..Migrations::default()
    };
    let mut known = 0;
    for needed in MIGRATOR.iter() {
        let name = format!("{} {}", needed.version, needed.description);
        match applied.iter().find(|run| run.version == needed.version) {
            None => found.missing.push(name),
            Some(run) => {
                known += 1;
                if run.checksum == needed.checksum {
                    found.applied += 1;
                } else {
                    found.changed.push(name);
                }
            }
        }
    }
    found.newer = applied.len() - known;
    Ok(found)
}

/// Commands that the pollers have not been told of within `patience`, and commands past their deadline for as long.
///
/// # Errors
/// Whatever the database refuses.
pub async fn late_commands(
    executor: impl PgExecutor<'_>,
    now: Timestamp,
    patience: Duration,
) -> Result<LateCommands> {
    let row = sqlx::query!(
        r#"SELECT
            count(*) FILTER (WHERE dispatched_at IS NULL AND requested_at < $1 AND deadline > $2) AS "undispatched!",
            count(*) FILTER (WHERE deadline < $1) AS "overdue!"
        FROM status_commands WHERE finished_at IS NULL AND deadline IS NOT NULL"#,
        before(now, patience) as Stored,
        stored(now) as Stored,
    )
    .fetch_one(executor)
    .await?;
    Ok(LateCommands {
        undispatched: uncount(row.undispatched),
        overdue: uncount(row.overdue),
    })
}
