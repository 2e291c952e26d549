//! One status change is one trace, through four processes: what they export to a collector is put together here, parent by
//! parent, from what a browser and a webhook's receiver were given back to what the agent was asked. Metrics come to the
//! same collector.
//!
//! ```text
//!  process poll.due.* ─ poll ─┬─ GET /tools/status                                    dtma-poller
//!                             └─ publish dtma.raw.v1.*
//!                                 └─ change server ─ link ► process dtma.raw.v1.*     status-mapper
//!                                     │                       └─ transaction
//!                                     └─ publish mcp.status.v1.*.*
//!                                         ├─ deliver mcp.status.v1.*.* ─► WebSocket   notifier
//!                                         └─ process mcp.status.v1.*.*
//!                                             └─ publish webhook.due.v1.* ─ process webhook.due.v1.* ─ POST ─► webhook
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test may panic and tell why, and has a clock"
)]

mod sink;
mod stack;

use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use access::NewToken;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use bus::{Bus, BusError, BusOptions};
use domain::AccountId;
use futures_util::{SinkExt as _, StreamExt as _};
use jiff::{SignedDuration, Timestamp};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use uuid::Uuid;
use wire::LogChange;

use sink::{Sink, Span};
use stack::{JWT_SECRET, Stack};

/// No condition here takes longer on a machine that works; it bounds a test that will fail, and asserts nothing else.
const PATIENCE: Duration = Duration::from_secs(90);
const NAME: &str = "one_change_is_one_trace_from_the_agent_to_whoever_is_told";

