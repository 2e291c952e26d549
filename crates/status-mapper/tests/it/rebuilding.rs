//! The status stream, lost and made again from the rows.

use domain::ServerId;
use serde_json::Value;
use uuid::Uuid;
use wire::{StatusEvent, subjects};

use crate::ground::{ACCOUNT, Ground};
use crate::waiting::{eventually, list, now};

/// One running and one stopped server, announced and settled.
async fn settled_ground(ground: &Ground) -> [ServerId; 2] {
    let toolbox = ground.toolbox(1).await;
    let servers = [ground.server(toolbox, 1).await, ground.server(toolbox, 2).await];
    ground
        .report(&list(toolbox, now(), &[(1, "starting"), (2, "starting")]))
        .await;
    ground
        .row_becomes(servers[0], "starting", |row| row.state == "starting")
        .await;
    ground
        .report(&list(toolbox, now(), &[(1, "running"), (2, "exited")]))
        .await;
    ground
        .row_becomes(servers[0], "running", |row| row.is("running", "healthy"))
        .await;
    ground
        .row_becomes(servers[1], "stopped", |row| row.state == "stopped")
        .await;
    ground.settled().await;
    servers
}

/// Waits until the stream's last word on a server is what its row says.
async fn right(ground: &Ground, server: ServerId) -> Value {
    eventually("the stream says what the row says", async || {
        let row = ground.row(server).await?;
        let event = ground.last_event(ACCOUNT, server).await?;
        let same = event["version"].as_i64() == Some(row.version) && event["state"] == row.state.as_str();
        same.then_some(event)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_deleted_or_purged_is_rebuilt_and_nothing_has_happened() {
    let ground = Ground::new().await;
    let mapper = ground.mapper(&[]).await;
    let servers = settled_ground(&ground).await;
    let mut rows = Vec::new();
    let mut histories = Vec::new();
    for server in servers {
        rows.push(ground.row(server).await);
        histories.push(ground.history(server.0).await);
    }
    for purge in [false, true] {
        if purge {
            let answer = ground.jetstream("STREAM.PURGE.MCP_STATUS", "").await;
            assert!(answer.contains("\"success\":true"), "{answer}");
        } else {
            ground.delete_stream("MCP_STATUS").await;
        }
        for (server, (row, history)) in servers.iter().zip(rows.iter().zip(&histories)) {
            let event = right(&ground, *server).await;
            assert!(
                event.get("cause").is_none() && event.get("previous").is_none(),
                "{event}"
            );
            assert_eq!(&ground.row(*server).await, row);
            assert_eq!(&ground.history(server.0).await, history);
        }
    }
    mapper.stop().await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_right_is_not_told_again() {
    let ground = Ground::new().await;
    let mapper = ground.mapper(&[]).await;
    let servers = settled_ground(&ground).await;
    mapper.stop().await;
    let before = ground.bus.stream_state(&wire::streams::MCP_STATUS).await.unwrap();
    // Its start compares everything; a new server shows that it has been at work since.
    let mapper = ground.mapper(&["--rebuild-full-every", "500ms"]).await;
    let events = ground.events();
    let toolbox = ground.toolbox(9).await;
    let other = ground.server(toolbox, 9).await;
    events
        .wait(other, "of its registration", |event| event.version() == 1)
        .await;
    // Something that only a comparison can find: its end shows that everything was compared.
    let ghost = ServerId(Uuid::from_u128(0x9057));
    let subject = subjects::server_status(ACCOUNT, ghost);
    let mut event: Value = ground.last_event(ACCOUNT, servers[0]).await.unwrap();
    event["serverId"] = ghost.to_string().into();
    let event = StatusEvent::decode(event.to_string().as_bytes()).unwrap();
    ground
        .bus
        .publish(subject.clone(), "ghost", &event)
        .await
        .unwrap();
    let end = events
        .wait(ghost, "of what never was", |event| event.view() == "deleted")
        .await;
    assert_eq!(end.ttl.as_deref(), Some("604800"));
    let after = ground.bus.stream_state(&wire::streams::MCP_STATUS).await.unwrap();
    assert_eq!(
        after.last_sequence,
        before.last_sequence + 3,
        "one registration, one ghost and its end"
    );
    mapper.stop().await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_version_that_came_last_is_put_right() {
    let ground = Ground::new().await;
    let mapper = ground.mapper(&["--rebuild-full-every", "500ms"]).await;
    let [server, _] = settled_ground(&ground).await;
    let event = ground.last_event(ACCOUNT, server).await.unwrap();
    let mut older = event.clone();
    older["version"] = 1.into();
    older["state"] = "unknown".into();
    let older = StatusEvent::decode(older.to_string().as_bytes()).unwrap();
    // As a publisher does that was cut off for longer than the stream remembers message ids.
    ground
        .bus
        .publish(subjects::server_status(ACCOUNT, server), "late", &older)
        .await
        .unwrap();
    let healed = right(&ground, server).await;
    assert_eq!(healed["version"], event["version"]);
    mapper.stop().await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_lost_their_last_changes_go_on_from_what_was_told() {
    let ground = Ground::new().await;
    let mapper = ground.mapper(&["--rebuild-full-every", "500ms"]).await;
    let [server, _] = settled_ground(&ground).await;
    mapper.stop().await;
    let told = ground.last_event(ACCOUNT, server).await.unwrap()["version"]
        .as_i64()
        .unwrap();
    // As after a restore of an older backup.
    sqlx::query("UPDATE account_tool_instances SET status_version = 1 WHERE id = $1")
        .bind(server.0)
        .execute(&ground.pool)
        .await
        .unwrap();
    sqlx::query("DELETE FROM status_changes WHERE subject_id = $1 AND version > 1")
        .bind(server.0)
        .execute(&ground.pool)
        .await
        .unwrap();
    let mapper = ground.mapper(&["--rebuild-full-every", "500ms"]).await;
    let row = ground
        .row_becomes(server, "past what was told", |row| row.version > told)
        .await;
    let event = right(&ground, server).await;
    assert_eq!(event["version"].as_i64(), Some(row.version));
    assert_eq!(event["cause"], "registry");
    mapper.stop().await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_deleted_while_nobody_watched_is_found_by_what_is_still_told_of_it() {
    let ground = Ground::new().await;
    let mapper = ground.mapper(&[]).await;
    let [server, _] = settled_ground(&ground).await;
    mapper.stop().await;
    // Neither the bucket nor any process remembers it.
    ground.delete_stream("KV_toolboxes").await;
    sqlx::query("DELETE FROM account_tool_instances WHERE id = $1")
        .bind(server.0)
        .execute(&ground.pool)
        .await
        .unwrap();
    let mapper = ground.mapper(&[]).await;
    eventually("its end is told", async || {
        (ground.last_event(ACCOUNT, server).await?["kind"] == "deleted").then_some(())
    })
    .await;
    let history = ground.history(server.0).await;
    assert_eq!(history.last().unwrap().1, "deleted", "{history:?}");
    mapper.stop().await;
    ground.close().await;
}
