//! Clients as the protocol's description has them.

use std::collections::BTreeMap;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use uuid::Uuid;
use wire::stream::StreamMessage;

use crate::ground::{PATIENCE, Replica};

/// A WebSocket.
pub(crate) struct Socket {
    pub(crate) inner: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed {
    pub(crate) code: u16,
    pub(crate) reason: String,
}

impl Socket {
    /// With headers, as programs connect.
    pub(crate) async fn open(
        url: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, tungstenite::Error> {
        let mut request = format!("{}/v1/ws", url.replace("http", "ws")).into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_str(value)?);
        }
        let (inner, _) = tokio::time::timeout(PATIENCE, connect_async(request))
            .await
            .expect("no handshake")?;
        Ok(Self { inner })
    }

    /// With a token in the header, and `hello` read.
    pub(crate) async fn of(replica: &Replica, token: &str) -> Self {
        let bearer = format!("Bearer {token}");
        let mut socket = Self::open(&replica.url, &[("authorization", &bearer)])
            .await
            .unwrap();
        assert!(matches!(socket.next().await, StreamMessage::Hello { .. }));
        socket
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.inner.send(Message::text(message.to_string())).await.unwrap();
    }

    /// The next message, which must come.
    pub(crate) async fn next(&mut self) -> StreamMessage {
        match tokio::time::timeout(PATIENCE, self.receive()).await {
            Ok(Ok(message)) => message,
            Ok(Err(closed)) => panic!("closed: {closed:?}"),
            Err(_) => panic!("nothing comes"),
        }
    }

    /// The next message, or how it ended.
    pub(crate) async fn receive(&mut self) -> Result<StreamMessage, Closed> {
        loop {
            match self.inner.next().await {
                Some(Ok(Message::Text(text))) => {
                    return Ok(
                        StreamMessage::decode(text.as_bytes()).unwrap_or_else(|why| panic!("{why}: {text}"))
                    );
                }
                Some(Ok(Message::Close(frame))) => {
                    let frame = frame.map(|frame| (u16::from(frame.code), frame.reason.to_string()));
                    let (code, reason) = frame.unwrap_or_default();
                    return Err(Closed { code, reason });
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => {
                    return Err(Closed {
                        code: 1006,
                        reason: String::new(),
                    });
                }
            }
        }
    }

    /// How it ends; what comes before is passed over, except that the last must be a `bye` of the same words.
    pub(crate) async fn ending(&mut self) -> Closed {
        let mut last = None;
        let ending = async {
            loop {
                match self.receive().await {
                    Ok(message) => last = Some(message),
                    Err(closed) => return (closed, last),
                }
            }
        };
        let (closed, last) = tokio::time::timeout(PATIENCE, ending)
            .await
            .expect("it does not end");
        let Some(StreamMessage::Bye { code, reason, .. }) = last else {
            panic!("no bye: {last:?}")
        };
        assert_eq!((code, &reason), (closed.code, &closed.reason));
        closed
    }

    /// Whether nothing but this answer to a ping is to be read: what was there before comes before.
    pub(crate) async fn is_quiet(&mut self) -> bool {
        self.send(json!({"type": "ping"})).await;
        matches!(self.next().await, StreamMessage::Pong)
    }
}

/// An event stream.
pub(crate) struct Events {
    response: reqwest::Response,
    buffer: Vec<u8>,
}

/// One of its events.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) id: Option<String>,
    pub(crate) message: StreamMessage,
}

impl Events {
    pub(crate) async fn open(
        url: &str,
        query: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, reqwest::Response> {
        let mut request = reqwest::Client::new().get(format!("{url}/v1/events?{query}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = tokio::time::timeout(PATIENCE, request.send())
            .await
            .expect("no answer")
            .unwrap();
        if response.status() != 200 {
            return Err(response);
        }
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Ok(Self {
            response,
            buffer: Vec::new(),
        })
    }

    pub(crate) async fn of(replica: &Replica, query: &str, token: &str) -> Self {
        let bearer = format!("Bearer {token}");
        Self::open(&replica.url, query, &[("authorization", &bearer)])
            .await
            .unwrap()
    }

    /// The next event; `None`: the stream has ended.
    pub(crate) async fn receive(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let text: Vec<u8> = self.buffer.drain(..end + 2).collect();
                if let Some(event) = read(std::str::from_utf8(&text).unwrap()) {
                    return Some(event);
                }
                continue;
            }
            match self.response.chunk().await {
                Ok(Some(bytes)) => self.buffer.extend_from_slice(&bytes),
                Ok(None) | Err(_) => return None,
            }
        }
    }

    pub(crate) async fn next(&mut self) -> Event {
        let next = tokio::time::timeout(PATIENCE, self.receive()).await;
        next.expect("nothing comes").expect("it has ended")
    }
}

fn read(text: &str) -> Option<Event> {
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::to_owned)
    };
    let (kind, data) = (field("event: ")?, field("data: ")?);
    let value: Value = serde_json::from_str(&data).unwrap();
    assert_eq!(value["type"], kind);
    let message = StreamMessage::decode(data.as_bytes()).unwrap();
    Some(Event {
        id: field("id: "),
        message,
    })
}

