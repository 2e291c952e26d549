//! A batch of reports on the rows: lock, let the domain fold, write. One transaction, the caller's.

use std::collections::HashMap;

use domain::{Server, ServerId, Toolbox, ToolboxId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::change::{ChangeKind, ChangeRow, OutboxRow, Unpublished};
use crate::columns::{ChangeColumns, ServerColumns, ToolboxColumns};
use crate::command_ends;
use crate::error::{Result, StoreError};
use crate::rows::{select_servers, select_toolboxes};

/// What a transaction does to the rows. Every server and toolbox in it must have been locked by the same transaction.
#[derive(Debug, Clone, Default)]
pub struct Writes {
    /// Toolboxes to update.
    pub toolboxes: Vec<Toolbox>,
    /// Servers to update, with how far the commands are that they bear. Their intent, name and owner are not written:
    /// those are other people's.
    pub servers: Vec<Server>,
    /// Servers whose rows go.
    pub removed: Vec<ServerId>,
    /// What to announce.
    pub changes: Vec<ChangeRow>,
}

/// Most unpublished rows that one write hands back. A batch makes fewer; beyond it, the relay publishes what an outage
/// has piled up.
const MAX_RETURNED: i64 = 20_000;

/// Locks the toolboxes and then all their servers, each in the order of their ids, so that batches with toolboxes in
/// common wait for each other and never in a circle. In that order they are returned.
///
/// A toolbox that does not exist is absent from the result. So is a server whose name can be no container's (see
/// [`crate::registry`]).
///
/// The locks let others refer to the rows by foreign key while they are held, as the owner's application does when it
/// adds an instance or a connection.
///
/// # Errors
/// [`StoreError::UnknownLabel`], and whatever the database refuses.
pub async fn lock(
    connection: &mut PgConnection,
    toolboxes: &[ToolboxId],
) -> Result<Vec<(Toolbox, Vec<Server>)>> {
    let ids: Vec<Uuid> = toolboxes.iter().map(|toolbox| toolbox.0).collect();
    let rows = select_toolboxes!("AND t.id = ANY($1) ORDER BY t.id FOR NO KEY UPDATE OF t", &ids)
        .fetch_all(&mut *connection)
        .await?;
    let mut locked = Vec::with_capacity(rows.len());
    let mut place = HashMap::with_capacity(rows.len());
    for row in rows {
        let toolbox = row.into_toolbox()?;
        place.insert(toolbox.id, locked.len());
        locked.push((toolbox, Vec::new()));
    }
    let rows = select_servers!(
        "WHERE i.account_tool_environment_id = ANY($1) ORDER BY i.id FOR NO KEY UPDATE OF i",
        &ids
    )
    .fetch_all(&mut *connection)
    .await?;
    for row in rows {
        let Some(server) = row.into_server()? else {
            continue;
        };
        // A server may be in a toolbox that was not there yet a moment ago.
        if let Some((_, servers)) = place.get(&server.toolbox).and_then(|at| locked.get_mut(*at)) {
            servers.push(server);
        }
    }
    command_ends::open(connection, locked.iter_mut().flat_map(|(_, servers)| servers)).await?;
    Ok(locked)
}

/// Writes what was decided and returns what is to be published once the transaction is committed: the new changes, and
/// before each the older ones of the same subject that a crash left unpublished, so that nobody is told an older
/// version after a newer one. Ordered by subject and version.
///
/// # Errors
/// [`StoreError::Overtaken`] when a row is gone or has a higher version; then nothing may be committed.
pub async fn write(connection: &mut PgConnection, writes: &Writes) -> Result<Vec<OutboxRow>> {
    update_toolboxes(connection, &writes.toolboxes).await?;
    update_servers(connection, &writes.servers).await?;
    command_ends::write(connection, &writes.servers).await?;
    remove(connection, writes).await?;
    if writes.changes.is_empty() {
        return Ok(Vec::new());
    }
    append(connection, &writes.changes).await?;
    let subjects: Vec<Uuid> = writes.changes.iter().map(|change| change.subject).collect();
    unpublished_of(connection, &subjects).await
}

async fn update_servers(connection: &mut PgConnection, servers: &[Server]) -> Result<()> {
    if servers.is_empty() {
        return Ok(());
    }
    let new = ServerColumns::of(servers);
    let written = sqlx::query!(
        r#"UPDATE account_tool_instances AS i SET
            status_on_toolbox = CASE WHEN i.status_on_toolbox::text = u.label
                THEN i.status_on_toolbox ELSE status_sync_label(u.label, i.status_on_toolbox) END,
            as_of = u.as_of,
            as_of_seq = u.as_of_seq,
            last_heartbeat_from_dtma = COALESCE(u.as_of, i.last_heartbeat_from_dtma),
            observed_status = u.observed_status,
            observed_since = u.observed_since,
            observed_detail = u.observed_detail,
            container_id = u.container_id,
            last_started_at = u.last_started_at,
            mcp_state = u.state,
            health = u.health,
            last_error = u.last_error,
            instance_error_message = CASE
                WHEN i.last_error IS DISTINCT FROM u.last_error OR i.status_version < u.version
                THEN u.last_error ->> 'message' ELSE i.instance_error_message END,
            status_version = u.version,
            status_changed_at = u.changed_at,
            -- For the owner a row is updated when a change is announced, not at every heartbeat.
            updated_at = CASE WHEN i.status_version < u.version
                THEN COALESCE(u.changed_at, i.updated_at) ELSE i.updated_at END
        FROM UNNEST($1::uuid[], $2::text[], $3::timestamptz[], $4::bigint[], $5::text[], $6::timestamptz[],
            $7::jsonb[], $8::text[], $9::timestamptz[], $10::text[], $11::text[], $12::jsonb[], $13::bigint[],
            $14::timestamptz[])
            AS u (id, label, as_of, as_of_seq, observed_status, observed_since, observed_detail, container_id,
                last_started_at, state, health, last_error, version, changed_at)
        WHERE i.id = u.id AND i.status_version <= u.version"#,
        &new.id,
        &new.label as _,
        &new.as_of as _,
        &new.as_of_seq as _,
        &new.observed_status as _,
        &new.observed_since as _,
        &new.observed_detail as _,
        &new.container_id as _,
        &new.last_started_at as _,
        &new.state as _,
        &new.health as _,
        &new.last_error as _,
        &new.version,
        &new.changed_at as _,
    )
    .execute(connection)
    .await?
    .rows_affected();
    all_written("account_tool_instances", servers.len(), written)
}

async fn update_toolboxes(connection: &mut PgConnection, toolboxes: &[Toolbox]) -> Result<()> {
    if toolboxes.is_empty() {
        return Ok(());
    }
    let new = ToolboxColumns::of(toolboxes);
    let written = sqlx::query!(
        r#"UPDATE account_tool_environments AS t SET
            as_of = u.as_of,
            as_of_seq = u.as_of_seq,
            whole_as_of = u.whole_as_of,
            whole_as_of_seq = u.whole_as_of_seq,
            last_heartbeat_at = COALESCE(u.heard_at, t.last_heartbeat_at),
            expected_by = u.expected_by,
            agent_status = u.agent_status,
            agent_problem = u.agent_problem,
            dtma_last_known_version = COALESCE(u.agent_version, t.dtma_last_known_version),
            -- The owner's label follows while it is one of those that tell whether the agent answers. His others
            -- (being created, being deleted, …) say more than we know and stay.
            status = CASE
                WHEN t.status::text IN ('active', 'unresponsive', 'awaiting_heartbeat', 'unseen')
                    AND u.agent_status IN ('active', 'unresponsive')
                    AND t.status::text <> u.agent_status
                THEN status_sync_label(u.agent_status, t.status) ELSE t.status END,
            status_version = u.version,
            status_changed_at = u.changed_at,
            updated_at = CASE WHEN t.status_version < u.version
                THEN COALESCE(u.changed_at, t.updated_at) ELSE t.updated_at END
        FROM UNNEST($1::uuid[], $2::timestamptz[], $3::bigint[], $4::timestamptz[], $5::bigint[], $6::timestamptz[],
            $7::timestamptz[], $8::text[], $9::jsonb[], $10::text[], $11::bigint[], $12::timestamptz[])
            AS u (id, as_of, as_of_seq, whole_as_of, whole_as_of_seq, heard_at, expected_by, agent_status,
                agent_problem, agent_version, version, changed_at)
        WHERE t.id = u.id AND t.status_version <= u.version"#,
        &new.id,
        &new.as_of as _,
        &new.as_of_seq as _,
        &new.whole_as_of as _,
        &new.whole_as_of_seq as _,
        &new.heard_at as _,
        &new.expected_by as _,
        &new.status as _,
        &new.problem as _,
        &new.agent_version as _,
        &new.version,
        &new.changed_at as _,
    )
    .execute(connection)
    .await?
    .rows_affected();
    all_written("account_tool_environments", toolboxes.len(), written)
}

fn all_written(table: &'static str, given: usize, written: u64) -> Result<()> {
    let missed = given.saturating_sub(usize::try_from(written).unwrap_or(usize::MAX));
    if missed > 0 {
        return Err(StoreError::Overtaken { table, given, missed });
    }
    Ok(())
}

/// Deletes servers and what connects agents to them, whether or not the owner's foreign key does so by itself.
async fn remove(connection: &mut PgConnection, writes: &Writes) -> Result<()> {
    if writes.removed.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = writes.removed.iter().map(|server| server.0).collect();
    let ended = writes
        .changes
        .iter()
        .filter(|change| change.kind == ChangeKind::Deleted);
    command_ends::end_of_deleted(connection, &ids, ended.map(|change| change.at).max()).await?;
    sqlx::query!(
        "DELETE FROM agent_mcp_connections WHERE account_tool_instance_id = ANY($1)",
        &ids
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("DELETE FROM account_tool_instances WHERE id = ANY($1)", &ids)
        .execute(&mut *connection)
        .await?;
    Ok(())
}

async fn append(connection: &mut PgConnection, changes: &[ChangeRow]) -> Result<()> {
    let new = ChangeColumns::of(changes);
    sqlx::query!(
        r#"INSERT INTO status_changes (id, at, kind, subject_id, toolbox_id, account_id, version, state, health,
            error_code, container_id, cause, as_of, nats_subject, event, traceparent, previous_state)
        SELECT id, at, kind, subject_id, toolbox_id, account_id, version, state, health,
            error_code, container_id, cause, as_of, nats_subject, event::json, traceparent, previous_state
        FROM UNNEST($1::uuid[], $2::timestamptz[], $3::text[], $4::uuid[], $5::uuid[], $6::uuid[], $7::bigint[],
            $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::timestamptz[], $14::text[],
            $15::text[], $16::text[], $17::text[])
            AS u (id, at, kind, subject_id, toolbox_id, account_id, version, state, health,
                error_code, container_id, cause, as_of, nats_subject, event, traceparent, previous_state)"#,
        &new.id,
        &new.at as _,
        &new.kind as _,
        &new.subject,
        &new.toolbox,
        &new.account,
        &new.version,
        &new.state as _,
        &new.health as _,
        &new.error_code as _,
        &new.container_id as _,
        &new.cause as _,
        &new.as_of as _,
        &new.nats_subject as _,
        &new.event as _,
        &new.traceparent as _,
        &new.previous_state as _,
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn unpublished_of(connection: &mut PgConnection, subjects: &[Uuid]) -> Result<Vec<OutboxRow>> {
    let rows = sqlx::query_as!(
        Unpublished,
        r#"SELECT id, kind, subject_id, version, at, nats_subject, event::text AS "event!", traceparent
        FROM status_changes
        WHERE published_at IS NULL AND subject_id = ANY($1)
        ORDER BY subject_id, version
        LIMIT $2"#,
        subjects,
        MAX_RETURNED,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(OutboxRow::try_from).collect()
}
