//! One report of one toolbox: what its agent said, or that it said nothing.

use std::time::Duration;

use jiff::Timestamp;

use crate::docker::{DockerHealth, StatusText};
use crate::id::{ContainerId, InstanceName, ServerId, ToolboxId};
use crate::labels::labels;
use crate::order::Order;
use crate::reason::Reason;

labels! {
    /// How the report came about.
    Source {
        /// We asked.
        Poll = "poll",
        /// The agent told us.
        Heartbeat = "heartbeat",
    }
}

/// One observation of one toolbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Whose agent. For a heartbeat this comes from the token it bore, never from its body.
    pub toolbox: ToolboxId,
    /// Its place among all reports.
    pub order: Order,
    /// Poll or heartbeat.
    pub source: Source,
    /// The agent's own clock, where it told it; used only to translate the agent's other instants into ours.
    pub agent_time: Option<Timestamp>,
    /// The agent's version, where it told it.
    pub agent_version: Option<String>,
    /// The observer expects its next report of this toolbox within this time.
    pub next_within: Option<Duration>,
    /// What was said.
    pub outcome: Outcome,
}

/// What an observation brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The agent spoke of its containers.
    Containers {
        /// Whether the absence of a container means something.
        coverage: Coverage,
        /// What it said of each.
        items: Vec<ContainerReport>,
    },
    /// The agent is alive and said nothing of any container: an empty heartbeat, or its Docker is away.
    Alive {
        /// Why it could not speak of containers, where it said so.
        problem: Option<Reason>,
    },
    /// The agent did not answer, or not as the protocol says.
    Failed(AgentFailure),
}

labels! {
    /// Whether a list names every container of the toolbox.
    Coverage {
        /// Every container on the machine: what is absent is gone.
        Whole = "whole",
        /// Only what the agent itself manages: absence says nothing.
        Partial = "partial",
    }
}

/// A failed poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentFailure {
    /// What went wrong.
    pub reason: Reason,
    /// Failures in a row, this one included (at least 1). Counted by the observer, so that the newest report
    /// alone says how bad it is and no report needs another to be understood.
    pub in_a_row: u32,
}

/// Which instance an item speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InstanceRef {
    /// The id, where the agent knows it; then the names do not count.
    pub id: Option<ServerId>,
    /// Container names, else.
    pub names: Vec<InstanceName>,
}

/// What an agent said of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerReport {
    /// Which one.
    pub instance: InstanceRef,
    /// The state word as reported, in whatever case.
    pub word: String,
    /// Docker's text for people, where the agent passes it on.
    pub text: Option<StatusText>,
    /// Its incarnation.
    pub container_id: Option<ContainerId>,
    /// When it last started, by the agent's clock.
    pub started_at: Option<Timestamp>,
    /// How it ended, where it did.
    pub exit_code: Option<i64>,
    /// Whether the kernel ended it for want of memory; `None`: not told.
    pub oom_killed: Option<bool>,
    /// What the agent or Docker said went wrong.
    pub error: Option<String>,
}

impl ContainerReport {
    /// A report that says only the word; the rest can be filled in.
    pub fn of(instance: InstanceRef, word: impl Into<String>) -> Self {
        Self {
            instance,
            word: word.into(),
            text: None,
            container_id: None,
            started_at: None,
            exit_code: None,
            oom_killed: None,
            error: None,
        }
    }

    /// The exit code from whichever place told it.
    pub(crate) fn exit_code(&self) -> Option<i64> {
        self.exit_code
            .or(self.text.as_ref().and_then(|text| text.exit_code))
    }

    /// What Docker's health check says; `None` where this report cannot tell.
    pub(crate) fn docker_health(&self) -> Option<DockerHealth> {
        self.text.as_ref().and_then(|text| text.health)
    }
}
