//! Toolboxes, servers and connections, as they are asked for, made and changed.

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::LastError;
use crate::api::{HealthLabel, Server, StateLabel, label};

label! {
    /// Whether a toolbox's agent answers.
    ToolboxLabel = domain::AgentStatus {
        /// Nothing was ever heard of it.
        Unseen,
        /// It answers.
        Active,
        /// It does not.
        Unresponsive,
    }
}

/// A toolbox, as far as it may be shown: its token never is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Toolbox {
    /// Which one.
    pub toolbox_id: Uuid,
    /// Whose it is.
    pub account_id: Uuid,
    /// The name people gave it.
    pub name: String,
    /// Whether its agent answers.
    pub status: ToolboxLabel,
    /// What is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<LastError>,
    /// The agent's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<String>,
    /// When the agent last gave a sign of life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_heartbeat: Option<Timestamp>,
    /// How old that is now, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<u64>,
    /// Where its agent is reached, where that was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// Its address, which the agent is reached at when there is no base URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_ip_address: Option<String>,
    /// Whether it has a token of its own.
    pub has_token: bool,
    /// Its servers, in the order of their ids; absent in a list of toolboxes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub servers: Option<Vec<Server>>,
    /// The database or the bus is away: this is the last that was known.
    pub stale: bool,
}

/// Toolboxes, in the order of their ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ToolboxPage {
    /// The toolboxes of this page.
    pub items: Vec<Toolbox>,
    /// Ask for the next page with this as `cursor`; absent after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The database or the bus is away: this is the last that was known.
    pub stale: bool,
}

/// A toolbox to register.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewToolbox {
    /// Which one; made up where it is not given.
    pub toolbox_id: Option<Uuid>,
    /// Whose it is: the caller's, where it is not given. Only who sees all may name another.
    pub account_id: Option<Uuid>,
    /// A name for people, 1 to 200 characters.
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f][^\\x00-\\x1f\\x7f-\\x9f]*$"
    )]
    pub name: String,
    /// Where its agent is reached: an http or https URL without user, query and fragment.
    #[schema(max_length = 2000, pattern = "^[Hh][Tt][Tt][Pp][Ss]?:[^\\s?#]+$")]
    pub base_url: Option<String>,
    /// Its address, where there is no base URL: an IP address or a host name.
    #[schema(min_length = 1, max_length = 253, pattern = "^[A-Za-z0-9.:-]+$")]
    pub public_ip_address: Option<String>,
    /// Its agent's own token, 16 to 1024 printable characters without blanks. Never shown again.
    #[schema(value_type = Option<String>, write_only, min_length = 16, max_length = 1024,
        pattern = "^[!-~]+$")]
    pub token: Option<SecretString>,
}

/// What is to change of a toolbox; what is absent stays.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ToolboxChange {
    /// A name for people, 1 to 200 characters.
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f][^\\x00-\\x1f\\x7f-\\x9f]*$"
    )]
    pub name: Option<String>,
    /// Where its agent is reached; empty: no longer here.
    #[schema(max_length = 2000, pattern = "^([Hh][Tt][Tt][Pp][Ss]?:[^\\s?#]+)?$")]
    pub base_url: Option<String>,
    /// Its address; empty: no longer here.
    #[schema(max_length = 253, pattern = "^[A-Za-z0-9.:-]*$")]
    pub public_ip_address: Option<String>,
    /// Its agent's own token, 16 to 1024 printable characters without blanks. Never shown again.
    #[schema(value_type = Option<String>, write_only, min_length = 16, max_length = 1024,
        pattern = "^[!-~]+$")]
    pub token: Option<SecretString>,
}

/// A server to register.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewServer {
    /// Which one; made up where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_id: Option<Uuid>,
    /// On which toolbox; it must be registered.
    pub toolbox_id: Uuid,
    /// Its container's name there, 1 to 255 bytes without control characters.
    #[schema(
        min_length = 1,
        max_length = 255,
        pattern = "^[^\\s/\\x00-\\x1f\\x7f-\\x9f]([^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f])?$"
    )]
    pub name: String,
    /// Whether to watch it; yes, where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitored: Option<bool>,
}

/// What is to change of a server; what is absent stays.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServerChange {
    /// Its container's name, 1 to 255 bytes without control characters.
    #[schema(
        min_length = 1,
        max_length = 255,
        pattern = "^[^\\s/\\x00-\\x1f\\x7f-\\x9f]([^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f])?$"
    )]
    pub name: Option<String>,
}

/// An agent's connection to a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// Which one.
    pub connection_id: Uuid,
    /// Which agent.
    pub agent_id: Uuid,
    /// Whose agent it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<Uuid>,
    /// To which server.
    pub server_id: Uuid,
    /// Whether it is in force.
    pub active: bool,
}

/// Connections, in the order of their ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConnectionPage {
    /// The connections of this page.
    pub items: Vec<Connection>,
    /// Ask for the next page with this as `cursor`; absent after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A connection to register.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewConnection {
    /// Which one; made up where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_id: Option<Uuid>,
    /// Which agent.
    pub agent_id: Uuid,
    /// Whose agent it is: the caller's, where it is not given. The server's owner lets him see the server by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<Uuid>,
    /// To which server.
    pub server_id: Uuid,
    /// Whether it is in force; yes, where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
}

/// What is to change of a connection.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConnectionChange {
    /// Whether it is in force.
    pub active: bool,
}

/// Whether an agent can use a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionLabel {
    /// The server is running and the connection is in force.
    Connected,
    /// One of the two is not so.
    Disconnected,
}

/// The status of an agent's connection to a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionStatus {
    /// Which one.
    pub connection_id: Uuid,
    /// Which agent.
    pub agent_id: Uuid,
    /// To which server.
    pub server_id: Uuid,
    /// Whether the agent can use the server.
    pub status: ConnectionLabel,
    /// Why it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The server's state.
    pub server_status: StateLabel,
    /// The server's health.
    pub health: HealthLabel,
    /// When what is known of the server was observed; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_checked: Option<Timestamp>,
    /// Seconds since the server started; only while it is running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime: Option<u64>,
    /// The database or the bus is away: this is the last that was known.
    pub stale: bool,
}
