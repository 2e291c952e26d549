//! What is asked of servers: announced at once, moved on by outcomes, ended by what is observed.

use std::time::Duration;

use bus::BusError;
use bytes::Bytes;
use domain::{Action, CommandId, Health, McpState, Override, ServerId, ToolboxId};
use jiff::{SignedDuration, Timestamp};
use store::commands::{Acceptance, NewCommand};
use uuid::Uuid;
use wire::{
    CommandAction, CommandOutcome, CommandResult, ConnectionEntry, Message as _, ToolboxEntry, streams,
    subjects,
};

use crate::ground::{ACCOUNT, Ground};
use crate::waiting::{PATIENCE, eventually, list, now, within};

/// Records a command as status-api does.
async fn accept(ground: &Ground, toolbox: ToolboxId, server: ServerId, action: Action) -> CommandId {
    let command = NewCommand {
        id: CommandId(Uuid::new_v4()),
        kind: action.as_str(),
        server: Some(server),
        toolbox: Some(toolbox),
        account: Some(ACCOUNT),
        requested_by: "test".to_owned(),
        requested_at: now(),
        deadline: Some(now() + SignedDuration::from_secs(60)),
        idempotency: None,
        done: false,
        message: None,
        traceparent: None,
    };
    let mut transaction = ground.pool.begin().await.unwrap();
    let accepted = store::commands::accept(&mut transaction, &command).await.unwrap();
    assert!(matches!(accepted, Acceptance::Accepted), "{accepted:?}");
    transaction.commit().await.unwrap();
    command.id
}

async fn wake(ground: &Ground, toolbox: ToolboxId) -> Result<Bytes, BusError> {
    ground
        .bus
        .request(subjects::wake(toolbox), Bytes::new(), Duration::from_secs(5))
        .await
}

async fn tell(
    ground: &Ground,
    toolbox: ToolboxId,
    server: ServerId,
    command: CommandId,
    at: Timestamp,
    result: CommandResult,
) {
    let outcome = CommandOutcome {
        command_id: command.0,
        toolbox_id: toolbox.0,
        server_id: server.0,
        action: CommandAction::Start,
        at,
        result,
    };
    ground
        .bus
        .publish(subjects::outcome(toolbox), &Uuid::new_v4().to_string(), &outcome)
        .await
        .unwrap();
}

async fn record(ground: &Ground, command: CommandId) -> (Option<String>, Option<String>) {
    let record = store::commands::get(&ground.pool, command)
        .await
        .unwrap()
        .unwrap();
    (record.outcome, record.message)
}

async fn outcomes_are_dealt_with(ground: &Ground) {
    eventually("all outcomes are dealt with", async || {
        let backlog = ground.bus.backlog(&streams::OUTCOMES).await.ok()?;
        (backlog.pending == 0 && backlog.ack_pending == 0).then_some(())
    })
    .await;
}

