//! What pollers publish: raw report version 1.

use std::time::Duration;

use domain::{
    AgentFailure, ContainerId, ContainerReport, Coverage, InstanceName, InstanceRef, Order, Outcome, Reason,
    ReasonCode, Report, ServerId, Source, StatusText, ToolboxId,
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::message::{Refused, message};

/// One observation of one toolbox with all its containers: the agent's words, not their meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RawReport {
    /// Whose agent. For a heartbeat this comes from the token, never from the body.
    pub toolbox_id: Uuid,
    /// When the poll began or the heartbeat arrived, by the poller's clock (RFC 3339). What order goes by.
    pub as_of: Timestamp,
    /// How it came about.
    pub source: RawSource,
    /// The agent's own clock, as information.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_time: Option<Timestamp>,
    /// The agent's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<String>,
    /// The observer expects its next report of this toolbox within this many seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_within_seconds: Option<u32>,
    /// A poll that was made because a heartbeat did not come: what it finds, the heartbeat should have brought.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub missed_heartbeat: bool,
    /// What was said.
    pub outcome: RawOutcome,
}

message!(RawReport, "mcp-status.raw-report.v1");

/// How an observation came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawSource {
    /// We asked.
    Poll,
    /// The agent told us.
    Heartbeat,
}

/// What an observation brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum RawOutcome {
    /// The agent spoke of its containers.
    Containers {
        /// Whether absence means something.
        coverage: RawCoverage,
        /// What it said of each; at most [`RawReport::MAX_CONTAINERS`].
        containers: Vec<RawContainer>,
    },
    /// The agent is alive and said nothing of any container.
    Alive {
        /// Why, where it said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        problem: Option<RawReason>,
    },
    /// The agent did not answer, or not as the protocol says.
    Failed {
        /// What went wrong.
        reason: RawReason,
        /// Failures in a row, this one included; at least 1.
        failures_in_a_row: u32,
    },
}

/// Whether a list names every container of the toolbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawCoverage {
    /// Every container on the machine: what is absent is gone.
    Whole,
    /// Only what the agent manages: absence says nothing.
    Partial,
}

/// A code of [`domain::ReasonCode`] and a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RawReason {
    /// The code.
    pub code: String,
    /// The sentence; sanitised by whoever takes it.
    pub message: String,
}

impl From<&Reason> for RawReason {
    fn from(reason: &Reason) -> Self {
        Self {
            code: reason.code.to_string(),
            message: reason.message.clone(),
        }
    }
}

/// What an agent said of one container. Everything but the word is optional, because agents differ.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RawContainer {
    /// The instance's id, where the agent knows it; then the names do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_id: Option<Uuid>,
    /// Container names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// The state word as reported, in whatever case.
    pub word: String,
    /// Docker's text for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Docker's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
    /// When it last started, by the agent's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// Whether the kernel ended it for want of memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oom_killed: Option<bool>,
    /// What the agent or Docker said went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Its image, as information.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

impl RawReport {
    /// Most containers taken of one toolbox: a VM runs tens; what claims more is refused, not cut, because a list
    /// that was cut is no longer whole.
    pub const MAX_CONTAINERS: usize = 5_000;
    /// Longest state word taken, in bytes.
    pub const MAX_WORD: usize = 128;

    /// The meaning of a report that was stored at `sequence`.
    ///
    /// # Errors
    /// [`Refused::Invalid`] names the field. One bad container refuses the report: the agent is observed again soon,
    /// and half a list would be a lie.
    pub fn into_report(self, sequence: u64) -> Result<Report, Refused> {
        let outcome = match self.outcome {
            RawOutcome::Containers { coverage, containers } => {
                if containers.len() > Self::MAX_CONTAINERS {
                    return Err(Refused::invalid("outcome.containers", "at most 5000 containers"));
                }
                Outcome::Containers {
                    coverage: match coverage {
                        RawCoverage::Whole => Coverage::Whole,
                        RawCoverage::Partial => Coverage::Partial,
                    },
                    items: containers.into_iter().map(container).collect::<Result<_, _>>()?,
                }
            }
            RawOutcome::Alive { problem } => Outcome::Alive {
                problem: problem
                    .map(|problem| reason(problem, "outcome.problem.code"))
                    .transpose()?,
            },
            RawOutcome::Failed {
                failures_in_a_row: 0, ..
            } => {
                return Err(Refused::invalid("outcome.failuresInARow", "at least 1"));
            }
            RawOutcome::Failed {
                reason: why,
                failures_in_a_row,
            } => Outcome::Failed(AgentFailure {
                reason: reason(why, "outcome.reason.code")?,
                in_a_row: failures_in_a_row,
            }),
        };
        Ok(Report {
            toolbox: ToolboxId(self.toolbox_id),
            order: Order {
                as_of: self.as_of,
                sequence,
            },
            source: match self.source {
                RawSource::Poll => Source::Poll,
                RawSource::Heartbeat => Source::Heartbeat,
            },
            agent_time: self.agent_time,
            agent_version: self.agent_version,
            next_within: self
                .next_within_seconds
                .map(|seconds| Duration::from_secs(seconds.into())),
            outcome,
        })
    }
}

fn reason(raw: RawReason, field: &'static str) -> Result<Reason, Refused> {
    let code: ReasonCode = raw
        .code
        .parse()
        .map_err(|_| Refused::invalid(field, "a known reason code"))?;
    Ok(Reason::new(code, raw.message))
}

fn container(raw: RawContainer) -> Result<ContainerReport, Refused> {
    if raw.word.len() > RawReport::MAX_WORD {
        return Err(Refused::invalid("outcome.containers[].word", "at most 128 bytes"));
    }
    Ok(ContainerReport {
        instance: InstanceRef {
            id: raw.server_id.map(ServerId),
            // A name that no instance can have matches none: it is counted with the unknown containers.
            names: raw
                .names
                .iter()
                .filter_map(|name| InstanceName::new(name))
                .collect(),
        },
        word: raw.word,
        text: raw.text.as_deref().map(StatusText::parse),
        container_id: raw.container_id.as_deref().and_then(ContainerId::new),
        started_at: raw.started_at,
        exit_code: raw.exit_code,
        oom_killed: raw.oom_killed,
        error: raw.error,
    })
}