/// What a client holds that follows the protocol's description.
#[derive(Debug, Default, Clone)]
pub(crate) struct Held {
    pub(crate) servers: BTreeMap<Uuid, (u64, String)>,
    pub(crate) toolboxes: BTreeMap<Uuid, String>,
    pub(crate) cursor: Option<String>,
    pub(crate) present: bool,
    pub(crate) stale: bool,
    pub(crate) resets: usize,
    /// What the cursor does not cover, should it be named again.
    pub(crate) uncovered: std::collections::BTreeSet<Uuid>,
    /// Servers for which there came anything at all.
    pub(crate) heard_of: std::collections::BTreeSet<Uuid>,
}

impl Held {
    pub(crate) fn take(&mut self, message: &StreamMessage) {
        match message {
            StreamMessage::Snapshot => self.present = false,
            StreamMessage::Reset { .. } => {
                self.servers.clear();
                self.toolboxes.clear();
                self.cursor = None;
                self.resets += 1;
                self.present = false;
            }
            StreamMessage::Status { cursor, event, .. } | StreamMessage::Deleted { cursor, event, .. } => {
                self.cursor = Some(cursor.to_string());
                let (id, version) = (event.server_id(), event.version());
                self.heard_of.insert(id);
                self.uncovered.remove(&id);
                match event {
                    wire::StatusEvent::Status(status) => {
                        if self.servers.get(&id).is_none_or(|(have, _)| *have < version) {
                            self.servers.insert(id, (version, status.state.clone()));
                        }
                    }
                    wire::StatusEvent::Deleted(_) => {
                        if self.servers.get(&id).is_none_or(|(have, _)| *have < version) {
                            self.servers.remove(&id);
                        }
                    }
                }
            }
            StreamMessage::Toolbox { cursor, event, .. } => {
                self.cursor = Some(cursor.to_string());
                if event.status == "unseen" {
                    self.toolboxes.remove(&event.toolbox_id);
                } else {
                    self.toolboxes.insert(event.toolbox_id, event.status.clone());
                }
            }
            StreamMessage::Gone { server_id, .. } => {
                if let Some(id) = server_id {
                    self.servers.remove(id);
                    self.uncovered.insert(*id);
                }
            }
            StreamMessage::Present { cursor, servers } => {
                self.cursor = Some(cursor.to_string());
                self.present = true;
                if let Some(servers) = servers {
                    self.servers.retain(|id, _| servers.contains(id));
                }
            }
            StreamMessage::Stale => self.stale = true,
            StreamMessage::Current { cursor } => {
                self.cursor = Some(cursor.to_string());
                self.stale = false;
            }
            StreamMessage::Error { code, servers, .. } => {
                assert_eq!(*code, wire::stream::ErrorCode::NotFound);
                for id in servers {
                    self.servers.remove(id);
                    self.uncovered.insert(*id);
                }
            }
            StreamMessage::Hello { .. }
            | StreamMessage::Subscribed { .. }
            | StreamMessage::Unsubscribed { .. }
            | StreamMessage::Pong
            | StreamMessage::Bye { .. } => {}
        }
    }

    /// Reads until a condition holds.
    pub(crate) async fn read_until(
        &mut self,
        socket: &mut Socket,
        what: &str,
        holds: impl Fn(&Self) -> bool,
    ) {
        let reading = async {
            while !holds(self) {
                self.take(&socket.next().await);
            }
        };
        if tokio::time::timeout(PATIENCE, reading).await.is_err() {
            panic!("in vain: {what}");
        }
    }

    pub(crate) fn versions(&self) -> Vec<(u128, u64)> {
        self.servers
            .iter()
            .map(|(id, (version, _))| (id.as_u128(), *version))
            .collect()
    }
}
