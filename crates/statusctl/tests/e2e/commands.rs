//! Commands from the API to the agent and back, with everything that can go wrong in between.

use std::time::Duration;

use dtma_sim::{Misbehaviour, Order, Scope, ToolboxInfo};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{NO_POLLS, QUICK, Setup, World};

/// How often an agent was asked for something.
fn asked(world: &World, toolbox: &ToolboxInfo, what: &str) -> u64 {
    let stats = serde_json::to_value(world.sim.toolbox_stats(toolbox.id).unwrap()).unwrap();
    let requests = stats["requests"].as_object().unwrap();
    requests
        .iter()
        .filter(|(route, _)| route.contains(what))
        .filter_map(|(_, count)| count.as_u64())
        .sum()
}

async fn world(setup: Setup) -> (World, ToolboxInfo) {
    let world = World::start(Setup {
        apis: setup.apis.max(1),
        ..setup
    })
    .await;
    world.all_running().await;
    let toolbox = world.sim.toolbox(0);
    (world, toolbox)
}

fn states(world: &World, server: Uuid) -> Vec<String> {
    let events = world.events.of(server).into_iter();
    events
        .filter_map(|event| Some(event.body["state"].as_str()?.to_owned()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_start_restart_and_delete_from_acceptance_to_effect() {
    let (world, toolbox) = world(Setup::default()).await;
    let instance = &toolbox.instances[0];
    let user = world.user(toolbox.account_id);
    let path = |action: &str| format!("/servers/{}/{action}", instance.id);

    // An agent that takes its time, so that there is something in between to be seen.
    let slow = Misbehaviour::Slow {
        delay: Duration::from_secs(2),
        stale: false,
    };
    world
        .sim
        .misbehave(toolbox.id, Order::from(slow).on(Scope::Commands))
        .unwrap();
    let accepted = user.post(&path("stop")).await;
    assert!(accepted.header("location").is_some());
    let accepted = accepted.expect(202);
    assert_eq!(
        accepted["status"]["state"], "stopping",
        "announced already: {accepted}"
    );
    let id = accepted["command"]["commandId"].as_str().unwrap().to_owned();
    assert_eq!(accepted["status"]["command"]["commandId"], id.as_str());
    let conflict = user.post(&path("start")).await;
    assert_eq!(conflict.status, 409, "{}", conflict.body);
    assert_eq!(conflict.body["commandId"], id.as_str(), "{}", conflict.body);
    let ended = user.get(&format!("/commands/{id}?wait=30s")).await.expect(200);
    assert_eq!(ended["outcome"], "succeeded", "{ended}");
    world.sim.clear(toolbox.id).unwrap();
    let started = user.post(&path("start?wait=30s")).await.expect(200);
    assert_eq!(started["status"]["state"], "running", "{started}");
    let told = states(&world, instance.id);
    assert!(
        told.ends_with(&["stopping", "stopped", "starting", "running"].map(str::to_owned)),
        "{told:?}"
    );

    let before = user.get(&format!("/servers/{}", instance.id)).await.expect(200);
    let restarted = user.post(&path("restart?wait=30s")).await.expect(200);
    assert_eq!(restarted["command"]["outcome"], "succeeded", "{restarted}");
    assert_eq!(restarted["status"]["state"], "running");
    assert_eq!(before["state"], "running");
    let told = states(&world, instance.id);
    let steps: Vec<&str> = told.iter().map(String::as_str).collect();
    assert!(steps.ends_with(&["starting", "running"]), "{steps:?}");

    let deleted = user.post(&path("delete?wait=30s")).await.expect(200);
    assert_eq!(deleted["command"]["outcome"], "succeeded", "{deleted}");
    world
        .events
        .wait_for(instance.id, "deleted", |event| event["kind"] == "deleted")
        .await;
    assert_eq!(user.get(&format!("/servers/{}", instance.id)).await.status, 404);
    assert!(
        !world
            .sim
            .containers(toolbox.id)
            .unwrap()
            .iter()
            .any(|container| container.name == instance.name)
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_agent_refuses_is_an_error_that_says_why() {
    let (world, toolbox) = world(Setup::default()).await;
    let instance = &toolbox.instances[0];
    // After a restart an agent has forgotten every container it had before.
    world.sim.restart_agent(toolbox.id).await.unwrap();
    let refused = world
        .user(toolbox.account_id)
        .post(&format!("/servers/{}/stop?wait=30s", instance.id))
        .await
        .expect(200);
    assert_eq!(refused["command"]["outcome"], "failed", "{refused}");
    assert_eq!(refused["status"]["state"], "error");
    assert_eq!(refused["status"]["lastError"]["code"], "command_failed");
    assert_eq!(refused["status"]["statusOnToolbox"], "error_stopping");
    let why = refused["status"]["lastError"]["message"].as_str().unwrap();
    assert!(why.contains("forgotten"), "{why}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_carries_out_ends_visibly_at_its_deadline() {
    let (world, toolbox) = world(Setup {
        pollers: 1,
        api: vec!["--command-deadline", "3s"],
        ..Setup::default()
    })
    .await;
    let instance = &toolbox.instances[0];
    world
        .sim
        .misbehave(toolbox.id, Order::from(Misbehaviour::Hang).on(Scope::Commands))
        .unwrap();
    let ended = world
        .user(toolbox.account_id)
        .post(&format!("/servers/{}/stop?wait=30s", instance.id))
        .await
        .expect(200);
    assert!(
        ["failed", "expired"].contains(&ended["command"]["outcome"].as_str().unwrap()),
        "{ended}"
    );
    assert_eq!(ended["status"]["lastError"]["code"], "command_failed", "{ended}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_refreshes_at_once_are_one_poll() {
    let (world, toolbox) = world(Setup {
        poller: NO_POLLS.to_vec(),
        // Nobody is held back for asking often, and all of them are "at once", however slow the machine.
        api: vec![
            "--command-rate",
            "1000",
            "--command-burst",
            "1000",
            "--refresh-every",
            "60s",
        ],
        ..Setup::default()
    })
    .await;
    let instance = &toolbox.instances[0];
    world.sim.stop_container(toolbox.id, &instance.name).unwrap();
    let user = world.user(toolbox.account_id);
    let before = asked(&world, &toolbox, "status");
    let path = format!("/servers/{}/refresh?wait=30s", instance.id);
    let answers = join_all((0..200).map(|_| user.post(&path))).await;
    for answer in answers {
        assert_eq!(answer.expect(200)["status"]["state"], "stopped");
    }
    assert_eq!(asked(&world, &toolbox, "status"), before + 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_whose_poller_is_killed_ends_in_the_right_state() {
    let (mut world, toolbox) = world(Setup {
        pollers: 2,
        ..Setup::default()
    })
    .await;
    let instance = &toolbox.instances[0];
    let user = world.user(toolbox.account_id);
    user.post(&format!("/servers/{}/stop?wait=30s", instance.id))
        .await
        .expect(200);
    // The agent takes the start and does not answer whoever asked first.
    world
        .sim
        .misbehave(
            toolbox.id,
            Order::from(Misbehaviour::Hang).on(Scope::Commands).times(1),
        )
        .unwrap();
    let accepted = user
        .post(&format!("/servers/{}/start", instance.id))
        .await
        .expect(202);
    let before = asked(&world, &toolbox, "start");
    world
        .until("somebody tells the agent", async || {
            asked(&world, &toolbox, "start") > before || asked(&world, &toolbox, "start") == 1
        })
        .await;
    // Whoever it is: one of the two is killed after the other, and a third takes over.
    world.add_poller(&QUICK).await;
    world.kill_poller(0).await;
    world.kill_poller(0).await;
    let id = accepted["command"]["commandId"].as_str().unwrap();
    let ended = user.get(&format!("/commands/{id}?wait=50s")).await.expect(200);
    assert_eq!(ended["outcome"], "succeeded", "{ended}");
    let status = user.get(&format!("/servers/{}", instance.id)).await.expect(200);
    assert_eq!(status["state"], "running");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_key_starts_once_whichever_replica_is_asked() {
    let (world, toolbox) = world(Setup {
        apis: 2,
        ..Setup::default()
    })
    .await;
    let instance = &toolbox.instances[0];
    let path = format!("/servers/{}/stop", instance.id);
    let key = [("Idempotency-Key", "one-and-the-same")];
    let clients = [world.service_at(0), world.service_at(1)];
    let first = clients[0].send(Method::POST, &path, None, &key).await;
    assert_eq!(first.status, 202, "{}", first.body);
    for client in &clients {
        let again = client.send(Method::POST, &path, None, &key).await;
        assert_eq!((again.status, &again.body), (202, &first.body));
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
    }
    let other = clients[1]
        .send(
            Method::POST,
            &format!("/servers/{}/start", instance.id),
            None,
            &key,
        )
        .await;
    assert_eq!(other.status, 422, "{}", other.body);
    let id = first.body["command"]["commandId"].as_str().unwrap();
    let ended = clients[0]
        .get(&format!("/commands/{id}?wait=30s"))
        .await
        .expect(200);
    assert_eq!(ended["outcome"], "succeeded");
    assert_eq!(asked(&world, &toolbox, "/stop"), 1);
    let page = clients[1]
        .get(&format!("/commands?serverId={}", instance.id))
        .await
        .expect(200);
    assert_eq!(page["items"].as_array().unwrap().len(), 1, "{page}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_database_stopped_reads_go_on_and_commands_are_refused() {
    let (mut world, toolbox) = world(Setup::default()).await;
    let user = world.user(toolbox.account_id);
    let server = format!("/servers/{}", toolbox.instances[0].id);
    let known = user.get(&server).await.expect(200);
    assert_eq!(known["stale"], false);
    world.postgres.stop().await.unwrap();
    let began = std::time::Instant::now();
    // What was read less than a second ago is still as good as new.
    world
        .until("answers are told to be stale", async || {
            let status = user.get(&server).await.expect(200);
            assert_eq!(status["state"], known["state"]);
            status["stale"] == true
        })
        .await;
    for path in [
        "/servers".to_owned(),
        "/fleet".to_owned(),
        format!("{server}/history"),
    ] {
        let answer = user.get(&path).await.expect(200);
        assert_eq!(answer["stale"], true, "{path}: {answer}");
    }
    for action in [
        "start",
        "stop",
        "restart",
        "delete",
        "refresh",
        "monitor",
        "unmonitor",
    ] {
        let refused = user.post(&format!("{server}/{action}")).await;
        assert_eq!(refused.status, 503, "{action}: {}", refused.body);
        let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!(seconds >= 1, "{action}");
        assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    }
    // Bounded by far more than it should take: the client's own limit would be the same failure with less to say.
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    world.postgres.restart().await.unwrap();
    world
        .until("answers are fresh again", async || {
            user.get(&server).await.body["stale"] == false
        })
        .await;
    // Until a mapper has found back, what is asked is still refused, as Retry-After says.
    world
        .until("commands are taken again", async || {
            let answer = user.post(&format!("{server}/stop?wait=30s")).await;
            assert!([200, 503].contains(&answer.status), "{}", answer.body);
            answer.status == 200
        })
        .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_can_announce_is_not_begun() {
    let (mut world, toolbox) = world(Setup::default()).await;
    let instance = &toolbox.instances[0];
    world.stop_mappers().await;
    let user = world.user(toolbox.account_id);
    let refused = user.post(&format!("/servers/{}/stop", instance.id)).await;
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert!(refused.header("retry-after").is_some());
    assert_eq!(asked(&world, &toolbox, "/stop"), 0);
    let record = user
        .get(&format!("/commands?serverId={}", instance.id))
        .await
        .expect(200);
    assert_eq!(record["items"][0]["outcome"], "withdrawn", "{record}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_registered_by_the_api_is_as_good_as_what_an_application_writes() {
    let world = World::start_unregistered(Setup {
        apis: 1,
        ..Setup::default()
    })
    .await;
    let toolbox = world.sim.toolbox(0);
    let owner = world.user(toolbox.account_id);
    let created = owner
        .send(
            Method::POST,
            "/toolboxes",
            Some(json!({
                "toolboxId": toolbox.id, "name": "mine", "baseUrl": toolbox.base_url, "token": toolbox.token,
            })),
            &[],
        )
        .await
        .expect(201);
    assert_eq!(created["hasToken"], true);
    assert!(!created.to_string().contains(&toolbox.token), "{created}");
    for instance in &toolbox.instances {
        owner
            .send(
                Method::POST,
                "/servers",
                Some(json!({"serverId": instance.id, "toolboxId": toolbox.id, "name": instance.name})),
                &[],
            )
            .await
            .expect(201);
    }
    world.all_running().await;
    let shown = owner.get(&format!("/toolboxes/{}", toolbox.id)).await.expect(200);
    assert_eq!(
        (&shown["status"], shown["servers"].as_array().map(Vec::len)),
        (&json!("active"), Some(toolbox.instances.len()))
    );
    let gone = &toolbox.instances[0];
    owner
        .send(Method::DELETE, &format!("/servers/{}", gone.id), None, &[])
        .await
        .expect(204);
    world
        .events
        .wait_for(gone.id, "deleted", |event| event["kind"] == "deleted")
        .await;
    // The container was not ours to remove.
    assert!(
        world
            .sim
            .containers(toolbox.id)
            .unwrap()
            .iter()
            .any(|container| container.name == gone.name)
    );
    let records = owner.get("/commands").await.expect(200);
    let kinds: Vec<&Value> = records["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| &record["kind"])
        .collect();
    assert_eq!(
        kinds,
        [
            &json!("unregister"),
            &json!("register"),
            &json!("register"),
            &json!("register")
        ]
    );
    world.stop().await;
}
