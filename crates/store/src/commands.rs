//! What people ask for: accepted once, handed to the pollers, ended by what is observed, kept as the record.
//!
//! ```text
//!  status-api:     find_repeat ─► accept ─► [mapper announces] ─► publish ─► mark_dispatched ─► keep_answer
//!                                    undispatched (what a crash left over) ─┘
//!  status-mapper:  open ─► domain ─► write          end_of_deleted · end_orphans
//! ```
//!
//! A server's command is read and written by the mapper only while the server's row is locked, so that it is never ended
//! twice. What is written goes one way: nothing that is noted is ever taken back.

use domain::{AccountId, Action, CommandId, ServerId, ToolboxId};
use jiff::Timestamp;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

pub use crate::command_ends::end_orphans;
use crate::error::{Result, StoreError};
use crate::instant::{Stored, stored};
pub use crate::repeats::{Answer, Idempotency, Repeat, find_repeat, keep_answer};

/// Something to be recorded.
#[derive(Debug, Clone)]
pub struct NewCommand {
    /// Which one; version 7, made by the caller.
    pub id: CommandId,
    /// What is asked for: a label of the table.
    pub kind: &'static str,
    /// Of which server.
    pub server: Option<ServerId>,
    /// On which toolbox.
    pub toolbox: Option<ToolboxId>,
    /// Whose they are.
    pub account: Option<AccountId>,
    /// By whom.
    pub requested_by: String,
    /// When.
    pub requested_at: Timestamp,
    /// By when it must have had its effect; given for what an agent is to do, and only for that.
    pub deadline: Option<Timestamp>,
    /// Under which key, and what exactly was asked under it.
    pub idempotency: Option<Idempotency>,
    /// Whether it is done with being recorded.
    pub done: bool,
    /// What exactly was done.
    pub message: Option<String>,
    /// The trace it belongs to.
    pub traceparent: Option<String>,
}

/// What became of a request to accept a command.
#[derive(Debug, Clone)]
pub enum Acceptance {
    /// It is recorded.
    Accepted,
    /// Another one is under way on the same server.
    Busy(Box<Record>),
    /// The same key was used before.
    Repeated,
}

/// What is kept of a command.
#[derive(Debug, Clone)]
pub struct Record {
    /// Which one.
    pub id: CommandId,
    /// What was asked for.
    pub kind: String,
    /// Of which server.
    pub server: Option<ServerId>,
    /// On which toolbox.
    pub toolbox: Option<ToolboxId>,
    /// Whose they are.
    pub account: Option<AccountId>,
    /// By whom.
    pub requested_by: String,
    /// When.
    pub requested_at: Timestamp,
    /// By when it must have had its effect.
    pub deadline: Option<Timestamp>,
    /// How it ended; `None`: it is under way.
    pub outcome: Option<String>,
    /// Why.
    pub message: Option<String>,
    /// When that was known.
    pub finished_at: Option<Timestamp>,
}

/// A command that the pollers have to be told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispatch {
    /// Which one.
    pub id: CommandId,
    /// Which server.
    pub server: ServerId,
    /// On which toolbox.
    pub toolbox: ToolboxId,
    /// Its container's name.
    pub name: String,
    /// What is to be done.
    pub action: Action,
    /// When it was accepted.
    pub requested_at: Timestamp,
    /// By when it must have had its effect.
    pub deadline: Timestamp,
    /// The trace it belongs to.
    pub traceparent: Option<String>,
}

/// Which records to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    /// Only of this account's toolboxes and servers.
    pub account: Option<AccountId>,
    /// Only of this server.
    pub server: Option<ServerId>,
    /// Only older than this one.
    pub before: Option<CommandId>,
}

