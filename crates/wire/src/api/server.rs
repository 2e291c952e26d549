//! A server's status, and how it came to it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::label;
use crate::{CommandUnderWay, LastError};

label! {
    /// What people see of a server.
    StateLabel = domain::McpState {
        /// Up.
        Running,
        /// Down.
        Stopped,
        /// On its way up.
        Starting,
        /// On its way down, or being deleted.
        Stopping,
        /// Failed.
        Error,
        /// Not known.
        Unknown,
    }
}

label! {
    /// How far the state can be relied on.
    HealthLabel = domain::Health {
        /// Running, and heard of lately.
        Healthy,
        /// Running, but the knowledge is getting old, or its own health check has not passed yet.
        Degraded,
        /// Failed, failing its health check, or not heard of for too long.
        Unhealthy,
        /// Nothing can be said.
        Unknown,
    }
}

/// A server's status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Server {
    /// Which server.
    pub server_id: Uuid,
    /// Where it runs.
    pub toolbox_id: Uuid,
    /// Whose it is.
    pub account_id: Uuid,
    /// Its container's name.
    pub name: String,
    /// What it does.
    pub state: StateLabel,
    /// How far that can be relied on.
    pub health: HealthLabel,
    /// Seconds since it started; only while running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime: Option<u64>,
    /// When its container last started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_started: Option<Timestamp>,
    /// Why the state or health is what it is, where people will ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<LastError>,
    /// The database's label (`status_on_toolbox`).
    pub status_on_toolbox: String,
    /// The incarnation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
    /// Whether anybody has it watched.
    pub monitored: bool,
    /// The command that is being carried out, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandUnderWay>,
    /// The operator's word that state and health are, if they are not observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#override: Option<Override>,
    /// When what is known of it was observed; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
    /// How old that is now, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<u64>,
    /// When state, health or reason last changed; absent: nothing was announced of it yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<Timestamp>,
    /// Rises with each change.
    pub version: u64,
    /// The database or the bus is away: this is the last that was known, and may have changed since.
    pub stale: bool,
}

/// An operator's word that is shown in place of what is observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Override {
    /// Until when it stands.
    pub until: Timestamp,
}

/// Servers, in the order of their ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServerPage {
    /// The servers of this page.
    pub items: Vec<Server>,
    /// Ask for the next page with this as `cursor`; absent after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The database or the bus is away: this is the last that was known.
    pub stale: bool,
}

/// The changes of a server, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct History {
    /// The changes of this page.
    pub items: Vec<HistoryEntry>,
    /// Ask for older ones with this as `cursor`; absent after the oldest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The database is away: only the newest change is known.
    pub stale: bool,
}

/// One change of a server, and how long it lasted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// Its number.
    pub version: u64,
    /// When.
    pub at: Timestamp,
    /// How long until the next change, or until now, in seconds.
    pub duration: u64,
    /// State from then on; absent: the server was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StateLabel>,
    /// Health from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthLabel>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<LastError>,
    /// What brought it about: `report`, `age`, `registry`, `command` or `operator`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// When the report it rests on was observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
}