/// A stopped server on a toolbox.
async fn stopped(ground: &Ground, number: u128) -> (ToolboxId, ServerId) {
    let toolbox = ground.toolbox(number).await;
    let server = ground.server(toolbox, number).await;
    ground.report(&list(toolbox, now(), &[(number, "exited")])).await;
    ground
        .row_becomes(server, "stopped", |row| row.is("stopped", "unknown"))
        .await;
    (toolbox, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_is_announced_before_the_wake_is_answered_and_ends_with_its_effect() {
    let ground = Ground::new().await;
    // The sweep would find it too; here only the wake can have.
    let quiet = ["--sweep-every", "1h"];
    let mappers = [ground.mapper(&quiet).await, ground.mapper(&quiet).await];
    let (toolbox, server) = stopped(&ground, 1).await;
    let command = accept(&ground, toolbox, server, Action::Start).await;
    wake(&ground, toolbox).await.unwrap();
    let event = ground.last_event(ACCOUNT, server).await.unwrap();
    assert_eq!(
        (&event["state"], &event["cause"], &event["statusOnToolbox"]),
        (
            &"starting".into(),
            &"command".into(),
            &"starting_on_toolbox".into()
        )
    );
    assert_eq!(event["command"]["commandId"], command.0.to_string());
    let row = ground.row(server).await.unwrap();
    assert_eq!(
        (row.state.as_str(), row.label.as_str()),
        ("starting", "starting_on_toolbox")
    );
    // The pollers are told to look often.
    eventually("the pollers know of it", async || {
        let all = ground.bus.bucket::<ToolboxEntry>().await.ok()?.all().await.ok()?;
        all.iter()
            .any(|entry| entry.toolbox_id == toolbox.0 && entry.instances[0].commanded)
            .then_some(())
    })
    .await;
    // Asked again, there is nothing to say.
    wake(&ground, toolbox).await.unwrap();
    assert_eq!(ground.row(server).await.unwrap(), row);

    let executed_at = now();
    tell(
        &ground,
        toolbox,
        server,
        command,
        executed_at,
        CommandResult::Executed,
    )
    .await;
    outcomes_are_dealt_with(&ground).await;
    assert_eq!(ground.row(server).await.unwrap().state, "starting");
    ground
        .report(&list(
            toolbox,
            executed_at + SignedDuration::from_millis(5),
            &[(1, "running")],
        ))
        .await;
    ground
        .row_becomes(server, "running", |row| row.is("running", "healthy"))
        .await;
    assert_eq!(record(&ground, command).await.0.as_deref(), Some("succeeded"));
    let event = eventually("it is announced", async || {
        let event = ground.last_event(ACCOUNT, server).await?;
        (event["state"] == "running").then_some(event)
    })
    .await;
    assert_eq!(event.get("command"), None);
    for mapper in mappers {
        mapper.stop().await;
    }
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_an_error_that_says_why_and_what_comes_late_or_broken_changes_nothing() {
    let ground = Ground::new().await;
    let mapper = ground.mapper(&["--command-error-for", "2s"]).await;
    let (toolbox, server) = stopped(&ground, 1).await;
    let command = accept(&ground, toolbox, server, Action::Start).await;
    wake(&ground, toolbox).await.unwrap();
    let refused = CommandResult::Failed {
        message: "404: the agent does not manage it".to_owned(),
    };
    tell(&ground, toolbox, server, command, now(), refused).await;
    let row = ground
        .row_becomes(server, "in error", |row| row.is("error", "unhealthy"))
        .await;
    assert_eq!(
        (row.code.as_deref(), row.label.as_str()),
        (Some("command_failed"), "error_starting")
    );
    assert_eq!(
        record(&ground, command).await,
        (
            Some("failed".to_owned()),
            Some("404: the agent does not manage it".to_owned())
        )
    );
    let history = ground.history(server.0).await;
    tell(&ground, toolbox, server, command, now(), CommandResult::Executed).await;
    // One that cannot be read is a dead letter and holds nobody up.
    let broken = bus::Outgoing {
        subject: subjects::outcome(toolbox),
        id: "broken".to_owned(),
        type_name: CommandOutcome::TYPE,
        body: Bytes::from_static(b"{"),
        traceparent: None,
        ttl: None,
        rollup: false,
    };
    for result in ground.bus.publish_all(vec![broken]).await {
        result.unwrap();
    }
    outcomes_are_dealt_with(&ground).await;
    eventually("there is a dead letter", async || {
        let subject = subjects::dead_letter(streams::DTMA_OUTCOMES.name);
        ground.bus.last(&streams::DTMA_DLQ, &subject).await.ok()?
    })
    .await;
    // After a while it is again what is observed, which is the only thing that was added.
    let row = ground
        .row_becomes(server, "stopped again", |row| row.is("stopped", "unknown"))
        .await;
    assert_eq!((row.code, row.label.as_str()), (None, "stopped"));
    assert_eq!(ground.history(server.0).await.len(), history.len() + 1);
    mapper.stop().await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_carried_out_ends_visibly_also_when_nobody_woke_us() {
    let ground = Ground::new().await;
    let mapper = ground.mapper(&[]).await;
    let (toolbox, server) = stopped(&ground, 1).await;
    let command = accept(&ground, toolbox, server, Action::Start).await;
    ground
        .row_becomes(server, "starting", |row| row.is("starting", "unknown"))
        .await;
    sqlx::query("UPDATE status_commands SET deadline = now() - interval '1 second' WHERE id = $1")
        .bind(command.0)
        .execute(&ground.pool)
        .await
        .unwrap();
    let row = ground
        .row_becomes(server, "in error", |row| row.is("error", "unhealthy"))
        .await;
    assert_eq!(row.code.as_deref(), Some("command_failed"));
    assert_eq!(record(&ground, command).await.0.as_deref(), Some("expired"));
    mapper.stop().await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_wait_for_the_database() {
    let mut ground = Ground::with_postgres().await;
    let mapper = ground.mapper(&[]).await;
    let (toolbox, server) = stopped(&ground, 1).await;
    let command = accept(&ground, toolbox, server, Action::Start).await;
    wake(&ground, toolbox).await.unwrap();
    ground.postgres.as_mut().unwrap().stop().await.unwrap();
    let refused = CommandResult::Failed {
        message: "no".to_owned(),
    };
    tell(&ground, toolbox, server, command, now(), refused).await;
    eventually("the outcome is in hand", async || {
        let backlog = ground.bus.backlog(&streams::OUTCOMES).await.ok()?;
        (backlog.ack_pending == 1).then_some(())
    })
    .await;
    ground.postgres.as_mut().unwrap().restart().await.unwrap();
    ground
        .row_becomes(server, "in error", |row| row.is("error", "unhealthy"))
        .await;
    assert_eq!(
        ground
            .bus
            .last(
                &streams::DTMA_DLQ,
                &subjects::dead_letter(streams::DTMA_OUTCOMES.name)
            )
            .await
            .unwrap()
            .map(|_| ()),
        None
    );
    mapper.stop().await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_s_word_and_the_end_of_watching_show_at_once_and_the_word_expires() {
    let ground = Ground::new().await;
    let mapper = ground.mapper(&[]).await;
    let toolbox = ground.toolbox(1).await;
    let server = ground.server(toolbox, 1).await;
    ground.report(&list(toolbox, now(), &[(1, "running")])).await;
    ground
        .row_becomes(server, "running", |row| row.is("running", "healthy"))
        .await;
    let word = Override {
        state: McpState::Error,
        health: Health::Unhealthy,
        message: "the disk is being replaced".to_owned(),
        // Whole, as PostgreSQL keeps microseconds.
        until: Timestamp::from_second(now().as_second() + 3).unwrap(),
    };
    assert!(
        store::intent::set_override(&ground.pool, server, Some(&word))
            .await
            .unwrap()
    );
    wake(&ground, toolbox).await.unwrap();
    let event = ground.last_event(ACCOUNT, server).await.unwrap();
    assert_eq!(
        (&event["state"], &event["lastError"]["code"], &event["cause"]),
        (&"error".into(), &"operator_override".into(), &"operator".into())
    );
    assert_eq!(event["overrideUntil"], word.until.to_string());
    ground
        .row_becomes(server, "running again", |row| row.is("running", "healthy"))
        .await;

    assert_eq!(
        store::intent::set_monitored(&ground.pool, server, false)
            .await
            .unwrap(),
        Some(true)
    );
    wake(&ground, toolbox).await.unwrap();
    let event = ground.last_event(ACCOUNT, server).await.unwrap();
    assert_eq!(
        (
            &event["state"],
            &event["health"],
            &event["lastError"]["code"],
            &event["monitored"]
        ),
        (
            &"running".into(),
            &"unknown".into(),
            &"not_monitored".into(),
            &false.into()
        )
    );
    assert_eq!(
        store::intent::set_monitored(&ground.pool, server, true)
            .await
            .unwrap(),
        Some(true)
    );
    wake(&ground, toolbox).await.unwrap();
    let row = ground.row(server).await.unwrap();
    assert!(row.is("running", "healthy"), "{row:?}");
    mapper.stop().await;
    ground.close().await;
}

async fn connections(ground: &Ground) -> Option<Vec<ConnectionEntry>> {
    ground
        .bus
        .bucket::<ConnectionEntry>()
        .await
        .ok()?
        .all()
        .await
        .ok()
}

/// Waits until the mirrored connections are so.
async fn connections_become(ground: &Ground, what: &str, are: impl Fn(&[ConnectionEntry]) -> bool) {
    let mut last = None;
    let found = within(PATIENCE, async || {
        last = connections(ground).await;
        are(last.as_deref()?).then_some(())
    })
    .await;
    assert!(found.is_some(), "{what}: {last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_mirrored_whichever_generation_of_tables_says_them() {
    let ground = Ground::new().await;
    let mapper = ground.mapper(&[]).await;
    let toolbox = ground.toolbox(1).await;
    let server = ground.server(toolbox, 1).await;
    let (agent, user) = (Uuid::from_u128(0xa), Uuid::from_u128(0xb));
    let connection: Uuid = sqlx::query_scalar(
        "INSERT INTO agent_mcp_connections (agent_id, user_id, account_tool_instance_id) VALUES ($1, $2, $3) RETURNING id",
    )
    .bind(agent)
    .bind(user)
    .bind(server.0)
    .fetch_one(&ground.pool)
    .await
    .unwrap();
    let expected = ConnectionEntry {
        connection_id: connection,
        agent_id: agent,
        account_id: Some(user),
        server_id: server.0,
        active: true,
    };
    connections_become(&ground, "it is there", |all| *all == [expected.clone()]).await;
    sqlx::query("UPDATE agent_mcp_connections SET is_active = false WHERE id = $1")
        .bind(connection)
        .execute(&ground.pool)
        .await
        .unwrap();
    connections_become(&ground, "it is not in force", |all| {
        all.len() == 1 && !all[0].active
    })
    .await;
    // The owner names the server by a column of his own, and says whose an agent is in another table.
    sqlx::raw_sql(
        "ALTER TABLE agent_mcp_connections ADD COLUMN mcp_server_instance_id uuid;
         CREATE TABLE agents (id uuid PRIMARY KEY, user_id uuid);",
    )
    .execute(&ground.pool)
    .await
    .unwrap();
    let owned = Uuid::from_u128(0xa2);
    sqlx::query("INSERT INTO agents VALUES ($1, $2)")
        .bind(owned)
        .bind(user)
        .execute(&ground.pool)
        .await
        .unwrap();
    sqlx::query("INSERT INTO agent_mcp_connections (agent_id, mcp_server_instance_id) VALUES ($1, $2)")
        .bind(owned)
        .bind(server.0)
        .execute(&ground.pool)
        .await
        .unwrap();
    connections_become(&ground, "the owner's are understood", |all| {
        all.iter().any(|entry| {
            (entry.agent_id, entry.account_id, entry.server_id, entry.active)
                == (owned, Some(user), server.0, true)
        })
    })
    .await;
    sqlx::query("DELETE FROM agent_mcp_connections")
        .execute(&ground.pool)
        .await
        .unwrap();
    connections_become(&ground, "they are gone", <[ConnectionEntry]>::is_empty).await;
    // Deleted by hand, the bucket is made and filled again.
    mapper.stop().await;
    ground.close().await;
}
