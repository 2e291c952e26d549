//! The rows on which time, or the owner's application, has passed judgement: their view is no longer what the domain
//! would make of them.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use domain::{Circumstances, FleetSilence, Reason, ReasonCode, Server, Thresholds};
use jiff::Timestamp;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::command_ends;
use crate::error::Result;
use crate::instant::{Stored, before, interval, stored, uncount};
use crate::rows::{select_servers, select_toolboxes};

/// A server to sweep, locked, and what is known of its toolbox.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The server.
    pub server: Server,
    /// What is wrong with its toolbox's agent, if anything.
    pub problem: Option<Reason>,
    /// When the agent last gave any sign of life.
    pub agent_heard_at: Option<Timestamp>,
    /// When the newest whole list of its toolbox was made.
    pub whole_as_of: Option<Timestamp>,
}

impl Candidate {
    /// As [`Server::sweep`] takes them.
    pub fn circumstances(&self, blind: bool) -> Circumstances<'_> {
        Circumstances {
            problem: self.problem.as_ref(),
            agent_heard_at: self.agent_heard_at,
            whole_as_of: self.whole_as_of,
            blind,
        }
    }
}

/// Servers for which [`Server::sweep`] has something to say at `now`, at most `limit`, in the order of their ids.
/// They are locked until the transaction ends; what another transaction has locked is left to it.
///
/// The decision is the domain's: each candidate still goes through [`Server::sweep`], which has nothing to say where
/// another replica was faster. The query asks the same question of the columns only so that rows that need nothing stay
/// where they are: a server that fell silent and was announced as such is not returned again, however long the silence
/// lasts.
///
/// Reads the whole table of instances, which for 100,000 rows takes less than a tenth of a second while little is due:
/// there is no index for it, because every heartbeat would have to maintain one. When much is due at once, a limit of
/// thousands reads the table less often.
///
/// # Errors
/// [`crate::StoreError::UnknownLabel`], and whatever the database refuses.
pub async fn candidates(
    connection: &mut PgConnection,
    now: Timestamp,
    thresholds: &Thresholds,
    blind: bool,
    limit: u32,
) -> Result<Vec<Candidate>> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut servers: Vec<Server> = Vec::new();
    let mut after = None;
    // A second round only where others hold some of the rows, or some can be no server of ours (no usable name, no
    // account): those must not take the places of the rest.
    while servers.len() < limit {
        let wanted = limit - servers.len();
        let due = due(connection, now, thresholds, blind, after, wanted).await?;
        after = due.last().copied();
        let rows = select_servers!(
            "WHERE i.id = ANY($1) ORDER BY i.id FOR NO KEY UPDATE OF i SKIP LOCKED",
            &due
        )
        .fetch_all(&mut *connection)
        .await?;
        for row in rows {
            servers.extend(row.into_server()?);
        }
        if due.len() < wanted {
            break;
        }
    }
    command_ends::open(connection, servers.iter_mut()).await?;
    with_circumstances(connection, servers).await
}

async fn with_circumstances(connection: &mut PgConnection, servers: Vec<Server>) -> Result<Vec<Candidate>> {
    let homes: BTreeSet<Uuid> = servers.iter().map(|server| server.toolbox.0).collect();
    let homes: Vec<Uuid> = homes.into_iter().collect();
    let rows = select_toolboxes!("AND t.id = ANY($1)", &homes)
        .fetch_all(connection)
        .await?;
    let mut toolboxes = HashMap::with_capacity(rows.len());
    for row in rows {
        let toolbox = row.into_toolbox()?;
        toolboxes.insert(
            toolbox.id,
            (
                toolbox.problem.map(|problem| problem.reason),
                toolbox.heard_at,
                toolbox.whole_order.map(|order| order.as_of),
            ),
        );
    }
    let candidate = |server: Server| {
        // Its toolbox cannot be gone: the row that is locked refers to it.
        let (problem, agent_heard_at, whole_as_of) =
            toolboxes.get(&server.toolbox).cloned().unwrap_or_default();
        Candidate {
            server,
            problem,
            agent_heard_at,
            whole_as_of,
        }
    };
    Ok(servers.into_iter().map(candidate).collect())
}

