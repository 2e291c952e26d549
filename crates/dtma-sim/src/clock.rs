//! Where the simulated machines read the time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// The clock of every simulated machine, before a toolbox's own offset is added to it.
///
/// A value rather than a call to the system, so that a test can hold the time still, move it on, and compare what
/// two fleets of one seed say at the same instant.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The clock of the machine this process runs on.
    #[expect(
        clippy::disallowed_methods,
        reason = "the simulator plays machines that have clocks; everything else takes this value as an argument"
    )]
    pub fn system() -> Self {
        Self(Arc::new(Timestamp::now))
    }

    /// The present instant.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}

/// A clock that stands still until it is moved; clones move together.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// A clock that reads `start`, to the millisecond.
    pub fn new(start: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(start.as_millisecond())))
    }

    /// Moves the clock on; what is below a millisecond is dropped.
    pub fn advance(&self, by: Duration) {
        let millis = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.0.fetch_add(millis, Ordering::SeqCst);
    }

    /// The [`Clock`] to start a simulation with.
    pub fn clock(&self) -> Clock {
        let millis = Arc::clone(&self.0);
        Clock(Arc::new(move || {
            Timestamp::UNIX_EPOCH
                .saturating_add(SignedDuration::from_millis(millis.load(Ordering::SeqCst)))
                .unwrap_or(Timestamp::MAX)
        }))
    }
}

/// `at` moved by `by`, held inside what a timestamp can express.
pub(crate) fn shift(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).unwrap_or(at)
}

/// Longest duration that enters a simulation, so that sums of a few never overflow: ten years.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The duration as a signed one, cut at ten years.
pub(crate) fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration.min(LONGEST)).unwrap_or(SignedDuration::ZERO)
}
