//! Who is connected to what, for those who ask.

use domain::{AccountId, ConnectionId, ServerId};
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::error::Result;

/// One row of who is connected to what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionRow {
    /// Which one.
    pub id: Uuid,
    /// Which agent.
    pub agent: Uuid,
    /// Whose agent it is, where the tables say.
    pub account: Option<AccountId>,
    /// To which server.
    pub server: ServerId,
    /// Whether it is in force.
    pub active: bool,
}

/// Who is connected to what, whichever generation of the owner's tables says it.
///
/// # Errors
/// Whatever the database refuses.
pub async fn connections(executor: impl PgExecutor<'_>) -> Result<Vec<ConnectionRow>> {
    let rows = sqlx::query!(
        r#"SELECT id AS "id!", agent_id AS "agent_id!", account_id, server_id AS "server_id!", active AS "active!"
        FROM status_sync_connections() ORDER BY id"#
    )
    .fetch_all(executor)
    .await?;
    let row = rows.into_iter().map(|row| ConnectionRow {
        id: row.id,
        agent: row.agent_id,
        account: row.account_id.map(AccountId),
        server: ServerId(row.server_id),
        active: row.active,
    });
    Ok(row.collect())
}

/// The connections of an account's agents and to its servers, or all, after `after`, in the order of their ids, at most
/// `limit`.
///
/// # Errors
/// Whatever the database refuses.
pub async fn connections_of(
    executor: impl PgExecutor<'_>,
    account: Option<AccountId>,
    after: Option<ConnectionId>,
    limit: u32,
) -> Result<Vec<ConnectionRow>> {
    let rows = sqlx::query!(
        r#"SELECT id AS "id!", agent_id AS "agent_id!", account_id, server_id AS "server_id!", active AS "active!"
        FROM status_sync_connections()
        WHERE ($2::uuid IS NULL OR id > $2)
            AND ($1::uuid IS NULL OR account_id = $1 OR server_id IN (
                SELECT i.id FROM account_tool_instances AS i
                JOIN account_tool_environments AS t ON t.id = i.account_tool_environment_id
                WHERE t.user_id = $1))
        ORDER BY id LIMIT $3"#,
        account.map(|account| account.0) as Option<Uuid>,
        after.map(|after| after.0) as Option<Uuid>,
        i64::from(limit),
    )
    .fetch_all(executor)
    .await?;
    let row = rows.into_iter().map(|row| ConnectionRow {
        id: row.id,
        agent: row.agent_id,
        account: row.account_id.map(AccountId),
        server: ServerId(row.server_id),
        active: row.active,
    });
    Ok(row.collect())
}

/// One connection.
///
/// # Errors
/// Whatever the database refuses.
pub async fn connection(executor: impl PgExecutor<'_>, id: ConnectionId) -> Result<Option<ConnectionRow>> {
    let row = sqlx::query!(
        r#"SELECT id AS "id!", agent_id AS "agent_id!", account_id, server_id AS "server_id!", active AS "active!"
        FROM status_sync_connections() WHERE id = $1"#,
        id.0,
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.map(|row| ConnectionRow {
        id: row.id,
        agent: row.agent_id,
        account: row.account_id.map(AccountId),
        server: ServerId(row.server_id),
        active: row.active,
    }))
}