/// The rows whose announced `state/health/code` is not what [`domain::settle`] would say, case by case in its order. A
/// test holds the two together for generated rows.
async fn due(
    connection: &mut PgConnection,
    now: Timestamp,
    thresholds: &Thresholds,
    blind: bool,
    after: Option<Uuid>,
    limit: usize,
) -> Result<Vec<Uuid>> {
    // A code that only a newer version knows reads as none here, as it does in the domain's rows.
    let known: Vec<&str> = ReasonCode::ALL.iter().map(|code| code.as_str()).collect();
    let due = sqlx::query_scalar!(
        r#"-- Found first and put in order then: told of the limit, the planner would walk the table by its index, for it
        -- believes that nearly every row satisfies an inequality, while in truth hardly any does.
        WITH commanded AS MATERIALIZED (
            -- The few that have a say, found once and not for each server.
            SELECT DISTINCT ON (server_id) server_id, kind, deadline, finished_at
            FROM status_commands
            WHERE closed_at IS NULL AND deadline IS NOT NULL
            ORDER BY server_id, requested_at DESC, id DESC
        ), due AS MATERIALIZED (
            SELECT i.id
            FROM account_tool_instances AS i
            CROSS JOIN LATERAL (
                SELECT
                    COALESCE(i.status_on_toolbox::text, 'pending_install') AS label,
                    i.as_of >= $3 AS fresh,
                    i.observed_detail ->> 'dockerHealth' AS docker,
                    CASE WHEN i.last_error ->> 'code' = ANY($8::text[]) THEN i.last_error ->> 'code' END AS announced,
                    CASE WHEN i.observed_detail -> 'reason' ->> 'code' = ANY($8::text[])
                        THEN i.observed_detail -> 'reason' ->> 'code' END AS told,
                    -- Asked only of rows that have aged, so the toolboxes of the others are not even looked up.
                    CASE WHEN $7 THEN 'observer_blind' ELSE (
                        SELECT CASE
                            WHEN t.agent_problem ->> 'code' = ANY($8::text[]) THEN t.agent_problem ->> 'code'
                            WHEN t.last_heartbeat_at BETWEEN '1970-01-01Z' AND '9000-01-01Z'
                                AND t.last_heartbeat_at::timestamptz > i.as_of + $9::interval THEN 'not_reported'
                            ELSE 'agent_unreachable'
                        END
                        FROM account_tool_environments AS t WHERE t.id = i.account_tool_environment_id
                    ) END AS silence
            ) AS c
            CROSS JOIN LATERAL (
                SELECT CASE
                    WHEN c.label = 'pending_delete' THEN 'stopping'
                    WHEN i.observed_status = 'unknown' THEN 'unknown'
                    WHEN c.label IN ('running', 'stopped') THEN c.label
                    WHEN c.label = 'starting_on_toolbox' THEN 'starting'
                    WHEN c.label = 'stopping_on_toolbox' THEN 'stopping'
                    WHEN c.label IN ('error_starting', 'error_stopping') THEN 'error'
                    ELSE 'unknown'
                END AS state
            ) AS s
            CROSS JOIN LATERAL (
                SELECT CASE
                    WHEN i.observed_status IS NULL OR i.as_of IS NULL
                        THEN CASE c.label WHEN 'pending_delete' THEN 'stopping' ELSE 'unknown' END || '/unknown/'
                    WHEN i.as_of < $5 THEN 'unknown/unknown/' || c.silence
                    WHEN i.observed_status = 'starting' AND c.label <> 'pending_delete' AND i.observed_since < $6
                        THEN 'error/unhealthy/start_timeout'
                    WHEN s.state = 'running' THEN 'running/' || CASE
                        WHEN NOT c.fresh AND $7 THEN 'unknown/observer_blind'
                        WHEN c.docker = 'unhealthy' THEN 'unhealthy/health_check_failing'
                        WHEN c.docker = 'starting' AND c.fresh THEN 'degraded/health_check_starting'
                        WHEN c.fresh THEN 'healthy/'
                        WHEN i.as_of >= $4 THEN 'degraded/' || c.silence
                        ELSE 'unhealthy/' || c.silence
                    END
                    WHEN s.state = 'error' THEN 'error/unhealthy/' || COALESCE(c.told, '')
                    ELSE s.state || '/unknown/' || COALESCE(c.told, '')
                END AS view
            ) AS o
            LEFT JOIN commanded AS k ON k.server_id = i.id
            WHERE ($1::uuid IS NULL OR i.id > $1)
                AND (i.status_changed_at IS NULL
                    -- A command whose time is up has to be ended or closed, whatever is seen of it.
                    OR CASE WHEN k.finished_at IS NULL THEN k.deadline < $10
                        ELSE k.finished_at < $11 OR COALESCE(i.observed_since > k.finished_at, false) END
                    OR i.mcp_state || '/' || i.health || '/' || COALESCE(c.announced, '') <> CASE
                        WHEN i.override_until > $10
                            THEN i.override_state || '/' || i.override_health || '/operator_override'
                        WHEN k.kind IN ('start', 'restart') AND k.finished_at IS NULL THEN 'starting/unknown/'
                        WHEN k.kind IN ('stop', 'delete') AND k.finished_at IS NULL THEN 'stopping/unknown/'
                        WHEN k.kind IS NOT NULL THEN 'error/unhealthy/command_failed'
                        WHEN NOT i.monitored THEN split_part(o.view, '/', 1) || '/unknown/not_monitored'
                        ELSE o.view
                    END)
        )
        SELECT id FROM due ORDER BY id LIMIT $2"#,
        after,
        i64::try_from(limit).unwrap_or(i64::MAX),
        before(now, thresholds.healthy_for) as Stored,
        before(now, thresholds.degraded_for) as Stored,
        before(now, thresholds.unknown_after) as Stored,
        before(now, thresholds.start_timeout) as Stored,
        blind,
        &known as _,
        interval(thresholds.healthy_for),
        stored(now) as Stored,
        before(now, thresholds.command_error_for) as Stored,
    )
    .fetch_all(connection)
    .await?;
    Ok(due)
}

