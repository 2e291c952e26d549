//! From a container that stops to somebody who is told: registered over the API, mirrored, posted, given up and replayed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{Setup, World};

/// Whoever is told: keeps bodies with their ids, and fails while he is told to.
#[derive(Clone, Default)]
struct Receiver {
    taken: Arc<Mutex<Vec<(String, String)>>>,
    fails: Arc<AtomicBool>,
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if receiver.fails.load(Ordering::SeqCst) {
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    let id = headers["webhook-id"].to_str().unwrap().to_owned();
    let body = String::from_utf8(body.to_vec()).unwrap();
    receiver.taken.lock().unwrap().push((id, body));
    StatusCode::NO_CONTENT
}

impl Receiver {
    async fn start() -> (Self, String) {
        let receiver = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let router = Router::new().fallback(take).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (receiver, url)
    }

    /// What came that is of this type, with its id.
    fn of_type(&self, wanted: &str) -> Vec<(String, Value)> {
        let taken = self.taken.lock().unwrap();
        let read = |(id, body): &(String, String)| (id.clone(), serde_json::from_str::<Value>(body).unwrap());
        taken
            .iter()
            .map(read)
            .filter(|(_, body)| body["type"] == wanted)
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_is_told_given_up_and_told_once_more() {
    let mut world = World::start(Setup {
        apis: 1,
        ..Setup::default()
    })
    .await;
    world
        .add_notifier(&[
            "--webhook-allow",
            "127.0.0.0/8",
            "--webhook-allow-http",
            "--webhook-backoff",
            "1s",
            "--webhook-give-up",
            "2s",
            "--webhook-rest",
            "1s",
        ])
        .await;
    world.all_running().await;
    let toolbox = world.sim.toolbox(0);
    let server = &toolbox.instances[0];
    let owner = world.user(toolbox.account_id);
    let (receiver, url) = Receiver::start().await;
    let new =
        json!({ "url": url, "template": "json", "filters": { "kinds": ["state"], "servers": [server.id] } });
    let made = owner
        .send(Method::POST, "/webhooks", Some(new), &[])
        .await
        .expect(201);
    let path = format!("/webhooks/{}", made["webhookId"].as_str().unwrap());
    let sent = owner.post(&format!("{path}/test")).await.expect(202);
    let deliveries = format!("{path}/deliveries");
    world
        .until("the test is posted", || async {
            let log = owner.get(&deliveries).await.expect(200);
            !log["items"].as_array().unwrap().is_empty()
        })
        .await;
    let log = owner.get(&deliveries).await.expect(200);
    assert_eq!(log["items"][0]["outcome"], "delivered", "{log}");
    assert_eq!(
        sent["deliveryIds"][0],
        receiver.of_type("mcp.webhook.test")[0].0.as_str()
    );

    world.sim.stop_container(toolbox.id, &server.name).unwrap();
    world
        .sim
        .stop_container(toolbox.id, &toolbox.instances[1].name)
        .unwrap();
    let changed = "mcp.server.status_changed";
    world
        .until("it is told", || {
            let told = !receiver.of_type(changed).is_empty();
            async move { told }
        })
        .await;
    let told = receiver.of_type(changed).remove(0).1;
    assert_eq!(
        (&told["state"], &told["previousState"]),
        (&"stopped".into(), &"running".into())
    );
    let sentence = told["sentence"].as_str().unwrap();
    assert!(
        sentence.starts_with(&format!("{} went from running to stopped", server.name)),
        "{sentence}"
    );

    // Nobody takes the next one: it is given up, seen, and replayed.
    receiver.fails.store(true, Ordering::SeqCst);
    world.sim.start_container(toolbox.id, &server.name).unwrap();
    let letters = format!("{path}/dead-letters");
    let mut dead = Value::Null;
    for _ in 0..600 {
        dead = owner.get(&letters).await.expect(200)["items"].clone();
        if dead
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["payload"].as_str().unwrap().contains("to running"))
        {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let dead = dead.as_array().unwrap().clone();
    assert!(!dead.is_empty(), "it is given up");
    receiver.fails.store(false, Ordering::SeqCst);
    let replayed = owner.post(&format!("{letters}/replay")).await.expect(202);
    assert_eq!(replayed["deliveryIds"].as_array().unwrap().len(), dead.len());
    world
        .until("it is told once more", || {
            let taken = receiver.taken.lock().unwrap();
            let all = dead.iter().all(|one| {
                let expected = (
                    one["deliveryId"].as_str().unwrap(),
                    one["payload"].as_str().unwrap(),
                );
                taken
                    .iter()
                    .any(|(id, body)| (id.as_str(), body.as_str()) == expected)
            });
            async move { all }
        })
        .await;
    assert_eq!(owner.get(&letters).await.expect(200)["items"], json!([]));
    let log = owner.get(&deliveries).await.expect(200);
    assert_eq!(log["items"][0]["outcome"], "delivered");
    // Of the other server nobody was told.
    assert!(
        receiver
            .of_type(changed)
            .iter()
            .all(|(_, body)| body["serverId"] == json!(server.id))
    );
    world.stop().await;
}
