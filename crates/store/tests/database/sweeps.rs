//! The sweep's query against the domain's decision.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::{
    AgentStatus, FleetSilence, LastError, Order, Reason, ReasonCode, Server, ServerId, Thresholds, Toolbox,
};
use jiff::Timestamp;
use sqlx::PgPool;
use store::batch::Writes;
use store::sweep::{candidates, fleet_silence};

use crate::generate::{intent, one, server, toolbox};
use crate::support::{
    NOW, add_server, add_toolbox, at, change_row, id, order, read, take_reports, want, whole_report, write,
};

const GRACE: Duration = Duration::from_secs(3);

/// Sweeps as the mapper does, at most `limit` at a time, until nothing is left; returns what was changed.
async fn sweep(pool: &PgPool, now: Timestamp, blind: bool, limit: u32) -> BTreeSet<ServerId> {
    let thresholds = Thresholds::default();
    let mut changed = BTreeSet::new();
    loop {
        let mut transaction = pool.begin().await.unwrap();
        let found = candidates(&mut transaction, now, &thresholds, blind, limit)
            .await
            .unwrap();
        assert!(found.len() <= limit as usize);
        if found.is_empty() {
            return changed;
        }
        let mut writes = Writes::default();
        for candidate in &found {
            let server = &candidate.server;
            assert!(
                changed.insert(server.id),
                "returned again although it was settled: {candidate:#?}"
            );
            let decision = server.sweep(candidate.circumstances(blind), now, &thresholds);
            let (after, change) = decision.unwrap_or_else(|| panic!("nothing to say of {candidate:#?}"));
            writes.changes.extend(change.as_ref().map(change_row));
            writes.servers.push(after);
        }
        store::batch::write(&mut transaction, &writes).await.unwrap();
        transaction.commit().await.unwrap();
    }
}

/// What the domain would change, asked of every row one by one.
async fn by_the_domain(
    pool: &PgPool,
    toolboxes: &[Toolbox],
    now: Timestamp,
    blind: bool,
) -> BTreeSet<ServerId> {
    let mut changed = BTreeSet::new();
    for toolbox in toolboxes {
        let (toolbox, servers) = read(pool, toolbox.id).await;
        let problem = toolbox.problem.as_ref().map(|problem| &problem.reason);
        let around = domain::Circumstances {
            problem,
            agent_heard_at: toolbox.heard_at,
            whole_as_of: toolbox.whole_order.map(|order| order.as_of),
            blind,
        };
        let told = servers
            .iter()
            .filter(|server| server.sweep(around, now, &Thresholds::default()).is_some());
        changed.extend(told.map(|server| server.id));
    }
    changed
}

/// For generated rows: the query finds exactly what the domain changes, and once that is written, nothing more — when
/// the observer goes blind, as time passes, and when it sees again.
#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_query_and_the_domain_agree(pool: PgPool) {
    let toolboxes: Vec<Toolbox> = (1..=40).map(|n| one(n, toolbox(n))).collect();
    let mut servers = Vec::new();
    let mut ids = Vec::new();
    for toolbox in &toolboxes {
        add_toolbox(&pool, toolbox.id.0.as_u128()).await;
        for n in 0..20 {
            let n = toolbox.id.0.as_u128() * 100 + n;
            add_server(&pool, toolbox, n).await;
            servers.push(one(n, server(n, toolbox.id)));
            ids.push(n);
        }
    }
    write(
        &pool,
        &Writes {
            toolboxes: toolboxes.clone(),
            servers,
            ..Writes::default()
        },
    )
    .await
    .unwrap();
    for n in ids {
        want(&pool, ServerId(id(n)), one(n + 1, intent(n))).await;
    }

    for (step, (seconds, blind)) in [
        (0, false),
        (0, true),
        (0, false),
        (1, false),
        (179, false),
        (180, false),
        (400, true),
        (700, false),
        (5_000, false),
    ]
    .into_iter()
    .enumerate()
    {
        let expected = by_the_domain(&pool, &toolboxes, at(seconds), blind).await;
        let found = sweep(&pool, at(seconds), blind, 97).await;
        assert_eq!(found, expected, "step {step}");
        if step < 3 {
            assert!(found.len() > 20, "step {step} proves little: {}", found.len());
        }
    }
    assert_eq!(sweep(&pool, at(5_000), false, 97).await, BTreeSet::new());
}

