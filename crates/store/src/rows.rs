//! Rows as they are read, and what they are in the domain.

use std::str::FromStr;

use domain::{
    AccountId, AgentStatus, ContainerId, Desired, DtmaStatus, Health, InstanceName, McpState, Observation,
    Override, Server, ServerId, StatusOnToolbox, Toolbox, ToolboxId,
};
use serde_json::Value;
use uuid::Uuid;

use crate::error::{Result, StoreError};
use crate::instant::{Stored, order, uncount};
use crate::json::{read_detail, read_last_error};

/// Reads servers: the one list of their columns, before whatever the query goes on with.
///
/// What is the owner's is cast, since his columns may be enums or of another text type; a toolbox of no account has
/// nobody to be told of it and is left out.
macro_rules! select_servers {
    ($rest:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            $crate::rows::ServerRow,
            r#"SELECT i.id, t.id AS toolbox_id, t.user_id AS "account_id!",
                i.instance_name_on_toolbox::text AS name, i.status_on_toolbox::text AS "label?",
                i.desired_state, i.monitored, i.as_of, i.as_of_seq,
                i.override_state, i.override_health, i.override_message, i.override_until,
                i.observed_status, i.observed_since, i.observed_detail,
                i.container_id, i.last_started_at, i.mcp_state, i.health, i.last_error,
                -- One that was never announced may have had a life before, under the same id: its numbers go on.
                CASE WHEN i.status_changed_at IS NULL
                    THEN COALESCE((SELECT max(c.version) FROM status_changes AS c WHERE c.subject_id = i.id), 0)
                    ELSE i.status_version END AS "status_version!", i.status_changed_at
            FROM account_tool_instances AS i
            JOIN account_tool_environments AS t ON t.id = i.account_tool_environment_id AND t.user_id IS NOT NULL
            "# + $rest
            $(, $argument)*
        )
    };
}
pub(crate) use select_servers;

/// Reads toolboxes, as [`select_servers`] does servers. An old application's clock may have left an absurd heartbeat.
macro_rules! select_toolboxes {
    ($rest:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            $crate::rows::ToolboxRow,
            r#"SELECT t.id, t.user_id AS "account_id!", t.name::text AS name,
                t.as_of, t.as_of_seq, t.whole_as_of, t.whole_as_of_seq,
                CASE WHEN t.last_heartbeat_at BETWEEN '1970-01-01Z' AND '9000-01-01Z'
                    THEN t.last_heartbeat_at::timestamptz END AS heard_at,
                t.expected_by, t.agent_status, t.agent_problem, t.dtma_last_known_version::text AS agent_version,
                CASE WHEN t.status_changed_at IS NULL
                    THEN COALESCE((SELECT max(c.version) FROM status_changes AS c WHERE c.subject_id = t.id), 0)
                    ELSE t.status_version END AS "status_version!", t.status_changed_at
            FROM account_tool_environments AS t
            WHERE t.user_id IS NOT NULL "# + $rest
            $(, $argument)*
        )
    };
}
pub(crate) use select_toolboxes;

/// One row of `account_tool_instances`, with its toolbox's account.
pub(crate) struct ServerRow {
    pub(crate) id: Uuid,
    pub(crate) toolbox_id: Uuid,
    pub(crate) account_id: Uuid,
    pub(crate) name: Option<String>,
    pub(crate) label: Option<String>,
    pub(crate) desired_state: Option<String>,
    pub(crate) monitored: bool,
    pub(crate) as_of: Option<Stored>,
    pub(crate) as_of_seq: Option<i64>,
    pub(crate) override_state: Option<String>,
    pub(crate) override_health: Option<String>,
    pub(crate) override_message: Option<String>,
    pub(crate) override_until: Option<Stored>,
    pub(crate) observed_status: Option<String>,
    pub(crate) observed_since: Option<Stored>,
    pub(crate) observed_detail: Option<Value>,
    pub(crate) container_id: Option<String>,
    pub(crate) last_started_at: Option<Stored>,
    pub(crate) mcp_state: String,
    pub(crate) health: String,
    pub(crate) last_error: Option<Value>,
    pub(crate) status_version: i64,
    pub(crate) status_changed_at: Option<Stored>,
}

