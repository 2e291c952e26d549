//! Which of two reports is newer.

use jiff::Timestamp;

/// The place of a report in time: our clock first, the stream's sequence to break a tie.
///
/// `as_of` is when the poll request *began* or when the heartbeat *arrived*, by the poller's clock; the
/// agent's own clock never takes part. A row takes a report only when this is greater than the row's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Order {
    /// When the observation was made.
    pub as_of: Timestamp,
    /// Position in the raw stream; only compared between reports of the very same instant.
    pub sequence: u64,
}

impl Order {
    /// Whether a report at `self` may change what was last changed by a report at `stored`.
    pub fn is_newer_than(self, stored: Option<Order>) -> bool {
        stored.is_none_or(|stored| self > stored)
    }
}