/// The life of one server that falls silent: told at each threshold, and then never again however long it lasts.
#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_silence_is_told_once_a_threshold(pool: PgPool) {
    let home = add_toolbox(&pool, 1).await;
    let server = add_server(&pool, &home, 10).await;
    take_reports(
        &pool,
        &[whole_report(home.id, order(0, 1), &[&server], "running")],
        at(0),
    )
    .await;
    for (seconds, told) in [
        (120, false),
        (121, true),
        (300, false),
        (301, true),
        (900, false),
        (901, true),
        (902, false),
        (999_999, false),
    ] {
        assert_eq!(
            !sweep(&pool, at(seconds), false, 10).await.is_empty(),
            told,
            "after {seconds} s"
        );
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_intent_of_the_application_is_told(pool: PgPool) {
    let home = add_toolbox(&pool, 1).await;
    let server = add_server(&pool, &home, 10).await;
    assert_eq!(sweep(&pool, at(0), false, 10).await.len(), 1, "a new row is news");
    assert_eq!(sweep(&pool, at(0), false, 10).await.len(), 0);
    take_reports(
        &pool,
        &[whole_report(home.id, order(0, 1), &[&server], "running")],
        at(0),
    )
    .await;
    for (label, told) in [
        ("stopping_on_toolbox", true),
        ("pending_delete", false),
        ("starting_on_toolbox", true),
    ] {
        sqlx::query("UPDATE account_tool_instances SET status_on_toolbox = $1")
            .bind(label)
            .execute(&pool)
            .await
            .unwrap();
        assert_eq!(
            sweep(&pool, at(1), false, 10).await.len(),
            usize::from(told),
            "{label}"
        );
    }
}

/// What one replica has in hand is left to it.
#[sqlx::test(migrator = "store::MIGRATOR")]
async fn sweepers_share_the_work(pool: PgPool) {
    let home = add_toolbox(&pool, 1).await;
    for n in 10..20 {
        add_server(&pool, &home, n).await;
    }
    let thresholds = Thresholds::default();
    let (mut one, mut two) = (pool.begin().await.unwrap(), pool.begin().await.unwrap());
    let first = candidates(&mut one, NOW, &thresholds, false, 4).await.unwrap();
    let second = candidates(&mut two, NOW, &thresholds, false, 100).await.unwrap();
    let numbers = |found: &[store::sweep::Candidate]| {
        found
            .iter()
            .map(|found| found.server.id.0.as_u128())
            .collect::<Vec<_>>()
    };
    assert_eq!(numbers(&first), [10, 11, 12, 13]);
    assert_eq!(numbers(&second), [14, 15, 16, 17, 18, 19]);
}

/// A row whose name can be no container's is nothing to sweep, and must not keep others from being swept.
#[sqlx::test(migrator = "store::MIGRATOR")]
async fn unusable_rows_take_nobodys_place(pool: PgPool) {
    let home = add_toolbox(&pool, 1).await;
    for n in 10..30 {
        add_server(&pool, &home, n).await;
    }
    sqlx::query("UPDATE account_tool_instances SET instance_name_on_toolbox = NULL WHERE id < $1")
        .bind(id(25))
        .execute(&pool)
        .await
        .unwrap();
    let mut transaction = pool.begin().await.unwrap();
    let found = candidates(&mut transaction, NOW, &Thresholds::default(), false, 3)
        .await
        .unwrap();
    assert_eq!(
        found
            .iter()
            .map(|found| found.server.id.0.as_u128())
            .collect::<Vec<_>>(),
        [25, 26, 27]
    );
}

/// A label, code or shape that only a newer version writes must not come back at every sweep.
#[sqlx::test(migrator = "store::MIGRATOR")]
async fn codes_of_a_newer_version_settle(pool: PgPool) {
    let home = add_toolbox(&pool, 1).await;
    for n in 10..13 {
        add_server(&pool, &home, n).await;
    }
    sqlx::raw_sql(
        r#"UPDATE account_tool_environments SET agent_problem = '{"code": "from_the_future", "message": "", "at": 7}';
        UPDATE account_tool_instances SET status_version = 3, status_changed_at = '2026-11-18', observed_status = 'exited',
            observed_since = '2026-11-18', as_of = '2026-11-18', as_of_seq = 1,
            last_error = '{"code": "from_the_future"}',
            observed_detail = '{"reason": {"code": "from_the_future", "message": "?"}}'"#,
    )
    .execute(&pool)
    .await
    .unwrap();
    for now in [at(0), "2026-11-18T00:00:10Z".parse().unwrap()] {
        sweep(&pool, now, false, 2).await;
        assert_eq!(sweep(&pool, now, false, 2).await.len(), 0);
    }
}

fn silent_since(toolbox: &Toolbox, seconds: i64, expected_by: Option<i64>, failing: bool) -> Toolbox {
    let problem = Reason::new(ReasonCode::AgentUnreachable, "refused");
    Toolbox {
        order: Some(Order {
            as_of: at(seconds),
            sequence: 1,
        }),
        heard_at: Some(at(seconds)),
        expected_by: expected_by.map(at),
        status: if failing {
            AgentStatus::Unresponsive
        } else {
            AgentStatus::Active
        },
        problem: failing.then(|| LastError {
            reason: problem,
            at: at(seconds),
        }),
        ..toolbox.clone()
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn who_could_be_heard_and_was_not(pool: PgPool) {
    let count = |pool: PgPool, now| async move {
        fleet_silence(&pool, now, &Thresholds::default(), GRACE)
            .await
            .unwrap()
    };
    assert_eq!(count(pool.clone(), at(0)).await, FleetSilence::default());

    // Heard of at −1000 s, −200 s (four of them) and 0 s; the last sign of life is the anchor.
    let mut toolboxes = Vec::new();
    for (n, (seconds, expected_by, failing)) in [
        (0, Some(30), false),
        (-200, Some(100), false), // polled every five minutes: not late
        (-200, Some(-4), false),  // late
        (-200, None, true),       // failing
        (-200, Some(-3), false),  // late, but within the grace
        (-901, Some(-800), true), // gone for good: not of the population
    ]
    .into_iter()
    .enumerate()
    {
        toolboxes.push(silent_since(
            &add_toolbox(&pool, n as u128 + 1).await,
            seconds,
            expected_by,
            failing,
        ));
    }
    add_toolbox(&pool, 50).await; // never heard of
    write(
        &pool,
        &Writes {
            toolboxes,
            ..Writes::default()
        },
    )
    .await
    .unwrap();
    assert_eq!(
        count(pool.clone(), at(0)).await,
        FleetSilence {
            population: 5,
            silent: 2
        }
    );
    // Total silence does not empty the population: it is anchored to the last sign of life.
    assert_eq!(
        count(pool.clone(), at(10_000)).await,
        FleetSilence {
            population: 5,
            silent: 5
        }
    );
    // Nor does a clock that was wrong once.
    sqlx::query("UPDATE account_tool_environments SET last_heartbeat_at = 'infinity' WHERE id = $1")
        .bind(id(1))
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(
        count(pool, at(10_000)).await,
        FleetSilence {
            population: 5,
            silent: 5
        }
    );
}

/// [`Server::new`] is what an inserted row reads as; the sweep tests stand on it.
#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_fresh_row_reads_as_a_new_server(pool: PgPool) {
    let home = add_toolbox(&pool, 1).await;
    let server: Server = add_server(&pool, &home, 10).await;
    let read_back = read(&pool, home.id).await;
    assert_eq!(read_back, (home, vec![server]));
}
