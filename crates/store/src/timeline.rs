//! What was, over a stretch of time: the history, read for one server or counted for many.

use domain::{AccountId, ServerId};
use jiff::Timestamp;
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::error::Result;
use crate::instant::{Stored, stored, uncount};

/// One change of a server, without what was published of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineRow {
    /// Its number.
    pub version: u64,
    /// When.
    pub at: Timestamp,
    /// What it was from then on; `None`: it was deleted.
    pub after: Option<Labels>,
    /// What it was before, as far as the change itself tells.
    pub before: Option<Labels>,
}

/// The labels of a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// Its state.
    pub state: String,
    /// Its health.
    pub health: String,
    /// The code of its reason.
    pub code: Option<String>,
}

impl Labels {
    fn read(state: Option<String>, health: Option<String>, code: Option<String>) -> Option<Self> {
        Some(Self {
            state: state?,
            health: health?,
            code,
        })
    }
}

/// The changes of a server after `from`, the newest `limit` of them, and the one before; oldest first. Of one account's
/// time only, as [`crate::reading::history`].
///
/// # Errors
/// Whatever the database refuses.
pub async fn server(
    executor: impl PgExecutor<'_>,
    server: ServerId,
    account: AccountId,
    from: Timestamp,
    limit: u32,
) -> Result<Vec<TimelineRow>> {
    let rows = sqlx::query!(
        r#"(SELECT c.version AS "version!", c.at AS "at!: Stored", c.state, c.health, c.error_code,
                c.event #>> '{previous,state}' AS state_before, c.event #>> '{previous,health}' AS health_before
            FROM status_changes AS c
            WHERE c.subject_id = $1 AND c.account_id = $2 AND c.kind <> 'toolbox' AND c.at > $3
            ORDER BY c.version DESC
            LIMIT $4)
        UNION ALL
        (SELECT c.version, c.at, c.state, c.health, c.error_code, NULL, NULL
            FROM status_changes AS c
            WHERE c.subject_id = $1 AND c.account_id = $2 AND c.kind <> 'toolbox' AND c.at <= $3
            ORDER BY c.version DESC
            LIMIT 1)
        ORDER BY 1"#,
        server.0,
        account.0,
        stored(from) as Stored,
        i64::from(limit),
    )
    .fetch_all(executor)
    .await?;
    let row = rows.into_iter().map(|row| TimelineRow {
        version: uncount(row.version),
        at: row.at.to_jiff(),
        after: Labels::read(row.state, row.health, row.error_code),
        before: Labels::read(row.state_before, row.health_before, None),
    });
    Ok(row.collect())
}

/// How many servers are in a state, or how many more came to be in it than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetRow {
    /// In which step that was, from 0; `None`: how many are now.
    pub step: Option<u32>,
    /// The state.
    pub state: String,
    /// How many, or how many more.
    pub servers: i64,
}

/// How many servers are in each state now, and how these numbers changed in each of `steps` steps of `step` seconds since
/// `from`, which each begin with their first instant: of one account and of `granted`, or of all. What was decided later than
/// the last step counts as of the last.
///
/// Costs what the rows of instances and the changes since `from` cost, however many steps there are: not to be asked at
/// every request.
///
/// # Errors
/// Whatever the database refuses.
pub async fn fleet(
    executor: impl PgExecutor<'_>,
    account: Option<AccountId>,
    granted: &[ServerId],
    from: Timestamp,
    step: u32,
    steps: u32,
) -> Result<Vec<FleetRow>> {
    let granted: Vec<Uuid> = granted.iter().map(|server| server.0).collect();
    // The second part of the changes are those whose row does not tell what was before.
    let rows = sqlx::query!(
        r#"WITH now AS (
            SELECT i.mcp_state AS state, count(*) AS servers
            FROM account_tool_instances AS i
            JOIN account_tool_environments AS t ON t.id = i.account_tool_environment_id AND t.user_id IS NOT NULL
            WHERE i.status_changed_at IS NOT NULL AND i.instance_name_on_toolbox IS NOT NULL
                AND ($1::uuid IS NULL OR t.user_id = $1 OR i.id = ANY($2))
            GROUP BY 1
        ), shown AS (
            SELECT i.id, t.user_id FROM account_tool_instances AS i
            JOIN account_tool_environments AS t ON t.id = i.account_tool_environment_id
            WHERE i.id = ANY($2)
        ), moves AS (
            SELECT c.at, c.state AS after, c.previous_state AS before
            FROM status_changes AS c
            WHERE c.at > $3 AND c.previous_state IS NOT NULL AND c.previous_state IS DISTINCT FROM c.state
                AND ($1::uuid IS NULL OR c.account_id = $1 OR (c.subject_id, c.account_id) IN (SELECT id, user_id FROM shown))
            UNION ALL
            SELECT c.at, c.state, CASE c.kind
                WHEN 'deleted' THEN (SELECT p.state FROM status_changes AS p
                    WHERE p.subject_id = c.subject_id AND p.version < c.version AND p.kind <> 'toolbox'
                    ORDER BY p.version DESC LIMIT 1)
                ELSE c.event #>> '{previous,state}' END
            FROM status_changes AS c
            WHERE c.at > $3 AND c.previous_state IS NULL AND c.kind <> 'toolbox'
                AND ($1::uuid IS NULL OR c.account_id = $1 OR (c.subject_id, c.account_id) IN (SELECT id, user_id FROM shown))
        ), counted AS (
            SELECT date_bin(make_interval(secs => $4::int), at, $3) AS began, after, before, count(*) AS servers
            FROM moves WHERE after IS DISTINCT FROM before GROUP BY 1, 2, 3
        )
        SELECT NULL::int AS step, state AS "state!", servers AS "servers!" FROM now
        UNION ALL
        SELECT LEAST(extract(epoch FROM began - $3)::bigint / $4::int, $5::int - 1)::int, state, sum(more)::bigint
        FROM counted CROSS JOIN LATERAL (VALUES (after, servers), (before, -servers)) AS change (state, more)
        WHERE state IS NOT NULL GROUP BY 1, 2"#,
        account.map(|account| account.0) as Option<Uuid>,
        &granted,
        stored(from) as Stored,
        i32::try_from(step).unwrap_or(i32::MAX),
        i32::try_from(steps).unwrap_or(i32::MAX),
    )
    .fetch_all(executor)
    .await?;
    let row = rows.into_iter().map(|row| FleetRow {
        step: row.step.map(|step| u32::try_from(step).unwrap_or(0)),
        state: row.state,
        servers: row.servers,
    });
    Ok(row.collect())
}