/// Records a command. It is under way where it has a deadline, and done otherwise. Another that failed on the same
/// server and is still shown gives way to it.
///
/// # Errors
/// Whatever the database refuses.
pub async fn accept(connection: &mut PgConnection, command: &NewCommand) -> Result<Acceptance> {
    let (key, fingerprint) = command
        .idempotency
        .as_ref()
        .map(|idempotency| (idempotency.key.as_str(), idempotency.fingerprint.as_str()))
        .unzip();
    let accepted = sqlx::query!(
        r#"INSERT INTO status_commands (id, kind, server_id, toolbox_id, account_id, requested_by, requested_at,
            deadline, idempotency_key, fingerprint, traceparent, finished_at, outcome, message, closed_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7::timestamptz, $8, $9, $10, $11,
            CASE WHEN $12 THEN $7::timestamptz END, CASE WHEN $12 THEN 'succeeded' END, $13,
            CASE WHEN $12 THEN $7::timestamptz END)
        ON CONFLICT DO NOTHING"#,
        command.id.0,
        command.kind,
        command.server.map(|server| server.0),
        command.toolbox.map(|toolbox| toolbox.0),
        command.account.map(|account| account.0),
        command.requested_by,
        stored(command.requested_at) as Stored,
        command.deadline.map(stored) as Option<Stored>,
        key,
        fingerprint,
        command.traceparent,
        command.done,
        command.message,
    )
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if accepted == 0 {
        if let Some(key) = key
            && find_repeat(&mut *connection, &command.requested_by, key)
                .await?
                .is_some()
        {
            return Ok(Acceptance::Repeated);
        }
        let busy = match command.server {
            Some(server) => under_way(&mut *connection, server).await?,
            None => None,
        };
        // What stood in the way may have ended this very moment; then the caller is as well served by trying again.
        return busy.map_or_else(
            || {
                Err(StoreError::Overtaken {
                    table: "status_commands",
                    given: 1,
                    missed: 1,
                })
            },
            |busy| Ok(Acceptance::Busy(Box::new(busy))),
        );
    }
    if let (Some(server), Some(_)) = (command.server, command.deadline) {
        sqlx::query!(
            "UPDATE status_commands SET closed_at = $2
             WHERE server_id = $1 AND closed_at IS NULL AND finished_at IS NOT NULL AND deadline IS NOT NULL",
            server.0,
            stored(command.requested_at) as Stored,
        )
        .execute(connection)
        .await?;
    }
    Ok(Acceptance::Accepted)
}

/// Notes that the pollers have been told.
///
/// # Errors
/// Whatever the database refuses.
pub async fn mark_dispatched(executor: impl PgExecutor<'_>, id: CommandId, at: Timestamp) -> Result<()> {
    sqlx::query!(
        "UPDATE status_commands SET dispatched_at = $2 WHERE id = $1 AND dispatched_at IS NULL",
        id.0,
        stored(at) as Stored,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Commands accepted before `older_than` that the pollers have not been told of, at most `limit`, locked until the
/// transaction ends; what another replica has locked is left to it.
///
/// # Errors
/// Whatever the database refuses.
pub async fn undispatched(
    connection: &mut PgConnection,
    older_than: Timestamp,
    limit: u32,
) -> Result<Vec<Dispatch>> {
    let rows = sqlx::query!(
        r#"SELECT c.id, c.kind, c.server_id AS "server_id!", c.toolbox_id AS "toolbox_id!", c.requested_at,
            c.deadline AS "deadline!", c.traceparent, i.instance_name_on_toolbox::text AS "name!"
        FROM status_commands AS c
        JOIN account_tool_instances AS i ON i.id = c.server_id AND i.instance_name_on_toolbox IS NOT NULL
        WHERE c.finished_at IS NULL AND c.deadline IS NOT NULL AND c.dispatched_at IS NULL AND c.requested_at < $1
        ORDER BY c.requested_at
        LIMIT $2
        FOR NO KEY UPDATE OF c SKIP LOCKED"#,
        stored(older_than) as Stored,
        i64::from(limit),
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Dispatch {
                action: action(row.id, &row.kind)?,
                id: CommandId(row.id),
                server: ServerId(row.server_id),
                toolbox: ToolboxId(row.toolbox_id),
                name: row.name,
                requested_at: row.requested_at.to_jiff(),
                deadline: row.deadline.to_jiff(),
                traceparent: row.traceparent,
            })
        })
        .collect()
}

