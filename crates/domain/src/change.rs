//! What is worth telling others.

use jiff::Timestamp;

use crate::command::Execution;
use crate::id::{AccountId, CommandId, ServerId, ToolboxId};
use crate::labels::labels;
use crate::reason::{LastError, ReasonCode};
use crate::server::Server;
use crate::settle::{Circumstances, settle};
use crate::status::{Health, McpState};
use crate::thresholds::Thresholds;
use crate::toolbox::Toolbox;

labels! {
    /// What brought a change about.
    Cause {
        /// An agent's report.
        Report = "report",
        /// The passing of time without one.
        Age = "age",
        /// The registry: a row appeared, went, or was given an intent by the application.
        Registry = "registry",
        /// Something asked of the server: that it was asked, that the agent refused, that its time was up.
        Command = "command",
        /// An operator: an override that was set or has ended, or monitoring that was stopped or begun.
        Operator = "operator",
    }
}

/// One change to announce, in the order in which they happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A server's state, health, error code or incarnation is another, or it is new.
    Server(Box<ServerChange>),
    /// A server's row is gone; the version is its last.
    Removed {
        /// Which server.
        server: ServerId,
        /// Where it was.
        toolbox: ToolboxId,
        /// Whose it was.
        account: AccountId,
        /// One more than the last announced.
        version: u64,
        /// When.
        at: Timestamp,
    },
    /// A toolbox answers again, or no longer; `version` and `changed_at` are the change's.
    Toolbox(Box<Toolbox>),
}

/// A server before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerChange {
    /// State and health before; `None` for the first announcement.
    pub before: Option<(McpState, Health)>,
    /// All of it, after; `version` and `changed_at` are the change's.
    pub after: Server,
    /// Why now.
    pub cause: Cause,
}

impl Server {
    /// Brings the view in line with the facts at `now` and says what there is to announce, if anything.
    ///
    /// `announced` is the server as it was when it was last announced. A change is another state, health, error
    /// code or container, or the first announcement; a heartbeat alone is none.
    pub(crate) fn announce(
        &mut self,
        announced: &Server,
        around: Circumstances<'_>,
        cause: Cause,
        now: Timestamp,
        thresholds: &Thresholds,
    ) -> Option<ServerChange> {
        let spoken_of = self
            .observation
            .as_ref()
            .and(self.order.map(|order| order.as_of).max(around.whole_as_of));
        self.advance_command(spoken_of, now, thresholds);
        let view = settle(self, around, now, thresholds);
        let at = match (cause, self.order) {
            (Cause::Report, Some(order)) => order.as_of,
            _ => now,
        };
        self.label = view.label;
        self.state = view.state;
        self.health = view.health;
        self.last_error = LastError::carry(self.last_error.take(), view.reason, at);

        let code = |server: &Server| server.last_error.as_ref().map(|error| error.reason.code);
        let same_container = match (&self.container_id, &announced.container_id) {
            (Some(now), Some(then)) => now.same_as(then),
            (now, then) => now == then,
        };
        let same = self.changed_at.is_some()
            && self.state == announced.state
            && self.health == announced.health
            && code(self) == code(announced)
            && same_container;
        // The first observation is a change even when it says what was assumed.
        if same && announced.observation.is_some() == self.observation.is_some() {
            return None;
        }
        let before = self.changed_at.map(|_| (announced.state, announced.health));
        self.version += 1;
        self.changed_at = Some(now);
        Some(ServerChange {
            before,
            after: self.clone(),
            cause,
        })
    }

    /// What the passing of time, or an intent written into the row, makes of a server: the sweep's decision.
    ///
    /// `None`: nothing to write and nothing to say. A command that is over may have to be written with nothing to say.
    pub fn sweep(
        &self,
        around: Circumstances<'_>,
        now: Timestamp,
        thresholds: &Thresholds,
    ) -> Option<(Server, Option<Change>)> {
        let mut after = self.clone();
        let change = after.announce(self, around, Cause::Age, now, thresholds);
        let change = change.map(|mut change| {
            change.cause = after.cause_of_sweep(self);
            Change::Server(Box::new(change))
        });
        (change.is_some() || after.command != self.command).then_some((after, change))
    }

    /// What the agent made of a command, and what that makes of the server. `None`: the command is over already.
    pub fn executed(
        &self,
        id: CommandId,
        execution: &Execution,
        at: Timestamp,
        around: Circumstances<'_>,
        now: Timestamp,
        thresholds: &Thresholds,
    ) -> Option<(Server, Option<Change>)> {
        let mut after = self.clone();
        if !after.take_execution(id, execution, at) {
            return None;
        }
        let change = after.announce(self, around, Cause::Command, now, thresholds);
        Some((after, change.map(|change| Change::Server(Box::new(change)))))
    }

    /// Why a sweep found something to say of this server, which was `before`.
    fn cause_of_sweep(&self, before: &Server) -> Cause {
        let by_operator = |server: &Server| {
            server.last_error.as_ref().is_some_and(|error| {
                matches!(
                    error.reason.code,
                    ReasonCode::OperatorOverride | ReasonCode::NotMonitored
                )
            })
        };
        if before.changed_at.is_none() {
            Cause::Registry
        } else if by_operator(self) || by_operator(before) {
            Cause::Operator
        } else if before.command.is_some() {
            Cause::Command
        } else {
            Cause::Age
        }
    }

    /// The tombstone of this server, should its row go now.
    pub fn removal(&self, now: Timestamp) -> Change {
        Change::Removed {
            server: self.id,
            toolbox: self.toolbox,
            account: self.account,
            version: self.version + 1,
            at: now,
        }
    }
}
