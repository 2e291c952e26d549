//! Heartbeats as a receiver meets them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::post;
use dtma_sim::{DialectMix, HeartbeatPath, HeartbeatStyle, Misbehaviour, SimConfig, SimHandle};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use url::Url;

use crate::support::{client, config, start, until};

#[derive(Clone, Debug)]
struct Beat {
    token: String,
    path: String,
    body: Value,
}

/// A receiver that keeps what it gets, knows tokens, and answers as fast as it is let.
struct Receiver {
    url: Url,
    inbox: Arc<Inbox>,
    task: JoinHandle<()>,
}

struct Inbox {
    beats: Mutex<Vec<Beat>>,
    known: Mutex<Vec<String>>,
    gate: Semaphore,
    inside: AtomicUsize,
    most: AtomicUsize,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    async fn open(permits: usize) -> Self {
        let inbox = Arc::new(Inbox {
            beats: Mutex::default(),
            known: Mutex::default(),
            gate: Semaphore::new(permits),
            inside: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        });
        let router = Router::new()
            .route("/base/heartbeat", post(take))
            .route("/base/dtma/heartbeat", post(take))
            .with_state(Arc::clone(&inbox));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/base/", listener.local_addr().unwrap())
            .parse()
            .unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, inbox, task }
    }

    fn beats(&self) -> Vec<Beat> {
        self.inbox.beats.lock().unwrap().clone()
    }

    fn knows(&self, sim: &SimHandle) {
        *self.inbox.known.lock().unwrap() = sim.fleet().into_iter().map(|toolbox| toolbox.token).collect();
    }
}

async fn take(State(inbox): State<Arc<Inbox>>, uri: Uri, headers: HeaderMap, body: Bytes) -> StatusCode {
    let inside = inbox.inside.fetch_add(1, Ordering::SeqCst) + 1;
    inbox.most.fetch_max(inside, Ordering::SeqCst);
    let _permit = inbox.gate.acquire().await.unwrap();
    inbox.inside.fetch_sub(1, Ordering::SeqCst);
    let token = headers["authorization"]
        .to_str()
        .unwrap()
        .strip_prefix("Bearer ")
        .unwrap()
        .to_owned();
    assert_eq!(headers["content-type"], "application/json");
    let known = inbox.known.lock().unwrap().contains(&token);
    let beat = Beat {
        token,
        path: uri.path().to_owned(),
        body: serde_json::from_slice(&body).unwrap(),
    };
    inbox.beats.lock().unwrap().push(beat);
    if known {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::UNAUTHORIZED
    }
}

/// A fleet that beats to the receiver only when told to.
fn quiet(toolboxes: usize, receiver: &Receiver) -> SimConfig {
    SimConfig {
        heartbeat_url: Some(receiver.url.clone()),
        heartbeat_interval: Duration::from_secs(7 * 86_400),
        ..config(toolboxes, DialectMix::OpenC)
    }
}

fn busy(toolboxes: usize, receiver: &Receiver) -> SimConfig {
    SimConfig {
        heartbeat_interval: Duration::from_millis(100),
        ..quiet(toolboxes, receiver)
    }
}

#[tokio::test]
async fn every_agent_beats_again_and_again_under_its_own_token() {
    let receiver = Receiver::open(1_000).await;
    let sim = start(busy(20, &receiver)).await;
    receiver.knows(&sim);
    let counts = || {
        let mut counts: HashMap<String, usize> = HashMap::new();
        receiver
            .beats()
            .into_iter()
            .for_each(|beat| *counts.entry(beat.token).or_default() += 1);
        counts
    };
    until("each of twenty has beaten three times", || {
        let counts = counts();
        counts.len() == 20 && counts.values().all(|count| *count >= 3)
    })
    .await;
    for toolbox in sim.fleet() {
        assert!(counts().contains_key(&toolbox.token));
    }
    until("answers are counted", || {
        sim.stats().heartbeats.answers.get(&204).is_some_and(|n| *n >= 40)
    })
    .await;
    sim.shutdown().await.unwrap();
    let after = receiver.beats().len();
    assert!(after >= 60);
}

