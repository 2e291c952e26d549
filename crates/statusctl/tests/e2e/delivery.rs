//! What is observed reaches the subjects: complete, in order, once, and only where it belongs.

use std::collections::BTreeSet;
use std::time::Instant;

use dtma_sim::{DialectMix, Misbehaviour};
use serde_json::json;
use uuid::Uuid;

use crate::world::{NO_POLLS, Setup, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_container_shows_at_the_next_poll() {
    for dialect in [DialectMix::A, DialectMix::B, DialectMix::OpenC] {
        let world = World::start(Setup {
            dialect,
            ..Setup::default()
        })
        .await;
        world.all_running().await;
        let toolbox = world.sim.toolbox(0);
        let instance = &toolbox.instances[0];
        world.sim.stop_container(toolbox.id, &instance.name).unwrap();
        let event = world
            .events
            .wait_for(instance.id, "stopped", |event| event["state"] == "stopped")
            .await;
        assert_eq!(
            event.subject,
            format!("mcp.status.v1.{}.{}", toolbox.account_id, instance.id)
        );
        assert_eq!(
            event.body["previous"],
            json!({"state": "running", "health": "healthy"})
        );
        world.sim.start_container(toolbox.id, &instance.name).unwrap();
        world
            .events
            .wait_for(instance.id, "running again", |event| event["state"] == "running")
            .await;
        let versions = world.events.versions(instance.id);
        assert_eq!(
            versions,
            (1..=versions.len() as u64).collect::<Vec<_>>(),
            "no gap"
        );
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_heartbeat_shows_at_once() {
    let mut poller = NO_POLLS.to_vec();
    // Faster than an agent may push by default.
    poller.extend(["--heartbeat-rate", "1000", "--heartbeat-burst", "1000"]);
    let world = World::start(Setup {
        poller,
        ..Setup::default()
    })
    .await;
    let toolbox = world.sim.toolbox(0);
    let instance = &toolbox.instances[0];
    // The first poll comes with the registration; from then on only heartbeats can tell.
    world.all_running().await;
    let mut latencies = Vec::new();
    for round in 0..20 {
        let state = if round % 2 == 0 { "stopped" } else { "running" };
        match state {
            "stopped" => world.sim.stop_container(toolbox.id, &instance.name).unwrap(),
            _ => world.sim.start_container(toolbox.id, &instance.name).unwrap(),
        };
        let pushed = Instant::now();
        assert_eq!(world.sim.heartbeat_now(toolbox.id).await.unwrap(), 204);
        let event = world
            .events
            .wait_for(instance.id, state, |event| event["state"] == state)
            .await;
        latencies.push(event.at.saturating_duration_since(pushed));
    }
    latencies.sort();
    // For the reader of the log; a test asserts no seconds.
    println!(
        "heartbeat sent → status event received: median {:?}, worst of 20 {:?}",
        latencies[10], latencies[19]
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_heartbeat_reaches_only_its_own_toolbox() {
    let world = World::start(Setup {
        toolboxes: 2,
        poller: NO_POLLS.to_vec(),
        ..Setup::default()
    })
    .await;
    world.all_running().await;
    let (mallory, victim) = (world.sim.toolbox(0), world.sim.toolbox(1));
    let theirs = &victim.instances[0];
    let before = (world.row(theirs.id).await, world.history(theirs.id).await);
    let counted = world.metric(&["foreign"]);
    let body = json!({
        "dtma_version": "0.1.0",
        "system_status": {},
        "tool_statuses": [{
            "account_tool_instance_id": theirs.id,
            "instance_name_on_toolbox": theirs.name,
            "status_on_toolbox": "exited",
            "runtime_details": {"container_id": "f".repeat(64), "state_details": {"ExitCode": 1}},
        }, {
            "account_tool_instance_id": mallory.instances[0].id,
            "status_on_toolbox": "exited",
            "runtime_details": null,
        }],
    });
    assert_eq!(
        world
            .sim
            .post_heartbeat(mallory.id, body.to_string())
            .await
            .unwrap(),
        204
    );
    // Its own instance shows that the heartbeat was taken; only then can the other's silence mean something.
    world
        .events
        .wait_for(mallory.instances[0].id, "stopped", |event| {
            event["state"] == "stopped"
        })
        .await;
    assert_eq!(
        before,
        (world.row(theirs.id).await, world.history(theirs.id).await)
    );
    world
        .until("it is counted", async || world.metric(&["foreign"]) > counted)
        .await;
    world.stop().await;
}

/// The scripted life of a fleet, with every step awaited, and what subscribers heard of it.
async fn scripted(mappers: usize, pollers: usize) -> (Vec<Vec<(String, String)>>, BTreeSet<(Uuid, u64)>) {
    let world = World::start(Setup {
        toolboxes: 4,
        mappers,
        pollers,
        // Whether a new row is announced before its first report is a race that says nothing here.
        mapper: vec!["--sweep-every", "1h"],
        ..Setup::default()
    })
    .await;
    world.all_running().await;
    for round in 0..3 {
        for toolbox in world.sim.fleet() {
            let instance = &toolbox.instances[round % 2];
            let state = match round {
                0 => world
                    .sim
                    .crash_container(toolbox.id, &instance.name, 137, true)
                    .map(|_| "stopped"),
                1 => world
                    .sim
                    .stop_container(toolbox.id, &instance.name)
                    .map(|_| "stopped"),
                _ => world
                    .sim
                    .start_container(toolbox.id, &instance.name)
                    .map(|_| "running"),
            }
            .unwrap();
            world
                .events
                .wait_for(instance.id, state, |event| event["state"] == state)
                .await;
        }
    }
    let mut rows = Vec::new();
    let mut told = BTreeSet::new();
    for toolbox in world.sim.fleet() {
        for instance in toolbox.instances {
            let row = world.row(instance.id).await;
            let text = |field: &str| (field.to_owned(), row[field].to_string());
            let error = ("error".to_owned(), row["last_error"]["code"].to_string());
            rows.push(vec![
                text("mcp_state"),
                text("health"),
                text("status_on_toolbox"),
                text("status_version"),
                error,
            ]);
            let versions = world.events.versions(instance.id);
            assert_eq!(
                versions,
                (1..=versions.len() as u64).collect::<Vec<_>>(),
                "no gap in {}",
                instance.id
            );
            let recorded: Vec<i64> = world
                .history(instance.id)
                .await
                .into_iter()
                .map(|(version, ..)| version)
                .collect();
            assert_eq!(recorded, (1..=recorded.len() as i64).collect::<Vec<_>>());
            assert_eq!(recorded.len(), versions.len(), "every change was published");
            told.extend(versions.into_iter().map(|version| (instance.id, version)));
        }
    }
    world.stop().await;
    (rows, told)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_each_do_what_one_of_each_does() {
    let one = scripted(1, 1).await;
    let two = scripted(2, 2).await;
    assert_eq!(one, two);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_fleet_is_quiet() {
    let world = World::start(Setup {
        toolboxes: 3,
        ..Setup::default()
    })
    .await;
    world.all_running().await;
    // From here on nothing changes; every row is polled each second.
    sqlx::raw_sql(
        "CREATE TABLE written (id uuid, at timestamptz);
         CREATE FUNCTION note_write() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
           'BEGIN INSERT INTO written VALUES (NEW.id, NEW.as_of); RETURN NEW; END';
         CREATE TRIGGER note_write AFTER UPDATE ON account_tool_instances FOR EACH ROW EXECUTE FUNCTION note_write();",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    let events = world.events.all().len();
    let polls = |world: &World| -> u64 {
        world
            .sim
            .fleet()
            .iter()
            .map(|toolbox| requests(world, toolbox.id))
            .sum()
    };
    let before = polls(&world);
    world.until("each row's heartbeat was written twice", async || {
        let fewest: Option<i64> = sqlx::query_scalar(
            "SELECT min(n) FROM (SELECT count(w.id) AS n FROM account_tool_instances i LEFT JOIN written w USING (id) GROUP BY i.id) s",
        )
        .fetch_one(&world.pool)
        .await
        .unwrap();
        fewest >= Some(2)
    })
    .await;
    assert!(polls(&world) > before + 3 * 10, "they were polled all the while");
    assert_eq!(
        world.events.all().len(),
        events,
        "nothing to tell:\n{}",
        world.events.dump()
    );
    let closest: Option<f64> = sqlx::query_scalar(
        "SELECT min(extract(epoch FROM gap))::float8 FROM
           (SELECT at - lag(at) OVER (PARTITION BY id ORDER BY at) AS gap FROM written) g",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    // By the reports' own times, which is what the rule speaks of: no scheduling of this machine can blur it.
    assert!(
        closest >= Some(15.0),
        "written at most every 15 s, not after {closest:?} s"
    );
    world.stop().await;
}

fn requests(world: &World, toolbox: Uuid) -> u64 {
    let stats = serde_json::to_value(world.sim.toolbox_stats(toolbox).unwrap()).unwrap();
    sum(&stats["requests"])
}

/// Every number below a JSON value.
fn sum(value: &serde_json::Value) -> u64 {
    match value {
        serde_json::Value::Number(number) => number.as_u64().unwrap_or(0),
        serde_json::Value::Object(fields) => fields.values().map(sum).sum(),
        serde_json::Value::Array(items) => items.iter().map(sum).sum(),
        _ => 0,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_goes_leaves_a_tombstone_and_comes_back_only_by_its_owner() {
    let world = World::start(Setup::default()).await;
    world.all_running().await;
    let toolbox = world.sim.toolbox(0);
    let gone = &toolbox.instances[0];
    sqlx::query("DELETE FROM account_tool_instances WHERE id = $1")
        .bind(gone.id)
        .execute(&world.pool)
        .await
        .unwrap();
    let event = world
        .events
        .wait_for(gone.id, "deleted", |event| event["kind"] == "deleted")
        .await;
    let versions = world.events.versions(gone.id);
    assert_eq!(versions, (1..=versions.len() as u64).collect::<Vec<_>>());
    // The agent still lists the container; more polls pass before another server of it changes.
    world
        .sim
        .stop_container(toolbox.id, &toolbox.instances[1].name)
        .unwrap();
    world
        .events
        .wait_for(toolbox.instances[1].id, "stopped", |event| {
            event["state"] == "stopped"
        })
        .await;
    assert_eq!(world.events.of(gone.id).last().unwrap().body, event.body);
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM account_tool_instances WHERE id = $1")
        .bind(gone.id)
        .fetch_one(&world.pool)
        .await
        .unwrap();
    assert_eq!(rows, 0);
    let kept = world
        .bus
        .last(&wire::streams::MCP_STATUS, &event.subject)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&kept.body).unwrap(),
        event.body
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_answers_are_told_apart_and_heal() {
    let world = World::start(Setup::default()).await;
    world.all_running().await;
    let toolbox = world.sim.toolbox(0);
    for (misbehaviour, code) in [
        (Misbehaviour::Status { code: 401 }, "agent_rejected_token"),
        (Misbehaviour::Status { code: 500 }, "agent_bad_answer"),
        (Misbehaviour::Garbage { wire: false }, "agent_bad_answer"),
        (Misbehaviour::TruncatedJson, "agent_bad_answer"),
        (
            Misbehaviour::HugeBody {
                mib: 5,
                content_length: false,
            },
            "agent_bad_answer",
        ),
        (Misbehaviour::GzipBomb { mib: 64 }, "agent_bad_answer"),
        (Misbehaviour::Html, "agent_bad_answer"),
        (Misbehaviour::Refuse, "agent_unreachable"),
    ] {
        let what = format!("{misbehaviour:?}");
        world.sim.misbehave(toolbox.id, misbehaviour).unwrap();
        let event = world
            .events
            .wait_for(toolbox.id, &what, |event| {
                event["status"] == "unresponsive" && event["problem"]["code"] == code
            })
            .await;
        assert!(!event.body.to_string().contains(&toolbox.token), "{what}");
        world.sim.clear(toolbox.id).unwrap();
        world
            .events
            .wait_for(toolbox.id, "active again", |event| event["status"] == "active")
            .await;
    }
    world.stop().await;
}
