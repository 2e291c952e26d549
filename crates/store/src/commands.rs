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

use domain::{AccountId, Action, Command, CommandEnd, CommandId, Ended, Server, ServerId, ToolboxId};
use jiff::Timestamp;
use serde_json::value::RawValue;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::error::{Result, StoreError};
use crate::instant::{Stored, stored};

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

/// A client's own key for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The key.
    pub key: String,
    /// What was asked under it, so that the same key for something else can be told.
    pub fingerprint: String,
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

/// What was asked under a key before.
#[derive(Debug, Clone)]
pub struct Repeat {
    /// Which command it was.
    pub id: CommandId,
    /// What was asked.
    pub fingerprint: String,
    /// When.
    pub requested_at: Timestamp,
    /// What was answered; `None`: it is still being accepted, or that was cut short.
    pub answer: Option<Answer>,
}

/// An answer as it was given.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its HTTP status.
    pub status: u16,
    /// Its body; `None`: it had none.
    pub body: Option<Box<RawValue>>,
    /// Where it said to look next.
    pub location: Option<String>,
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

/// What was asked before by the same person under the same key.
///
/// # Errors
/// Whatever the database refuses.
pub async fn find_repeat(
    executor: impl PgExecutor<'_>,
    requested_by: &str,
    key: &str,
) -> Result<Option<Repeat>> {
    let row = sqlx::query!(
        r#"SELECT id, fingerprint AS "fingerprint!", requested_at, answer_status, answer::text AS answer, answer_location
        FROM status_commands
        WHERE requested_by = $1 AND idempotency_key = $2"#,
        requested_by,
        key
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.map(|row| Repeat {
        id: CommandId(row.id),
        fingerprint: row.fingerprint,
        requested_at: row.requested_at.to_jiff(),
        answer: row.answer_status.map(|status| Answer {
            status: u16::try_from(status).unwrap_or_default(),
            body: row.answer.and_then(|answer| RawValue::from_string(answer).ok()),
            location: row.answer_location,
        }),
    }))
}