/// Without libtest's harness, because the services are this program as well. Takes the filters that every test does.
fn main() -> ExitCode {
    if let Some(exit) = stack::service() {
        return exit;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<&String> = arguments.iter().filter(|it| !it.starts_with('-')).collect();
    let is_meant = filters.is_empty() || filters.iter().any(|filter| NAME.contains(filter.as_str()));
    if arguments.iter().any(|it| it == "--list" || it == "--ignored") || !is_meant {
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(test());
    ExitCode::SUCCESS
}

async fn test() {
    let (sink, otlp) = Sink::start().await;
    let mut stack = Stack::start(&otlp).await;
    let toolbox = stack.sim.toolbox(0);
    let server = &toolbox.instances[0];
    let token = token(toolbox.account_id);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let (received, hook) = Receiver::start().await;
    let api = |path: &str| format!("{}/v1{path}", stack.api.url);
    let made = http
        .post(api("/webhooks"))
        .bearer_auth(&token)
        .json(&json!({ "url": hook, "filters": { "kinds": ["state"] } }))
        .send()
        .await
        .unwrap();
    assert_eq!(made.status(), 201);
    let made: Value = made.json().await.unwrap();
    let test = api(&format!("/webhooks/{}/test", made["webhookId"].as_str().unwrap()));
    let asked = http.post(test).bearer_auth(&token).send().await.unwrap();
    assert_eq!(asked.status(), 202);
    received.first().await;
    let mut browser = Browser::open(&stack.notifier.url, &token).await;
    browser.until("running").await;

    // A poll finds that the container has stopped.
    stack.sim.stop_container(toolbox.id, &server.name).unwrap();
    let told = browser.until("stopped").await;
    let line = sink.line(&told.span, None).await;
    assert_eq!(
        shown(&line),
        [
            "notifier: deliver mcp.status.v1.*.* (Consumer)",
            "status-mapper: publish mcp.status.v1.*.* (Producer)",
            "status-mapper: change server (Consumer)",
            "dtma-poller: publish dtma.raw.v1.* (Producer)",
            "dtma-poller: poll (Internal)",
            "dtma-poller: process poll.due.* (Consumer)",
        ]
    );
    assert!(line.iter().all(|span| !span.failed && span.trace == told.trace));
    let [deliver, publish, change, report, poll, _] = line.as_slice() else {
        unreachable!("counted above");
    };
    let has = |span: &Span, key: &str, value: &str| {
        assert_eq!(
            span.attributes.get(key).map(String::as_str),
            Some(value),
            "{key} of {}: {:?}",
            span.name,
            span.attributes
        );
    };
    has(deliver, "deliver.readers", "1");
    for span in [deliver, publish, report] {
        has(span, "messaging.system", "nats");
    }
    has(publish, "messaging.operation.type", "send");
    has(
        publish,
        "messaging.destination.name",
        &format!("mcp.status.v1.{}.{}", toolbox.account_id, server.id),
    );
    has(change, "server.id", &server.id.to_string());
    has(change, "status.state", "stopped");
    has(change, "status.cause", "report");
    has(poll, "toolbox.id", &toolbox.id.to_string());
    let asked = sink
        .first("the request to the agent", |span| {
            span.parent == poll.id && span.kind == SpanKind::Client
        })
        .await;
    assert!(asked.name.starts_with("GET /"), "{}", asked.name);
    has(&asked, "http.response.status_code", "200");
    has(&asked, "server.address", "127.0.0.1");

    // The batch is a trace of its own: linked to the report's, as the change is to the batch's, and with the transaction.
    let [(batch_trace, batch)] = change.links.as_slice() else {
        panic!("{:?}", change.links);
    };
    let batch = sink.get(batch).await;
    assert_eq!((&batch.trace, batch.parent.as_str()), (batch_trace, ""));
    assert_eq!(batch.name, "process dtma.raw.v1.*");
    assert!(
        batch.links.contains(&(report.trace.clone(), report.id.clone())),
        "{:?}",
        batch.links
    );
    assert_ne!(batch.trace, report.trace);
    let transaction = sink
        .first("the transaction", |span| span.parent == batch.id)
        .await;
    assert_eq!(
        (transaction.name.as_str(), transaction.kind),
        ("transaction", SpanKind::Client)
    );
    has(&transaction, "db.system.name", "postgresql");
    // It was committed before it was published.
    assert!(transaction.nanoseconds.1 <= publish.nanoseconds.0);

    // The webhook's receiver is in the same trace.
    let posted = received.in_trace(&told.trace).await;
    assert_eq!(
        shown(&sink.line(&posted, None).await)[..5],
        [
            "notifier: POST (Client)",
            "notifier: process webhook.due.v1.* (Consumer)",
            "notifier: publish webhook.due.v1.* (Producer)",
            "notifier: process mcp.status.v1.*.* (Consumer)",
            "status-mapper: publish mcp.status.v1.*.* (Producer)",
        ]
    );

    // A command is in the trace of who asks for it, which the agent's answer and the first sign of it go on with.
    let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let accepted = http
        .post(api(&format!("/servers/{}/start", server.id)))
        .bearer_auth(&token)
        .header("traceparent", format!("00-{trace}-{parent}-01"))
        .send()
        .await
        .unwrap();
    assert_eq!(accepted.status(), 202, "{}", accepted.text().await.unwrap());
    let told = browser.until("starting").await;
    assert_eq!(told.trace, trace);
    assert_eq!(
        shown(&sink.line(&told.span, Some(parent)).await),
        [
            "notifier: deliver mcp.status.v1.*.* (Consumer)",
            "status-mapper: publish mcp.status.v1.*.* (Producer)",
            "status-mapper: change server (Consumer)",
            "status-mapper: process status.wake.v1.* (Server)",
            "status-api: request status.wake.v1.* (Client)",
            "status-api: POST /v1/servers/{serverId}/start (Server)",
        ]
    );
    let outcome = sink
        .first("the outcome", |span| {
            span.name == "process dtma.outcome.v1.*" && span.trace == trace
        })
        .await;
    let line = sink.line(&outcome.id, Some(parent)).await;
    assert_eq!(
        shown(&line),
        [
            "status-mapper: process dtma.outcome.v1.* (Consumer)",
            "dtma-poller: publish dtma.outcome.v1.* (Producer)",
            "dtma-poller: command (Internal)",
            "dtma-poller: process dtma.command.v1.* (Consumer)",
            "status-api: publish dtma.command.v1.* (Producer)",
            "status-api: POST /v1/servers/{serverId}/start (Server)",
        ]
    );
    let asked = sink
        .first("the agent is told", |span| {
            span.parent == line[2].id && span.kind == SpanKind::Client
        })
        .await;
    assert_eq!(asked.name, "POST /tools/{name}/start");
    browser.until("running").await;

    // A heartbeat brings it, and does not choose its trace.
    stack
        .sim
        .crash_container(toolbox.id, &server.name, 137, true)
        .unwrap();
    assert_eq!(stack.sim.heartbeat_now(toolbox.id).await.unwrap(), 204);
    let told = browser.until("stopped").await;
    let line = sink.line(&told.span, None).await;
    let root = line.last().unwrap();
    // A poll may have come first: both are right, and each has its own root.
    assert!(
        ["POST /heartbeat", "process poll.due.*"].contains(&root.name.as_str()),
        "{}",
        root.name
    );
    let beat = sink
        .first("the heartbeat", |span| span.name == "POST /heartbeat")
        .await;
    assert_eq!((beat.kind, beat.parent.as_str()), (SpanKind::Server, ""));
    has(&beat, "http.response.status_code", "204");

    // What told nothing alone was not exported: batches of which nothing came.
    for span in sink.all() {
        if span.name == "process dtma.raw.v1.*" {
            let kept = span.attributes.get("sampling.priority").map(String::as_str);
            assert!(kept == Some("1") || span.failed, "{span:?}");
        }
    }

    metrics_are_pushed(&sink).await;

    // Of polls that are not sampled nothing is exported, and a change is told all the same.
    stack
        .replace_poller(&[
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0"),
            ("OTEL_SERVICE_NAME", "poller-unsampled"),
        ])
        .await;
    stack.sim.start_container(toolbox.id, &server.name).unwrap();
    let told = browser.until("running").await;
    let change = sink
        .first("the change", |span| {
            span.name == "change server" && span.trace == told.trace
        })
        .await;
    assert_eq!(sink.get(&told.span).await.service, "notifier");
    assert_ne!(change.parent, "");
    stack
        .sim
        .misbehave(toolbox.id, dtma_sim::Misbehaviour::Status { code: 500 })
        .unwrap();
    let failed = sink
        .first("a poll that failed", |span| {
            span.service == "poller-unsampled" && span.name == "poll"
        })
        .await;
    assert!(failed.failed, "{failed:?}");
    let root = sink.line(&failed.id, None).await;
    assert_eq!(root.last().unwrap().name, "process poll.due.*");
    let of_unsampled = sink
        .all()
        .into_iter()
        .filter(|span| span.service == "poller-unsampled" && span.name == "poll");
    assert!(
        of_unsampled.into_iter().all(|span| span.failed),
        "one that did not fail was exported"
    );

    // What a process logs is changed while it runs, and its lines name the trace that they belong to.
    let bus = Bus::connect(BusOptions::new(stack.nats.url(), "trace"))
        .await
        .unwrap();
    let wrong = change_log(&bus, "dtma-poller", "bus=loud").await;
    assert!(wrong.is_err(), "{wrong:?}");
    assert!(!stack.poller.log().contains("poll failed"));
    for service in ["status-mapper", "status-api", "notifier", "dtma-poller"] {
        let asked = change_log(&bus, service, "info,dtma_poller=debug").await;
        assert_eq!(asked, Ok(()), "{service}");
    }
    let line = eventually("a line of a poll that failed", || {
        let log = stack.poller.log();
        let line = log.lines().find(|line| line.contains("poll failed"))?;
        serde_json::from_str::<Value>(line).ok()
    })
    .await;
    // It is not sampled when it is logged: nobody knows yet that it will be kept.
    assert_eq!(line.get("trace_id"), None, "{line}");
    stack.replace_poller(&[]).await;
    let asked = change_log(&bus, "dtma-poller", "info,dtma_poller=debug").await;
    assert_eq!(asked, Ok(()));
    let line = eventually("a line of a sampled poll", || {
        let log = stack.poller.log();
        let line = log.lines().find(|line| line.contains("poll failed"))?;
        serde_json::from_str::<Value>(line).ok()
    })
    .await;
    let span = sink.get(line["span_id"].as_str().unwrap()).await;
    assert_eq!(
        (span.name.as_str(), span.trace.as_str()),
        ("poll", line["trace_id"].as_str().unwrap())
    );
    stack.sim.shutdown().await.unwrap();
}

/// What services push is what the table of metrics says that they have, and counts what was done here.
async fn metrics_are_pushed(sink: &Sink) {
    let counted = |service: &str, name: &str, label: (&str, &str)| {
        let label = (label.0.to_owned(), label.1.to_owned());
        let metric = sink.metrics(service).remove(name)?;
        let of = metric.points.iter().filter(|(labels, _)| labels.contains(&label));
        let sum: f64 = of.map(|(_, number)| number).sum();
        (sum >= 1.0).then_some(())
    };
    for (service, name, label) in [
        ("dtma-poller", "dtma_poller.polls", ("outcome", "containers")),
        ("status-mapper", "status_mapper.changes", ("kind", "server")),
        ("status-api", "status_api.commands", ("kind", "start")),
        ("notifier", "notifier.messages.sent", ("type", "status")),
    ] {
        eventually(&format!("{name} of {service}"), || counted(service, name, label)).await;
        for (name, pushed) in sink.metrics(service) {
            let declared = statusctl::measured::all()
                .into_iter()
                .find(|measured| measured.metric.name == name)
                .unwrap_or_else(|| panic!("{name} of {service} is in no table"));
            assert!(
                declared.services == "all" || declared.services.split(", ").any(|of| of == service),
                "{name} is of {}, and not of {service}",
                declared.services
            );
            assert_eq!(pushed.unit, declared.metric.unit, "{name}");
            assert_eq!(pushed.kind, declared.metric.kind.as_str(), "{name}");
        }
    }
}

/// Asks a service that is ready, and may not listen yet.
async fn change_log(bus: &Bus, service: &str, directives: &str) -> Result<(), String> {
    let change = LogChange {
        directives: Some(directives.to_owned()),
        seconds: 600,
    };
    let began = Instant::now();
    loop {
        match bus.change_log(service, &change, PATIENCE).await {
            Err(BusError::NoResponder { .. }) if began.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            asked => return asked.unwrap(),
        }
    }
}

/// Waits for what there will be.
async fn eventually<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn shown(line: &[Span]) -> Vec<String> {
    line.iter()
        .map(|span| format!("{}: {} ({:?})", span.service, span.name, span.kind))
        .collect()
}

fn token(account: Uuid) -> String {
    let now = Timestamp::now();
    let new = NewToken {
        subject: Some(AccountId(account)),
        role: "authenticated",
        audience: Some("authenticated"),
        issuer: None,
        issued_at: now,
        expires_at: now + SignedDuration::from_hours(1),
    };
    let token = access::mint(&SecretString::from(JWT_SECRET), &new).unwrap();
    token.expose_secret().to_owned()
}

/// What a browser does.
struct Browser(WebSocketStream<MaybeTlsStream<TcpStream>>);

/// The trace and span that it was told a change belongs to.
struct Told {
    trace: String,
    span: String,
}

impl Browser {
    async fn open(notifier: &str, token: &str) -> Self {
        let mut request = format!("{}/v1/ws", notifier.replacen("http", "ws", 1))
            .into_client_request()
            .unwrap();
        request
            .headers_mut()
            .insert("authorization", format!("Bearer {token}").parse().unwrap());
        request
            .headers_mut()
            .insert("sec-websocket-protocol", "mcp-status.v1".parse().unwrap());
        let (mut socket, _) = connect_async(request).await.unwrap();
        let subscribe = json!({ "type": "subscribe", "servers": "all" });
        socket.send(Message::text(subscribe.to_string())).await.unwrap();
        Self(socket)
    }

    /// Reads on until a server is in this state.
    async fn until(&mut self, state: &str) -> Told {
        let began = Instant::now();
        loop {
            let left = PATIENCE.saturating_sub(began.elapsed());
            let message = tokio::time::timeout(left, self.0.next()).await;
            let message = message.unwrap_or_else(|_| panic!("no server is {state} within {PATIENCE:?}"));
            let Message::Text(text) = message.unwrap().unwrap() else {
                continue;
            };
            let message: Value = serde_json::from_str(&text).unwrap();
            if message["type"] == "status" && message["event"]["state"] == state {
                return told(message["traceparent"].as_str().unwrap());
            }
        }
    }
}

fn told(traceparent: &str) -> Told {
    let ["00", trace, span, "01"] = traceparent.split('-').collect::<Vec<_>>()[..] else {
        panic!("{traceparent}");
    };
    Told {
        trace: trace.to_owned(),
        span: span.to_owned(),
    }
}

/// A webhook's receiver: keeps the `traceparent` of what it is posted.
#[derive(Clone, Default)]
struct Receiver(Arc<Mutex<Vec<String>>>);

impl Receiver {
    async fn start() -> (Self, String) {
        let receiver = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let take = async |State(receiver): State<Self>, headers: HeaderMap| {
            let traceparent = headers["traceparent"].to_str().unwrap().to_owned();
            receiver.0.lock().unwrap().push(traceparent);
            StatusCode::NO_CONTENT
        };
        let router = Router::new().fallback(take).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (receiver, url)
    }

    /// Waits until anything was posted: then the notifier knows of it.
    async fn first(&self) {
        self.of(|_| true).await;
    }

    /// The span of the request that was in this trace.
    async fn in_trace(&self, trace: &str) -> String {
        self.of(|posted| posted.trace == trace).await
    }

    async fn of(&self, wanted: impl Fn(&Told) -> bool) -> String {
        let began = Instant::now();
        loop {
            let posted: Vec<Told> = self.0.lock().unwrap().iter().map(|it| told(it)).collect();
            if let Some(posted) = posted.into_iter().find(&wanted) {
                return posted.span;
            }
            assert!(began.elapsed() < PATIENCE, "nothing was posted in that trace");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
