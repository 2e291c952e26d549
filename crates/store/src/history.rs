//! The upkeep of the history: a partition for each week, made ahead and dropped when its time is over.
//!
//! Both are safe to call at any time and from any number of replicas. Neither is needed for a change to be written: what
//! no week was made for goes to a default partition, and moves when its week is made.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff_sqlx::ToSqlx;
use sqlx::PgConnection;

use crate::error::Result;
use crate::instant::{Stored, before};

/// What [`drop_older_than`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Partitions that are gone.
    pub partitions: Vec<String>,
    /// Partitions whose time is over and that stay, because something in them was never published.
    pub kept: Vec<String>,
    /// Published rows deleted from the default partition.
    pub rows: u64,
}

/// Most partitions made in one call: half a year of weeks. One that asks for more has its units wrong.
const MOST_WEEKS: usize = 26;
/// Most rows deleted from the default partition in one call, so that it is never a long transaction.
const MOST_ROWS: i64 = 10_000;

/// Makes the partitions for the week of `now` and every week that begins within `ahead` of it; returns how many were
/// missing.
///
/// # Errors
/// Transient after two seconds of waiting for a lock that writers hold: nothing is lost, call again later.
pub async fn ensure_partitions(
    connection: &mut PgConnection,
    now: Timestamp,
    ahead: Duration,
) -> Result<u32> {
    let last = now.checked_add(ahead).unwrap_or(Timestamp::MAX);
    let mut made = 0;
    for monday in weeks(now, last) {
        let was_missing = sqlx::query_scalar!(
            r#"SELECT status_sync_ensure_week($1) AS "made!""#,
            monday.to_sqlx() as jiff_sqlx::Date
        )
        .fetch_one(&mut *connection)
        .await?;
        made += u32::from(was_missing);
    }
    Ok(made)
}

/// The Mondays of the weeks (UTC) that `from` to `until` touch.
fn weeks(from: Timestamp, until: Timestamp) -> impl Iterator<Item = Date> {
    let day = |at: Timestamp| TimeZone::UTC.to_datetime(at).date();
    let first = day(from);
    let until = day(until);
    let since_monday = i64::from(first.weekday().since(Weekday::Monday));
    let first_monday = first
        .checked_sub(jiff::Span::new().days(since_monday))
        .unwrap_or(first);
    first_monday
        .series(jiff::Span::new().weeks(1))
        .take_while(move |monday| *monday <= until)
        .take(MOST_WEEKS)
}

/// Drops what is older than `keep`: whole weeks that were over by then, and single rows of the default partition.
/// What was never published is kept, and with it its week.
///
/// # Errors
/// Transient after two seconds of waiting for a lock that writers hold: nothing was dropped, call again later.
pub async fn drop_older_than(
    connection: &mut PgConnection,
    now: Timestamp,
    keep: Duration,
) -> Result<Dropped> {
    let cutoff: Stored = before(now, keep);
    let mut dropped = Dropped::default();
    let over = sqlx::query!(
        r#"SELECT partition AS "partition!", dropped AS "dropped!" FROM status_sync_drop_weeks($1)"#,
        cutoff as Stored
    )
    .fetch_all(&mut *connection)
    .await?;
    for week in over {
        if week.dropped {
            &mut dropped.partitions
        } else {
            &mut dropped.kept
        }
        .push(week.partition);
    }
    dropped.rows = sqlx::query!(
        r#"DELETE FROM status_changes_default WHERE (id, at) IN (
            SELECT id, at FROM status_changes_default WHERE at < $1 AND published_at IS NOT NULL LIMIT $2
        )"#,
        cutoff as Stored,
        MOST_ROWS,
    )
    .execute(connection)
    .await?
    .rows_affected();
    Ok(dropped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weeks_begin_on_mondays_in_utc() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let mondays = |from, until| {
            weeks(at(from), at(until))
                .map(|day| day.to_string())
                .collect::<Vec<_>>()
        };
        // 2026-11-22 is a Sunday.
        assert_eq!(
            mondays("2026-11-22T23:59:59Z", "2026-11-22T23:59:59Z"),
            ["2026-11-16"]
        );
        assert_eq!(
            mondays("2026-11-22T23:59:59Z", "2026-11-23T00:00:00Z"),
            ["2026-11-16", "2026-11-23"]
        );
        assert_eq!(
            mondays("2026-11-23T00:00:00Z", "2026-12-07T00:00:00Z"),
            ["2026-11-23", "2026-11-30", "2026-12-07"]
        );
        assert_eq!(
            weeks(at("2026-11-23T00:00:00Z"), Timestamp::MAX).count(),
            MOST_WEEKS
        );
        assert_eq!(weeks(Timestamp::MIN, Timestamp::MIN).count(), 1);
    }
}
