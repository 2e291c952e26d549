//! What people asked of a server, for as long as it has a say in what is seen of it.
//!
//! ```text
//!  accepted ─► under way ─┬─ the agent did it, and a later report shows the effect ─► succeeded, closed
//!   (starting, stopping)  ├─ a later report shows something else for good ──────────► failed, closed: the report speaks
//!                         ├─ the agent refused ─► failed ──┐
//!                         └─ the deadline passed ► expired ┴─► error, command_failed ─ for a while, or till it changes ─► closed
//! ```

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::id::CommandId;
use crate::labels::labels;
use crate::reason::{Reason, ReasonCode, sanitise};
use crate::server::{Observation, Server};
use crate::status::{DtmaStatus, StatusOnToolbox, label_for};
use crate::thresholds::Thresholds;
use crate::time::age;

labels! {
    /// What an agent can be asked to do with a server.
    Action {
        /// Start its container.
        Start = "start",
        /// Stop it.
        Stop = "stop",
        /// Stop and start it.
        Restart = "restart",
        /// Remove it; the row goes when it is gone.
        Delete = "delete",
    }
}

labels! {
    /// How a command ended.
    CommandEnd {
        /// It had its effect.
        Succeeded = "succeeded",
        /// The agent refused it, or it was carried out and something else came of it.
        Failed = "failed",
        /// Its deadline passed before it had its effect.
        Expired = "expired",
    }
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Which one.
    pub id: CommandId,
    /// What is to be done.
    pub action: Action,
    /// When it was accepted.
    pub requested_at: Timestamp,
    /// By when it must have had its effect.
    pub deadline: Timestamp,
    /// When the agent said that it did as it was told. Only what is observed later can show the effect.
    pub executed_at: Option<Timestamp>,
    /// How it ended; `None` while it is under way.
    pub ended: Option<Ended>,
    /// Whether it no longer has a say in what people see.
    pub closed: bool,
}

/// The end of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// When it was known.
    pub at: Timestamp,
    /// How.
    pub end: CommandEnd,
    /// Why, where it did not succeed; made safe to show.
    pub message: Option<String>,
}

/// What an agent made of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Execution {
    /// It did as it was told, or found it done.
    Done,
    /// It did not, and will not; the text may come from the agent.
    Refused(String),
}

/// A container that is not up this long after its agent started it has ended again, and is not on its way. Docker starts
/// within the request; this leaves room for an agent that answers from a list it made a moment before.
const SETTLES: Duration = Duration::from_secs(15);

impl Server {
    /// The command that is being carried out, if any.
    pub fn command_under_way(&self) -> Option<&Command> {
        self.command.as_ref().filter(|command| command.ended.is_none())
    }

    /// The command that failed and is shown as the reason of an error, if any.
    pub(crate) fn command_shown_failed(&self) -> Option<(&Command, &Ended)> {
        let command = self.command.as_ref().filter(|command| !command.closed)?;
        Some((command, command.ended.as_ref()?))
    }

    /// Takes over what the agent made of the command `id`, known at `at`. `false`: no such command is under way any
    /// more, and nothing changed.
    pub fn take_execution(&mut self, id: CommandId, execution: &Execution, at: Timestamp) -> bool {
        let Some(command) = self.command.as_mut() else {
            return false;
        };
        if command.id != id || command.ended.is_some() {
            return false;
        }
        match execution {
            Execution::Done => command.executed_at = Some(at),
            Execution::Refused(message) => {
                command.ended = Some(Ended {
                    at,
                    end: CommandEnd::Failed,
                    message: Some(sanitise(message)),
                });
            }
        }
        true
    }

    /// Moves the command on by what is known at `now`; `spoken_of` is when the newest report was made that says something
    /// of this server. Whether anything changed.
    pub(crate) fn advance_command(
        &mut self,
        spoken_of: Option<Timestamp>,
        now: Timestamp,
        thresholds: &Thresholds,
    ) -> bool {
        let Some(command) = self.command.as_mut().filter(|command| !command.closed) else {
            return false;
        };
        let seen = self.observation.as_ref();
        match &command.ended {
            None => {
                let Some((ended, closed)) =
                    effect(command, seen, spoken_of).or_else(|| overdue(command, seen, now))
                else {
                    return false;
                };
                command.ended = Some(ended);
                command.closed = closed;
            }
            Some(ended) => {
                let moved_on = seen.is_some_and(|seen| seen.since > ended.at);
                if !moved_on && age(now, ended.at) <= thresholds.command_error_for {
                    return false;
                }
                command.closed = true;
            }
        }
        if command.closed {
            // The label was the command's; from now on it is again what was observed.
            self.label = match seen {
                Some(seen) => label_for(seen.status, &self.label, self.desired, true),
                None => StatusOnToolbox::PendingInstall,
            };
        }
        true
    }
}

