//! Commands.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;
use wire::streams;

use crate::ground::{Ground, OWNER, eventually, service_token, user};
use crate::stand_in::{StandIn, finish};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_is_announced_before_it_is_answered_and_handed_on() {
    let ground = Arc::new(Ground::new(&[]).await);
    let mapper = StandIn::new(&ground).await;
    let toolbox = ground.toolbox(OWNER, 1).await;
    let server = ground.running(toolbox, 1).await;
    let path = |verb: &str| format!("/v1/servers/{server}/{verb}");
    let token = user(OWNER);
    let answer = ground.post(&path("stop"), &token).await.is(202);
    let body = answer.json();
    assert_eq!(body["status"]["state"], "stopping", "{body}");
    assert_eq!(body["command"]["outcome"], "under_way");
    assert_eq!(body["command"]["requestedBy"], OWNER.to_string());
    assert_eq!(body["status"]["command"]["action"], "stop");
    let id = body["command"]["commandId"].as_str().unwrap().to_owned();
    assert_eq!(
        answer.header("location"),
        Some(format!("/v1/commands/{id}").as_str())
    );

    // The pollers have it.
    let subject = wire::subjects::command(toolbox);
    let message = ground
        .bus
        .last(&streams::DTMA_COMMANDS, &subject)
        .await
        .unwrap()
        .unwrap();
    let command: Value = serde_json::from_slice(&message.body).unwrap();
    assert_eq!(
        (&command["commandId"], &command["name"]),
        (&id.as_str().into(), &"mcp-1".into())
    );
    assert_eq!(message.header("Nats-Msg-Id"), Some(id.as_str()));
    assert_eq!(
        ground
            .count("SELECT count(*) FROM status_commands WHERE dispatched_at IS NOT NULL")
            .await,
        1
    );

    // Another meanwhile is in conflict with it.
    let busy = ground.post(&path("start"), &token).await.is(409).json();
    assert_eq!(busy["commandId"], id.as_str());
    assert!(busy["detail"].as_str().unwrap().ends_with("stop"), "{busy}");
    let desired = "SELECT count(*) FROM account_tool_instances WHERE desired_state = 'stopped'";
    assert_eq!(
        ground.count(desired).await,
        1,
        "the intent is still the first one's"
    );

    // Whoever waits learns the outcome.
    let waiting = tokio::spawn({
        let (ground, token, id) = (Arc::clone(&ground), token.clone(), id.clone());
        async move { ground.get(&format!("/v1/commands/{id}?wait=20s"), &token).await }
    });
    finish(&ground, &id, "succeeded").await;
    let record = waiting.await.unwrap().is(200).json();
    assert_eq!(record["outcome"], "succeeded");
    let began = Instant::now();
    let restarted = ground
        .post(&path("restart?wait=300ms"), &token)
        .await
        .is(202)
        .json();
    assert!(began.elapsed() >= Duration::from_millis(300));
    finish(
        &ground,
        restarted["command"]["commandId"].as_str().unwrap(),
        "failed",
    )
    .await;
    let started = tokio::spawn({
        let (ground, token, path) = (
            Arc::clone(&ground),
            token.clone(),
            path("start?monitor=true&wait=20s"),
        );
        async move { ground.post(&path, &token).await }
    });
    let id = eventually("it is under way", async || {
        let body = ground.get("/v1/commands?limit=1", &token).await.is(200).json();
        let newest = &body["items"][0];
        (newest["kind"] == "start").then(|| newest["commandId"].as_str().unwrap().to_owned())
    })
    .await;
    finish(&ground, &id, "succeeded").await;
    let body = started.await.unwrap().is(200).json();
    assert_eq!(body["command"]["outcome"], "succeeded");

    let listed = ground
        .get(&format!("/v1/commands?serverId={server}&limit=2"), &token)
        .await
        .is(200)
        .json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    let next = listed["next"].as_str().unwrap();
    let rest = ground
        .get(&format!("/v1/commands?cursor={next}"), &token)
        .await
        .is(200)
        .json();
    assert_eq!(rest["items"].as_array().unwrap().len(), 1);
    for (query, field) in [
        ("wait=0s", "wait"),
        ("wait=soon", "wait"),
        ("wait=2h", "wait"),
        ("monitor=1", "monitor"),
    ] {
        let body = ground
            .post(&path(&format!("start?{query}")), &token)
            .await
            .is(400)
            .json();
        assert_eq!(body["field"], field);
    }
    mapper.stop().await;
    Arc::into_inner(ground).unwrap().close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_key_is_the_same_command() {
    let ground = Arc::new(Ground::new(&[]).await);
    let mapper = StandIn::new(&ground).await;
    let toolbox = ground.toolbox(OWNER, 1).await;
    let server = ground.running(toolbox, 1).await;
    let token = user(OWNER);
    let ask = async |verb: &str, key: &str| {
        let path = format!("/v1/servers/{server}/{verb}");
        ground
            .ask_with(Method::POST, &path, &token, None, &[("idempotency-key", key)])
            .await
    };
    let first = ask("stop", "one").await.is(202);
    assert_eq!(first.header("idempotency-replayed"), None);
    let again = ask("stop", "one").await.is(202);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(
        (again.text, again.headers.get("location")),
        (first.text.clone(), first.headers.get("location"))
    );
    assert_eq!(ground.count("SELECT count(*) FROM status_commands").await, 1);
    ask("start", "one").await.is(422);
    ask("stop?wait=1s", "one").await.is(202);
    ask("stop", "").await.is(400);
    ask("stop", "a b").await.is(400);
    // Another person's key is another key.
    let path = format!("/v1/servers/{server}/monitor");
    let headers = [("idempotency-key", "one")];
    let other = ground
        .ask_with(Method::POST, &path, &service_token(), None, &headers)
        .await
        .is(200);
    assert_eq!(other.header("idempotency-replayed"), None);
    // Many at once are one.
    let id = first.json()["command"]["commandId"].as_str().unwrap().to_owned();
    finish(&ground, &id, "succeeded").await;
    let mut at_once = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (ground, token) = (Arc::clone(&ground), token.clone());
        at_once.spawn(async move {
            let path = format!("/v1/servers/{server}/start");
            let headers = [("idempotency-key", "two")];
            ground.ask_with(Method::POST, &path, &token, None, &headers).await
        });
    }
    for answer in at_once.join_all().await {
        assert!([202, 409].contains(&answer.status.as_u16()), "{answer:?}");
    }
    assert_eq!(
        ground
            .count("SELECT count(*) FROM status_commands WHERE kind = 'start'")
            .await,
        1
    );
    // One that was cut short before it was answered is answered from its record.
    sqlx::query("UPDATE status_commands SET answer_status = NULL, answer = NULL WHERE kind = 'start'")
        .execute(&ground.pool)
        .await
        .unwrap();
    let early = ask("start", "two").await.is(409);
    assert!(early.header("retry-after").is_some());
    sqlx::query(
        "UPDATE status_commands SET requested_at = requested_at - interval '1 minute' WHERE kind = 'start'",
    )
    .execute(&ground.pool)
    .await
    .unwrap();
    assert_eq!(
        ask("start", "two").await.is(202).json()["command"]["kind"],
        "start"
    );
    mapper.stop().await;
    Arc::into_inner(ground).unwrap().close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_announces_is_taken_back() {
    let ground = Ground::new(&[]).await;
    let toolbox = ground.toolbox(OWNER, 1).await;
    let server = ground.running(toolbox, 1).await;
    let path = format!("/v1/servers/{server}/stop");
    let headers = [("idempotency-key", "one")];
    let answer = ground
        .ask_with(Method::POST, &path, &user(OWNER), None, &headers)
        .await
        .is(503);
    assert!(answer.header("retry-after").is_some());
    assert!(answer.text.contains("nothing was accepted"), "{answer:?}");
    assert_eq!(
        ground
            .count("SELECT count(*) FROM status_commands WHERE outcome = 'withdrawn'")
            .await,
        1
    );
    let state = ground.bus.stream_state(&streams::DTMA_COMMANDS).await.unwrap();
    assert_eq!(state.messages, 0);
    // And the key may be used again.
    ground
        .ask_with(Method::POST, &path, &user(OWNER), None, &headers)
        .await
        .is(503);
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_and_not_handed_on_is_handed_on() {
    let ground = Ground::new(&[]).await;
    let toolbox = ground.toolbox(OWNER, 1).await;
    let server = ground.running(toolbox, 1).await;
    // As a process leaves it that is killed between the two.
    let id = Uuid::new_v4();
    sqlx::query(
        "INSERT INTO status_commands (id, kind, server_id, toolbox_id, account_id, requested_by, requested_at, deadline)
        VALUES ($1, 'start', $2, $3, $4, 'somebody', now() - interval '30 seconds', now() + interval '1 minute')",
    )
    .bind(id)
    .bind(server.0)
    .bind(toolbox.0)
    .bind(OWNER.0)
    .execute(&ground.pool)
    .await
    .unwrap();
    eventually("it is handed on", async || {
        let sql = "SELECT count(*) FROM status_commands WHERE dispatched_at IS NOT NULL";
        (ground.count(sql).await == 1).then_some(())
    })
    .await;
    let subject = wire::subjects::command(toolbox);
    let last = ground
        .bus
        .last(&streams::DTMA_COMMANDS, &subject)
        .await
        .unwrap()
        .unwrap();
    let command: Value = serde_json::from_slice(&last.body).unwrap();
    assert_eq!(command["commandId"], id.to_string());
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn intents_are_recorded_and_shown() {
    let ground = Arc::new(Ground::new(&[]).await);
    let mapper = StandIn::new(&ground).await;
    let toolbox = ground.toolbox(OWNER, 1).await;
    let server = ground.running(toolbox, 1).await;
    let path = |verb: &str| format!("/v1/servers/{server}/{verb}");
    let body = ground.post(&path("unmonitor"), &user(OWNER)).await.is(200).json();
    assert_eq!(body["status"]["monitored"], false);
    assert_eq!(
        (&body["command"]["kind"], &body["command"]["outcome"]),
        (&"unmonitor".into(), &"succeeded".into())
    );
    let body = ground.post(&path("monitor"), &user(OWNER)).await.is(200).json();
    assert_eq!(body["status"]["monitored"], true);

    let word = json!({"state": "error", "health": "unhealthy", "message": "in repair", "expiresIn": 600});
    let said = ground
        .ask(
            Method::PUT,
            &path("override"),
            &service_token(),
            Some(word.clone()),
        )
        .await
        .is(200)
        .json();
    assert_eq!(said["status"]["state"], "error", "{said}");
    assert!(said["status"]["override"]["until"].is_string());
    let message = said["command"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("error, unhealthy until ") && message.ends_with(": in repair"),
        "{message}"
    );
    for (name, value) in [
        ("state", json!("up")),
        ("health", json!("fine")),
        ("message", json!("")),
        ("message", json!("x".repeat(301))),
        ("message", json!("a\u{7}b")),
        ("expiresIn", json!(9)),
        ("expiresIn", json!(604_801)),
        ("expiresIn", json!("soon")),
        ("colour", json!("red")),
    ] {
        let mut bad = word.clone();
        bad[name] = value;
        let body = ground
            .ask(Method::PUT, &path("override"), &service_token(), Some(bad))
            .await
            .is(400)
            .json();
        assert_eq!(body["field"], name, "{body}");
    }
    let cleared = ground
        .ask(Method::DELETE, &path("override"), &service_token(), None)
        .await
        .is(200)
        .json();
    assert!(cleared["status"].get("override").is_none(), "{cleared}");
    assert_eq!(
        ground
            .count("SELECT count(*) FROM status_commands WHERE requested_by = 'service_role'")
            .await,
        2
    );
    mapper.stop().await;
    Arc::into_inner(ground).unwrap().close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_holds_nobody_up() {
    let ground = Arc::new(Ground::new(&["--database-connections", "2"]).await);
    let mapper = StandIn::new(&ground).await;
    let toolbox = ground.toolbox(OWNER, 1).await;
    let server = ground.running(toolbox, 1).await;
    let token = user(OWNER);
    let body = ground
        .post(&format!("/v1/servers/{server}/stop"), &token)
        .await
        .is(202)
        .json();
    let id = body["command"]["commandId"].as_str().unwrap().to_owned();
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..30 {
        let (ground, token, path) = (
            Arc::clone(&ground),
            token.clone(),
            format!("/v1/commands/{id}?wait=20s"),
        );
        waiting.spawn(async move { ground.get(&path, &token).await });
    }
    for _ in 0..10 {
        let began = Instant::now();
        let record = ground
            .get(&format!("/v1/commands/{id}"), &token)
            .await
            .is(200)
            .json();
        assert_eq!(record["outcome"], "under_way");
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }
    finish(&ground, &id, "succeeded").await;
    for answer in waiting.join_all().await {
        assert_eq!(answer.is(200).json()["outcome"], "succeeded");
    }
    mapper.stop().await;
    Arc::into_inner(ground).unwrap().close().await;
}
