//! Rows for those who ask: never locked, never written.

use domain::{AccountId, Server, ServerId, Toolbox, ToolboxId};
use jiff::Timestamp;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::command_ends;
use crate::error::Result;
use crate::instant::{Stored, count, uncount};
use crate::rows::{select_servers, select_toolboxes};

pub use crate::connected::{ConnectionRow, connection, connections, connections_of};

/// A server, and since when what is known of it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerReading {
    /// The server, with the command that has a say in what is seen of it.
    pub server: Server,
    /// When what is known of it was last confirmed: by a report that spoke of it, or by a whole list since; `None`: never.
    pub as_of: Option<Timestamp>,
}

/// A toolbox as its registry has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolboxReading {
    /// The toolbox.
    pub toolbox: Toolbox,
    /// Where its agent is reached, where that was given.
    pub base_url: Option<String>,
    /// Its address, without a netmask.
    pub public_ip: Option<String>,
    /// Whether it has a token of its own.
    pub has_token: bool,
}

/// One change of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRow {
    /// Its number.
    pub version: u64,
    /// When.
    pub at: Timestamp,
    /// The event that was published of it.
    pub event: String,
    /// When the next change was; `None`: it is the newest.
    pub until: Option<Timestamp>,
}

/// Servers by id, in the order of their ids; what is not there is left out.
///
/// # Errors
/// [`crate::StoreError::UnknownLabel`], and whatever the database refuses.
pub async fn servers(connection: &mut PgConnection, ids: &[ServerId]) -> Result<Vec<ServerReading>> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = select_servers!("WHERE i.id = ANY($1) ORDER BY i.id", &ids)
        .fetch_all(&mut *connection)
        .await?;
    complete(connection, rows).await
}

/// The servers of a toolbox, in the order of their ids.
///
/// # Errors
/// [`crate::StoreError::UnknownLabel`], and whatever the database refuses.
pub async fn servers_on(connection: &mut PgConnection, toolbox: ToolboxId) -> Result<Vec<ServerReading>> {
    let rows = select_servers!(
        "WHERE i.account_tool_environment_id = $1 ORDER BY i.id",
        toolbox.0
    )
    .fetch_all(&mut *connection)
    .await?;
    complete(connection, rows).await
}

async fn complete(
    connection: &mut PgConnection,
    rows: Vec<crate::rows::ServerRow>,
) -> Result<Vec<ServerReading>> {
    let mut servers = Vec::with_capacity(rows.len());
    for row in rows {
        servers.extend(row.into_server()?);
    }
    command_ends::open(connection, servers.iter_mut()).await?;
    let mut homes: Vec<Uuid> = servers.iter().map(|server| server.toolbox.0).collect();
    homes.sort_unstable();
    homes.dedup();
    let whole = sqlx::query!(
        r#"SELECT id, whole_as_of AS "whole_as_of: Stored" FROM account_tool_environments WHERE id = ANY($1)"#,
        &homes
    )
    .fetch_all(connection)
    .await?;
    let reading = |server: Server| {
        let whole = whole
            .iter()
            .find(|toolbox| toolbox.id == server.toolbox.0)
            .and_then(|toolbox| toolbox.whole_as_of.map(Stored::to_jiff));
        let spoken_of = server.order.map(|order| order.as_of);
        let as_of = server.observation.as_ref().and(spoken_of.max(whole));
        ServerReading { server, as_of }
    };
    Ok(servers.into_iter().map(reading).collect())
}

/// One toolbox.
///
/// # Errors
/// [`crate::StoreError::UnknownLabel`], and whatever the database refuses.
pub async fn toolbox(connection: &mut PgConnection, id: ToolboxId) -> Result<Option<ToolboxReading>> {
    let row = select_toolboxes!("AND t.id = $1", id.0)
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(with_addresses(connection, vec![row.into_toolbox()?]).await?.pop())
}

