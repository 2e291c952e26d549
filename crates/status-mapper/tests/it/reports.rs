//! From raw reports to rows and events.

use domain::{ServerId, ToolboxId};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use serde_json::json;
use uuid::Uuid;
use wire::ToolboxEntry;

use crate::ground::{ACCOUNT, Ground};
use crate::waiting::{eventually, list, now};

#[tokio::test(flavor = "multi_thread")]
async fn a_report_becomes_rows_history_and_an_event_in_one_trace() {
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let ground = Ground::new().await;
    let events = ground.events();
    let toolbox = ground.toolbox(1).await;
    let (up, down) = (ground.server(toolbox, 1).await, ground.server(toolbox, 2).await);
    let mapper = ground.mapper(&[]).await;
    for server in [up, down] {
        let first = events
            .wait(server, "of its registration", |event| event.version() == 1)
            .await;
        assert_eq!(
            (first.view().as_str(), &first.body["cause"]),
            ("unknown/unknown/", &json!("registry"))
        );
    }

    // As a poller writes what the open agent answered.
    let as_of = now();
    let body = json!({
        "toolboxId": toolbox.0, "asOf": as_of, "source": "poll", "agentTime": as_of, "agentVersion": "0.1.0",
        "nextWithinSeconds": 28,
        "outcome": { "kind": "containers", "coverage": "whole", "containers": [
            { "names": ["dtma_manager"], "word": "running", "text": "Up 3 hours" },
            { "names": ["mcp-1"], "word": "running", "text": "Up 2 hours (healthy)",
              "containerId": "692465b235c7c974172040ab9d584f1904889d7353cb0556afae6a1f60a731b9", "image": "x:1" },
            { "names": ["/mcp-2"], "word": "exited", "text": "Exited (137) 6 seconds ago" },
        ]},
    });
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    ground.raw(toolbox, body.to_string(), Some(trace)).await;

    let event = events
        .wait(up, "that it runs", |event| event.version() == 2)
        .await;
    assert_eq!(event.view(), "running/healthy/");
    assert_eq!(
        event.body["previous"],
        json!({ "state": "unknown", "health": "unknown" })
    );
    assert_eq!(event.body["cause"], "report");
    assert_eq!(event.body["asOf"], json!(as_of));
    assert_eq!(event.body["accountId"], json!(ACCOUNT.0));
    assert!(event.body["uptime"].as_u64().unwrap() >= 5400, "{event:?}");
    assert!(
        event
            .traceparent
            .unwrap()
            .contains("0af7651916cd43dd8448eb211c80319c")
    );
    let event = events
        .wait(down, "that it ended", |event| event.version() == 2)
        .await;
    assert_eq!(event.view(), "stopped/unknown/exit_code");

    let row = ground.row(up).await.unwrap();
    assert!(
        row.is("running", "healthy") && row.label == "running" && row.version == 2,
        "{row:?}"
    );
    let row = ground.row(down).await.unwrap();
    assert!(row.is("stopped", "unknown") && row.label == "stopped", "{row:?}");
    let server = |version| (version, "server".to_owned());
    assert_eq!(ground.history(up.0).await, [server(1), server(2)]);
    assert_eq!(ground.history(toolbox.0).await, [(1, "toolbox".to_owned())]);
    ground.settled().await;
    mapper.stop().await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_a_dead_letter_and_holds_up_nobody() {
    let ground = Ground::new().await;
    let toolbox = ground.toolbox(1).await;
    let server = ground.server(toolbox, 1).await;
    let elsewhere = ToolboxId(Uuid::from_u128(0xdead));
    // Before the mapper comes, so that all are in one batch.
    ground.raw(toolbox, "no json at all, with s3cret", None).await;
    ground
        .raw(
            toolbox,
            serde_json::to_vec(&list(elsewhere, now(), &[])).unwrap(),
            None,
        )
        .await;
    ground.raw(toolbox, r#"{"toolboxId":7}"#, None).await;
    ground.report(&list(elsewhere, now(), &[(1, "running")])).await;
    ground.report(&list(toolbox, now(), &[(1, "running")])).await;
    let mapper = ground.mapper(&[]).await;

    ground
        .row_becomes(server, "running", |row| row.is("running", "healthy"))
        .await;
    ground.settled().await;
    let dead = ground.dead_letters().await;
    let mut reasons: Vec<&str> = dead.iter().map(|(reason, _)| reason.as_str()).collect();
    reasons.sort_unstable();
    assert_eq!(
        reasons.len(),
        3,
        "a report of an unknown toolbox is counted, not kept: {reasons:?}"
    );
    assert!(
        reasons
            .iter()
            .any(|reason| reason.contains("toolboxId") && reason.contains("subject")),
        "{reasons:?}"
    );
    assert!(
        reasons.iter().all(|reason| !reason.contains("s3cret")),
        "{reasons:?}"
    );
    assert!(
        dead.iter()
            .any(|(_, body)| body == b"no json at all, with s3cret"),
        "the body is kept whole"
    );
    mapper.stop().await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_the_database_refuses_is_a_dead_letter_and_the_others_are_stored() {
    let ground = Ground::new().await;
    let mut servers = Vec::new();
    for number in 1..=3 {
        let toolbox = ground.toolbox(number).await;
        servers.push((toolbox, ground.server(toolbox, number).await, number));
    }
    // A rule of the owner's that one server's state breaks.
    sqlx::query(
        "ALTER TABLE account_tool_instances ADD CONSTRAINT never CHECK
        (instance_name_on_toolbox <> 'mcp-2' OR mcp_state <> 'running')",
    )
    .execute(&ground.pool)
    .await
    .unwrap();
    // Of the toolbox at fault, this one can be stored.
    ground.report(&list(servers[1].0, now(), &[(2, "exited")])).await;
    for (toolbox, _, number) in &servers {
        ground
            .report(&list(*toolbox, now(), &[(*number, "running")]))
            .await;
    }
    let mapper = ground.mapper(&[]).await;

    for (_, server, number) in &servers {
        let state = if *number == 2 { "stopped" } else { "running" };
        ground.row_becomes(*server, state, |row| row.state == state).await;
    }
    ground.settled().await;
    let dead = ground.dead_letters().await;
    assert_eq!(dead.len(), 1, "{dead:?}");
    assert!(dead[0].0.contains("23514"), "{dead:?}");
    mapper.stop().await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_old_repeated_or_out_of_order_changes_nothing() {
    let ground = Ground::new().await;
    let events = ground.events();
    let toolbox = ground.toolbox(1).await;
    let server = ground.server(toolbox, 1).await;
    let mapper = ground.mapper(&[]).await;
    events
        .wait(server, "of its registration", |event| event.version() == 1)
        .await;
    let newest = now();
    let at = |seconds_before: i64| newest - jiff::SignedDuration::from_secs(seconds_before);
    ground.report(&list(toolbox, newest, &[(1, "running")])).await;
    let before = ground
        .row_becomes(server, "running", |row| row.is("running", "healthy"))
        .await;

    // The same again, older ones in any order, another container before this one, an absence before it was there.
    ground.report(&list(toolbox, newest, &[(1, "running")])).await;
    for (age, word) in [(3, "exited"), (9, "starting"), (1, "error"), (6, "exited")] {
        ground.report(&list(toolbox, at(age), &[(1, word)])).await;
    }
    ground.report(&list(toolbox, at(2), &[])).await;
    ground.settled().await;
    assert_eq!(ground.row(server).await.unwrap(), before);
    assert_eq!(events.of(server).len(), 2);
    assert_eq!(ground.history(server.0).await.len(), 2);
    assert!(ground.dead_letters().await.is_empty());
    mapper.stop().await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_reaches_no_server_of_another_toolbox() {
    let ground = Ground::new().await;
    let (mine, theirs) = (ground.toolbox(1).await, ground.toolbox(2).await);
    let victim = ground.server(theirs, 1).await;
    let mapper = ground.mapper(&[]).await;
    let mut report = list(mine, now(), &[(1, "error")]);
    if let wire::RawOutcome::Containers { containers, .. } = &mut report.outcome {
        containers[0].server_id = Some(victim.0);
    }
    ground.report(&report).await;
    // Proof that it was dealt with: the toolbox that sent it answers.
    eventually("the report is dealt with", async || {
        (ground.history(mine.0).await.len() == 1).then_some(())
    })
    .await;
    let row = ground
        .row_becomes(victim, "announced", |row| row.version >= 1)
        .await;
    assert!(row.is("unknown", "unknown"), "{row:?}");
    mapper.stop().await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_to_be_deleted_goes_with_a_tombstone_once_its_container_is_gone() {
    let ground = Ground::new().await;
    let events = ground.events();
    let toolbox = ground.toolbox(1).await;
    let server: ServerId = ground.server(toolbox, 1).await;
    let mapper = ground.mapper(&[]).await;
    ground.report(&list(toolbox, now(), &[(1, "running")])).await;
    events
        .wait(server, "that it runs", |event| event.view() == "running/healthy/")
        .await;
    sqlx::query("UPDATE account_tool_instances SET status_on_toolbox = 'pending_delete' WHERE id = $1")
        .bind(server.0)
        .execute(&ground.pool)
        .await
        .unwrap();
    events
        .wait(server, "that it is being deleted", |event| {
            event.view().starts_with("stopping/")
        })
        .await;
    ground.report(&list(toolbox, now(), &[])).await;
    let tombstone = events
        .wait(server, "of its end", |event| event.view() == "deleted")
        .await;
    assert_eq!(
        (tombstone.ttl.as_deref(), tombstone.rollup.as_deref()),
        (Some("604800"), Some("sub"))
    );
    assert_eq!(ground.row(server).await, None);
    // A late report cannot bring it back, and the mirror has nothing to add to its end.
    ground.report(&list(toolbox, now(), &[(1, "running")])).await;
    ground.settled().await;
    let toolboxes = ground.bus.bucket::<ToolboxEntry>().await.unwrap();
    eventually("the pollers know", async || {
        let entries = toolboxes.all().await.ok()?;
        entries
            .iter()
            .all(|entry| entry.instances.is_empty())
            .then_some(())
    })
    .await;
    assert_eq!(ground.row(server).await, None);
    events.assert_gapless(server);
    assert_eq!(events.of(server).last().unwrap().view(), "deleted");
    mapper.stop().await;
    ground.close().await;
}
