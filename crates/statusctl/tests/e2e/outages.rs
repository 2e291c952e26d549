//! Servers go away and come back.

use dtma_sim::Misbehaviour;
use uuid::Uuid;

use crate::world::{Setup, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_away() {
    let mut world = World::start(Setup::default()).await;
    world.all_running().await;
    let toolbox = world.sim.toolbox(0);
    let (changed, kept) = (&toolbox.instances[0], &toolbox.instances[1]);
    let polls = |world: &World| world.metric(&["dtma_poller_polls"]);
    let before_stop = world
        .bus
        .stream_state(&wire::streams::DTMA_RAW)
        .await
        .unwrap()
        .last_sequence;

    world.postgres.stop().await.unwrap();
    let asked = polls(&world);
    world.sim.stop_container(toolbox.id, &changed.name).unwrap();
    assert_eq!(
        world.sim.heartbeat_now(toolbox.id).await.unwrap(),
        204,
        "heartbeats are taken without the database"
    );
    world
        .until("polls go on", async || polls(&world) > asked + 3.0)
        .await;
    world
        .until("reports pile up", async || {
            world
                .bus
                .stream_state(&wire::streams::DTMA_RAW)
                .await
                .unwrap()
                .last_sequence
                > before_stop + 4
        })
        .await;
    world.postgres.restart().await.unwrap();

    world
        .events
        .wait_for(changed.id, "stopped", |event| event["state"] == "stopped")
        .await;
    world
        .until("the row is right", async || {
            let row: Result<(String,), _> =
                sqlx::query_as("SELECT mcp_state FROM account_tool_instances WHERE id = $1")
                    .bind(changed.id)
                    .fetch_one(&world.pool)
                    .await;
            row.is_ok_and(|(state,)| state == "stopped")
        })
        .await;
    assert_eq!(world.row(kept.id).await["mcp_state"], "running");
    let dead = world
        .bus
        .stream_state(&wire::streams::DTMA_DLQ)
        .await
        .unwrap()
        .messages;
    assert_eq!(dead, 0, "waiting for the database makes no dead letters");
    gapless(&world, changed.id).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_restarted() {
    let mut world = World::start(Setup {
        toolboxes: 3,
        ..Setup::default()
    })
    .await;
    world.all_running().await;
    let schedules = world.bus.schedules().existing().await.unwrap();
    assert_eq!(schedules.len(), 3);
    world.nats.kill().await.unwrap();
    world.nats.restart().await.unwrap();
    world
        .until("schedules survive", async || {
            world
                .bus
                .schedules()
                .existing()
                .await
                .is_ok_and(|now| now == schedules)
        })
        .await;
    for toolbox in world.sim.fleet() {
        let instance = &toolbox.instances[0];
        world.sim.stop_container(toolbox.id, &instance.name).unwrap();
        world
            .events
            .wait_for(instance.id, "stopped", |event| event["state"] == "stopped")
            .await;
        gapless(&world, instance.id).await;
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_stream_deleted() {
    let options = vec!["--streams-every", "500ms", "--rebuild-every", "500ms"];
    let mut poller = crate::world::QUICK.to_vec();
    poller.extend(["--streams-every", "500ms", "--reconcile-every", "500ms"]);
    let world = World::start(Setup {
        toolboxes: 2,
        mapper: options,
        poller,
        ..Setup::default()
    })
    .await;
    world.all_running().await;
    let histories = |world: &World| {
        let fleet = world.sim.fleet();
        let pool = world.pool.clone();
        async move {
            let mut all = Vec::new();
            for id in fleet
                .iter()
                .flat_map(|toolbox| &toolbox.instances)
                .map(|instance| instance.id)
            {
                let count: i64 =
                    sqlx::query_scalar("SELECT count(*) FROM status_changes WHERE subject_id = $1")
                        .bind(id)
                        .fetch_one(&pool)
                        .await
                        .unwrap();
                all.push((id, count));
            }
            all
        }
    };
    let before = histories(&world).await;
    let client = async_nats::connect(world.nats.url()).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    for stream in [
        "POLLS",
        "DTMA_RAW",
        "DTMA_COMMANDS",
        "MCP_STATUS",
        "DTMA_DLQ",
        "KV_toolboxes",
    ] {
        jetstream.delete_stream(stream).await.unwrap();
    }
    for toolbox in world.sim.fleet() {
        for instance in &toolbox.instances {
            let subject = wire::subjects::server_status(
                domain::AccountId(toolbox.account_id),
                domain::ServerId(instance.id),
            );
            world
                .until("the status stream is whole again", async || {
                    let last = world.bus.last(&wire::streams::MCP_STATUS, &subject).await;
                    last.is_ok_and(|last| last.is_some())
                })
                .await;
        }
    }
    assert_eq!(histories(&world).await, before, "healed without a false event");
    for toolbox in world.sim.fleet() {
        let instance = &toolbox.instances[1];
        world.sim.stop_container(toolbox.id, &instance.name).unwrap();
        world
            .events
            .wait_for(instance.id, "stopped", |event| event["state"] == "stopped")
            .await;
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_hanging_agent_holds_up_nobody() {
    let mut poller = crate::world::QUICK.to_vec();
    poller.extend(["--poll-timeout", "2s"]);
    let world = World::start(Setup {
        toolboxes: 3,
        poller,
        ..Setup::default()
    })
    .await;
    world.all_running().await;
    let (hung, well) = (world.sim.toolbox(0), world.sim.toolbox(1));
    world.sim.misbehave(hung.id, Misbehaviour::Hang).unwrap();
    world
        .events
        .wait_for(hung.id, "unresponsive", |event| event["status"] == "unresponsive")
        .await;
    world
        .sim
        .stop_container(well.id, &well.instances[0].name)
        .unwrap();
    world
        .events
        .wait_for(well.instances[0].id, "stopped", |event| {
            event["state"] == "stopped"
        })
        .await;
    world.sim.clear(hung.id).unwrap();
    world
        .events
        .wait_for(hung.id, "active", |event| event["status"] == "active")
        .await;
    world.stop().await;
}

async fn gapless(world: &World, server: Uuid) {
    let recorded: Vec<i64> = world
        .history(server)
        .await
        .into_iter()
        .map(|(version, ..)| version)
        .collect();
    assert_eq!(recorded, (1..=recorded.len() as i64).collect::<Vec<_>>());
}
