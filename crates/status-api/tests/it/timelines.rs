//! What was, over a stretch of time.

use domain::ServerId;
use reqwest::Method;
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

use crate::ground::{GUEST, Ground, OWNER, STRANGER, eventually, service_token, user};

/// Enters a change of the past, `minutes` ago.
async fn was(
    pool: &PgPool,
    server: ServerId,
    version: i64,
    minutes: i32,
    state: &str,
    before: Option<&str>,
    code: Option<&str>,
) {
    sqlx::query(
        "INSERT INTO status_changes (id, at, kind, subject_id, toolbox_id, account_id, version, state, health,
            error_code, nats_subject, event, published_at, previous_state)
        SELECT $1, now() - make_interval(mins => $3), 'server', $2, t.id, t.user_id, $4, $5, 'unknown', $6, 'x',
            json_build_object('previous', json_build_object('state', $7::text, 'health', 'unknown')), now(), $7
        FROM account_tool_instances AS i JOIN account_tool_environments AS t ON t.id = i.account_tool_environment_id
        WHERE i.id = $2",
    )
    .bind(Uuid::new_v4())
    .bind(server.0)
    .bind(minutes)
    .bind(version)
    .bind(state)
    .bind(code)
    .bind(before)
    .execute(pool)
    .await
    .unwrap();
}

