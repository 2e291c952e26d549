//! Agents' connections.

use reqwest::Method;
use serde_json::json;
use uuid::Uuid;
use wire::ConnectionEntry;

use crate::ground::{GUEST, Ground, OWNER, STRANGER, eventually, user};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_shows_a_server_and_tells_why_it_cannot_be_used() {
    let ground = Ground::new(&[]).await;
    let toolbox = ground.toolbox(OWNER, 1).await;
    let server = ground.running(toolbox, 1).await;
    let agent = Uuid::from_u128(0xa6e7);
    let new = json!({"agentId": agent, "serverId": server.0, "accountId": GUEST.0});
    ground
        .ask(Method::POST, "/v1/connections", &user(GUEST), Some(new.clone()))
        .await
        .is(404);
    let made = ground
        .ask(Method::POST, "/v1/connections", &user(OWNER), Some(new))
        .await
        .is(201);
    let path = made.header("location").unwrap().to_owned();
    let body = made.json();
    assert_eq!(
        (&body["active"], &body["accountId"]),
        (&true.into(), &GUEST.to_string().into())
    );
    // As the mapper mirrors it.
    let bucket = ground.bus.bucket::<ConnectionEntry>().await.unwrap();
    let mut entry = ConnectionEntry {
        connection_id: body["connectionId"].as_str().unwrap().parse().unwrap(),
        agent_id: agent,
        account_id: Some(GUEST.0),
        server_id: server.0,
        active: true,
    };
    bucket.put(&entry).await.unwrap();
    let status = async || {
        ground
            .get(&format!("{path}/status"), &user(GUEST))
            .await
            .is(200)
            .json()
    };
    let shown = eventually("the guest sees it", async || {
        let shown = status().await;
        (shown["status"] == "connected").then_some(shown)
    })
    .await;
    assert_eq!(
        (&shown["serverStatus"], &shown["health"]),
        (&"running".into(), &"healthy".into())
    );
    assert!(
        shown["uptime"].as_u64().unwrap() >= 3600 && shown.get("reason").is_none(),
        "{shown}"
    );
    assert!(shown["lastChecked"].is_string());

    ground.announce(server, "stopped", "unknown").await;
    ground.shows(server, "stopped").await;
    let shown = status().await;
    assert_eq!(
        (&shown["status"], &shown["reason"]),
        (&"disconnected".into(), &"the server is stopped".into())
    );

    ground
        .ask(Method::PATCH, &path, &user(GUEST), Some(json!({"active": true})))
        .await
        .is(403);
    ground
        .ask(
            Method::PATCH,
            &path,
            &user(STRANGER),
            Some(json!({"active": true})),
        )
        .await
        .is(404);
    let changed = ground
        .ask(Method::PATCH, &path, &user(OWNER), Some(json!({"active": false})))
        .await
        .is(200)
        .json();
    assert_eq!(changed["active"], false);
    entry.active = false;
    bucket.put(&entry).await.unwrap();
    let shown = eventually("it no longer shows the server", async || {
        let shown = status().await;
        (shown["serverStatus"] == "unknown").then_some(shown)
    })
    .await;
    assert_eq!(shown["reason"], "the connection is not active");

    for (who, count) in [(OWNER, 1), (GUEST, 1), (STRANGER, 0)] {
        let page = ground.get("/v1/connections", &user(who)).await.is(200).json();
        assert_eq!(page["items"].as_array().unwrap().len(), count, "{who}");
    }
    ground
        .ask(Method::DELETE, &path, &user(GUEST), None)
        .await
        .is(403);
    ground
        .ask(Method::DELETE, &path, &user(OWNER), None)
        .await
        .is(204);
    ground.get(&path, &user(OWNER)).await.is(404);
    ground.close().await;
}
