//! Instants between the domain's nanoseconds and PostgreSQL's microseconds.

use std::time::Duration;

use domain::Order;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::postgres::types::PgInterval;

/// An instant as PostgreSQL takes it.
pub(crate) type Stored = jiff_sqlx::Timestamp;

/// The earliest instant PostgreSQL can hold. The domain saturates to an earlier one when an agent claims an absurd
/// uptime, and one such claim must not fail the batch it came in.
const EARLIEST: Timestamp = Timestamp::constant(-210_866_803_200, 0);

/// Rounded down to the microsecond.
pub(crate) fn stored(at: Timestamp) -> Stored {
    rounded(at.as_nanosecond().div_euclid(1_000))
}

/// Rounded up to the microsecond: for the order of reports. A report that is delivered again must not be newer than
/// itself because its row forgot the last digits.
fn stored_up(at: Timestamp) -> Stored {
    rounded(-(-at.as_nanosecond()).div_euclid(1_000))
}

fn rounded(micros: i128) -> Stored {
    let instant = i64::try_from(micros)
        .ok()
        .and_then(|micros| Timestamp::from_microsecond(micros).ok());
    // Only the last nanoseconds of the year 9999 have no microsecond above them.
    instant.unwrap_or(Timestamp::MAX).max(EARLIEST).to_sqlx()
}

/// `now - ago`, or the earliest instant there is: what is older than `ago` lies before it.
pub(crate) fn before(now: Timestamp, ago: Duration) -> Stored {
    stored(now.checked_sub(ago).unwrap_or(EARLIEST))
}

/// A span for arithmetic in a query; a century stands for anything longer.
pub(crate) fn interval(span: Duration) -> PgInterval {
    const CENTURY: Duration = Duration::from_secs(36_525 * 86_400);
    let microseconds = i64::try_from(span.min(CENTURY).as_micros()).unwrap_or(i64::MAX);
    PgInterval {
        months: 0,
        days: 0,
        microseconds,
    }
}

/// The two columns of an order. A stream's sequence is far below what the column can hold.
pub(crate) fn stored_order(order: Option<Order>) -> (Option<Stored>, Option<i64>) {
    (
        order.map(|order| stored_up(order.as_of)),
        order.map(|order| count(order.sequence)),
    )
}

/// The order from its two columns.
pub(crate) fn order(as_of: Option<Stored>, sequence: Option<i64>) -> Option<Order> {
    let (as_of, sequence) = (as_of?.to_jiff(), uncount(sequence?));
    Some(Order { as_of, sequence })
}

/// A count as PostgreSQL's `bigint`. What would not fit cannot be counted up to.
pub(crate) fn count(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A count from a `bigint` that a constraint keeps from being negative.
pub(crate) fn uncount(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_never_stored_as_older_than_it_is() {
        for nanos in [
            0_i128,
            1,
            999,
            1_000,
            1_001,
            -1,
            -999,
            -1_000,
            -1_001,
            1_700_000_000_123_456_789,
        ] {
            let at = Timestamp::from_nanosecond(nanos).unwrap();
            let (down, up) = (stored(at).to_jiff(), stored_up(at).to_jiff());
            assert!(down <= at && at <= up, "{nanos}: {down} {up}");
            assert!(up.duration_since(down).as_nanos() <= 1_000, "{nanos}");
            assert_eq!(up == down, nanos % 1_000 == 0, "{nanos}");
        }
    }

    #[test]
    fn the_extremes_fit() {
        assert_eq!(stored(Timestamp::MIN).to_jiff(), EARLIEST);
        assert_eq!(stored_up(Timestamp::MAX).to_jiff(), Timestamp::MAX);
        assert_eq!(before(Timestamp::MIN, Duration::MAX).to_jiff(), EARLIEST);
        assert!(interval(Duration::MAX).microseconds > 0);
        assert_eq!(uncount(count(u64::MAX)), i64::MAX as u64);
    }
}
