//! The one place of this service that reads a clock; everything else takes the time as an argument.

use jiff::Timestamp;
use uuid::Uuid;

/// The present.
#[expect(clippy::disallowed_methods, reason = "this binary's one look at the clock")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// An id that sorts by when it was made: rows of one partition of the history then lie together.
#[expect(clippy::disallowed_methods, reason = "this binary's one look at the clock")]
pub(crate) fn new_id() -> Uuid {
    Uuid::now_v7()
}
