//! How far back a cursor may lie. A function of what was read and of the time.
//!
//! What changed since a cursor is known as long as nothing of it has been forgotten: statuses stay, tombstones go after a
//! week. The stream says of no message that is gone when it was published, so the reach is counted from what is there:
//! everything after a message that is younger than a tombstone's life is known in full.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use wire::Cursor;
use wire::stream::ResetReason;
use wire::streams::TOMBSTONE_TTL;

/// What is known of when messages were published: the lowest sequence of each hour.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reach {
    hours: BTreeMap<i64, u64>,
    /// Tombstones up to this one were dropped for want of room.
    dropped: u64,
    /// What lies between was told and then lost by the source: it may have been given to others since.
    rewound: Option<(u64, u64)>,
}

/// Hours kept: a tombstone's life, and the one it began in.
const HOURS: usize = 7 * 24 + 1;

impl Reach {
    pub(crate) fn saw(&mut self, sequence: u64, published_at: Timestamp) {
        let hour = published_at.as_second().div_euclid(3600);
        let lowest = self.hours.entry(hour).or_insert(sequence);
        *lowest = sequence.min(*lowest);
        while self.hours.len() > HOURS {
            self.hours.pop_first();
        }
    }

    pub(crate) fn dropped(&mut self, sequence: u64) {
        self.dropped = sequence.max(self.dropped);
    }

    /// The source went from `told` back to `now`.
    pub(crate) fn rewound(&mut self, now: u64, told: u64) {
        let (low, high) = self.rewound.unwrap_or((now, told));
        self.rewound = Some((low.min(now), high.max(told)));
    }

    /// Takes over what another picture of the same stream knew.
    pub(crate) fn remember(&mut self, before: &Self) {
        for (hour, lowest) in &before.hours {
            let mine = self.hours.entry(*hour).or_insert(*lowest);
            *mine = (*lowest).min(*mine);
        }
        while self.hours.len() > HOURS {
            self.hours.pop_first();
        }
        self.dropped(before.dropped);
        self.rewound = self.rewound.or(before.rewound);
    }

    /// Whether everything is known that happened after `cursor`, of a stream that stands at `position`.
    pub(crate) fn covers(&self, cursor: Cursor, position: Cursor, now: Timestamp) -> Result<(), ResetReason> {
        if cursor.epoch != position.epoch {
            return Err(ResetReason::Epoch);
        }
        if cursor.sequence > position.sequence {
            return Err(ResetReason::Future);
        }
        if self
            .rewound
            .is_some_and(|(low, high)| cursor.sequence > low && cursor.sequence <= high)
        {
            return Err(ResetReason::Rewound);
        }
        let life = SignedDuration::try_from(TOMBSTONE_TTL).unwrap_or(SignedDuration::MAX);
        let since = now
            .checked_sub(life)
            .unwrap_or(Timestamp::MIN)
            .as_second()
            .div_euclid(3600)
            + 1;
        let oldest = self.hours.range(since..).map(|(_, lowest)| *lowest).min();
        let known_after = oldest.map_or(position.sequence, |lowest| lowest.saturating_sub(1));
        if cursor.sequence < known_after.max(self.dropped) {
            return Err(ResetReason::TooOld);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(hours * 3600).unwrap()
    }

    fn cursor(sequence: u64) -> Cursor {
        Cursor { epoch: 1, sequence }
    }

    #[test]
    fn a_cursor_reaches_back_as_far_as_tombstones_live() {
        let mut reach = Reach::default();
        // Quiet: whoever has everything misses nothing.
        assert_eq!(reach.covers(cursor(10), cursor(10), at(1000)), Ok(()));
        assert_eq!(
            reach.covers(cursor(9), cursor(10), at(1000)),
            Err(ResetReason::TooOld)
        );
        for (sequence, hour) in [(100, 100), (150, 150), (151, 150), (200, 260), (210, 261)] {
            reach.saw(sequence, at(hour));
        }
        let covers = |sequence, hour| reach.covers(cursor(sequence), cursor(210), at(hour));
        assert_eq!(covers(210, 261), Ok(()));
        assert_eq!(covers(99, 261), Ok(()));
        assert_eq!(covers(98, 261), Err(ResetReason::TooOld));
        assert_eq!(covers(99, 268), Err(ResetReason::TooOld));
        assert_eq!(covers(149, 268), Ok(()));
        assert_eq!(covers(149, 318), Err(ResetReason::TooOld));
        assert_eq!(covers(199, 319), Ok(()));
        assert_eq!(covers(211, 261), Err(ResetReason::Future));
        let other = Cursor {
            epoch: 2,
            sequence: 210,
        };
        assert_eq!(reach.covers(other, cursor(210), at(261)), Err(ResetReason::Epoch));
    }

    #[test]
    fn what_was_dropped_or_lost_by_the_source_is_not_resumed_from() {
        let mut reach = Reach::default();
        reach.saw(1, at(1));
        reach.dropped(5);
        assert_eq!(
            reach.covers(cursor(4), cursor(9), at(1)),
            Err(ResetReason::TooOld)
        );
        assert_eq!(reach.covers(cursor(5), cursor(9), at(1)), Ok(()));
        reach.rewound(6, 9);
        assert_eq!(reach.covers(cursor(6), cursor(20), at(1)), Ok(()));
        assert_eq!(
            reach.covers(cursor(7), cursor(20), at(1)),
            Err(ResetReason::Rewound)
        );
        assert_eq!(
            reach.covers(cursor(9), cursor(20), at(1)),
            Err(ResetReason::Rewound)
        );
        assert_eq!(reach.covers(cursor(10), cursor(20), at(1)), Ok(()));
        let mut again = Reach::default();
        again.remember(&reach);
        assert_eq!(
            again.covers(cursor(7), cursor(20), at(1)),
            Err(ResetReason::Rewound)
        );
    }
}
