//! What is asked for, what is answered, and what is kept of it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::{HealthLabel, Server, StateLabel, whole};

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CommandKind {
    /// Start a server's container.
    Start,
    /// Stop it.
    Stop,
    /// Stop and start it.
    Restart,
    /// Remove it, and the server with it.
    Delete,
    /// Observe now.
    Refresh,
    /// Watch a server.
    Monitor,
    /// No longer watch it.
    Unmonitor,
    /// Say what its status is, for a while.
    Override,
    /// Show again what is observed.
    ClearOverride,
    /// Something was put into the registry.
    Register,
    /// Something in the registry was changed.
    Change,
    /// Something was taken out of the registry.
    Unregister,
}

impl CommandKind {
    /// Every value.
    pub const ALL: [Self; 12] = [
        Self::Start,
        Self::Stop,
        Self::Restart,
        Self::Delete,
        Self::Refresh,
        Self::Monitor,
        Self::Unmonitor,
        Self::Override,
        Self::ClearOverride,
        Self::Register,
        Self::Change,
        Self::Unregister,
    ];

    /// The label, in the database too.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Delete => "delete",
            Self::Refresh => "refresh",
            Self::Monitor => "monitor",
            Self::Unmonitor => "unmonitor",
            Self::Override => "override",
            Self::ClearOverride => "clear_override",
            Self::Register => "register",
            Self::Change => "change",
            Self::Unregister => "unregister",
        }
    }

    /// Reads a label.
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == label)
    }
}

/// How far a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CommandOutcomeLabel {
    /// It is being carried out.
    UnderWay,
    /// It had its effect.
    Succeeded,
    /// It was refused, or something else came of it.
    Failed,
    /// Its deadline passed before it had its effect.
    Expired,
    /// It was taken back before anybody could carry it out.
    Withdrawn,
}

impl CommandOutcomeLabel {
    /// Every value.
    pub const ALL: [Self; 5] = [
        Self::UnderWay,
        Self::Succeeded,
        Self::Failed,
        Self::Expired,
        Self::Withdrawn,
    ];

    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnderWay => "under_way",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Reads a label.
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == label)
    }
}

/// What is kept of a command: who asked for what, when, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommandRecord {
    /// Which one.
    pub command_id: Uuid,
    /// What was asked for.
    pub kind: CommandKind,
    /// Of which server; absent where it was not of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_id: Option<Uuid>,
    /// On which toolbox; absent for a refresh of everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub toolbox_id: Option<Uuid>,
    /// Whose they are; absent for a refresh of everything by somebody who sees all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<Uuid>,
    /// By whom: the subject of the token, or `service_role`.
    pub requested_by: String,
    /// When.
    pub requested_at: Timestamp,
    /// By when it must have had its effect, where an agent is to do it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// How far it is.
    pub outcome: CommandOutcomeLabel,
    /// Why it did not succeed, or what exactly was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When that was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
}

/// Commands, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CommandPage {
    /// The commands of this page.
    pub items: Vec<CommandRecord>,
    /// Ask for older ones with this as `cursor`; absent after the oldest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The answer to a command that was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Accepted {
    /// What was accepted, and how far it is.
    pub command: CommandRecord,
    /// The server as it is shown now; absent where it was not of one server, or the server is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Server>,
}

/// What an operator says of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OverrideRequest {
    /// The state to show.
    pub state: StateLabel,
    /// The health to show; `unknown` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthLabel>,
    /// Why, for everybody who sees it: 1 to 300 characters.
    #[schema(
        min_length = 1,
        max_length = 300,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f][^\\x00-\\x1f\\x7f-\\x9f]*$"
    )]
    pub message: String,
    /// For how many seconds, 10 to 604,800 (a week).
    #[schema(minimum = 10, maximum = 604_800)]
    #[serde(deserialize_with = "whole::read")]
    pub expires_in: u32,
}

/// An RFC 9457 problem document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// What kind of problem, as a URI; `about:blank` where the status says it all.
    pub r#type: String,
    /// The kind, for people.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// This occurrence, for people.
    pub detail: String,
    /// The field or parameter that was not right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The command that stands in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_id: Option<Uuid>,
    /// The request's id, to find it in the log by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}
