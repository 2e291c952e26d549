//! Which toolboxes and servers there are, as the pollers need to know it, and what became of those that are gone.

use domain::{AccountId, Change, InstanceName, ServerId, ToolboxId};
use jiff::Timestamp;
use secrecy::SecretString;
use sqlx::{Connection, PgConnection, PgExecutor};

use crate::database::Database;
use crate::error::Result;
use crate::instant::{count, uncount};
use crate::lock_keys;

/// The registry at one moment.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    /// Every toolbox that belongs to somebody, in the order of their ids.
    pub toolboxes: Vec<RegistryToolbox>,
    /// Rows that nothing can be done with; they are in no other list.
    pub unusable: Vec<Unusable>,
}

/// A toolbox and how to reach its agent.
#[derive(Debug, Clone)]
pub struct RegistryToolbox {
    /// Which one.
    pub id: ToolboxId,
    /// Whose it is.
    pub account: AccountId,
    /// The name people gave it; may be empty.
    pub name: String,
    /// Where its agent is, where that is written down. As it stands in the row: not checked.
    pub base_url: Option<String>,
    /// Else the machine's address, without a netmask.
    pub public_ip: Option<String>,
    /// The agent's own token.
    pub token: Option<SecretString>,
    /// Its servers, in the order of their ids.
    pub instances: Vec<RegistryInstance>,
}

/// A server, as a poller needs to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryInstance {
    /// Which one.
    pub id: ServerId,
    /// Its container's name.
    pub name: InstanceName,
    /// Whether it is watched.
    pub monitored: bool,
    /// Whether any report ever spoke of it.
    pub seen: bool,
    /// Whether an agent is to do something with it.
    pub commanded: bool,
    /// Number of changes announced; what [`vanished`] wants to know once the row is gone.
    pub version: u64,
}

/// A row that nothing can be done with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// The toolbox.
    pub toolbox: ToolboxId,
    /// The instance; `None` where it is the toolbox itself.
    pub instance: Option<ServerId>,
    /// What is wrong with it.
    pub why: &'static str,
}

/// Reads the whole registry in one statement, so that it is of one moment.
///
/// # Errors
/// Whatever the database refuses. A row that is unusable is no error, see [`Registry::unusable`].
pub async fn read(executor: impl PgExecutor<'_>) -> Result<Registry> {
    let rows = sqlx::query!(
        r#"SELECT t.id, t.user_id AS "account?", t.name::text AS name, t.dtma_base_url AS base_url,
            -- An inet shows its netmask as text; a text has none.
            split_part(t.public_ip_address::text, '/', 1) AS public_ip,
            t.dtma_bearer_token::text AS token,
            i.id AS "instance?", i.instance_name_on_toolbox::text AS instance_name,
            i.monitored AS "monitored?", (i.observed_status IS NOT NULL) AS "seen!",
            i.status_version AS "version?",
            EXISTS (SELECT FROM status_commands AS c
                WHERE c.server_id = i.id AND c.finished_at IS NULL AND c.deadline IS NOT NULL) AS "commanded!"
        FROM account_tool_environments AS t
        LEFT JOIN account_tool_instances AS i ON i.account_tool_environment_id = t.id
        ORDER BY t.id, i.id"#
    )
    .fetch_all(executor)
    .await?;
    let mut registry = Registry::default();
    let mut previous = None;
    for row in rows {
        let id = ToolboxId(row.id);
        let first_row_of_toolbox = previous.replace(id) != Some(id);
        let Some(account) = row.account else {
            if first_row_of_toolbox {
                registry.unusable.push(Unusable {
                    toolbox: id,
                    instance: None,
                    why: "it belongs to no account",
                });
            }
            continue;
        };
        if first_row_of_toolbox {
            registry.toolboxes.push(RegistryToolbox {
                id,
                account: AccountId(account),
                name: row.name.unwrap_or_default(),
                base_url: not_blank(row.base_url),
                public_ip: not_blank(row.public_ip),
                token: not_blank(row.token).map(SecretString::from),
                instances: Vec::new(),
            });
        }
        let (Some(instance), Some(toolbox)) = (row.instance.map(ServerId), registry.toolboxes.last_mut())
        else {
            continue;
        };
        match row.instance_name.as_deref().and_then(InstanceName::new) {
            Some(name) => toolbox.instances.push(RegistryInstance {
                id: instance,
                name,
                monitored: row.monitored.unwrap_or(true),
                seen: row.seen,
                commanded: row.commanded,
                version: row.version.map_or(0, uncount),
            }),
            None => registry.unusable.push(Unusable {
                toolbox: id,
                instance: Some(instance),
                why: "its name can be no container's",
            }),
        }
    }
    Ok(registry)
}

