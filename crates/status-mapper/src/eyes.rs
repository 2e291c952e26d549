//! Whether silence is theirs or ours.
//!
//! ```text
//!  backlog unreadable ───────────── for a moment ► Wait ── longer ─────────► Blind ─┐
//!  most toolboxes silent at once ──────────────────────────────────────────► Blind ─┤
//!                                                                                   ▼ seeing again
//!  nothing of it ► See ◄──────────────────── after `recovery` ────────────────── Blind
//!
//!  reports wait unread ──────────── and become fewer ► Wait ── not for `patience` ► Late
//! ```
//!
//! Old news must not look like silence, so ageing waits while reports are unread and become fewer. It must not wait for
//! ever, because meanwhile rows claim a health that nobody knows: when reading does not get on, rows age by what they
//! know. And after a blindness silence counts only from when we could see again: every toolbox gets `recovery` to be
//! heard before it is called silent.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// How long the backlog may be unreadable before that means something: one lost answer does not. Well under the 5 s
/// within which ages are to show.
const UNREADABLE_GRACE: Duration = Duration::from_millis(1500);
/// Reports younger than this may be unread: they are on their way through a batch.
const UNREAD_GRACE: Duration = Duration::from_secs(5);
/// …and younger than this share of the shortest age, so that what is on its way can hardly decide it. By default that
/// is the same.
const UNREAD_SHARE: u32 = 24;
/// Samples kept of the stream's growth; far more than fall into [`UNREAD_GRACE`] at any sensible pace.
const SAMPLES: usize = 128;

/// How the raw reports' stream and its consumer stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Glance {
    /// Reports that no mapper has finished with.
    pub(crate) unread: u64,
    /// Sequence of the newest report.
    pub(crate) last_sequence: u64,
}

/// What may be concluded from silence just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    /// Nothing: ask again soon.
    Wait,
    /// Silence is the toolboxes'.
    See,
    /// Reports have been unread for longer than anybody may wait for them: what is known is too old to be believed.
    Late,
    /// Silence is ours, or may still be.
    Blind(Cause),
}

/// Why silence is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The bus does not answer: no report could arrive.
    Bus,
    /// Most toolboxes fell silent at once.
    Fleet,
    /// It is over, but not for long enough that everybody had a chance to be heard.
    Recovering,
}

impl Cause {
    /// For logs and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Bus => "bus",
            Self::Fleet => "fleet",
            Self::Recovering => "recovering",
        }
    }
}

/// What was seen so far. One per process; pure but for what it remembers.
#[derive(Debug)]
pub(crate) struct Eyes {
    patience: Duration,
    recovery: Duration,
    unread_grace: Duration,
    unreadable_since: Option<Instant>,
    behind: Option<Behind>,
    /// Set while blind, and until the recovery after it is over.
    blind_until: Option<Until>,
    /// When the stream had reached which sequence, oldest first.
    growth: VecDeque<(Instant, u64)>,
}

/// How reading gets on while it is behind.
#[derive(Debug, Clone, Copy)]
struct Behind {
    /// Fewest unread so far.
    least: u64,
    /// When they became so few.
    since: Instant,
}

#[derive(Debug, Clone, Copy)]
enum Until {
    SeeingAgain,
    Recovered(Instant),
}

impl Eyes {
    /// `healthy_for` is the shortest age there is.
    pub(crate) fn new(healthy_for: Duration, patience: Duration, recovery: Duration) -> Self {
        Self {
            patience,
            recovery,
            unread_grace: UNREAD_GRACE.min(healthy_for / UNREAD_SHARE),
            unreadable_since: None,
            behind: None,
            blind_until: None,
            growth: VecDeque::new(),
        }
    }

    /// Takes in how the stream stands at `now` (`None`: it could not be asked), then whether most toolboxes are
    /// silent, which is only asked when the answer matters.
    pub(crate) fn look(&mut self, now: Instant, glance: Option<Glance>, fleet_silent: bool) -> Sight {
        match self.at_the_bus(now, glance) {
            // While old reports are being read, the fold judges them by their age: two judges would contradict each other.
            unable @ (Sight::Wait | Sight::Late) => unable,
            Sight::Blind(cause) => self.blind(cause),
            Sight::See if fleet_silent => self.blind(Cause::Fleet),
            Sight::See => match self.blind_until {
                None => Sight::See,
                Some(Until::Recovered(at)) if now >= at => {
                    self.blind_until = None;
                    Sight::See
                }
                Some(Until::Recovered(_)) => Sight::Blind(Cause::Recovering),
                Some(Until::SeeingAgain) => {
                    self.blind_until = Some(Until::Recovered(now + self.recovery));
                    Sight::Blind(Cause::Recovering)
                }
            },
        }
    }

    fn blind(&mut self, cause: Cause) -> Sight {
        self.blind_until = Some(Until::SeeingAgain);
        Sight::Blind(cause)
    }