/// Counts the toolboxes that could be heard at `now`, and those of them that are silent; see [`FleetSilence`].
///
/// A toolbox is overdue when the observer is `grace` past the time by which it expected to report: a poll takes its
/// while, and a report more to get here.
///
/// # Errors
/// Whatever the database refuses.
pub async fn fleet_silence(
    executor: impl PgExecutor<'_>,
    now: Timestamp,
    thresholds: &Thresholds,
    grace: Duration,
) -> Result<FleetSilence> {
    let fleet = sqlx::query!(
        r#"WITH heard AS (
            -- Only what this system heard, which is never later than its newest report: another clock's future would
            -- empty the population.
            SELECT LEAST(last_heartbeat_at::timestamptz, as_of) AS at, expected_by, agent_problem IS NOT NULL AS failing
            FROM account_tool_environments
            WHERE as_of IS NOT NULL AND last_heartbeat_at IS NOT NULL AND user_id IS NOT NULL
        )
        SELECT
            count(*) AS "population!",
            count(*) FILTER (WHERE at < $1 AND (failing OR expected_by < $2)) AS "silent!"
        FROM heard
        WHERE at >= (SELECT max(at) FROM heard) - $3::interval"#,
        before(now, thresholds.healthy_for) as Stored,
        before(now, grace) as Stored,
        interval(thresholds.unknown_after),
    )
    .fetch_one(executor)
    .await?;
    Ok(FleetSilence {
        population: uncount(fleet.population),
        silent: uncount(fleet.silent),
    })
}
