//! When to try again, and when to leave an endpoint alone. Pure: time and chance are arguments.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// The longest that an endpoint may ask to be left alone for: what it asks is honoured, not obeyed.
const RETRY_AFTER_MOST: Duration = Duration::from_secs(4 * 3600);
/// Failures in a row after which an endpoint is left alone.
const FAILURES: u32 = 5;
/// The longest that it is then left alone for.
const REST_MOST: Duration = Duration::from_secs(600);

/// Waits between attempts.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    waits: Vec<Duration>,
    give_up: Duration,
}

impl Backoff {
    pub(crate) fn new(waits: Vec<Duration>, give_up: Duration) -> Self {
        Self { waits, give_up }
    }

    /// When to try again after the `made`th attempt failed at `now`; `None`: not any more. `chance` is in 0..1;
    /// `asked` is what the endpoint asked for.
    pub(crate) fn next(
        &self,
        made: u32,
        first: Timestamp,
        now: Timestamp,
        asked: Option<Duration>,
        chance: f64,
    ) -> Option<Timestamp> {
        let place = usize::try_from(made.saturating_sub(1)).unwrap_or(usize::MAX);
        let wait = self
            .waits
            .get(place)
            .or(self.waits.last())
            .copied()
            .unwrap_or(RETRY_AFTER_MOST);
        let wait = match asked {
            // Later than asked for, so that those who asked for the same do not all come at once.
            Some(asked) => asked
                .min(RETRY_AFTER_MOST)
                .max(Duration::from_secs(1))
                .mul_f64(1.0 + chance / 5.0),
            None => wait.mul_f64(0.8 + chance * 0.4),
        };
        let next = after(now, wait);
        (next <= after(first, self.give_up)).then_some(next)
    }

    /// Whether it is too late for any attempt.
    pub(crate) fn is_over(&self, first: Timestamp, now: Timestamp) -> bool {
        now > after(first, self.give_up)
    }
}

/// A moment later.
pub(crate) fn after(at: Timestamp, wait: Duration) -> Timestamp {
    SignedDuration::try_from(wait)
        .ok()
        .and_then(|wait| at.checked_add(wait).ok())
        .unwrap_or(Timestamp::MAX)
}

/// Whether an endpoint is left alone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Circuit {
    failures: u32,
    /// How often in a row it was left alone.
    rests: u32,
    open_until: Option<Timestamp>,
    probing: bool,
}

impl Circuit {
    /// Whether an attempt may be made; else when to ask again. After the rest, one attempt is made to see.
    pub(crate) fn admit(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        match self.open_until {
            None => Ok(()),
            Some(until) if now < until => Err(until),
            // Whoever is at it tells within a request's time.
            Some(_) if self.probing => Err(after(now, Duration::from_secs(5))),
            Some(_) => {
                self.probing = true;
                Ok(())
            }
        }
    }

    /// An attempt succeeded; whether it was left alone until now.
    pub(crate) fn succeeded(&mut self) -> bool {
        let was_open = self.open_until.is_some();
        *self = Self::default();
        was_open
    }

    /// An attempt failed; whether it is left alone from now on, and was not before.
    pub(crate) fn failed(&mut self, now: Timestamp, rest: Duration) -> bool {
        self.failures = self.failures.saturating_add(1);
        let was_open = self.open_until.is_some();
        let probed = std::mem::take(&mut self.probing);
        if (was_open && !probed) || (!was_open && self.failures < FAILURES) {
            return false;
        }
        let factor = 2_u32.saturating_pow(self.rests.min(16));
        self.rests = self.rests.saturating_add(1);
        self.open_until = Some(after(now, rest.saturating_mul(factor).min(REST_MOST)));
        !was_open
    }

    /// Whether it is left alone.
    pub(crate) fn is_open(&self) -> bool {
        self.open_until.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn backoff() -> Backoff {
        let waits = [5, 30, 120, 600, 1800, 3600, 7200, 14_400];
        Backoff::new(
            waits.map(Duration::from_secs).to_vec(),
            Duration::from_secs(86_400),
        )
    }

    #[test]
    fn waits_grow_and_end_after_a_day() {
        let (mut now, mut made, mut waits) = (at(0), 0, Vec::new());
        loop {
            made += 1;
            let Some(next) = backoff().next(made, at(0), now, None, 0.5) else {
                break;
            };
            waits.push(next.duration_since(now).as_secs());
            now = next;
        }
        assert_eq!(
            waits,
            [
                5, 30, 120, 600, 1800, 3600, 7200, 14_400, 14_400, 14_400, 14_400, 14_400
            ]
        );
        assert!(!backoff().is_over(at(0), at(86_400)) && backoff().is_over(at(0), at(86_401)));
    }

    #[test]
    fn chance_spreads_them_by_a_fifth_and_what_is_asked_for_is_honoured_within_bounds() {
        let wait = |asked: Option<u64>, chance| {
            let asked = asked.map(Duration::from_secs);
            let next = backoff().next(1, at(0), at(0), asked, chance).unwrap();
            next.duration_since(at(0)).as_millis()
        };
        assert_eq!((wait(None, 0.0), wait(None, 1.0)), (4000, 6000));
        assert_eq!((wait(Some(60), 0.0), wait(Some(60), 1.0)), (60_000, 72_000));
        assert_eq!(wait(Some(0), 0.0), 1000);
        assert_eq!(wait(Some(1_000_000), 0.0), 14_400_000);
    }

    #[test]
    fn five_failures_in_a_row_are_a_rest_and_one_tries_after_it() {
        let rest = Duration::from_secs(30);
        let mut circuit = Circuit::default();
        for _ in 0..4 {
            assert!(!circuit.failed(at(0), rest));
        }
        circuit.succeeded();
        for _ in 0..4 {
            assert!(!circuit.failed(at(0), rest));
        }
        assert!(circuit.admit(at(0)).is_ok());
        assert!(circuit.failed(at(0), rest), "the fifth");
        assert_eq!(circuit.admit(at(29)), Err(at(30)));
        // What was under way meanwhile prolongs nothing.
        assert!(!circuit.failed(at(29), rest));
        assert_eq!(circuit.admit(at(30)), Ok(()));
        assert_eq!(circuit.admit(at(30)), Err(at(35)), "one at a time");
        assert!(!circuit.failed(at(31), rest), "told once");
        assert_eq!(circuit.admit(at(32)), Err(at(91)), "twice as long");
        assert!(circuit.is_open());
        assert_eq!(circuit.admit(at(91)), Ok(()));
        assert!(circuit.succeeded());
        assert!(!circuit.is_open() && circuit.admit(at(91)).is_ok());
        for _ in 0..100 {
            circuit.failed(at(0), rest);
            let _ = circuit.admit(Timestamp::MAX);
        }
        assert!(circuit.admit(at(0)).unwrap_err() <= at(600));
    }
}
