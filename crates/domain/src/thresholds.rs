//! The ages that decide.

use std::time::Duration;

/// At which ages knowledge loses its worth. All are configurable; the defaults are the product's promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// A running server heard of within this time is healthy. Default 2 min.
    pub healthy_for: Duration,
    /// …within this time degraded, beyond it unhealthy. Default 5 min.
    pub degraded_for: Duration,
    /// Beyond this silence neither state nor health is known. Default 15 min.
    pub unknown_after: Duration,
    /// Starting for longer than this is an error. Default 10 min.
    pub start_timeout: Duration,
    /// How long after a container was replaced a report of the old one is taken for one that was under way.
    /// Default 60 s: an agent's heartbeat interval. Later, the old container is really back.
    pub incarnation_overlap: Duration,
    /// How long a command that failed is shown as an error, unless something else comes of the server before. Default
    /// 5 min: long enough to be seen by whoever asked for it.
    pub command_error_for: Duration,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            healthy_for: Duration::from_secs(120),
            degraded_for: Duration::from_secs(300),
            unknown_after: Duration::from_secs(900),
            start_timeout: Duration::from_secs(600),
            incarnation_overlap: Duration::from_secs(60),
            command_error_for: Duration::from_secs(300),
        }
    }
}

impl Thresholds {
    /// A heartbeat that changes nothing is written when the row's is older than this: an eighth of
    /// `healthy_for`, 15 s by default, so that the row is never behind by more than that share of a threshold.
    pub fn heartbeat_write_every(&self) -> Duration {
        self.healthy_for / 8
    }

    /// `Err` names the first threshold that is out of order.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.healthy_for.is_zero() {
            return Err("healthy_for must be longer than zero");
        }
        if self.degraded_for < self.healthy_for {
            return Err("degraded_for must not be shorter than healthy_for");
        }
        if self.unknown_after < self.degraded_for {
            return Err("unknown_after must not be shorter than degraded_for");
        }
        Ok(())
    }
}
