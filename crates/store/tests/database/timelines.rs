//! The history over a stretch of time, of one server and of many.

use std::collections::BTreeMap;

use domain::{AccountId, Cause, Change, Health, McpState, Server, ServerChange, ServerId};
use serde_json::json;
use sqlx::PgPool;
use store::batch::Writes;
use store::timeline::{self, FleetRow};
use store::{ChangeRow, Envelope};
use uuid::Uuid;

use crate::support::{NOW, account, add_server, add_toolbox, at, change_row, write};

/// Writes that a server came to be in a state, some seconds after `NOW`, as the mapper does: row and history.
async fn becomes(pool: &PgPool, server: &mut Server, seconds: i64, state: McpState) {
    let before = (server.version > 0).then_some((server.state, server.health));
    server.version += 1;
    server.state = state;
    server.health = Health::Unknown;
    server.changed_at = Some(at(seconds));
    let change = Change::Server(Box::new(ServerChange {
        before,
        after: server.clone(),
        cause: Cause::Report,
    }));
    let writes = Writes {
        servers: vec![server.clone()],
        changes: vec![announced(&change, before)],
        ..Writes::default()
    };
    write(pool, &writes).await.unwrap();
}

/// A row whose event tells what was before, as published ones do.
fn announced(change: &Change, before: Option<(McpState, Health)>) -> ChangeRow {
    let previous = before.map(|(state, health)| json!({"state": state.as_str(), "health": health.as_str()}));
    let envelope = Envelope {
        nats_subject: "test".to_owned(),
        event: serde_json::value::to_raw_value(&json!({ "previous": previous })).unwrap(),
        traceparent: None,
    };
    ChangeRow::new(Uuid::new_v4(), change, envelope)
}

async fn goes(pool: &PgPool, server: &Server, seconds: i64) {
    let change = Change::Removed {
        server: server.id,
        toolbox: server.toolbox,
        account: server.account,
        version: server.version + 1,
        at: at(seconds),
    };
    let writes = Writes {
        removed: vec![server.id],
        changes: vec![change_row(&change)],
        ..Writes::default()
    };
    write(pool, &writes).await.unwrap();
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_server_s_changes_in_the_window_and_the_one_before(pool: PgPool) {
    let home = add_toolbox(&pool, 1).await;
    let mut server = add_server(&pool, &home, 10).await;
    for (seconds, state) in [
        (-50, McpState::Starting),
        (-20, McpState::Running),
        (10, McpState::Error),
        (30, McpState::Running),
    ] {
        becomes(&pool, &mut server, seconds, state).await;
    }
    let read = async |limit| {
        timeline::server(&pool, server.id, server.account, NOW, limit)
            .await
            .unwrap()
    };
    let rows = read(100).await;
    let versions: Vec<_> = rows.iter().map(|row| row.version).collect();
    assert_eq!(versions, [2, 3, 4]);
    let states: Vec<_> = rows
        .iter()
        .map(|row| row.after.as_ref().unwrap().state.as_str())
        .collect();
    assert_eq!(states, ["running", "error", "running"]);
    assert_eq!(
        rows[1].before.as_ref().map(|before| before.state.as_str()),
        Some("running")
    );
    let versions: Vec<_> = read(1).await.iter().map(|row| row.version).collect();
    assert_eq!(versions, [2, 4], "of too many the newest");
    let foreign = timeline::server(&pool, server.id, account(2), NOW, 100)
        .await
        .unwrap();
    assert_eq!(foreign, []);
    goes(&pool, &server, 40).await;
    assert_eq!(read(100).await.last().unwrap().after, None);
}

/// By step, or of now: how many of which state.
fn told(rows: Vec<FleetRow>) -> BTreeMap<(Option<u32>, String), i64> {
    rows.into_iter()
        .filter(|row| row.servers != 0)
        .map(|row| ((row.step, row.state), row.servers))
        .collect()
}

fn expected(rows: &[(Option<u32>, &str, i64)]) -> BTreeMap<(Option<u32>, String), i64> {
    rows.iter()
        .map(|(step, state, servers)| ((*step, (*state).to_owned()), *servers))
        .collect()
}

async fn fleet(
    pool: &PgPool,
    of: Option<AccountId>,
    granted: &[ServerId],
) -> BTreeMap<(Option<u32>, String), i64> {
    told(timeline::fleet(pool, of, granted, NOW, 10, 4).await.unwrap())
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn counts_of_now_and_what_each_step_changed(pool: PgPool) {
    let home = add_toolbox(&pool, 1).await;
    let (mut old, mut new) = (
        add_server(&pool, &home, 10).await,
        add_server(&pool, &home, 11).await,
    );
    let mut gone = add_server(&pool, &home, 12).await;
    add_server(&pool, &home, 13).await;
    becomes(&pool, &mut old, -100, McpState::Running).await;
    becomes(&pool, &mut gone, -100, McpState::Stopped).await;
    becomes(&pool, &mut new, 5, McpState::Running).await;
    // On the edge: of the step that begins there.
    becomes(&pool, &mut old, 10, McpState::Error).await;
    becomes(&pool, &mut old, 12, McpState::Running).await;
    becomes(&pool, &mut old, 14, McpState::Error).await;
    goes(&pool, &gone, 25).await;
    // Decided by a clock that is ahead.
    becomes(&pool, &mut new, 90, McpState::Stopped).await;
    let all = expected(&[
        (None, "error", 1),
        (None, "stopped", 1),
        (Some(0), "running", 1),
        (Some(1), "running", -1),
        (Some(1), "error", 1),
        (Some(2), "stopped", -1),
        (Some(3), "running", -1),
        (Some(3), "stopped", 1),
    ]);
    assert_eq!(fleet(&pool, None, &[]).await, all);
    assert_eq!(fleet(&pool, Some(account(1)), &[]).await, all);
    assert_eq!(fleet(&pool, Some(account(2)), &[]).await, expected(&[]));
    assert_eq!(
        fleet(&pool, Some(account(2)), &[old.id]).await,
        expected(&[
            (None, "error", 1),
            (Some(1), "error", 1),
            (Some(1), "running", -1)
        ]),
        "and what a connection shows"
    );
    // As a replica wrote them that does not know the column.
    sqlx::query("UPDATE status_changes SET previous_state = NULL")
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(fleet(&pool, None, &[]).await, all);
}
