//! What subscribers get: status events, version 1.

use domain::{Change, Health, McpState, Server, Toolbox};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::command::CommandAction;
use crate::message::message;

/// Every message on `mcp.status.v1.{account}.{server}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every event is a status; boxing it would serve the rare tombstone"
)]
pub enum StatusEvent {
    /// The server's state, health, error or container changed, or it is new.
    Status(ServerStatus),
    /// The server is gone. Stays for seven days as the last message of its subject.
    Deleted(Tombstone),
}

message!(StatusEvent, "mcp-status.server-status.v1");

/// A server's status, whole: a subscriber needs no earlier message to understand it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerStatus {
    /// Which server.
    pub server_id: Uuid,
    /// Where it runs.
    pub toolbox_id: Uuid,
    /// Whose it is.
    pub account_id: Uuid,
    /// Its container's name.
    pub name: String,
    /// Rises by one with each change of this server. Drop what is not newer than what you have.
    pub version: u64,
    /// `running`, `stopped`, `starting`, `stopping`, `error` or `unknown`.
    pub state: String,
    /// `healthy`, `degraded`, `unhealthy` or `unknown`.
    pub health: String,
    /// Seconds since it started, at `changedAt`; only while running. Derive the present one from `lastStarted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime: Option<u64>,
    /// When its container last started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_started: Option<Timestamp>,
    /// Why the state is what it is, where people will ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<LastError>,
    /// The database's label (`status_on_toolbox`).
    pub status_on_toolbox: String,
    /// The incarnation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
    /// How old the knowledge is: when the report it rests on was observed. Absent: never observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
    /// When the change was decided.
    pub changed_at: Timestamp,
    /// What it was before; absent for the first event, and for one that was rebuilt from the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Previous>,
    /// `report`, `age`, `registry`, `command` or `operator`; absent for an event that was rebuilt from the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// `false`: nobody has it watched, and it is not known what becomes of it.
    #[serde(default = "watched", skip_serializing_if = "is_watched")]
    pub monitored: bool,
    /// The command that is being carried out, which is why the state is a transitional one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandUnderWay>,
    /// State and health are an operator's word and not observed; until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub override_until: Option<Timestamp>,
}

fn watched() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls it with")]
fn is_watched(value: &bool) -> bool {
    *value
}

/// A command that is being carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommandUnderWay {
    /// Which one.
    pub command_id: Uuid,
    /// What is being done.
    pub action: CommandAction,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// By when it must have had its effect.
    pub deadline: Timestamp,
}

/// State and health before a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Previous {
    /// The state.
    pub state: String,
    /// The health.
    pub health: String,
}

/// Why, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct LastError {
    /// What programs branch on.
    pub code: String,
    /// What people read. Plain text, never markup.
    pub message: String,
    /// Since when this code has been the reason.
    pub at: Timestamp,
}

impl From<&domain::LastError> for LastError {
    fn from(error: &domain::LastError) -> Self {
        Self {
            code: error.reason.code.to_string(),
            message: error.reason.message.clone(),
            at: error.at,
        }
    }
}

/// The last message of a server that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tombstone {
    /// Which server.
    pub server_id: Uuid,
    /// Where it was.
    pub toolbox_id: Uuid,
    /// Whose it was.
    pub account_id: Uuid,
    /// One more than its last.
    pub version: u64,
    /// When it was noticed.
    pub changed_at: Timestamp,
}

/// Every message on `toolbox.status.v1.{account}.{toolbox}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ToolboxEvent {
    /// Which toolbox.
    pub toolbox_id: Uuid,
    /// Whose it is.
    pub account_id: Uuid,
    /// Its name.
    pub name: String,
    /// Rises by one with each change of this toolbox.
    pub version: u64,
    /// `unseen`, `active` or `unresponsive`.
    pub status: String,
    /// What is wrong with its agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<LastError>,
    /// The agent's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<String>,
    /// When the agent last gave a sign of life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_heartbeat: Option<Timestamp>,
    /// When the change was decided.
    pub changed_at: Timestamp,
}

message!(ToolboxEvent, "mcp-status.toolbox-status.v1");

impl StatusEvent {
    /// The server it speaks of.
    pub fn server_id(&self) -> Uuid {
        match self {
            Self::Status(status) => status.server_id,
            Self::Deleted(tombstone) => tombstone.server_id,
        }
    }

    /// The version it carries.
    pub fn version(&self) -> u64 {
        match self {
            Self::Status(status) => status.version,
            Self::Deleted(tombstone) => tombstone.version,
        }
    }

    /// The event of a server as it stands, for rebuilding the stream; `None` where it was never announced.
    pub fn standing(server: &Server) -> Option<Self> {
        Some(Self::Status(ServerStatus::of(server, server.changed_at?)))
    }

    /// The event of a change; `None` for a change of a toolbox.
    pub fn of(change: &Change) -> Option<Self> {
        match change {
            Change::Server(change) => {
                let mut status = ServerStatus::of(&change.after, change.after.changed_at?);
                status.previous = change.before.map(previous);
                status.cause = Some(change.cause.to_string());
                Some(Self::Status(status))
            }
            Change::Removed {
                server,
                toolbox,
                account,
                version,
                at,
            } => Some(Self::Deleted(Tombstone {
                server_id: server.0,
                toolbox_id: toolbox.0,
                account_id: account.0,
                version: *version,
                changed_at: *at,
            })),
            Change::Toolbox(_) => None,
        }
    }
}

fn previous((state, health): (McpState, Health)) -> Previous {
    Previous {
        state: state.to_string(),
        health: health.to_string(),
    }
}

impl ServerStatus {
    fn of(server: &Server, changed_at: Timestamp) -> Self {
        Self {
            server_id: server.id.0,
            toolbox_id: server.toolbox.0,
            account_id: server.account.0,
            name: server.name.to_string(),
            version: server.version,
            state: server.state.to_string(),
            health: server.health.to_string(),
            uptime: domain::uptime(server.state, server.last_started_at, changed_at).map(|up| up.as_secs()),
            last_started: server.last_started_at,
            last_error: server.last_error.as_ref().map(LastError::from),
            status_on_toolbox: server.label.to_string(),
            container_id: server.container_id.as_ref().map(ToString::to_string),
            as_of: server.order.map(|order| order.as_of),
            changed_at,
            previous: None,
            cause: None,
            monitored: server.monitored,
            command: server.command_under_way().map(|command| CommandUnderWay {
                command_id: command.id.0,
                action: command.action.into(),
                requested_at: command.requested_at,
                deadline: command.deadline,
            }),
            override_until: server.override_in_force(changed_at).map(|word| word.until),
        }
    }
}

impl ToolboxEvent {
    /// The event of a toolbox as it stands; `None` where it was never announced.
    pub fn of(toolbox: &Toolbox) -> Option<Self> {
        Some(Self {
            toolbox_id: toolbox.id.0,
            account_id: toolbox.account.0,
            name: toolbox.name.clone(),
            version: toolbox.version,
            status: toolbox.status.to_string(),
            problem: toolbox.problem.as_ref().map(LastError::from),
            agent_version: toolbox.agent_version.clone(),
            last_heartbeat: toolbox.heard_at,
            changed_at: toolbox.changed_at?,
        })
    }
}
