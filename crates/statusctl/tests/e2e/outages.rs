//! Servers go away and come back.

use std::collections::HashMap;

use dtma_sim::{DialectMix, Misbehaviour};
use serde_json::{Value, json};
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
async fn every_stream_and_bucket_deleted() {
    let options = vec!["--streams-every", "500ms", "--rebuild-every", "500ms"];
    let mut poller = crate::world::QUICK.to_vec();
    poller.extend(["--streams-every", "500ms", "--reconcile-every", "500ms"]);
    let mut world = World::start(Setup {
        toolboxes: 2,
        mapper: options,
        poller,
        apis: 1,
        ..Setup::default()
    })
    .await;
    world.add_notifier(&[]).await;
    world.all_running().await;
    let owner = world.user(world.sim.toolbox(0).account_id);
    let webhook = json!({ "url": "https://receiver.example/hook" });
    owner
        .send(reqwest::Method::POST, "/webhooks", Some(webhook), &[])
        .await
        .expect(201);
    let mirrored = async || {
        let bucket = world.bus.existing_bucket::<wire::WebhookEntry>().await;
        match bucket {
            Ok(Some(bucket)) => bucket.all().await.is_ok_and(|entries| entries.len() == 1),
            _ => false,
        }
    };
    world.until("the webhook is mirrored", mirrored).await;
    let as_it_should_be = async || {
        let inspected = world.bus.inspect().await;
        inspected.is_ok_and(|seen| seen.things.iter().all(|thing| thing.found == bus::Found::Right))
    };
    world
        .until("every stream, bucket and consumer is there", as_it_should_be)
        .await;

    let histories = async || {
        let query = "SELECT subject_id, count(*) FROM status_changes GROUP BY 1 ORDER BY 1";
        let query = sqlx::query_as::<_, (Uuid, i64)>(query);
        query.fetch_all(&world.pool).await.unwrap()
    };
    let before = histories().await;
    // What a subscriber knows: of each subject the newest, without what may be told anew in other words.
    let essence = |event: &Value| {
        let field = |name: &str| event[name].clone();
        ["version", "state", "health", "lastError", "status"].map(field)
    };
    let mut known = HashMap::new();
    let told_before = world.events.all();
    for event in &told_before {
        known.insert(event.subject.clone(), essence(&event.body));
    }
    let jetstream = async_nats::jetstream::new(crate::world::plain(&world.nats, "admin").await);
    let buckets = wire::streams::BUCKETS.map(|bucket| format!("KV_{}", bucket.name));
    let streams = wire::streams::ALL.map(|stream| stream.name.to_owned());
    for stream in streams.into_iter().chain(buckets) {
        jetstream.delete_stream(stream).await.unwrap();
    }
    world.until("all is made again", as_it_should_be).await;
    world.until("the webhook is mirrored again", mirrored).await;
    for subject in known.keys() {
        world
            .until("the status stream is whole again", async || {
                let last = world.bus.last(&wire::streams::MCP_STATUS, subject).await;
                last.is_ok_and(|last| last.is_some())
            })
            .await;
    }
    // Polls are made, told and folded again, and whoever listens has learnt nothing new.
    let healed = jiff::Timestamp::now().to_string();
    world
        .until("every toolbox is heard of again", async || {
            let query = "SELECT bool_and(as_of > $1::timestamptz) FROM account_tool_environments";
            let query = sqlx::query_scalar::<_, Option<bool>>(query).bind(&healed);
            query.fetch_one(&world.pool).await.unwrap() == Some(true)
        })
        .await;
    assert_eq!(histories().await, before, "healed without a false event");
    for event in &world.events.all()[told_before.len()..] {
        assert_eq!(
            Some(&essence(&event.body)),
            known.get(&event.subject),
            "{event:?}"
        );
    }
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

/// A backup is put back while subscribers know what came after it, and meanwhile other things have happened.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_backup_put_back() {
    let mut world = World::start(Setup {
        containers: 3,
        // Its polls tell exit codes.
        dialect: DialectMix::OpenC,
        ..Setup::default()
    })
    .await;
    world.all_running().await;
    let toolbox = world.sim.toolbox(0);
    let [crashed, passed, kept] = &toolbox.instances[..] else {
        unreachable!("as set up")
    };
    world.stop_mappers().await;
    world.back_up().await;
    world.add_mapper().await;

    // What the backup does not have.
    for server in [crashed, passed] {
        world.sim.stop_container(toolbox.id, &server.name).unwrap();
        let stopped = |event: &Value| event["state"] == "stopped";
        world.events.wait_for(server.id, "stopped", stopped).await;
    }
    world.stop_mappers().await;
    for server in [crashed, passed] {
        world.sim.start_container(toolbox.id, &server.name).unwrap();
    }
    world
        .sim
        .crash_container(toolbox.id, &crashed.name, 3, false)
        .unwrap();
    // The crash is reported before anybody reads on: what is folded first is folded into rows that are behind.
    let reported = async || {
        let state = world.bus.stream_state(&wire::streams::DTMA_RAW).await;
        state.unwrap().last_sequence
    };
    let before = reported().await;
    world
        .until("it is reported", async || reported().await > before + 1)
        .await;
    world.restore().await;
    world.add_mapper().await;

    let right = |id: Uuid, state: &str, error: Value| {
        let held = world.events.held(id);
        held["state"] == state && held["lastError"]["code"] == error
    };
    world
        .until("subscribers hold what is true", async || {
            right(crashed.id, "stopped", json!("exit_code"))
                && right(passed.id, "running", Value::Null)
                && right(kept.id, "running", Value::Null)
        })
        .await;
    for server in [crashed, passed, kept] {
        world
            .until("the row is what subscribers hold", async || {
                let (row, held) = (world.row(server.id).await, world.events.held(server.id));
                row["status_version"] == held["version"] && row["mcp_state"] == held["state"]
            })
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

/// What permissions cannot forbid to a poller that is taken over (see `bus::permissions`).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_in_the_place_of_a_status_is_repaired() {
    let world = World::start(Setup {
        // All is compared, and not only what is missing, every ten minutes.
        mapper: vec!["--rebuild-every", "500ms", "--rebuild-full-every", "500ms"],
        ..Setup::default()
    })
    .await;
    world.all_running().await;
    let toolbox = world.sim.toolbox(0);
    let server = &toolbox.instances[0];
    let subject =
        wire::subjects::server_status(domain::AccountId(toolbox.account_id), domain::ServerId(server.id));
    let last = async || {
        let last = world.bus.last(&wire::streams::MCP_STATUS, &subject).await;
        last.unwrap().unwrap()
    };
    let told = last().await;
    let poller = crate::world::plain(&world.nats, "dtma-poller").await;
    poller
        .publish_with_reply(
            wire::subjects::raw(domain::ToolboxId(toolbox.id)),
            subject.clone(),
            "{}".into(),
        )
        .await
        .unwrap();
    let status = |delivery: &bus::Delivery| serde_json::from_slice::<Value>(&delivery.body).unwrap();
    world
        .until("the acknowledgement came, and the status after it", async || {
            let now = last().await;
            now.sequence > told.sequence + 1 && status(&now)["kind"] == "status"
        })
        .await;
    assert_eq!(status(&last().await)["version"], status(&told)["version"]);
    world.stop().await;
}
