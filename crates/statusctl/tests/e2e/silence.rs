//! Silence shows: degraded, unhealthy, unknown; and one good report heals it.

use dtma_sim::Misbehaviour;
use serde_json::{Value, json};

use crate::world::{Setup, World};

/// Thresholds of seconds instead of minutes, in the same order.
const SHORT: [&str; 8] = [
    "--healthy-for",
    "4s",
    "--degraded-for",
    "8s",
    "--unknown-after",
    "12s",
    "--sweep-every",
    "200ms",
];

fn seconds(event: &Value) -> f64 {
    let instant = |field: &str| event[field].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    instant("changedAt").duration_since(instant("asOf")).as_secs_f64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_goes_silent() {
    let world = World::start(Setup {
        mapper: SHORT.to_vec(),
        ..Setup::default()
    })
    .await;
    world.all_running().await;
    let toolbox = world.sim.toolbox(0);
    world.sim.misbehave(toolbox.id, Misbehaviour::Refuse).unwrap();
    world
        .events
        .wait_for(toolbox.id, "unresponsive", |event| {
            event["status"] == "unresponsive"
        })
        .await;
    for instance in &toolbox.instances {
        world
            .events
            .wait_for(instance.id, "unknown", |event| event["state"] == "unknown")
            .await;
        let seen: Vec<Value> = world
            .events
            .of(instance.id)
            .into_iter()
            .map(|event| event.body)
            .collect();
        let ladder: Vec<_> = seen[seen.len() - 3..]
            .iter()
            .map(|event| {
                (
                    event["state"].clone(),
                    event["health"].clone(),
                    event["lastError"]["code"].clone(),
                )
            })
            .collect();
        let silent = json!("agent_unreachable");
        assert_eq!(
            ladder,
            [
                (json!("running"), json!("degraded"), silent.clone()),
                (json!("running"), json!("unhealthy"), silent.clone()),
                (json!("unknown"), json!("unknown"), silent),
            ]
        );
        for (event, age) in seen[seen.len() - 3..].iter().zip([4.0, 8.0, 12.0]) {
            // Never later than promised would be a matter of seconds; never earlier than the row's age is one of truth.
            assert!(seconds(event) > age, "{event}");
            println!(
                "asked for after {age} s of silence, announced after {:.2} s",
                seconds(event)
            );
        }
    }
    world.sim.clear(toolbox.id).unwrap();
    world
        .events
        .wait_for(toolbox.id, "active", |event| event["status"] == "active")
        .await;
    world.all_running().await;
    for instance in &toolbox.instances {
        assert_eq!(world.row(instance.id).await["last_error"], Value::Null);
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_all_fall_silent_at_once_the_fault_is_ours() {
    let world = World::start(Setup {
        toolboxes: 6,
        containers: 1,
        mapper: SHORT.to_vec(),
        ..Setup::default()
    })
    .await;
    world.all_running().await;
    world.sim.misbehave_all(Misbehaviour::Refuse).unwrap();
    for toolbox in world.sim.fleet() {
        let event = world
            .events
            .wait_for(toolbox.instances[0].id, "not seen", |event| {
                event["lastError"]["code"] == "observer_blind"
            })
            .await;
        assert_eq!(event.body["health"], "unknown", "not unhealthy: {}", event.body);
    }
    for toolbox in world.sim.fleet() {
        let blamed = world.events.of(toolbox.instances[0].id);
        assert!(
            blamed.iter().all(|event| event.body["health"] != "unhealthy"),
            "{blamed:?}"
        );
    }
    world.sim.clear_all();
    world.all_running().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_away_is_not_the_agent_away() {
    let world = World::start(Setup {
        dialect: dtma_sim::DialectMix::OpenC,
        mapper: SHORT.to_vec(),
        ..Setup::default()
    })
    .await;
    world.all_running().await;
    let toolbox = world.sim.toolbox(0);
    world
        .sim
        .misbehave(toolbox.id, Misbehaviour::DockerUnavailable)
        .unwrap();
    let event = world
        .events
        .wait_for(toolbox.id, "without Docker", |event| {
            event["problem"]["code"] == "docker_unavailable"
        })
        .await;
    assert_eq!(event.body["status"], "active");
    let server = toolbox.instances[0].id;
    world
        .events
        .wait_for(server, "aged", |event| {
            event["lastError"]["code"] == "docker_unavailable"
        })
        .await;
    world.sim.clear(toolbox.id).unwrap();
    world.all_running().await;
    world.stop().await;
}
