//! The registry as people change it entry by entry, where no application does: what is there already is refused, not
//! replaced. Never a status.
//!
//! Whether a name, token or id is taken is asked before it is written, in the same transaction, so that the answer can
//! say which; for two who ask at once, the tables' own keys decide ([`crate::StoreError::is_taken`]).

use domain::{AccountId, ConnectionId, InstanceName, ServerId, ToolboxId};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::error::Result;

/// A toolbox to enter.
#[derive(Debug, Clone)]
pub struct ToolboxEntry {
    /// Which one.
    pub id: ToolboxId,
    /// Whose it is.
    pub account: AccountId,
    /// A name for people.
    pub name: String,
    /// Where its agent is reached.
    pub base_url: Option<String>,
    /// Its address.
    pub public_ip: Option<String>,
    /// Its agent's own token.
    pub token: Option<SecretString>,
}

/// What is to change of a toolbox; `None` stays.
#[derive(Debug, Clone, Default)]
pub struct ToolboxChange {
    /// A name for people.
    pub name: Option<String>,
    /// Where its agent is reached; empty: no longer here.
    pub base_url: Option<String>,
    /// Its address; empty: no longer here.
    pub public_ip: Option<String>,
    /// Its agent's own token.
    pub token: Option<SecretString>,
}

/// A connection to enter.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionEntry {
    /// Which one.
    pub id: ConnectionId,
    /// Which agent.
    pub agent: Uuid,
    /// Whose agent it is.
    pub account: AccountId,
    /// To which server.
    pub server: ServerId,
    /// Whether it is in force.
    pub active: bool,
}

/// Whether there is a toolbox of this id, whoever's.
///
/// # Errors
/// Whatever the database refuses.
pub async fn has_toolbox(executor: impl PgExecutor<'_>, id: ToolboxId) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM account_tool_environments WHERE id = $1) AS "is!""#,
        id.0
    )
    .fetch_one(executor)
    .await?)
}

/// Whether there is a server of this id, whoever's.
///
/// # Errors
/// Whatever the database refuses.
pub async fn has_server(executor: impl PgExecutor<'_>, id: ServerId) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM account_tool_instances WHERE id = $1) AS "is!""#,
        id.0
    )
    .fetch_one(executor)
    .await?)
}

/// Whether there is a connection of this id, whoever's.
///
/// # Errors
/// Whatever the database refuses.
pub async fn has_connection(executor: impl PgExecutor<'_>, id: ConnectionId) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM agent_mcp_connections WHERE id = $1) AS "is!""#,
        id.0
    )
    .fetch_one(executor)
    .await?)
}

/// Whether another toolbox than `id` has this token.
///
/// # Errors
/// Whatever the database refuses.
pub async fn token_is_taken(
    executor: impl PgExecutor<'_>,
    id: ToolboxId,
    token: &SecretString,
) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (
            SELECT FROM account_tool_environments WHERE dtma_bearer_token::text = $2 AND id <> $1) AS "is!""#,
        id.0,
        token.expose_secret(),
    )
    .fetch_one(executor)
    .await?)
}

/// Whether another server than `id` of the toolbox has this name.
///
/// # Errors
/// Whatever the database refuses.
pub async fn name_is_taken(
    executor: impl PgExecutor<'_>,
    id: ServerId,
    toolbox: ToolboxId,
    name: &InstanceName,
) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (
            SELECT FROM account_tool_instances
            WHERE account_tool_environment_id = $2 AND instance_name_on_toolbox::text = $3 AND id <> $1) AS "is!""#,
        id.0,
        toolbox.0,
        name.as_str(),
    )
    .fetch_one(executor)
    .await?)
}