    fn at_the_bus(&mut self, now: Instant, glance: Option<Glance>) -> Sight {
        let Some(glance) = glance else {
            let since = *self.unreadable_since.get_or_insert(now);
            return if now - since >= UNREADABLE_GRACE {
                Sight::Blind(Cause::Bus)
            } else {
                Sight::Wait
            };
        };
        self.unreadable_since = None;
        if !self.is_behind(now, glance) {
            self.behind = None;
            return Sight::See;
        }
        let behind = self.behind.get_or_insert(Behind {
            least: glance.unread,
            since: now,
        });
        if glance.unread < behind.least {
            *behind = Behind {
                least: glance.unread,
                since: now,
            };
        }
        if now - behind.since >= self.patience {
            Sight::Late
        } else {
            Sight::Wait
        }
    }

    /// Whether a report older than the grace must be among the unread: more are unread than arrived since.
    fn is_behind(&mut self, now: Instant, glance: Glance) -> bool {
        if self
            .growth
            .back()
            .is_some_and(|(_, newest)| *newest > glance.last_sequence)
        {
            // The stream was lost and made anew; its sequences start again.
            self.growth.clear();
        }
        // The newest sample outside the window stays: growth within the window is measured from it.
        while self.growth.len() > SAMPLES
            || self
                .growth
                .get(1)
                .is_some_and(|(at, _)| now - *at >= self.unread_grace)
        {
            self.growth.pop_front();
        }
        self.growth.push_back((now, glance.last_sequence));
        let before = self
            .growth
            .front()
            .map_or(glance.last_sequence, |(_, sequence)| *sequence);
        glance.unread > glance.last_sequence.saturating_sub(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(120);
    const RECOVERY: Duration = Duration::from_secs(60);

    fn glance(unread: u64, last_sequence: u64) -> Option<Glance> {
        Some(Glance {
            unread,
            last_sequence,
        })
    }

    /// Looks at the given seconds and compares what is seen.
    fn watch(steps: &[(u64, Option<Glance>, bool, Sight)]) {
        let mut eyes = Eyes::new(Duration::from_secs(120), PATIENCE, RECOVERY);
        let start = Instant::now();
        for (second, glance, fleet, expected) in steps {
            let seen = eyes.look(start + Duration::from_secs(*second), *glance, *fleet);
            assert_eq!(seen, *expected, "at {second} s");
        }
    }

    #[test]
    fn nothing_unread_is_sight() {
        watch(&[
            (0, glance(0, 0), false, Sight::See),
            (2, glance(0, 900), false, Sight::See),
        ]);
    }

    #[test]
    fn what_has_just_arrived_may_be_unread_and_what_is_older_may_not() {
        watch(&[
            (0, glance(0, 1000), false, Sight::See),
            (2, glance(300, 1300), false, Sight::See),
            (4, glance(600, 1600), false, Sight::See),
            // The 300 of the first two seconds have had their time.
            (8, glance(900, 1900), false, Sight::Wait),
            (10, glance(0, 1900), false, Sight::See),
        ]);
    }

    #[test]
    fn a_backlog_at_the_start_is_waited_for() {
        watch(&[
            (0, glance(50_000, 1_000_000), false, Sight::Wait),
            (2, glance(9_000, 1_000_700), false, Sight::Wait),
            (4, glance(20, 1_001_400), false, Sight::See),
        ]);
    }

    #[test]
    fn reading_that_gets_on_is_waited_for_and_reading_that_does_not_is_not() {
        watch(&[
            (0, glance(5000, 5000), false, Sight::Wait),
            (119, glance(4000, 5010), false, Sight::Wait),
            (238, glance(3000, 5010), false, Sight::Wait),
            // Others come and go; these do not become fewer.
            (300, glance(3000, 6000), false, Sight::Wait),
            (358, glance(3000, 6010), false, Sight::Late),
            (360, glance(3000, 6010), true, Sight::Late),
            (362, glance(0, 6010), false, Sight::See),
        ]);
    }

    #[test]
    fn one_lost_answer_means_nothing_and_two_mean_that_nothing_can_be_heard() {
        watch(&[
            (0, None, false, Sight::Wait),
            (1, glance(0, 10), false, Sight::See),
            (2, None, false, Sight::Wait),
            (4, None, false, Sight::Blind(Cause::Bus)),
            (500, None, false, Sight::Blind(Cause::Bus)),
            (502, glance(0, 10), false, Sight::Blind(Cause::Recovering)),
            // A relapse starts the recovery over.
            (504, None, false, Sight::Wait),
            (506, None, false, Sight::Blind(Cause::Bus)),
            (508, glance(0, 10), false, Sight::Blind(Cause::Recovering)),
            (563, glance(0, 10), false, Sight::Blind(Cause::Recovering)),
            (568, glance(0, 10), false, Sight::See),
        ]);
    }

    #[test]
    fn a_silent_fleet_is_our_fault_and_those_who_come_back_last_are_given_time() {
        watch(&[
            (0, glance(0, 10), true, Sight::Blind(Cause::Fleet)),
            (2, glance(0, 11), false, Sight::Blind(Cause::Recovering)),
            (4, glance(0, 11), true, Sight::Blind(Cause::Fleet)),
            (6, glance(0, 12), false, Sight::Blind(Cause::Recovering)),
            (66, glance(0, 90), false, Sight::See),
        ]);
    }

    #[test]
    fn a_stream_that_was_made_anew_starts_over() {
        watch(&[
            (0, glance(0, 1_000_000), false, Sight::See),
            (2, glance(0, 0), false, Sight::See),
            (4, glance(3, 3), false, Sight::See),
        ]);
    }
}
