//! The one place of this service that reads a clock; everything else takes the time as an argument.

use domain::CommandId;
use jiff::Timestamp;
use uuid::Uuid;

/// The present, to the microsecond: what is answered is then what the database keeps.
#[expect(clippy::disallowed_methods, reason = "this binary's one look at the clock")]
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

/// An id that sorts by when it was made.
#[expect(clippy::disallowed_methods, reason = "this binary's one look at the clock")]
pub(crate) fn new_id() -> Uuid {
    Uuid::now_v7()
}

/// The id of a new command.
pub(crate) fn new_command() -> CommandId {
    CommandId(new_id())
}
