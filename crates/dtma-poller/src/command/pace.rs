//! How long there is, and when to try again.

use std::time::Duration;

use jiff::Timestamp;

/// Wait before the second try, doubled with each after it.
const FIRST: Duration = Duration::from_secs(1);
/// Longest wait: an agent that comes back is not to be kept waiting by how long it was away.
const LONGEST: Duration = Duration::from_secs(16);
/// What the last try has left until the deadline, for itself and for telling what came of it.
const LAST_TRY: Duration = Duration::from_secs(2);
/// Most of the time left that telling an agent leaves for looking at what came of it, and for saying so.
const AFTERWARDS: Duration = Duration::from_secs(3);

/// How long there is until `deadline`; nothing once it has come.
pub(super) fn left(deadline: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(deadline.duration_since(now)).unwrap_or_default()
}

/// How long an agent may take for its answer: `limit`, and what comes after it lies before the deadline too.
pub(super) fn for_an_answer(limit: Duration, left: Duration) -> Duration {
    limit.min(left - AFTERWARDS.min(left / 4))
}

/// How long looking at what came of it may take: there is to be time left for saying so.
pub(super) fn for_a_look(left: Duration) -> Duration {
    left - left / 4
}

/// How long to wait after the `tries`-th try, with `left` until the deadline; `None` when there is no time for another.
pub(super) fn before_next_try(tries: u32, left: Duration) -> Option<Duration> {
    let doubled = FIRST.saturating_mul(1_u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX));
    let wait = doubled.min(LONGEST).min(left.saturating_sub(LAST_TRY));
    (wait >= FIRST).then_some(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(mut left: Duration) -> Vec<u64> {
        let mut waits = Vec::new();
        while let Some(wait) = before_next_try(u32::try_from(waits.len()).unwrap() + 1, left) {
            waits.push(wait.as_secs());
            left -= wait;
        }
        waits
    }

    #[test]
    fn tries_come_in_doubling_steps_and_the_last_before_the_deadline() {
        let seconds = Duration::from_secs;
        assert_eq!(waits(seconds(120)), [1, 2, 4, 8, 16, 16, 16, 16, 16, 16, 7]);
        assert_eq!(waits(seconds(10)), [1, 2, 4, 1]);
        assert_eq!(waits(seconds(3)), [1]);
        assert_eq!(before_next_try(1, Duration::from_millis(2_999)), None);
        assert_eq!(before_next_try(1, Duration::ZERO), None);
        assert_eq!(before_next_try(u32::MAX, Duration::MAX), Some(LONGEST));
    }

    #[test]
    fn an_answer_leaves_time_for_what_comes_after_it() {
        let seconds = Duration::from_secs;
        for (limit, left, expected) in [(60, 120, 60), (60, 60, 57), (60, 8, 6), (1, 2, 1), (60, 0, 0)] {
            assert_eq!(
                for_an_answer(seconds(limit), seconds(left)),
                seconds(expected),
                "{left}"
            );
        }
    }

    #[test]
    fn a_look_leaves_time_for_saying_what_it_showed() {
        assert_eq!(for_a_look(Duration::from_secs(4)), Duration::from_secs(3));
        assert_eq!(for_a_look(Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn a_deadline_that_has_come_leaves_nothing() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(left(at(10), at(7)), Duration::from_secs(3));
        assert_eq!(left(at(10), at(10)), Duration::ZERO);
        assert_eq!(left(at(10), at(11)), Duration::ZERO);
        assert_eq!(left(Timestamp::MIN, Timestamp::MAX), Duration::ZERO);
    }
}
