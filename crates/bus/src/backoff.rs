//! How long to wait before the next attempt.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// First wait: a server that restarts is back within a second or two.
const FIRST: Duration = Duration::from_millis(100);
/// Longest wait before jitter: nobody should wait noticeably longer than the outage lasted.
const LONGEST: Duration = Duration::from_secs(4);

/// Waits that double from a tenth of a second to four, each with up to as much again by chance, so that replicas
/// do not come back in step.
pub(crate) struct Backoff(ExponentialBackoff);

impl Backoff {
    pub(crate) fn new() -> Self {
        Self(
            ExponentialBuilder::new()
                .with_min_delay(FIRST)
                .with_max_delay(LONGEST)
                .with_factor(2.0)
                .with_jitter()
                .without_max_times()
                .build(),
        )
    }

    pub(crate) fn next(&mut self) -> Duration {
        self.0.next().unwrap_or(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_and_stays_bounded() {
        let mut backoff = Backoff::new();
        let waits: Vec<Duration> = (0..1000).map(|_| backoff.next()).collect();
        assert!(waits[0] >= FIRST && waits[0] <= FIRST * 2, "{:?}", waits[0]);
        assert!(waits[999] >= LONGEST, "{:?}", waits[999]);
        assert!(waits.iter().all(|wait| *wait <= LONGEST * 2));
    }
}
