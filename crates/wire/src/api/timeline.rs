//! What was, over a stretch of time.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{HealthLabel, StateLabel};

/// What a server was, over a stretch of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerTimeline {
    /// Which server.
    pub server_id: Uuid,
    /// Where it begins. Later than was asked for where there are more than 10,000 changes: only the newest are read, and
    /// nothing is told of what was not.
    pub from: Timestamp,
    /// Where it ends: now.
    pub to: Timestamp,
    /// The part of the time that it ran, of the time that it should have: seconds running ÷ (seconds running + seconds in
    /// error + seconds stopped for a reason, that is with a `code`). Seconds stopped without one (somebody wanted that),
    /// starting, stopping, unknown or unobserved count neither way. Absent where nothing counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub uptime: Option<f64>,
    /// Whole seconds in each state, by state; unobserved ones are in none. Exact, whatever the bands show.
    #[schema(value_type = std::collections::BTreeMap<String, u64>)]
    pub seconds: BTreeMap<String, u64>,
    /// One after the other without a gap, from `from` to `to`, at most 1,000. Were there more, the time is cut into 1,000
    /// equal parts that each show the gravest that was in them: error, then unhealthy, stopped for a reason, unknown,
    /// degraded, in transition, stopped, running; so that nothing short is lost for something harmless.
    pub bands: Vec<Band>,
    /// The database is away: of what was, only the newest change is known.
    pub stale: bool,
}

/// What a server was for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Band {
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub to: Timestamp,
    /// Its state; absent: unobserved, as before anything was told of it, and while it was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StateLabel>,
    /// Its health.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthLabel>,
    /// The code of the reason there was (`lastError.code`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// How many servers were in which state, over a stretch of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FleetTimeline {
    /// Where it begins.
    pub from: Timestamp,
    /// Where it ends: now.
    pub to: Timestamp,
    /// Seconds between two points. The first point is a step after `from`, the last is `to`.
    #[schema(minimum = 1)]
    pub step: u64,
    /// By state, how many servers were in it at each point: those that the caller may see now, from the first that was
    /// announced of each to its deletion. Servers of which nothing was ever announced are not counted.
    #[schema(value_type = std::collections::BTreeMap<String, Vec<u64>>)]
    pub states: BTreeMap<String, Vec<u64>>,
    /// The database is away: this is the last that was known.
    pub stale: bool,
}
