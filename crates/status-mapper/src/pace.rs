//! When loops go round, and how they wait after a failure.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// The rounds of a loop: at once, then in a fixed period, until shutdown.
#[derive(Debug)]
pub(crate) struct Rounds {
    interval: Interval,
    shutdown: CancellationToken,
}

impl Rounds {
    pub(crate) fn every(period: Duration, shutdown: CancellationToken) -> Self {
        let mut interval = interval(period);
        // After a round that took longer than the period the next comes a period later, not at once.
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { interval, shutdown }
    }

    /// Waits for the next round; `false`: there is none, the service stops.
    pub(crate) async fn next(&mut self) -> bool {
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => false,
            _ = self.interval.tick() => true,
        }
    }
}

/// First wait: a connection that broke is mostly there again at once.
const FIRST: Duration = Duration::from_millis(100);
/// Longest wait before jitter: nobody is to wait noticeably longer than the outage lasted.
const LONGEST: Duration = Duration::from_secs(2);

/// Waits that double from a tenth of a second to two, each with up to as much again by chance, so that replicas do not
/// come back in step.
#[derive(Debug)]
pub(crate) struct Backoff(ExponentialBackoff);

impl Backoff {
    pub(crate) fn new() -> Self {
        let builder = ExponentialBuilder::new()
            .with_min_delay(FIRST)
            .with_max_delay(LONGEST)
            .with_factor(2.0);
        Self(builder.with_jitter().without_max_times().build())
    }

    /// Waits; `false`: the service stops.
    pub(crate) async fn wait(&mut self, shutdown: &CancellationToken) -> bool {
        let delay = self.0.next().unwrap_or(LONGEST);
        tokio::select! {
            biased;
            () = shutdown.cancelled() => false,
            () = tokio::time::sleep(delay) => true,
        }
    }
}

/// Lets through one log line in a while, and counts those held back in between.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    last: Option<tokio::time::Instant>,
    held_back: u64,
}

/// A line every ten seconds tells that it goes on, and fills no disk.
const ONE_LINE_IN: Duration = Duration::from_secs(10);

impl Throttle {
    /// `Some`: log now, saying how many were held back before; `None`: hold back.
    pub(crate) fn pass(&mut self) -> Option<u64> {
        let now = tokio::time::Instant::now();
        if self.last.is_some_and(|last| now - last < ONE_LINE_IN) {
            self.held_back += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_round_is_now_and_shutdown_ends_them() {
        let shutdown = CancellationToken::new();
        let start = tokio::time::Instant::now();
        let mut rounds = Rounds::every(Duration::from_secs(2), shutdown.clone());
        assert!(rounds.next().await);
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert!(rounds.next().await);
        assert_eq!(start.elapsed(), Duration::from_secs(2));
        shutdown.cancel();
        assert!(!rounds.next().await);
    }

    #[tokio::test(start_paused = true)]
    async fn waits_grow_stay_bounded_and_end_with_the_service() {
        let shutdown = CancellationToken::new();
        let mut backoff = Backoff::new();
        let mut longest = Duration::ZERO;
        for _ in 0..50 {
            let before = tokio::time::Instant::now();
            assert!(backoff.wait(&shutdown).await);
            longest = longest.max(before.elapsed());
        }
        assert!(
            longest >= LONGEST && longest <= LONGEST * 2 + Duration::from_millis(1),
            "{longest:?}"
        );
        shutdown.cancel();
        assert!(!backoff.wait(&shutdown).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_one_line_and_a_number() {
        let mut throttle = Throttle::default();
        assert_eq!(throttle.pass(), Some(0));
        for _ in 0..7 {
            assert_eq!(throttle.pass(), None);
        }
        tokio::time::advance(ONE_LINE_IN).await;
        assert_eq!(throttle.pass(), Some(7));
    }
}