/// Keeps what was answered, to be repeated; the last of several counts.
///
/// # Errors
/// Whatever the database refuses.
pub async fn keep_answer(executor: impl PgExecutor<'_>, id: CommandId, answer: &Answer) -> Result<()> {
    sqlx::query!(
        "UPDATE status_commands SET answer_status = $2, answer = $3::text::json, answer_location = $4 WHERE id = $1",
        id.0,
        i16::try_from(answer.status).unwrap_or_default(),
        answer.body.as_deref().map(RawValue::get),
        answer.location,
    )
    .execute(executor)
    .await?;
    Ok(())
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

/// Ends the commands under way on servers that are no longer there; returns how many.
///
/// # Errors
/// Whatever the database refuses.
pub async fn end_orphans(executor: impl PgExecutor<'_>, now: Timestamp) -> Result<u64> {
    let ended = sqlx::query!(
        "UPDATE status_commands AS c SET finished_at = $1, closed_at = $1,
            outcome = CASE c.kind WHEN 'delete' THEN 'succeeded' ELSE 'failed' END,
            message = CASE c.kind WHEN 'delete' THEN NULL ELSE 'the server was deleted' END
         WHERE c.finished_at IS NULL AND c.deadline IS NOT NULL
            AND NOT EXISTS (SELECT FROM account_tool_instances AS i WHERE i.id = c.server_id)",
        stored(now) as Stored,
    )
    .execute(executor)
    .await?;
    Ok(ended.rows_affected())
}

/// Gives servers the commands that have a say in what people see of them. In a statement of its own, after their rows
/// were locked: what a waiter read before it got the lock may be old.
pub(crate) async fn open(
    connection: &mut PgConnection,
    servers: impl Iterator<Item = &mut Server>,
) -> Result<()> {
    let mut servers: Vec<&mut Server> = servers.collect();
    if servers.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = servers.iter().map(|server| server.id.0).collect();
    let rows = sqlx::query!(
        r#"SELECT DISTINCT ON (server_id) server_id AS "server_id!", id, kind, requested_at, deadline AS "deadline!",
            executed_at, finished_at, outcome, message
        FROM status_commands
        WHERE server_id = ANY($1) AND closed_at IS NULL AND deadline IS NOT NULL
        ORDER BY server_id, requested_at DESC, id DESC"#,
        &ids
    )
    .fetch_all(connection)
    .await?;
    for row in rows {
        let ended = match (row.finished_at, row.outcome) {
            (Some(at), Some(outcome)) => Some(Ended {
                at: at.to_jiff(),
                // One that was withdrawn is closed, and not here.
                end: outcome.parse::<CommandEnd>().unwrap_or(CommandEnd::Failed),
                message: row.message,
            }),
            _ => None,
        };
        let command = Command {
            id: CommandId(row.id),
            action: action(row.id, &row.kind)?,
            requested_at: row.requested_at.to_jiff(),
            deadline: row.deadline.to_jiff(),
            executed_at: row.executed_at.map(Stored::to_jiff),
            ended,
            closed: false,
        };
        if let Some(server) = servers.iter_mut().find(|server| server.id.0 == row.server_id) {
            server.command = Some(command);
        }
    }
    Ok(())
}

/// Writes how far the commands of servers are.
pub(crate) async fn write(connection: &mut PgConnection, servers: &[Server]) -> Result<()> {
    let commands: Vec<&Command> = servers
        .iter()
        .filter_map(|server| server.command.as_ref())
        .collect();
    if commands.is_empty() {
        return Ok(());
    }
    let ended = |command: &&Command| command.ended.as_ref().map(|ended| stored(ended.at));
    let ids: Vec<Uuid> = commands.iter().map(|command| command.id.0).collect();
    let executed: Vec<Option<Stored>> = commands
        .iter()
        .map(|command| command.executed_at.map(stored))
        .collect();
    let finished: Vec<Option<Stored>> = commands.iter().map(ended).collect();
    let outcomes: Vec<Option<&str>> = commands
        .iter()
        .map(|command| command.ended.as_ref().map(|ended| ended.end.as_str()))
        .collect();
    let messages: Vec<Option<&str>> = commands
        .iter()
        .map(|command| command.ended.as_ref()?.message.as_deref())
        .collect();
    let closed: Vec<bool> = commands.iter().map(|command| command.closed).collect();
    sqlx::query!(
        "UPDATE status_commands AS c SET
            executed_at = COALESCE(c.executed_at, u.executed_at),
            finished_at = COALESCE(c.finished_at, u.finished_at),
            outcome = COALESCE(c.outcome, u.outcome),
            message = CASE WHEN c.finished_at IS NULL THEN u.message ELSE c.message END,
            closed_at = CASE WHEN u.closed THEN COALESCE(c.closed_at, c.finished_at, u.finished_at) ELSE c.closed_at END
        FROM UNNEST($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::text[], $5::text[], $6::bool[])
            AS u (id, executed_at, finished_at, outcome, message, closed)
        WHERE c.id = u.id",
        &ids,
        &executed as _,
        &finished as _,
        &outcomes as _,
        &messages as _,
        &closed,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends the commands of servers whose rows go: a deletion has had its effect, and nothing else can any more.
pub(crate) async fn end_of_deleted(
    connection: &mut PgConnection,
    servers: &[Uuid],
    at: Option<Timestamp>,
) -> Result<()> {
    sqlx::query!(
        "UPDATE status_commands SET
            finished_at = COALESCE(finished_at, $2, requested_at),
            outcome = COALESCE(outcome, CASE kind WHEN 'delete' THEN 'succeeded' ELSE 'failed' END),
            message = CASE WHEN finished_at IS NULL AND kind <> 'delete' THEN 'the server was deleted' ELSE message END,
            closed_at = COALESCE($2, requested_at)
         WHERE server_id = ANY($1) AND closed_at IS NULL AND deadline IS NOT NULL",
        servers,
        at.map(stored) as Option<Stored>,
    )
    .execute(connection)
    .await?;
    Ok(())
}

fn action(id: Uuid, kind: &str) -> Result<Action> {
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