impl ServerRow {
    /// The server; `None` where its name can be no container's, so that no report can speak of it.
    ///
    /// # Errors
    /// [`StoreError::UnknownLabel`].
    pub(crate) fn into_server(self) -> Result<Option<Server>> {
        let Some(name) = self.name.as_deref().and_then(InstanceName::new) else {
            return Ok(None);
        };
        let observation = match (self.observed_status, self.observed_since) {
            (Some(status), Some(since)) => {
                let detail = read_detail(self.observed_detail);
                Some(Observation {
                    status: label::<DtmaStatus>("observed_status", self.id, &status)?,
                    since: since.to_jiff(),
                    reason: detail.reason,
                    asked: detail.asked,
                    docker_health: detail.docker_health,
                    former: detail.former,
                })
            }
            _ => None,
        };
        Ok(Some(Server {
            id: ServerId(self.id),
            toolbox: ToolboxId(self.toolbox_id),
            account: AccountId(self.account_id),
            name,
            desired: self
                .desired_state
                .map(|desired| label::<Desired>("desired_state", self.id, &desired))
                .transpose()?,
            monitored: self.monitored,
            // Read by a statement of its own, once the row is locked: see `command_ends::open`.
            command: None,
            overridden: match (
                self.override_state,
                self.override_health,
                self.override_message,
                self.override_until,
            ) {
                (Some(state), Some(health), Some(message), Some(until)) => Some(Override {
                    state: label::<McpState>("override_state", self.id, &state)?,
                    health: label::<Health>("override_health", self.id, &health)?,
                    message,
                    until: until.to_jiff(),
                }),
                _ => None,
            },
            label: self
                .label
                .as_deref()
                .map_or(StatusOnToolbox::PendingInstall, StatusOnToolbox::from_label),
            order: order(self.as_of, self.as_of_seq),
            observation,
            container_id: self.container_id.as_deref().and_then(ContainerId::new),
            last_started_at: self.last_started_at.map(Stored::to_jiff),
            state: label::<McpState>("mcp_state", self.id, &self.mcp_state)?,
            health: label::<Health>("health", self.id, &self.health)?,
            last_error: read_last_error(self.last_error),
            version: uncount(self.status_version),
            changed_at: self.status_changed_at.map(Stored::to_jiff),
        }))
    }
}

/// One row of `account_tool_environments`.
pub(crate) struct ToolboxRow {
    pub(crate) id: Uuid,
    pub(crate) account_id: Uuid,
    pub(crate) name: Option<String>,
    pub(crate) as_of: Option<Stored>,
    pub(crate) as_of_seq: Option<i64>,
    pub(crate) whole_as_of: Option<Stored>,
    pub(crate) whole_as_of_seq: Option<i64>,
    pub(crate) heard_at: Option<Stored>,
    pub(crate) expected_by: Option<Stored>,
    pub(crate) agent_status: String,
    pub(crate) agent_problem: Option<Value>,
    pub(crate) agent_version: Option<String>,
    pub(crate) status_version: i64,
    pub(crate) status_changed_at: Option<Stored>,
}

impl ToolboxRow {
    /// The toolbox.
    ///
    /// # Errors
    /// [`StoreError::UnknownLabel`].
    pub(crate) fn into_toolbox(self) -> Result<Toolbox> {
        Ok(Toolbox {
            id: ToolboxId(self.id),
            account: AccountId(self.account_id),
            name: self.name.unwrap_or_default(),
            order: order(self.as_of, self.as_of_seq),
            whole_order: order(self.whole_as_of, self.whole_as_of_seq),
            heard_at: self.heard_at.map(Stored::to_jiff),
            expected_by: self.expected_by.map(Stored::to_jiff),
            status: label::<AgentStatus>("agent_status", self.id, &self.agent_status)?,
            problem: read_last_error(self.agent_problem),
            agent_version: self.agent_version,
            version: uncount(self.status_version),
            changed_at: self.status_changed_at.map(Stored::to_jiff),
        })
    }
}

/// A label of one of our own columns. Constraints keep out what no version writes, so an unknown one is a newer one's.
fn label<T: FromStr>(column: &'static str, subject: Uuid, found: &str) -> Result<T> {
    found.parse().map_err(|_| StoreError::UnknownLabel {
        column,
        subject,
        found: found.to_owned(),
    })
}
