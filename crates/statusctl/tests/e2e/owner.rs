//! What the owner application's services ask of status synchronisation, each by the name it has there. ARCHITECTURE.md
//! has the table.

use dtma_sim::ToolboxInfo;
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::world::{NO_POLLS, Setup, World};

async fn world(poller: Vec<&'static str>) -> (World, ToolboxInfo) {
    let world = World::start(Setup {
        apis: 1,
        poller,
        ..Setup::default()
    })
    .await;
    world.all_running().await;
    let toolbox = world.sim.toolbox(0);
    (world, toolbox)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn start_and_stop_status_monitoring() {
    let (world, toolbox) = world(crate::world::QUICK.to_vec()).await;
    let user = world.user(toolbox.account_id);
    for instance in &toolbox.instances {
        let answer = user
            .post(&format!("/servers/{}/unmonitor", instance.id))
            .await
            .expect(200);
        assert_eq!(answer["status"]["monitored"], false, "{answer}");
        assert_eq!(answer["status"]["health"], "unknown");
        assert_eq!(answer["status"]["lastError"]["code"], "not_monitored");
        world
            .events
            .wait_for(instance.id, "told as unwatched", |event| {
                event["monitored"] == false && event["cause"] == "operator"
            })
            .await;
    }
    // Nobody watches anything there any more, so nobody asks the agent.
    let scheduled = async || {
        let existing = world.bus.schedules().existing().await.unwrap();
        existing.contains(&domain::ToolboxId(toolbox.id))
    };
    world
        .until("its schedule has ended", async || !scheduled().await)
        .await;
    let answer = user
        .post(&format!("/servers/{}/monitor", toolbox.instances[0].id))
        .await
        .expect(200);
    assert_eq!(answer["status"]["monitored"], true, "{answer}");
    world
        .until("it is scheduled again", async || scheduled().await)
        .await;
    world
        .events
        .wait_for(toolbox.instances[0].id, "watched again", |event| {
            event["state"] == "running" && event["health"] == "healthy"
        })
        .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refresh_mcp_server_status() {
    let (world, toolbox) = world(NO_POLLS.to_vec()).await;
    let instance = &toolbox.instances[0];
    world.sim.stop_container(toolbox.id, &instance.name).unwrap();
    let answer = world
        .user(toolbox.account_id)
        .post(&format!("/servers/{}/refresh?wait=30s", instance.id))
        .await
        .expect(200);
    assert_eq!(answer["status"]["state"], "stopped", "{answer}");
    assert_eq!(answer["command"]["outcome"], "succeeded");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sync_all_mcp_server_statuses() {
    let world = World::start(Setup {
        apis: 1,
        toolboxes: 3,
        poller: NO_POLLS.to_vec(),
        ..Setup::default()
    })
    .await;
    world.all_running().await;
    for toolbox in world.sim.fleet() {
        for instance in &toolbox.instances {
            world.sim.stop_container(toolbox.id, &instance.name).unwrap();
        }
    }
    assert!((200..=202).contains(&world.service().post("/refresh").await.status));
    for toolbox in world.sim.fleet() {
        for instance in &toolbox.instances {
            world
                .events
                .wait_for(instance.id, "stopped", |event| event["state"] == "stopped")
                .await;
        }
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn get_mcp_server_status_and_get_all_mcp_server_statuses() {
    let world = World::start(Setup {
        apis: 1,
        toolboxes: 2,
        ..Setup::default()
    })
    .await;
    world.all_running().await;
    let (one, two) = (world.sim.toolbox(0), world.sim.toolbox(1));
    let user = world.user(one.account_id);
    let status = user
        .get(&format!("/servers/{}", one.instances[0].id))
        .await
        .expect(200);
    for (field, value) in [
        ("state", json!("running")),
        ("health", json!("healthy")),
        ("name", json!(one.instances[0].name)),
        ("stale", json!(false)),
        ("monitored", json!(true)),
    ] {
        assert_eq!(status[field], value, "{field} of {status}");
    }
    for field in ["uptime", "age"] {
        assert!(status[field].is_u64(), "{field} of {status}");
    }
    assert!(
        status["asOf"].is_string() && status["lastStarted"].is_string(),
        "{status}"
    );

    let expected = |toolboxes: &[&ToolboxInfo]| {
        let mut ids: Vec<String> = toolboxes
            .iter()
            .flat_map(|toolbox| &toolbox.instances)
            .map(|instance| instance.id.to_string())
            .collect();
        ids.sort();
        ids
    };
    let listed = |page: &serde_json::Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| item["serverId"].as_str().unwrap().to_owned())
            .collect()
    };
    if one.account_id != two.account_id {
        let page = user.get("/servers").await.expect(200);
        assert_eq!(listed(&page), expected(&[&one]));
    }
    let page = world.service().get("/servers?state=running").await.expect(200);
    assert_eq!(listed(&page), expected(&[&one, &two]));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn update_mcp_server_status() {
    let (world, toolbox) = world(crate::world::QUICK.to_vec()).await;
    let instance = &toolbox.instances[0];
    let path = format!("/servers/{}/override", instance.id);
    let word = json!({"state": "error", "health": "unhealthy", "message": "the disk is being replaced", "expiresIn": 3600});
    let user = world.user(toolbox.account_id);
    assert_eq!(
        user.send(Method::PUT, &path, Some(word.clone()), &[])
            .await
            .status,
        403
    );
    let service = world.service();
    let answer = service
        .send(Method::PUT, &path, Some(word), &[])
        .await
        .expect(200);
    assert_eq!(answer["status"]["state"], "error", "{answer}");
    assert!(answer["status"]["override"]["until"].is_string(), "{answer}");
    let event = world
        .events
        .wait_for(instance.id, "overridden", |event| event["state"] == "error")
        .await;
    assert_eq!(event.body["lastError"]["code"], "operator_override");
    // Visible to its owner as what it is, and audited.
    let seen = user.get(&format!("/servers/{}", instance.id)).await.expect(200);
    assert!(
        seen["lastError"]["message"]
            .as_str()
            .unwrap()
            .ends_with("the disk is being replaced"),
        "{seen}"
    );
    let record = service
        .get(&format!("/commands?serverId={}", instance.id))
        .await
        .expect(200);
    assert_eq!(
        (&record["items"][0]["kind"], &record["items"][0]["requestedBy"]),
        (&json!("override"), &json!("service_role"))
    );
    service.send(Method::DELETE, &path, None, &[]).await.expect(200);
    world
        .events
        .wait_for(instance.id, "as observed again", |event| {
            event["state"] == "running"
        })
        .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notify_status_change() {
    // Nobody has to ask for it: whatever the API changes is told on the status subjects, with what it was before.
    let (world, toolbox) = world(crate::world::QUICK.to_vec()).await;
    let instance = &toolbox.instances[0];
    world
        .user(toolbox.account_id)
        .post(&format!("/servers/{}/stop?wait=30s", instance.id))
        .await
        .expect(200);
    let told: Vec<(String, String)> = world
        .events
        .of(instance.id)
        .into_iter()
        .map(|event| {
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            (text(&event.body["previous"]["state"]), text(&event.body["state"]))
        })
        .collect();
    let pair = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    assert!(
        told.ends_with(&[pair("running", "stopping"), pair("stopping", "stopped")]),
        "{told:?}"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn start_mcp_server_as_admin() {
    let (world, toolbox) = world(crate::world::QUICK.to_vec()).await;
    let instance = &toolbox.instances[0];
    let service = world.service();
    service
        .post(&format!("/servers/{}/stop?wait=30s", instance.id))
        .await
        .expect(200);
    service
        .post(&format!("/servers/{}/unmonitor", instance.id))
        .await
        .expect(200);
    let answer = service
        .post(&format!("/servers/{}/start?monitor=true&wait=30s", instance.id))
        .await
        .expect(200);
    assert_eq!(answer["command"]["outcome"], "succeeded", "{answer}");
    assert_eq!(
        (&answer["status"]["state"], &answer["status"]["monitored"]),
        (&json!("running"), &json!(true))
    );
    // To a stranger it does not exist.
    let stranger = world.user(Uuid::new_v4());
    let refused = stranger.post(&format!("/servers/{}/start", instance.id)).await;
    let unknown = stranger.post(&format!("/servers/{}/start", Uuid::new_v4())).await;
    assert_eq!((refused.status, unknown.status), (404, 404));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn get_connection_status() {
    let (world, toolbox) = world(crate::world::QUICK.to_vec()).await;
    let instance = &toolbox.instances[0];
    let guest = Uuid::new_v4();
    let owner = world.user(toolbox.account_id);
    let connection = owner
        .send(
            Method::POST,
            "/connections",
            Some(json!({"agentId": Uuid::new_v4(), "accountId": guest, "serverId": instance.id})),
            &[],
        )
        .await
        .expect(201);
    let id = connection["connectionId"].as_str().unwrap().to_owned();
    let path = format!("/connections/{id}/status");
    let guest = world.user(guest);
    let status = guest.get(&path).await.expect(200);
    assert_eq!(
        (
            &status["connectionId"],
            &status["status"],
            &status["serverStatus"],
            &status["health"]
        ),
        (
            &json!(id),
            &json!("connected"),
            &json!("running"),
            &json!("healthy")
        )
    );
    assert!(
        status["lastChecked"].is_string() && status["uptime"].is_u64(),
        "{status}"
    );
    // It shows the server and does not let anybody command it.
    world
        .until("the server is in the guest's sight", async || {
            guest.get(&format!("/servers/{}", instance.id)).await.status == 200
        })
        .await;
    assert_eq!(
        guest.post(&format!("/servers/{}/stop", instance.id)).await.status,
        403
    );
    world.sim.stop_container(toolbox.id, &instance.name).unwrap();
    world
        .events
        .wait_for(instance.id, "stopped", |event| event["state"] == "stopped")
        .await;
    let status = guest.get(&path).await.expect(200);
    assert_eq!(status["status"], "disconnected");
    assert!(status["reason"].is_string(), "{status}");
    // Revoked, the guest sees neither.
    owner
        .send(
            Method::PATCH,
            &format!("/connections/{id}"),
            Some(json!({"active": false})),
            &[],
        )
        .await
        .expect(200);
    world
        .until("the server is out of the guest's sight", async || {
            guest.get(&format!("/servers/{}", instance.id)).await.status == 404
        })
        .await;
    world.stop().await;
}
