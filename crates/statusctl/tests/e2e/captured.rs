//! The five captured payloads drive the whole path: served on a poll or posted as a heartbeat, they end as the right
//! rows and the right events.

use domain::{AccountId, InstanceName, ServerId, ToolboxId};
use dtma_sim::DialectMix;
use serde_json::json;
use store::registration::NewInstance;
use uuid::Uuid;

use crate::world::{NO_POLLS, Setup, World};

const OPEN: &[u8] = include_bytes!("../../../dtma-sim/tests/fixtures/get-status.open.json");
const MANAGED: &[u8] = include_bytes!("../../../dtma-sim/tests/fixtures/get-status.managed.json");
const TOOLS: &[u8] = include_bytes!("../../../dtma-sim/tests/fixtures/get-tools-status.json");
const BEAT_NAMES: &[u8] = include_bytes!("../../../dtma-sim/tests/fixtures/post-heartbeat.names.json");
const BEAT_MANAGED: &[u8] = include_bytes!("../../../dtma-sim/tests/fixtures/post-heartbeat.managed.json");

/// What a person should see of one instance: container name, state, health, error code, message.
type Seen = (&'static str, &'static str, &'static str, Option<&'static str>);

/// Registers the sim's one toolbox with the instances a payload speaks of and says what became of each.
async fn check(world: &World, instances: &[(Uuid, &str)], want: &[Seen]) {
    for ((id, name), (want_name, state, health, code)) in instances.iter().zip(want) {
        assert_eq!(name, want_name);
        let event = world
            .events
            .wait_for(*id, &format!("{state}/{health} {code:?}"), |event| {
                event["state"] == *state
                    && event["health"] == *health
                    && event["lastError"]["code"] == json!(code)
            })
            .await;
        let account = AccountId(world.sim.toolbox(0).account_id);
        assert_eq!(
            event.subject,
            wire::subjects::server_status(account, ServerId(*id))
        );
        let row = world.row(*id).await;
        assert_eq!(
            (&row["mcp_state"], &row["health"]),
            (&json!(state), &json!(health)),
            "{row}"
        );
        assert_eq!(row["status_version"], event.body["version"], "{row}");
        assert_eq!(row["status_on_toolbox"], event.body["statusOnToolbox"], "{row}");
        assert_eq!(row["last_error"]["code"], json!(code), "{row}");
        assert!(!row["last_heartbeat_from_dtma"].is_null(), "{row}");
    }
}

fn managed_ids() -> [(Uuid, &'static str); 4] {
    let id = |n: u128| Uuid::from_u128(0x5b2d_7f0e_3c1a_4f6b_9a41_0d6f_4c1e_2a00 + n);
    [
        (id(1), "mcp-github"),
        (id(2), "mcp-postgres"),
        (id(3), "mcp-slack"),
        (id(4), "mcp-web"),
    ]
}

fn named() -> [(Uuid, &'static str); 2] {
    [(Uuid::from_u128(0xa), "mcp-a"), (Uuid::from_u128(0xb), "mcp-b")]
}

async fn world(
    dialect: DialectMix,
    polls: bool,
    instances: &[(Uuid, &str)],
    serve: Option<(&str, &'static [u8])>,
) -> World {
    let defaults = Setup::default();
    let poller = if polls { defaults.poller } else { NO_POLLS.to_vec() };
    let world = World::start_unregistered(Setup {
        containers: 0,
        dialect,
        poller,
        ..Setup::default()
    })
    .await;
    let toolbox = world.sim.toolbox(0);
    if let Some((path, body)) = serve {
        world.sim.serve_payload(toolbox.id, path, body).unwrap();
    }
    world.register(&world.sim.fleet()).await;
    let mut transaction = world.database.begin().await.unwrap();
    for (id, name) in instances {
        let name = InstanceName::new(name).unwrap();
        let new = NewInstance {
            id: ServerId(*id),
            toolbox: ToolboxId(toolbox.id),
            name,
        };
        store::registration::put_instance(&mut *transaction, &new)
            .await
            .unwrap();
    }
    transaction.commit().await.unwrap();
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_status_by_poll() {
    let world = world(DialectMix::OpenC, true, &named(), Some(("/status", OPEN))).await;
    check(
        &world,
        &named(),
        &[
            ("mcp-a", "running", "healthy", None),
            ("mcp-b", "stopped", "unknown", Some("exit_code")),
        ],
    )
    .await;
    let event = world.events.of(named()[0].0).pop().unwrap().body;
    assert_eq!(
        event["containerId"],
        "692465b235c7c974172040ab9d584f1904889d7353cb0556afae6a1f60a731b9"
    );
    let started: jiff::Timestamp = event["lastStarted"].as_str().unwrap().parse().unwrap();
    let as_of: jiff::Timestamp = event["asOf"].as_str().unwrap().parse().unwrap();
    assert_eq!(
        as_of.duration_since(started).as_secs(),
        30,
        "Up 30 seconds, by our clock: not the creation time"
    );
    let event = world.events.of(named()[1].0).pop().unwrap().body;
    assert_eq!(event["lastError"]["message"], "exit code 3");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn managed_status_by_poll() {
    let world = world(DialectMix::A, true, &managed_ids(), Some(("/status", MANAGED))).await;
    check(
        &world,
        &managed_ids(),
        &[
            ("mcp-github", "running", "healthy", None),
            ("mcp-postgres", "stopped", "unknown", None),
            ("mcp-slack", "error", "unhealthy", Some("reported_error")),
            ("mcp-web", "stopped", "unknown", Some("not_found")),
        ],
    )
    .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tools_status_by_poll() {
    let world = world(DialectMix::B, true, &named(), Some(("/tools/status", TOOLS))).await;
    check(
        &world,
        &named(),
        &[
            ("mcp-a", "running", "healthy", None),
            ("mcp-b", "stopped", "unknown", None),
        ],
    )
    .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeat_with_names() {
    let world = world(DialectMix::B, false, &named(), None).await;
    let toolbox = world.sim.toolbox(0);
    world
        .until("the toolbox is known", async || {
            world.sim.post_heartbeat(toolbox.id, BEAT_NAMES).await.unwrap() == 204
        })
        .await;
    check(
        &world,
        &named(),
        &[
            ("mcp-a", "running", "healthy", None),
            ("mcp-b", "stopped", "unknown", Some("exit_code")),
        ],
    )
    .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeat_of_managed_instances() {
    let ids = &managed_ids()[..3];
    let world = world(DialectMix::A, false, ids, None).await;
    let toolbox = world.sim.toolbox(0);
    world
        .until("the toolbox is known", async || {
            world.sim.post_heartbeat(toolbox.id, BEAT_MANAGED).await.unwrap() == 204
        })
        .await;
    check(
        &world,
        ids,
        &[
            ("mcp-github", "running", "healthy", None),
            ("mcp-postgres", "stopped", "unknown", Some("oom_killed")),
            ("mcp-slack", "error", "unhealthy", Some("reported_error")),
        ],
    )
    .await;
    let event = world.events.of(ids[0].0).pop().unwrap().body;
    assert_eq!(
        event["lastStarted"], "2026-11-22T17:17:49.881Z",
        "the container's own start"
    );
    world.stop().await;
}
