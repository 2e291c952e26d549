//! How old what is known is, and how the watched servers are: the whole fleet in numbers, for metrics.

use domain::Thresholds;
use jiff::Timestamp;
use sqlx::PgExecutor;
use std::time::Duration;

use crate::error::Result;
use crate::instant::{before, stored, uncount};

/// How old what is known of the watched servers is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Knowledge {
    /// Seconds since half of them were observed, at most; `None` where none ever was.
    pub median: Option<f64>,
    /// …since all but one of a hundred were.
    pub p99: Option<f64>,
    /// …since the last of them was.
    pub oldest: Option<f64>,
    /// Servers observed within the time that health allows, or no later than was promised.
    pub fresh: u64,
    /// Servers that should have been observed and were not, for no fault of their agents: ours.
    pub overdue: u64,
    /// Servers that cannot be observed because their agent fails.
    pub agent_failing: u64,
    /// Servers that were never observed.
    pub unseen: u64,
}

/// How old what is known is at `now`: of a server, its own newest report or the newest whole list of its toolbox. One that
/// is older than `healthy_for` is overdue when the observer is past its own time, by more than `grace`.
///
/// Reads the whole table of instances, as the sweep does.
///
/// # Errors
/// Whatever the database refuses.
pub async fn knowledge(
    executor: impl PgExecutor<'_>,
    now: Timestamp,
    thresholds: &Thresholds,
    grace: Duration,
) -> Result<Knowledge> {
    let row = sqlx::query!(
        r#"WITH watched AS (
            SELECT
                extract(epoch FROM $1::timestamptz - GREATEST(i.as_of, t.whole_as_of))::float8 AS age,
                i.as_of IS NULL AS unseen,
                GREATEST(i.as_of, t.whole_as_of) >= $2 OR COALESCE(t.expected_by >= $3, false) AS in_time,
                t.agent_problem IS NOT NULL AND GREATEST(i.as_of, t.whole_as_of) < $2 AS failing
            FROM account_tool_instances AS i
            JOIN account_tool_environments AS t ON t.id = i.account_tool_environment_id
            WHERE i.monitored AND t.user_id IS NOT NULL
        )
        SELECT
            percentile_disc(0.5) WITHIN GROUP (ORDER BY age) FILTER (WHERE NOT unseen) AS median,
            percentile_disc(0.99) WITHIN GROUP (ORDER BY age) FILTER (WHERE NOT unseen) AS p99,
            max(age) FILTER (WHERE NOT unseen) AS oldest,
            count(*) FILTER (WHERE NOT unseen AND NOT failing AND in_time) AS "fresh!",
            count(*) FILTER (WHERE NOT unseen AND NOT failing AND NOT in_time) AS "overdue!",
            count(*) FILTER (WHERE NOT unseen AND failing) AS "agent_failing!",
            count(*) FILTER (WHERE unseen) AS "unseen!"
        FROM watched"#,
        stored(now) as crate::instant::Stored,
        before(now, thresholds.healthy_for) as crate::instant::Stored,
        before(now, grace) as crate::instant::Stored,
    )
    .fetch_one(executor)
    .await?;
    Ok(Knowledge {
        median: row.median,
        p99: row.p99,
        oldest: row.oldest,
        fresh: uncount(row.fresh),
        overdue: uncount(row.overdue),
        agent_failing: uncount(row.agent_failing),
        unseen: uncount(row.unseen),
    })
}

/// How many watched servers there are of each state and health, as last told.
///
/// # Errors
/// Whatever the database refuses.
pub async fn servers(executor: impl PgExecutor<'_>) -> Result<Vec<(String, String, u64)>> {
    let rows = sqlx::query!(
        r#"SELECT i.mcp_state AS state, i.health, count(*) AS "count!"
        FROM account_tool_instances AS i
        JOIN account_tool_environments AS t ON t.id = i.account_tool_environment_id
        WHERE i.monitored AND t.user_id IS NOT NULL GROUP BY 1, 2"#
    )
    .fetch_all(executor)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.state, row.health, uncount(row.count)))
        .collect())
}
