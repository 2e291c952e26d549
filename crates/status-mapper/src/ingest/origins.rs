//! Where reports came from, for metrics: when their stream took them, and whether they should have come sooner.

use std::collections::HashMap;

use domain::{Change, Report};
use jiff::Timestamp;

/// The origins of a batch's reports, by their place in the stream.
#[derive(Debug, Default)]
pub(crate) struct Origins(HashMap<u64, Origin>);

/// Where a report came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    /// When the stream took it.
    pub(crate) received_at: Timestamp,
    /// A poll's, made because a heartbeat did not come.
    pub(crate) missed_heartbeat: bool,
}

impl Origins {
    pub(crate) fn insert(&mut self, sequence: u64, origin: Origin) {
        self.0.insert(sequence, origin);
    }

    /// The origin of the report that brought about `change`.
    pub(crate) fn of(&self, change: &Change, reports: &[Report]) -> Option<Origin> {
        self.0.get(&cause(change, reports)?).copied()
    }
}

/// Where in the stream the report stands that brought about `change`: the one its subject was last changed by, else the
/// newest of its toolbox.
pub(crate) fn cause(change: &Change, reports: &[Report]) -> Option<u64> {
    let order = match change {
        Change::Server(change) => change.after.order,
        Change::Toolbox(toolbox) => toolbox.order,
        Change::Removed { .. } => None,
    };
    let newest = || reports.iter().map(|report| report.order).max();
    Some(order.or_else(newest)?.sequence)
}
