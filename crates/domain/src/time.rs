//! Arithmetic on instants that saturates: no clock difference and no hostile timestamp may panic.

use std::time::Duration;

use jiff::Timestamp;

/// How long ago `then` was. Zero when `then` lies ahead, as it can between replicas whose clocks differ.
pub(crate) fn age(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or(Duration::ZERO)
}

/// `at - by`, or the earliest instant there is.
pub(crate) fn minus(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_sub(by).unwrap_or(Timestamp::MIN)
}

/// `at + by`, or the latest instant there is.
pub(crate) fn plus(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}
