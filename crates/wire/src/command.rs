//! What agents are told to do, command version 1, and what came of it, command outcome version 1.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::message::{Refused, message};

/// Something an agent is to do with one server, or with all of a toolbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Command {
    /// Deduplicates: the same id is carried out once.
    pub command_id: Uuid,
    /// Whose agent.
    pub toolbox_id: Uuid,
    /// Which server; absent for a refresh of the whole toolbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_id: Option<Uuid>,
    /// Its container's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What to do.
    pub action: CommandAction,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// After this it is not carried out any more.
    pub deadline: Timestamp,
}

message!(Command, "mcp-status.command.v1");

/// What an agent can be told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CommandAction {
    /// Start the container.
    Start,
    /// Stop it.
    Stop,
    /// Stop, then start it: agents have no verb for both.
    Restart,
    /// Remove it.
    Delete,
    /// Observe now.
    Refresh,
}

impl CommandAction {
    /// The label on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Delete => "delete",
            Self::Refresh => "refresh",
        }
    }
}

impl From<domain::Action> for CommandAction {
    fn from(action: domain::Action) -> Self {
        match action {
            domain::Action::Start => Self::Start,
            domain::Action::Stop => Self::Stop,
            domain::Action::Restart => Self::Restart,
            domain::Action::Delete => Self::Delete,
        }
    }
}

/// What the agent made of a command: that it was carried out, or why not. Whether it had the wanted effect, only an
/// observation tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommandOutcome {
    /// Which command.
    pub command_id: Uuid,
    /// Whose agent.
    pub toolbox_id: Uuid,
    /// Which server.
    pub server_id: Uuid,
    /// What was to be done.
    pub action: CommandAction,
    /// When the agent's last answer was there, by the poller's clock. A report that began later saw its effect.
    pub at: Timestamp,
    /// What it answered.
    pub result: CommandResult,
}

message!(CommandOutcome, "mcp-status.command-outcome.v1");

/// The agent's answer to a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CommandResult {
    /// It did as it was told, or found it done.
    Executed,
    /// It did not, and will not.
    Failed {
        /// Why, for people: what the agent said, sanitised, and what that means.
        message: String,
    },
}

impl CommandOutcome {
    /// The action, where the outcome can be one of a server's command.
    ///
    /// # Errors
    /// [`Refused::Invalid`] for a refresh, which is observed and has no outcome.
    pub fn of_server(&self) -> Result<domain::Action, Refused> {
        match self.action {
            CommandAction::Start => Ok(domain::Action::Start),
            CommandAction::Stop => Ok(domain::Action::Stop),
            CommandAction::Restart => Ok(domain::Action::Restart),
            CommandAction::Delete => Ok(domain::Action::Delete),
            CommandAction::Refresh => Err(Refused::invalid("action", "start, stop, restart or delete")),
        }
    }
}
