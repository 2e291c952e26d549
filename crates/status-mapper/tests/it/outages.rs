//! Servers that go away and come back.

use std::time::Duration;

use wire::streams;

use crate::ground::{ACCOUNT, Ground};
use crate::waiting::{eventually, list, now};

#[tokio::test(flavor = "multi_thread")]
async fn while_postgresql_is_away_reports_wait_and_none_is_lost() {
    let mut ground = Ground::with_postgres().await;
    let toolbox = ground.toolbox(1).await;
    let server = ground.server(toolbox, 1).await;
    let mapper = ground.mapper(&[]).await;
    ground.report(&list(toolbox, now(), &[(1, "running")])).await;
    ground
        .row_becomes(server, "running", |row| row.is("running", "healthy"))
        .await;

    ground.postgres.as_mut().unwrap().stop().await.unwrap();
    let why = mapper.until_not_ready("database:").await;
    assert!(!why.contains("postgres://"), "{why}");
    for word in ["exited", "running", "exited"] {
        ground.report(&list(toolbox, now(), &[(1, word)])).await;
    }
    eventually("the batch is in hand", async || {
        (ground.bus.backlog(&streams::MAPPER).await.ok()?.ack_pending > 0).then_some(())
    })
    .await;
    ground.postgres.as_mut().unwrap().restart().await.unwrap();

    ground
        .row_becomes(server, "stopped", |row| row.state == "stopped")
        .await;
    ground.settled().await;
    assert!(ground.dead_letters().await.is_empty());
    let event = ground.last_event(ACCOUNT, server).await.unwrap();
    let row = ground.row(server).await.unwrap();
    assert_eq!(
        (event["state"].as_str(), event["version"].as_i64()),
        (Some("stopped"), Some(row.version))
    );
    mapper.until_ready().await;
    mapper.stop().await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_of_nats_everything_goes_on() {
    let mut ground = Ground::new().await;
    let events = ground.events();
    let toolbox = ground.toolbox(1).await;
    let server = ground.server(toolbox, 1).await;
    let mapper = ground.mapper(&[]).await;
    ground.report(&list(toolbox, now(), &[(1, "running")])).await;
    events
        .wait(server, "that it runs", |event| event.view() == "running/healthy/")
        .await;

    ground.nats.kill().await.unwrap();
    mapper.until_not_ready("nats:").await;
    ground.nats.restart().await.unwrap();
    mapper.until_ready().await;
    eventually("the test is connected", async || {
        ground.bus.is_connected().then_some(())
    })
    .await;
    ground.report(&list(toolbox, now(), &[(1, "exited")])).await;
    events
        .wait(server, "that it stopped", |event| {
            event.view() == "stopped/unknown/"
        })
        .await;
    ground.settled().await;
    mapper.stop().await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_starts_while_both_are_away_and_works_when_they_come() {
    let mut ground = Ground::with_postgres().await;
    let toolbox = ground.toolbox(1).await;
    let server = ground.server(toolbox, 1).await;
    ground.report(&list(toolbox, now(), &[(1, "running")])).await;
    ground.nats.stop().await.unwrap();
    ground.postgres.as_mut().unwrap().stop().await.unwrap();

    let mapper = ground.start_mapper(&["--migrate"]);
    let why = mapper.until_not_ready("nats: not connected").await;
    assert!(why.contains("database:"), "{why}");
    ground.postgres.as_mut().unwrap().restart().await.unwrap();
    eventually("the database is no reason any more", async || {
        (!mapper.readyz().await?.1.contains("database:")).then_some(())
    })
    .await;
    ground.nats.restart().await.unwrap();
    mapper.until_ready().await;
    ground
        .row_becomes(server, "running", |row| row.is("running", "healthy"))
        .await;
    mapper.stop().await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_while_nats_hung_is_relayed_when_it_is_back() {
    let ground = Ground::new().await;
    let events = ground.events();
    let toolbox = ground.toolbox(1).await;
    let server = ground.server(toolbox, 1).await;
    let mapper = ground.mapper(&[]).await;
    events
        .wait(server, "of its registration", |event| event.version() == 1)
        .await;

    // Hold the batch between its delivery and its commit, and freeze NATS meanwhile.
    let mut held = ground.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM account_tool_environments WHERE id = $1 FOR UPDATE")
        .bind(toolbox.0)
        .execute(&mut *held)
        .await
        .unwrap();
    ground.report(&list(toolbox, now(), &[(1, "running")])).await;
    eventually("the batch waits for its rows", async || {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_one(&ground.pool)
        .await
        .unwrap();
        (waiting > 0).then_some(())
    })
    .await;
    ground.nats.pause().await.unwrap();
    held.rollback().await.unwrap();

    ground
        .row_becomes(server, "running", |row| row.is("running", "healthy"))
        .await;
    assert!(ground.unpublished().await > 0);
    assert!(!events.views(server).contains(&"running/healthy/".to_owned()));
    ground.nats.resume().unwrap();

    events
        .wait(server, "that it runs", |event| event.view() == "running/healthy/")
        .await;
    ground.settled().await;
    events.assert_gapless(server);
    assert!(ground.dead_letters().await.is_empty());
    mapper.stop().await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_while_postgresql_is_away_is_orderly_and_gives_the_reports_back() {
    let mut ground = Ground::with_postgres().await;
    let toolbox = ground.toolbox(1).await;
    let server = ground.server(toolbox, 1).await;
    let mapper = ground.mapper(&[]).await;
    ground.postgres.as_mut().unwrap().stop().await.unwrap();
    ground.report(&list(toolbox, now(), &[(1, "running")])).await;
    eventually("the batch is in hand", async || {
        (ground.bus.backlog(&streams::MAPPER).await.ok()?.ack_pending > 0).then_some(())
    })
    .await;
    mapper.stop().await;
    ground.postgres.as_mut().unwrap().restart().await.unwrap();
    let mapper = ground.mapper(&[]).await;
    ground
        .row_becomes(server, "running", |row| row.is("running", "healthy"))
        .await;
    ground.settled().await;
    assert!(ground.dead_letters().await.is_empty());
    mapper.stop().await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_not_what_is_needed_stop_the_start() {
    let ground = Ground::new().await;
    ground.delete_stream("MCP_STATUS").await;
    let strange =
        r#"{"name":"MCP_STATUS","subjects":["mcp.status.v1.*.*"],"max_msgs_per_subject":1,"storage":"file"}"#;
    let answer = ground.jetstream("STREAM.CREATE.MCP_STATUS", strange).await;
    assert!(!answer.contains("\"error\""), "{answer}");
    let mapper = ground.start_mapper(&[]);
    let error = tokio::time::timeout(Duration::from_secs(60), mapper.ended())
        .await
        .unwrap()
        .unwrap_err();
    let text = format!("{error:#}");
    assert!(
        text.contains("max_msgs_per_subject") && text.contains("MCP_STATUS"),
        "{text}"
    );
    ground.close().await;
}