fn not_blank(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty())
}

/// The tombstone of a server whose row is gone without this system having removed it, with the version that follows
/// all others; `None` where there is nothing to say: the row is there, its end is announced already, or nothing was
/// ever announced of it.
///
/// `known_version` is the last that anybody remembers of it, should the history no longer reach back; 0 if none does.
/// Holds a lock on the server's id until the transaction ends, so that of two replicas that notice at once, the second
/// finds the tombstone the first wrote. Write it with [`crate::batch::write`], in the same transaction.
///
/// # Errors
/// Whatever the database refuses.
pub async fn vanished(
    connection: &mut PgConnection,
    server: ServerId,
    toolbox: ToolboxId,
    account: AccountId,
    known_version: u64,
    at: Timestamp,
) -> Result<Option<Change>> {
    // A statement of its own: the next one must see what the lock was waited for.
    sqlx::query!(
        r#"SELECT pg_advisory_xact_lock(hashtextextended('status_sync.server.' || $1::uuid, 0)) AS "locked!: ()""#,
        server.0
    )
    .execute(&mut *connection)
    .await?;
    let known = sqlx::query!(
        r#"SELECT
            EXISTS (SELECT FROM account_tool_instances WHERE id = $1) AS "present!",
            newest.kind AS "kind?",
            newest.version AS "version?"
        FROM (SELECT) AS always
        LEFT JOIN LATERAL (
            SELECT kind, version FROM status_changes
            WHERE subject_id = $1 AND kind <> 'toolbox'
            ORDER BY version DESC
            LIMIT 1
        ) AS newest ON true"#,
        server.0
    )
    .fetch_one(connection)
    .await?;
    let announced = known.version.unwrap_or(0).max(count(known_version));
    if known.present || known.kind.as_deref() == Some("deleted") || announced == 0 {
        return Ok(None);
    }
    let version = uncount(announced).saturating_add(1);
    Ok(Some(Change::Removed {
        server,
        toolbox,
        account,
        version,
        at,
    }))
}

/// The right to mirror the registry. One replica has it at a time; it goes back when this is dropped, when the process
/// dies, and (within a minute) when its machine does.
#[derive(Debug)]
pub struct MirrorLock {
    connection: PgConnection,
}

impl MirrorLock {
    /// Whether the lock is still held: to be asked before each round, for it ends with its connection.
    ///
    /// # Errors
    /// Any error means that it is lost.
    pub async fn check(&mut self) -> Result<()> {
        sqlx::query_scalar!(r#"SELECT 1 AS "one!""#)
            .fetch_one(&mut self.connection)
            .await?;
        Ok(())
    }

    /// Gives it back and waits until it is free, which a drop does not.
    ///
    /// # Errors
    /// When the connection is broken; the lock is free then too.
    pub async fn release(self) -> Result<()> {
        Ok(self.connection.close().await?)
    }
}

/// Takes the right to mirror; `None` while another replica has it. Costs a connection of its own beside the pool's for
/// as long as it is held.
///
/// The lock belongs to a session, so the URL must not lead through a pooler in transaction mode.
///
/// # Errors
/// Whatever the database refuses.
pub async fn try_mirror_lock(database: &Database) -> Result<Option<MirrorLock>> {
    let mut connection = database.pool().acquire().await?;
    let taken = sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_lock($1::int4, $2::int4) AS "taken!""#,
        lock_keys::SYSTEM,
        lock_keys::MIRROR,
    )
    .fetch_one(&mut *connection)
    .await?;
    // Only a connection that holds it leaves the pool, which then may open another.
    Ok(taken.then(|| MirrorLock {
        connection: connection.detach(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_text_is_none() {
        assert_eq!(not_blank(None), None);
        assert_eq!(not_blank(Some(" \t".to_owned())), None);
        assert_eq!(not_blank(Some(" a ".to_owned())), Some("a".to_owned()));
    }
}
