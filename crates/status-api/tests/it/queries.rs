//! Questions.

use std::collections::BTreeSet;

use domain::ServerId;
use reqwest::Method;

use crate::ground::{GUEST, Ground, OWNER, eventually, service_token, user};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_with_its_age_and_validator() {
    let ground = Ground::new(&[]).await;
    let toolbox = ground.toolbox(OWNER, 1).await;
    let server = ground.running(toolbox, 1).await;
    let path = format!("/v1/servers/{server}");
    let token = user(OWNER);
    let first = ground.get(&path, &token).await.is(200);
    let body = first.json();
    assert_eq!(body["state"], "running");
    assert_eq!(body["health"], "healthy");
    assert_eq!(body["name"], "mcp-1");
    assert_eq!(body["stale"], false);
    assert!((3600..3700).contains(&body["uptime"].as_u64().unwrap()), "{body}");
    assert!(body["age"].as_u64().unwrap() < 60, "{body}");
    let etag = first.header("etag").unwrap();
    let again = ground
        .ask_with(Method::GET, &path, &token, None, &[("if-none-match", etag)])
        .await
        .is(304);
    assert_eq!((again.text.as_str(), again.header("etag")), ("", Some(etag)));
    ground.announce(server, "stopped", "unknown").await;
    eventually("the validator changes", async || {
        let answer = ground
            .ask_with(Method::GET, &path, &token, None, &[("if-none-match", etag)])
            .await;
        (answer.status == 200 && answer.json()["state"] == "stopped").then_some(())
    })
    .await;
    // A server that nothing was ever announced of.
    let silent = ground.server(toolbox, 2).await;
    let body = ground
        .get(&format!("/v1/servers/{silent}"), &token)
        .await
        .is(200)
        .json();
    assert_eq!((&body["state"], &body["version"]), (&"unknown".into(), &0.into()));
    assert!(
        body.get("asOf").is_none() && body.get("changedAt").is_none(),
        "{body}"
    );
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_stable_and_filters_filter() {
    let ground = Ground::new(&[]).await;
    let (mine, theirs) = (ground.toolbox(OWNER, 1).await, ground.toolbox(GUEST, 2).await);
    let mut all = BTreeSet::new();
    for number in 1..=30 {
        let server = ground.server(mine, number).await;
        all.insert(server.to_string());
        // Some were never announced.
        if number % 5 != 0 {
            let state = if number % 2 == 0 { "running" } else { "stopped" };
            ground.announce(server, state, "unknown").await;
        }
    }
    let foreign = ground.running(theirs, 99).await;
    let granted = ground.running(theirs, 98).await;
    ground.connect(1, OWNER, granted, true).await;
    all.insert(granted.to_string());
    let token = user(OWNER);
    eventually("all are there", async || {
        let body = ground.get("/v1/servers?limit=500", &token).await.is(200).json();
        (body["items"].as_array().unwrap().len() == all.len()).then_some(())
    })
    .await;
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let body = ground
            .get(&format!("/v1/servers?limit=7{cursor}"), &token)
            .await
            .is(200)
            .json();
        let items = body["items"].as_array().unwrap();
        assert!(items.len() <= 7);
        seen.extend(
            items
                .iter()
                .map(|item| item["serverId"].as_str().unwrap().to_owned()),
        );
        // Meanwhile one that was passed changes, and one that was not.
        for number in [1, 29] {
            ground
                .announce(
                    ServerId(uuid::Uuid::from_u128(0x5000_0000 + number)),
                    "error",
                    "unhealthy",
                )
                .await;
        }
        match body["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let sorted: Vec<_> = all.iter().cloned().collect();
    assert_eq!(seen, sorted, "each once, in order");
    assert!(!seen.contains(&foreign.to_string()));
    let count = async |query: &str| {
        let body = ground
            .get(&format!("/v1/servers?{query}"), &token)
            .await
            .is(200)
            .json();
        body["items"].as_array().unwrap().len()
    };
    assert_eq!(count("state=error").await, 2);
    assert_eq!(
        count("state=running").await,
        13,
        "12 of the owner's and the granted one"
    );
    assert_eq!(count("health=unhealthy&state=error").await, 2);
    assert_eq!(count(&format!("toolboxId={theirs}")).await, 1);
    assert_eq!(count("name=MCP-1").await, 11, "1 and 10 to 19");
    assert_eq!(count("monitored=false").await, 0);
    assert_eq!(count("monitored=true&state=unknown").await, 6);
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=%2B5", "limit"),
        ("state=up", "state"),
        ("health=fine", "health"),
        ("toolboxId=7", "toolboxId"),
        ("cursor=x", "cursor"),
        ("monitored=yes", "monitored"),
        ("colour=red", "colour"),
        ("limit=5&limit=6", "limit"),
    ] {
        let body = ground
            .get(&format!("/v1/servers?{query}"), &token)
            .await
            .is(400)
            .json();
        assert_eq!(body["field"], field, "{body}");
    }
    let everything = ground
        .get("/v1/servers?limit=500", &service_token())
        .await
        .is(200)
        .json();
    assert_eq!(everything["items"].as_array().unwrap().len(), 32);
    let fleet = ground.get("/v1/fleet", &token).await.is(200).json();
    assert_eq!(fleet["servers"], 31);
    assert_eq!(fleet["states"]["unknown"], 6);
    assert_eq!(fleet["states"]["error"], 2);
    assert_eq!(fleet["toolboxes"], serde_json::json!({"unseen": 1}));
    assert!(fleet.get("lag").is_none(), "{fleet}");
    let fleet = ground.get("/v1/fleet", &service_token()).await.is(200).json();
    assert_eq!(fleet["servers"], 32);
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_with_durations() {
    let ground = Ground::new(&[]).await;
    let toolbox = ground.toolbox(OWNER, 1).await;
    let server = ground.running(toolbox, 1).await;
    for version in 1..=5_i64 {
        let event = ground.publish(server).await;
        sqlx::query(
            "INSERT INTO status_changes (id, at, kind, subject_id, toolbox_id, account_id, version, nats_subject, event,
                published_at, state, health, cause)
            VALUES ($1, now() - make_interval(mins => $2), 'server', $3, $4, $5, $6, 'x', $7, now(), 'running', 'healthy', 'report')",
        )
        .bind(uuid::Uuid::new_v4())
        .bind(i32::try_from(60 - version * 10).unwrap())
        .bind(server.0)
        .bind(toolbox.0)
        .bind(OWNER.0)
        .bind(version)
        .bind(sqlx::types::Json(serde_json::to_value(&event).unwrap()))
        .execute(&ground.pool)
        .await
        .unwrap();
    }
    let path = format!("/v1/servers/{server}/history");
    let body = ground
        .get(&format!("{path}?limit=2"), &user(OWNER))
        .await
        .is(200)
        .json();
    let versions = |body: &serde_json::Value| {
        let items = body["items"].as_array().unwrap().clone();
        items
            .iter()
            .map(|item| item["version"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(versions(&body), [5, 4]);
    let duration = body["items"][1]["duration"].as_u64().unwrap();
    assert!((599..=601).contains(&duration), "{duration}");
    let next = body["next"].as_str().unwrap();
    let body = ground
        .get(&format!("{path}?limit=9&cursor={next}"), &user(OWNER))
        .await
        .is(200)
        .json();
    assert_eq!(versions(&body), [3, 2, 1]);
    assert!(body.get("next").is_none());
    ground
        .get(&format!("{path}?cursor=x"), &user(OWNER))
        .await
        .is(400);
    ground.close().await;
}