#[tokio::test]
async fn paths_and_styles_are_as_configured() {
    let table = [
        (HeartbeatPath::New, HeartbeatStyle::Names, "/base/heartbeat"),
        (
            HeartbeatPath::Old,
            HeartbeatStyle::Managed,
            "/base/dtma/heartbeat",
        ),
        (HeartbeatPath::Old, HeartbeatStyle::Empty, "/base/dtma/heartbeat"),
    ];
    for (heartbeat_path, heartbeat_style, path) in table {
        let receiver = Receiver::open(1_000).await;
        let sim = start(SimConfig {
            heartbeat_path,
            heartbeat_style,
            ..quiet(1, &receiver)
        })
        .await;
        let toolbox = sim.toolbox(0);
        assert_eq!(
            sim.heartbeat_now(toolbox.id).await.unwrap(),
            401,
            "the receiver does not know it yet"
        );
        receiver.knows(&sim);
        assert_eq!(sim.heartbeat_now(toolbox.id).await.unwrap(), 204);
        let beat = receiver.beats().pop().unwrap();
        assert_eq!((beat.path.as_str(), &beat.token), (path, &toolbox.token));
        let items = beat.body["tool_statuses"].as_array().unwrap();
        match heartbeat_style {
            HeartbeatStyle::Names => assert!(items.iter().any(|item| item["names"][0] == "dtma_manager")),
            HeartbeatStyle::Managed => {
                let ids: Vec<&Value> = items
                    .iter()
                    .map(|item| &item["account_tool_instance_id"])
                    .collect();
                assert!(
                    toolbox
                        .instances
                        .iter()
                        .all(|known| ids.contains(&&json!(known.id)))
                );
                assert_eq!(items[0]["runtime_details"]["state_details"]["Running"], true);
            }
            _ => assert!(items.is_empty()),
        }
        let stats = sim.toolbox_stats(toolbox.id).unwrap().heartbeats;
        assert_eq!((stats.sent, &stats.answers), (2, &[(204, 1), (401, 1)].into()));
    }
}

#[tokio::test]
async fn the_dialect_decides_the_style_unless_told_otherwise() {
    let receiver = Receiver::open(1_000).await;
    for (dialect, field) in [(DialectMix::A, "status_on_toolbox"), (DialectMix::B, "names")] {
        let sim = start(SimConfig {
            dialect,
            ..quiet(1, &receiver)
        })
        .await;
        sim.heartbeat_now(sim.toolbox(0).id).await.unwrap();
        let beat = receiver.beats().pop().unwrap();
        assert!(beat.body["tool_statuses"][0].get(field).is_some(), "{dialect:?}");
    }
}

#[tokio::test]
async fn a_heartbeat_tells_what_scripts_did_before_it() {
    let receiver = Receiver::open(1_000).await;
    let sim = start(SimConfig {
        heartbeat_style: HeartbeatStyle::Managed,
        ..quiet(1, &receiver)
    })
    .await;
    let toolbox = sim.toolbox(0);
    let instance = &toolbox.instances[0];
    sim.crash_container(toolbox.id, &instance.name, 137, true)
        .unwrap();
    let url = format!(
        "{}/control/toolboxes/{}/heartbeat-now",
        sim.base_url(),
        toolbox.id
    );
    let answer: Value = client().post(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer, json!({"answer": 401}));
    let beat = receiver.beats().pop().unwrap();
    let items = beat.body["tool_statuses"].as_array().unwrap();
    let mine = items
        .iter()
        .find(|item| item["account_tool_instance_id"] == json!(instance.id))
        .unwrap();
    assert_eq!(mine["status_on_toolbox"], "exited");
    let details = &mine["runtime_details"]["state_details"];
    assert_eq!(
        (&details["OOMKilled"], &details["ExitCode"]),
        (&json!(true), &json!(137))
    );
}

