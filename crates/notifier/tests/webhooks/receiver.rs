//! Whoever is told: a server that keeps what it is posted, and answers as a test says.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::ground::eventually;

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Received {
    pub(crate) fn id(&self) -> String {
        self.headers["webhook-id"].clone()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Server and version, of a standard body.
    pub(crate) fn version(&self) -> (String, u64) {
        let data = &self.json()["data"];
        (
            data["serverId"].as_str().unwrap().to_owned(),
            data["version"].as_u64().unwrap(),
        )
    }
}

/// How a request is answered, by how many came before it.
type Answering = Arc<dyn Fn(usize, &Received) -> Answer + Send + Sync>;

/// An answer.
pub(crate) enum Answer {
    Status(u16),
    With(u16, &'static str, String),
    /// None, ever.
    Never,
}

#[derive(Clone)]
struct Shared {
    received: Arc<Mutex<Vec<Received>>>,
    answering: Answering,
}

pub(crate) struct Receiver {
    pub(crate) url: String,
    pub(crate) address: SocketAddr,
    shared: Shared,
    task: JoinHandle<()>,
}

impl Receiver {
    /// Takes everything.
    pub(crate) async fn new() -> Self {
        Self::answering(|_, _| Answer::Status(200)).await
    }

    pub(crate) async fn answering(
        answering: impl Fn(usize, &Received) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), answering).await
    }

    pub(crate) async fn at(
        address: SocketAddr,
        answering: impl Fn(usize, &Received) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Shared {
            received: Arc::default(),
            answering: Arc::new(answering),
        };
        let router = Router::new().fallback(take).with_state(shared.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url: format!("http://{address}/hook"),
            address,
            shared,
            task,
        }
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    /// Waits for so many requests.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Received> {
        eventually(&format!("{count} requests"), async || {
            self.received().len() >= count
        })
        .await;
        self.received()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let text = |value: &axum::http::HeaderValue| value.to_str().unwrap().to_owned();
    let received = Received {
        headers: headers
            .iter()
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect(),
        body: String::from_utf8(body.to_vec()).unwrap(),
    };
    let before = {
        let mut all = shared.received.lock().unwrap();
        all.push(received.clone());
        all.len() - 1
    };
    match (shared.answering)(before, &received) {
        Answer::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Answer::With(status, name, value) => {
            (StatusCode::from_u16(status).unwrap(), [(name, value)]).into_response()
        }
        Answer::Never => std::future::pending().await,
    }
}