fn states(timeline: &Value) -> Vec<String> {
    let bands = timeline["bands"].as_array().unwrap().iter();
    bands
        .map(|band| band["state"].as_str().unwrap_or("-").to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_s_timeline_is_his_who_may_see_it() {
    let ground = Ground::new(&[]).await;
    let toolbox = ground.toolbox(OWNER, 1).await;
    let server = ground.running(toolbox, 1).await;
    ground.connect(1, GUEST, server, true).await;
    was(&ground.pool, server, 1, 48 * 60, "running", None, None).await;
    was(
        &ground.pool,
        server,
        2,
        180,
        "error",
        Some("running"),
        Some("exit_code"),
    )
    .await;
    was(&ground.pool, server, 3, 120, "running", Some("error"), None).await;
    let path = format!("/v1/servers/{server}/timeline");
    let day = ground.get(&path, &user(OWNER)).await.is(200).json();
    assert_eq!(states(&day), ["running", "error", "running"]);
    assert_eq!(day["bands"][1]["code"], "exit_code");
    assert_eq!(day["bands"][0]["from"], day["from"]);
    assert_eq!(day["bands"][2]["to"], day["to"]);
    assert_eq!(day["stale"], false);
    let uptime = day["uptime"].as_f64().unwrap();
    assert!((uptime - 23.0 / 24.0).abs() < 0.001, "{uptime}");
    assert!(day["seconds"]["error"].as_u64().unwrap().abs_diff(3_600) <= 1);
    let week = ground
        .get(&format!("{path}?window=7d"), &user(OWNER))
        .await
        .is(200)
        .json();
    assert_eq!(states(&week), ["-", "running", "error", "running"]);
    let hour = ground
        .get(&format!("{path}?window=1h"), &user(OWNER))
        .await
        .is(200)
        .json();
    assert_eq!(
        (states(&hour), hour["uptime"].as_f64()),
        (vec!["running".to_owned()], Some(1.0))
    );
    ground.get(&path, &service_token()).await.is(200);
    // Through his connection, once it is known.
    eventually("a guest sees it", async || {
        (ground.get(&path, &user(GUEST)).await.status == 200).then_some(())
    })
    .await;
    let foreign = ground.get(&path, &user(STRANGER)).await.is(404);
    let none = ground
        .get(
            "/v1/servers/00000000-0000-4000-8000-000000000000/timeline",
            &user(STRANGER),
        )
        .await
        .is(404);
    assert_eq!(foreign.json()["detail"], none.json()["detail"]);
    for bad in [
        "59m",
        "31d",
        "1h30m",
        "",
        "-1h",
        "24",
        "9999999999999999999d",
        "é",
    ] {
        let answer = ground
            .get(&format!("{path}?window={bad}"), &user(OWNER))
            .await
            .is(400);
        assert_eq!(answer.json()["field"], "window", "{bad}");
    }
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_never_changed_is_drawn_as_it_stands() {
    let ground = Ground::new(&[]).await;
    let toolbox = ground.toolbox(OWNER, 1).await;
    let server = ground.running(toolbox, 1).await;
    let unseen = ground.server(toolbox, 2).await;
    // All its changes are older than the history.
    sqlx::query(
        "UPDATE account_tool_instances SET status_changed_at = now() - interval '90 days' WHERE id = $1",
    )
    .bind(server.0)
    .execute(&ground.pool)
    .await
    .unwrap();
    ground.publish(server).await;
    let path = format!("/v1/servers/{server}/timeline?window=30d");
    let old = eventually("the row is read again", async || {
        let timeline = ground.get(&path, &user(OWNER)).await.is(200).json();
        (states(&timeline) == ["running"]).then_some(timeline)
    })
    .await;
    assert_eq!(old["uptime"], 1.0);
    let unseen = ground
        .get(&format!("/v1/servers/{unseen}/timeline"), &user(OWNER))
        .await
        .is(200)
        .json();
    assert_eq!(states(&unseen), ["-"]);
    assert!(unseen.get("uptime").is_none(), "{unseen}");
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_s_timeline_counts_what_its_caller_may_see() {
    let ground = Ground::new(&[]).await;
    let toolbox = ground.toolbox(OWNER, 1).await;
    let (one, two) = (ground.running(toolbox, 1).await, ground.running(toolbox, 2).await);
    was(&ground.pool, one, 1, 48 * 60, "running", None, None).await;
    was(
        &ground.pool,
        one,
        2,
        90,
        "error",
        Some("running"),
        Some("exit_code"),
    )
    .await;
    was(&ground.pool, one, 3, 15, "running", Some("error"), None).await;
    was(&ground.pool, two, 1, 45, "running", None, None).await;
    let path = "/v1/fleet/timeline?window=2h&points=4";
    let line = ground.get(path, &user(OWNER)).await.is(200).json();
    assert_eq!(line["step"], 1_800);
    assert_eq!(line["states"]["running"], serde_json::json!([0, 0, 1, 2]));
    assert_eq!(line["states"]["error"], serde_json::json!([1, 1, 1, 0]));
    assert_eq!(line["states"]["stopped"], serde_json::json!([0, 0, 0, 0]));
    assert_eq!(line["stale"], false);
    let others = ground.get(path, &user(STRANGER)).await.is(200).json();
    assert_eq!(others["states"]["running"], serde_json::json!([0, 0, 0, 0]));
    let all = ground.get(path, &service_token()).await.is(200).json();
    assert_eq!(all["states"], line["states"]);
    let again = ground.get(path, &user(OWNER)).await.is(200).json();
    assert_eq!(again, line, "one answer serves for a while");
    for (bad, field) in [
        ("window=2h&points=1", "points"),
        ("points=201", "points"),
        ("points=%2B4", "points"),
        ("window=31d", "window"),
    ] {
        let answer = ground
            .get(&format!("/v1/fleet/timeline?{bad}"), &user(OWNER))
            .await
            .is(400);
        assert_eq!(answer.json()["field"], field);
    }
    // Looking in ever other ways is what a caller may do so often.
    let mut looked = Vec::new();
    for points in 5..25 {
        let path = format!("/v1/fleet/timeline?points={points}");
        looked.push(
            ground
                .ask(Method::GET, &path, &user(GUEST), None)
                .await
                .status
                .as_u16(),
        );
    }
    assert_eq!(looked[..10], [200; 10]);
    assert!(looked.contains(&429), "{looked:?}");
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_away_the_newest_is_told_as_stale() {
    let mut ground = Ground::with_postgres(&[]).await;
    let toolbox = ground.toolbox(OWNER, 1).await;
    let server = ground.running(toolbox, 1).await;
    let fleet = "/v1/fleet/timeline";
    ground.get(fleet, &user(OWNER)).await.is(200);
    ground.postgres.as_mut().unwrap().stop().await.unwrap();
    let path = format!("/v1/servers/{server}/timeline");
    let stale = ground.get(&path, &user(OWNER)).await.is(200).json();
    assert_eq!(stale["stale"], true);
    assert_eq!(states(&stale), ["-", "running"]);
    // Asked by somebody whose answer was never known.
    let unknown = ground.get(fleet, &user(GUEST)).await.is(503);
    assert!(unknown.header("retry-after").is_some());
    eventually("what is kept is stale", async || {
        let line = ground.get(fleet, &user(OWNER)).await.is(200).json();
        (line["stale"] == true).then_some(())
    })
    .await;
    ground.close().await;
}