#[tokio::test]
async fn a_captured_heartbeat_is_posted_verbatim() {
    let receiver = Receiver::open(1_000).await;
    let sim = start(quiet(2, &receiver)).await;
    receiver.knows(&sim);
    let captured = include_str!("../fixtures/post-heartbeat.managed.json");
    let toolbox = sim.toolbox(1);
    assert_eq!(sim.post_heartbeat(toolbox.id, captured).await.unwrap(), 204);
    let url = format!(
        "{}/control/toolboxes/{}/serve-payload",
        sim.base_url(),
        toolbox.id
    );
    let body = format!(r#"{{"heartbeat": true, "body": {captured}}}"#);
    assert_eq!(client().post(url).body(body).send().await.unwrap().status(), 200);
    let expected: Value = serde_json::from_str(captured).unwrap();
    let beats = receiver.beats();
    assert_eq!(beats.len(), 2);
    assert!(
        beats
            .iter()
            .all(|beat| beat.body == expected && beat.token == toolbox.token)
    );
}

#[tokio::test]
async fn a_silent_agent_sends_nothing_until_cleared() {
    let receiver = Receiver::open(1_000).await;
    let sim = start(busy(2, &receiver)).await;
    let (silent, loud) = (sim.toolbox(0), sim.toolbox(1));
    sim.misbehave(silent.id, Misbehaviour::Silent).unwrap();
    let stats = |id| sim.toolbox_stats(id).unwrap().heartbeats;
    until("the silent one has let turns pass", || {
        stats(silent.id).silenced >= 3
    })
    .await;
    let sent = stats(silent.id).sent;
    let passed = stats(silent.id).silenced;
    until("more turns have passed", || {
        stats(silent.id).silenced >= passed + 3 && stats(loud.id).sent >= 3
    })
    .await;
    assert_eq!(stats(silent.id).sent, sent);
    sim.clear(silent.id).unwrap();
    until("it beats again", || stats(silent.id).sent > sent).await;
}

#[tokio::test]
async fn a_restarted_agent_announces_itself() {
    let receiver = Receiver::open(1_000).await;
    let sim = start(SimConfig {
        heartbeat_style: HeartbeatStyle::Managed,
        ..quiet(1, &receiver)
    })
    .await;
    receiver.knows(&sim);
    let toolbox = sim.toolbox(0);
    assert_eq!(sim.restart_agent(toolbox.id).await.unwrap(), Some(204));
    assert_eq!(
        receiver.beats().pop().unwrap().body["tool_statuses"],
        json!([]),
        "it manages nothing yet"
    );
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_costs_no_more_than_is_allowed() {
    let receiver = Receiver::open(0).await;
    let config = SimConfig {
        heartbeat_concurrency: 3,
        ..busy(30, &receiver)
    };
    let interval = config.heartbeat_interval;
    let sim = start(config).await;
    until("as many as allowed are under way", || {
        receiver.inbox.inside.load(Ordering::SeqCst) == 3
    })
    .await;
    let begun = Instant::now();
    until("every agent's turn has come", || begun.elapsed() >= 3 * interval).await;
    assert_eq!(receiver.inbox.most.load(Ordering::SeqCst), 3);
    receiver.inbox.gate.add_permits(1_000);
    until("the late ones are counted", || sim.stats().heartbeats_late > 0).await;
    until("all have beaten", || {
        sim.stats()
            .toolboxes
            .values()
            .filter(|it| it.heartbeats.sent > 0)
            .count()
            == 30
    })
    .await;
    assert_eq!(receiver.inbox.most.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn nobody_there_is_a_failure_and_not_the_end() {
    let receiver = Receiver::open(1_000).await;
    let url = receiver.url.clone();
    let sim = start(busy(2, &receiver)).await;
    drop(receiver);
    until("posts have failed", || sim.stats().heartbeats.failures >= 2).await;
    let error = sim
        .heartbeat_now(sim.toolbox(0).id)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        !error.contains(url.as_str()) && !error.contains(&sim.toolbox(0).token),
        "{error}"
    );
    sim.shutdown().await.unwrap();
}
