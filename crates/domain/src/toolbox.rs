//! One toolbox: whether its agent answers.

use jiff::Timestamp;

use crate::id::{AccountId, ToolboxId};
use crate::labels::labels;
use crate::order::Order;
use crate::reason::{LastError, ReasonCode, sanitise};
use crate::report::{Outcome, Report};
use crate::time::plus;

labels! {
    /// Whether a toolbox's agent answers.
    AgentStatus {
        /// Nothing was ever heard, and not enough was tried.
        Unseen = "unseen",
        /// It answers.
        Active = "active",
        /// It failed [`Toolbox::FAILURES`] times in a row.
        Unresponsive = "unresponsive",
    }
}

/// A toolbox as its row has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolbox {
    /// Which one.
    pub id: ToolboxId,
    /// Whose it is.
    pub account: AccountId,
    /// The name people gave it.
    pub name: String,
    /// The newest report of any kind.
    pub order: Option<Order>,
    /// The newest report that listed all containers: for every server of the toolbox, older ones are stale.
    pub whole_order: Option<Order>,
    /// When the agent last gave a sign of life.
    pub heard_at: Option<Timestamp>,
    /// By when the observer expected to report again.
    pub expected_by: Option<Timestamp>,
    /// Whether it answers, as last announced.
    pub status: AgentStatus,
    /// What is wrong with it, as last announced.
    pub problem: Option<LastError>,
    /// The agent's version, as last heard.
    pub agent_version: Option<String>,
    /// Number of the last change announced under this id; 0 where there was none.
    pub version: u64,
    /// When that was decided; `None` until this row has been announced.
    pub changed_at: Option<Timestamp>,
}

impl Toolbox {
    /// This many failed polls in a row make a toolbox unresponsive: one is a hiccup.
    pub const FAILURES: u32 = 2;
    /// Longest agent version kept, in characters.
    const MAX_VERSION: usize = 64;

    /// A toolbox nobody has reported on yet.
    pub fn new(id: ToolboxId, account: AccountId, name: impl Into<String>) -> Self {
        Self {
            id,
            account,
            name: name.into(),
            order: None,
            whole_order: None,
            heard_at: None,
            expected_by: None,
            status: AgentStatus::Unseen,
            problem: None,
            agent_version: None,
            version: 0,
            changed_at: None,
        }
    }

    /// Takes over what a report says of the agent itself. `false`: the report is older than another that was taken.
    pub(crate) fn observe(&mut self, report: &Report) -> bool {
        let as_of = report.order.as_of;
        if !matches!(report.outcome, Outcome::Failed(_)) {
            self.heard_at = self.heard_at.max(Some(as_of));
        }
        if !report.order.is_newer_than(self.order) {
            return false;
        }
        self.order = Some(report.order);
        self.expected_by = report.next_within.map(|within| plus(as_of, within));
        if let Some(version) = &report.agent_version {
            self.agent_version = Some(sanitise(version).chars().take(Self::MAX_VERSION).collect());
        }
        let problem = match &report.outcome {
            Outcome::Failed(failure) if failure.in_a_row < Self::FAILURES => return true,
            Outcome::Failed(failure) => {
                self.status = AgentStatus::Unresponsive;
                Some(failure.reason.clone())
            }
            Outcome::Alive { problem: None } => {
                self.status = AgentStatus::Active;
                // An empty heartbeat says nothing of Docker either.
                self.problem
                    .as_ref()
                    .map(|known| known.reason.clone())
                    .filter(|known| known.code == ReasonCode::DockerUnavailable)
            }
            Outcome::Alive { problem } => {
                self.status = AgentStatus::Active;
                problem.clone()
            }
            Outcome::Containers { .. } => {
                self.status = AgentStatus::Active;
                None
            }
        };
        self.problem = LastError::carry(self.problem.take(), problem, as_of);
        true
    }

    /// Whether `self` differs from `before` in what others are told.
    pub(crate) fn changed_since(&self, before: &Self) -> bool {
        let code = |toolbox: &Self| toolbox.problem.as_ref().map(|problem| problem.reason.code);
        self.status != before.status || code(self) != code(before)
    }
}
