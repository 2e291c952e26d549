//! The body of a poll schedule, which arrives again with each due message.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::message::message;

/// What the next poll must know. An empty body, as a forced refresh may have, is the default plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PollPlan {
    /// Period of the schedule in seconds, at least 1.
    pub every_seconds: u32,
    /// Polls that failed in a row so far.
    #[serde(default)]
    pub failures: u32,
    /// The next poll is the dead-man's switch: made only when a heartbeat that is expected does not come.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dead_man: bool,
    /// Which status route the agent was found to serve: `tools` or `status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<String>,
}

message!(PollPlan, "mcp-status.poll-plan.v1");

impl From<domain::PollPlan> for PollPlan {
    fn from(plan: domain::PollPlan) -> Self {
        Self {
            every_seconds: u32::try_from(plan.every.as_secs()).unwrap_or(u32::MAX).max(1),
            failures: plan.failures,
            dead_man: plan.dead_man,
            dialect: plan.dialect.map(|dialect| dialect.to_string()),
        }
    }
}

impl From<PollPlan> for domain::PollPlan {
    /// Total: a dialect that this version does not know is found out anew.
    fn from(plan: PollPlan) -> Self {
        Self {
            every: Duration::from_secs(plan.every_seconds.max(1).into()),
            failures: plan.failures,
            dead_man: plan.dead_man,
            dialect: plan.dialect.and_then(|dialect| dialect.parse().ok()),
        }
    }
}