/// Toolboxes after `after`, of one account or of all, in the order of their ids, at most `limit`.
///
/// # Errors
/// [`crate::StoreError::UnknownLabel`], and whatever the database refuses.
pub async fn toolboxes(
    connection: &mut PgConnection,
    account: Option<AccountId>,
    after: Option<ToolboxId>,
    limit: u32,
) -> Result<Vec<ToolboxReading>> {
    let rows = select_toolboxes!(
        "AND ($1::uuid IS NULL OR t.user_id = $1) AND ($2::uuid IS NULL OR t.id > $2) ORDER BY t.id LIMIT $3",
        account.map(|account| account.0) as Option<Uuid>,
        after.map(|after| after.0) as Option<Uuid>,
        i64::from(limit),
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut toolboxes = Vec::with_capacity(rows.len());
    for row in rows {
        toolboxes.push(row.into_toolbox()?);
    }
    with_addresses(connection, toolboxes).await
}

async fn with_addresses(
    connection: &mut PgConnection,
    toolboxes: Vec<Toolbox>,
) -> Result<Vec<ToolboxReading>> {
    let ids: Vec<Uuid> = toolboxes.iter().map(|toolbox| toolbox.id.0).collect();
    let rows = sqlx::query!(
        r#"SELECT id, dtma_base_url AS base_url, split_part(public_ip_address::text, '/', 1) AS public_ip,
            COALESCE(dtma_bearer_token::text, '') <> '' AS "has_token!"
        FROM account_tool_environments WHERE id = ANY($1)"#,
        &ids
    )
    .fetch_all(connection)
    .await?;
    let not_blank = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
    let reading = |toolbox: Toolbox| {
        let row = rows.iter().find(|row| row.id == toolbox.id.0);
        ToolboxReading {
            toolbox,
            base_url: row.and_then(|row| not_blank(&row.base_url)),
            public_ip: row.and_then(|row| not_blank(&row.public_ip)),
            has_token: row.is_some_and(|row| row.has_token),
        }
    };
    Ok(toolboxes.into_iter().map(reading).collect())
}

/// When any report last spoke of a toolbox: by it, whoever asked for an observation knows that it was made.
///
/// # Errors
/// Whatever the database refuses.
pub async fn toolbox_as_of(executor: impl PgExecutor<'_>, id: ToolboxId) -> Result<Option<Timestamp>> {
    let as_of = sqlx::query_scalar!(
        r#"SELECT as_of AS "as_of: Stored" FROM account_tool_environments WHERE id = $1"#,
        id.0
    )
    .fetch_optional(executor)
    .await?;
    Ok(as_of.flatten().map(Stored::to_jiff))
}

/// The changes of a server, newest first, at most `limit`, of one account's time only: what was told under another
/// account is not the present owner's to see.
///
/// # Errors
/// Whatever the database refuses.
pub async fn history(
    executor: impl PgExecutor<'_>,
    server: ServerId,
    account: AccountId,
    before: Option<u64>,
    limit: u32,
) -> Result<Vec<HistoryRow>> {
    let rows = sqlx::query!(
        r#"SELECT c.version, c.at, c.event::text AS "event!",
            (SELECT n.at FROM status_changes AS n
             WHERE n.subject_id = c.subject_id AND n.kind <> 'toolbox' AND n.version > c.version
             ORDER BY n.version LIMIT 1) AS "until?: Stored"
        FROM status_changes AS c
        WHERE c.subject_id = $1 AND c.account_id = $2 AND c.kind <> 'toolbox' AND ($3::bigint IS NULL OR c.version < $3)
        ORDER BY c.version DESC
        LIMIT $4"#,
        server.0,
        account.0,
        before.map(count) as Option<i64>,
        i64::from(limit),
    )
    .fetch_all(executor)
    .await?;
    let row = rows.into_iter().map(|row| HistoryRow {
        version: uncount(row.version),
        at: row.at.to_jiff(),
        event: row.event,
        until: row.until.map(Stored::to_jiff),
    });
    Ok(row.collect())
}

/// Servers of which nothing was ever announced, of one account and of `granted` or of all, after `after`, in the order
/// of their ids, at most `limit`: those that a reader of events does not know.
///
/// # Errors
/// Whatever the database refuses.
pub async fn unannounced(
    executor: impl PgExecutor<'_>,
    account: Option<AccountId>,
    granted: &[ServerId],
    after: Option<ServerId>,
    limit: u32,
) -> Result<Vec<ServerId>> {
    let granted: Vec<Uuid> = granted.iter().map(|server| server.0).collect();
    let ids = sqlx::query_scalar!(
        "SELECT i.id FROM account_tool_instances AS i
        JOIN account_tool_environments AS t ON t.id = i.account_tool_environment_id AND t.user_id IS NOT NULL
        WHERE i.status_changed_at IS NULL AND i.instance_name_on_toolbox IS NOT NULL
            AND ($1::uuid IS NULL OR t.user_id = $1 OR i.id = ANY($2)) AND ($3::uuid IS NULL OR i.id > $3)
        ORDER BY i.id LIMIT $4",
        account.map(|account| account.0) as Option<Uuid>,
        &granted,
        after.map(|after| after.0) as Option<Uuid>,
        i64::from(limit),
    )
    .fetch_all(executor)
    .await?;
    Ok(ids.into_iter().map(ServerId).collect())
}

/// How many such servers there are, and how many of them nobody has watched.
///
/// # Errors
/// Whatever the database refuses.
pub async fn count_unannounced(
    executor: impl PgExecutor<'_>,
    account: Option<AccountId>,
    granted: &[ServerId],
) -> Result<(u64, u64)> {
    let granted: Vec<Uuid> = granted.iter().map(|server| server.0).collect();
    let row = sqlx::query!(
        r#"SELECT count(*) AS "all!", count(*) FILTER (WHERE NOT i.monitored) AS "unmonitored!"
        FROM account_tool_instances AS i
        JOIN account_tool_environments AS t ON t.id = i.account_tool_environment_id AND t.user_id IS NOT NULL
        WHERE i.status_changed_at IS NULL AND i.instance_name_on_toolbox IS NOT NULL
            AND ($1::uuid IS NULL OR t.user_id = $1 OR i.id = ANY($2))"#,
        account.map(|account| account.0) as Option<Uuid>,
        &granted,
    )
    .fetch_one(executor)
    .await?;
    Ok((uncount(row.all), uncount(row.unmonitored)))
}

/// How many toolboxes there are of each label, of one account or of all.
///
/// # Errors
/// Whatever the database refuses.
pub async fn count_toolboxes(
    executor: impl PgExecutor<'_>,
    account: Option<AccountId>,
) -> Result<Vec<(String, u64)>> {
    let rows = sqlx::query!(
        r#"SELECT agent_status AS "status!", count(*) AS "count!" FROM account_tool_environments
        WHERE user_id IS NOT NULL AND ($1::uuid IS NULL OR user_id = $1) GROUP BY 1"#,
        account.map(|account| account.0) as Option<Uuid>,
    )
    .fetch_all(executor)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.status, uncount(row.count)))
        .collect())
}

/// The watched server of which the least is known for the longest time, of one account or of all.
///
/// Reads the whole table of instances, as the sweep does: not to be asked at every request.
///
/// # Errors
/// Whatever the database refuses.
pub async fn oldest_knowledge(
    executor: impl PgExecutor<'_>,
    account: Option<AccountId>,
) -> Result<Option<(ServerId, Timestamp)>> {
    let row = sqlx::query!(
        r#"SELECT i.id, GREATEST(i.as_of, t.whole_as_of) AS "as_of!: Stored"
        FROM account_tool_instances AS i
        JOIN account_tool_environments AS t ON t.id = i.account_tool_environment_id
        WHERE i.monitored AND i.observed_status IS NOT NULL AND i.as_of IS NOT NULL
            AND t.user_id IS NOT NULL AND ($1::uuid IS NULL OR t.user_id = $1)
        ORDER BY 2, 1 LIMIT 1"#,
        account.map(|account| account.0) as Option<Uuid>,
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.map(|row| (ServerId(row.id), row.as_of.to_jiff())))
}
