//! All of it in a few numbers.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// How many are how, by label; a label of which there is none may be absent.
pub type Counts = BTreeMap<String, u64>;

/// Everything the caller may see, in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Fleet {
    /// Servers in all.
    pub servers: u64,
    /// Servers by state.
    #[schema(value_type = std::collections::BTreeMap<String, u64>)]
    pub states: Counts,
    /// Servers by health.
    #[schema(value_type = std::collections::BTreeMap<String, u64>)]
    pub health: Counts,
    /// Servers that nobody has watched.
    pub unmonitored: u64,
    /// Toolboxes by whether their agent answers; of the caller's own.
    #[schema(value_type = std::collections::BTreeMap<String, u64>)]
    pub toolboxes: Counts,
    /// The watched server of which the least is known for the longest time; absent where all are unobserved or there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_knowledge: Option<OldestKnowledge>,
    /// How far the system itself is behind; told only to who sees all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<Lag>,
    /// The database or the bus is away: this is the last that was known.
    pub stale: bool,
}

/// The oldest knowledge there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OldestKnowledge {
    /// Of which server.
    pub server_id: Uuid,
    /// When it was observed.
    pub as_of: Timestamp,
    /// How old that is now, in seconds.
    pub age: u64,
}

/// How far the system is behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lag {
    /// Reports that arrived and were not mapped yet.
    pub pending_reports: u64,
    /// Age of the oldest change that was not published yet, in seconds; 0: all are.
    pub oldest_unpublished: u64,
}