/// Takes a command back that the pollers have not been told of. `false`: they have, or it has ended.
///
/// # Errors
/// Whatever the database refuses.
pub async fn withdraw(
    executor: impl PgExecutor<'_>,
    id: CommandId,
    at: Timestamp,
    why: &str,
) -> Result<bool> {
    let withdrawn = sqlx::query!(
        "UPDATE status_commands SET finished_at = $2, closed_at = $2, outcome = 'withdrawn', message = $3,
            idempotency_key = NULL, fingerprint = NULL
         WHERE id = $1 AND finished_at IS NULL AND dispatched_at IS NULL",
        id.0,
        stored(at) as Stored,
        why,
    )
    .execute(executor)
    .await?;
    Ok(withdrawn.rows_affected() == 1)
}

macro_rules! select_records {
    ($rest:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            RecordRow,
            "SELECT id, kind, server_id, toolbox_id, account_id, requested_by, requested_at, deadline, outcome, message,
                finished_at
            FROM status_commands " + $rest
            $(, $argument)*
        )
    };
}

/// One record.
///
/// # Errors
/// Whatever the database refuses.
pub async fn get(executor: impl PgExecutor<'_>, id: CommandId) -> Result<Option<Record>> {
    let row = select_records!("WHERE id = $1", id.0)
        .fetch_optional(executor)
        .await?;
    Ok(row.map(Record::from))
}

/// The command that is under way on a server.
///
/// # Errors
/// Whatever the database refuses.
pub async fn under_way(executor: impl PgExecutor<'_>, server: ServerId) -> Result<Option<Record>> {
    let row = select_records!(
        "WHERE server_id = $1 AND finished_at IS NULL AND deadline IS NOT NULL",
        server.0
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.map(Record::from))
}

/// Records, newest first, at most `limit`.
///
/// # Errors
/// Whatever the database refuses.
pub async fn list(executor: impl PgExecutor<'_>, filter: Filter, limit: u32) -> Result<Vec<Record>> {
    let rows = select_records!(
        "WHERE ($1::uuid IS NULL OR account_id = $1) AND ($2::uuid IS NULL OR server_id = $2)
            AND ($3::uuid IS NULL OR id < $3)
        ORDER BY id DESC LIMIT $4",
        filter.account.map(|account| account.0) as Option<Uuid>,
        filter.server.map(|server| server.0) as Option<Uuid>,
        filter.before.map(|before| before.0) as Option<Uuid>,
        i64::from(limit),
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(Record::from).collect())
}

/// Deletes records that were finished before `before`, at most `limit`; returns how many.
///
/// # Errors
/// Whatever the database refuses.
pub async fn drop_older_than(executor: impl PgExecutor<'_>, before: Timestamp, limit: u32) -> Result<u64> {
    let dropped = sqlx::query!(
        "DELETE FROM status_commands WHERE id IN (
            SELECT id FROM status_commands WHERE requested_at < $1 AND finished_at < $1 LIMIT $2)",
        stored(before) as Stored,
        i64::from(limit),
    )
    .execute(executor)
    .await?;
    Ok(dropped.rows_affected())
}

pub(crate) fn action(id: Uuid, kind: &str) -> Result<Action> {
    kind.parse().map_err(|_| StoreError::UnknownLabel {
        column: "kind",
        subject: id,
        found: kind.to_owned(),
    })
}

struct RecordRow {
    id: Uuid,
    kind: String,
    server_id: Option<Uuid>,
    toolbox_id: Option<Uuid>,
    account_id: Option<Uuid>,
    requested_by: String,
    requested_at: Stored,
    deadline: Option<Stored>,
    outcome: Option<String>,
    message: Option<String>,
    finished_at: Option<Stored>,
}

impl From<RecordRow> for Record {
    fn from(row: RecordRow) -> Self {
        Self {
            id: CommandId(row.id),
            kind: row.kind,
            server: row.server_id.map(ServerId),
            toolbox: row.toolbox_id.map(ToolboxId),
            account: row.account_id.map(AccountId),
            requested_by: row.requested_by,
            requested_at: row.requested_at.to_jiff(),
            deadline: row.deadline.map(Stored::to_jiff),
            outcome: row.outcome,
            message: row.message,
            finished_at: row.finished_at.map(Stored::to_jiff),
        }
    }
}