/// The end that a report brings: made after the agent carried the command out, it shows what came of it. And whether the
/// command is closed with it.
fn effect(
    command: &Command,
    seen: Option<&Observation>,
    spoken_of: Option<Timestamp>,
) -> Option<(Ended, bool)> {
    let (executed_at, seen, at) = (command.executed_at?, seen?, spoken_of?);
    if at <= executed_at {
        return None;
    }
    let failed = |what: &str| Ended {
        at,
        end: CommandEnd::Failed,
        message: Some(match &seen.reason {
            Some(reason) => format!("{what}: {}", reason.message),
            None => what.to_owned(),
        }),
    };
    let settled = seen.since > executed_at || age(at, executed_at) > SETTLES;
    let ended = match (command.action, seen.status) {
        (Action::Start | Action::Restart, DtmaStatus::Running) | (Action::Stop, DtmaStatus::Exited) => {
            Ended {
                at,
                end: CommandEnd::Succeeded,
                message: None,
            }
        }
        (Action::Start | Action::Restart, DtmaStatus::Exited) if settled => {
            failed("the container was started and has ended again")
        }
        (Action::Start | Action::Restart, DtmaStatus::Error) if settled => {
            failed("the container was started and is in error")
        }
        (Action::Stop, DtmaStatus::Error) if settled => failed("the container was stopped and is in error"),
        // That a deleted container is gone is told by its absence, and ends the row.
        _ => return None,
    };
    Some((ended, true))
}

/// The end that the deadline brings, and whether the command is closed with it.
fn overdue(command: &Command, seen: Option<&Observation>, now: Timestamp) -> Option<(Ended, bool)> {
    if now <= command.deadline {
        return None;
    }
    let limit = command.deadline.duration_since(command.requested_at);
    let limit = SignedDuration::from_secs(limit.as_secs());
    let on_its_way = match command.action {
        Action::Start | Action::Restart => DtmaStatus::Starting,
        Action::Stop | Action::Delete => DtmaStatus::Stopping,
    };
    // What is still on its way when its time is up is what is observed, and that is what is shown.
    let observed = command.executed_at.is_some() && seen.is_some_and(|seen| seen.status == on_its_way);
    let message = match (command.executed_at, observed) {
        (None, _) => format!("nobody carried it out within {limit:#}"),
        (Some(_), true) => format!("it was carried out and is still on its way after {limit:#}"),
        (Some(_), false) => format!("it was carried out and had no effect within {limit:#}"),
    };
    let ended = Ended {
        // Not before what was seen last, should the observer's clock be ahead: that is nothing new.
        at: seen.map_or(now, |seen| seen.since.max(now)),
        end: CommandEnd::Expired,
        message: Some(message),
    };
    Some((ended, observed))
}

impl Action {
    /// What the row is labelled while this is under way.
    pub(crate) fn label_under_way(self) -> StatusOnToolbox {
        match self {
            Self::Start | Self::Restart => StatusOnToolbox::Starting,
            Self::Stop => StatusOnToolbox::Stopping,
            Self::Delete => StatusOnToolbox::PendingDelete,
        }
    }

    /// What it is labelled once this has failed.
    pub(crate) fn label_failed(self) -> StatusOnToolbox {
        match self {
            Self::Start | Self::Restart => StatusOnToolbox::ErrorStarting,
            Self::Stop | Self::Delete => StatusOnToolbox::ErrorStopping,
        }
    }
}

impl Ended {
    /// Why the server is in error.
    pub(crate) fn reason(&self, action: Action) -> Reason {
        let why = self.message.as_deref().unwrap_or("no reason was given");
        Reason::new(ReasonCode::CommandFailed, format!("{action} failed: {why}"))
    }
}
