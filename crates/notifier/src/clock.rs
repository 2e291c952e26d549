//! The one place of this service that reads a clock; everything else takes the time as an argument.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// The present.
#[expect(clippy::disallowed_methods, reason = "this binary's one look at the clock")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// A moment of the calendar as one to wait for; what is far away is as good as a year from now.
pub(crate) fn instant_of(at: Timestamp) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    let wait = at.duration_since(now());
    Instant::now() + Duration::try_from(wait).unwrap_or_default().min(YEAR)
}
