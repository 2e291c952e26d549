//! Commands as the mapper reads and ends them, while it has their servers locked.

use domain::{Command, CommandEnd, CommandId, Ended, Server};
use jiff::Timestamp;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::commands::action;
use crate::error::Result;
use crate::instant::{Stored, stored};

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