/// Enters a toolbox.
///
/// # Errors
/// Whatever the database refuses.
pub async fn add_toolbox(executor: impl PgExecutor<'_>, toolbox: &ToolboxEntry) -> Result<()> {
    // The owner's column for the address may be of another type than text; a record takes it as its type reads it.
    sqlx::query!(
        "INSERT INTO account_tool_environments (id, user_id, name, dtma_base_url, dtma_bearer_token, public_ip_address)
         SELECT $1, $2, $3, $4, $5, r.public_ip_address
         FROM jsonb_populate_record(NULL::account_tool_environments,
             jsonb_build_object('public_ip_address', $6::text)) AS r",
        toolbox.id.0,
        toolbox.account.0,
        toolbox.name,
        toolbox.base_url,
        toolbox.token.as_ref().map(|token| token.expose_secret()),
        toolbox.public_ip,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Changes a toolbox. `false`: there is none.
///
/// # Errors
/// Whatever the database refuses.
pub async fn change_toolbox(
    executor: impl PgExecutor<'_>,
    id: ToolboxId,
    change: &ToolboxChange,
) -> Result<bool> {
    let changed = sqlx::query!(
        "UPDATE account_tool_environments AS t SET
            name = COALESCE($2, t.name),
            dtma_base_url = CASE WHEN $3::text IS NULL THEN t.dtma_base_url ELSE NULLIF($3, '') END,
            public_ip_address = CASE WHEN $4::text IS NULL THEN t.public_ip_address ELSE r.public_ip_address END,
            dtma_bearer_token = COALESCE($5, t.dtma_bearer_token)
         FROM jsonb_populate_record(NULL::account_tool_environments,
             jsonb_build_object('public_ip_address', NULLIF($4::text, ''))) AS r
         WHERE t.id = $1",
        id.0,
        change.name,
        change.base_url,
        change.public_ip,
        change.token.as_ref().map(|token| token.expose_secret()),
    )
    .execute(executor)
    .await?;
    Ok(changed.rows_affected() == 1)
}

/// Takes a toolbox out, and its servers with it. `false`: there is none.
///
/// # Errors
/// Whatever the database refuses.
pub async fn remove_toolbox(executor: impl PgExecutor<'_>, id: ToolboxId) -> Result<bool> {
    let removed = sqlx::query!("DELETE FROM account_tool_environments WHERE id = $1", id.0)
        .execute(executor)
        .await?;
    Ok(removed.rows_affected() == 1)
}

/// Enters a server.
///
/// # Errors
/// Whatever the database refuses.
pub async fn add_server(
    executor: impl PgExecutor<'_>,
    id: ServerId,
    toolbox: ToolboxId,
    name: &InstanceName,
    monitored: bool,
) -> Result<()> {
    sqlx::query!(
        "INSERT INTO account_tool_instances (id, account_tool_environment_id, instance_name_on_toolbox, monitored)
         VALUES ($1, $2, $3, $4)",
        id.0,
        toolbox.0,
        name.as_str(),
        monitored,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Gives a server another name. `false`: there is none.
///
/// # Errors
/// Whatever the database refuses.
pub async fn rename_server(executor: impl PgExecutor<'_>, id: ServerId, name: &InstanceName) -> Result<bool> {
    let renamed = sqlx::query!(
        "UPDATE account_tool_instances SET instance_name_on_toolbox = $2 WHERE id = $1",
        id.0,
        name.as_str(),
    )
    .execute(executor)
    .await?;
    Ok(renamed.rows_affected() == 1)
}

/// Takes a server out; its container stays. `false`: there is none.
///
/// # Errors
/// Whatever the database refuses.
pub async fn remove_server(executor: impl PgExecutor<'_>, id: ServerId) -> Result<bool> {
    let removed = sqlx::query!("DELETE FROM account_tool_instances WHERE id = $1", id.0)
        .execute(executor)
        .await?;
    Ok(removed.rows_affected() == 1)
}

/// Enters a connection.
///
/// # Errors
/// Whatever the database refuses.
pub async fn add_connection(executor: impl PgExecutor<'_>, connection: &ConnectionEntry) -> Result<()> {
    sqlx::query!(
        "INSERT INTO agent_mcp_connections (id, agent_id, user_id, account_tool_instance_id, is_active)
         VALUES ($1, $2, $3, $4, $5)",
        connection.id.0,
        connection.agent,
        connection.account.0,
        connection.server.0,
        connection.active,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Puts a connection in force, or out of it. `false`: there is none.
///
/// # Errors
/// Whatever the database refuses.
pub async fn set_connection_active(
    executor: impl PgExecutor<'_>,
    id: ConnectionId,
    active: bool,
) -> Result<bool> {
    let changed = sqlx::query!(
        "UPDATE agent_mcp_connections SET is_active = $2 WHERE id = $1",
        id.0,
        active,
    )
    .execute(executor)
    .await?;
    Ok(changed.rows_affected() == 1)
}

/// Takes a connection out. `false`: there is none.
///
/// # Errors
/// Whatever the database refuses.
pub async fn remove_connection(executor: impl PgExecutor<'_>, id: ConnectionId) -> Result<bool> {
    let removed = sqlx::query!("DELETE FROM agent_mcp_connections WHERE id = $1", id.0)
        .execute(executor)
        .await?;
    Ok(removed.rows_affected() == 1)
}
