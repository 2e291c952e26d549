//! Request and reply, and operations that can be found.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::service::{Info, PingResponse, Stats};
use bus::{Bus, BusError, OperationSpec, Reply, Request, ServiceSpec, serve_api, trace};
use bytes::Bytes;
use futures_util::StreamExt;
use opentelemetry::trace::TraceContextExt;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::ground::{Ground, eventually, soon};

const PATIENT: Duration = Duration::from_secs(10);
/// More than the server takes.
const LARGE: usize = 9 << 20;

type Outcome = JoinHandle<Result<(), BusError>>;

async fn client(ground: &Ground) -> async_nats::Client {
    async_nats::connect(ground.server.url()).await.unwrap()
}

/// Asks until somebody listens.
async fn ask(bus: &Bus, subject: &str, body: &str) -> String {
    let mut answer = None;
    eventually("somebody listens", async || {
        match bus
            .request(subject.to_owned(), body.to_owned().into(), PATIENT)
            .await
        {
            Ok(body) => answer = Some(String::from_utf8(body.to_vec()).unwrap()),
            Err(BusError::NoResponder { .. } | BusError::Disconnected { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        answer.is_some()
    })
    .await;
    answer.unwrap()
}

fn answer<F, Fut>(
    bus: &Bus,
    subject: &str,
    queue: Option<&'static str>,
    concurrency: usize,
    handler: F,
) -> (Outcome, CancellationToken)
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Option<Bytes>> + Send + 'static,
{
    let (bus, subject, shutdown) = (bus.clone(), subject.to_owned(), CancellationToken::new());
    let token = shutdown.clone();
    let task = tokio::spawn(async move { bus.answer(subject, queue, concurrency, token, handler).await });
    (task, shutdown)
}

#[tokio::test]
async fn what_nobody_hears_and_what_nobody_answers_are_told_apart() {
    let ground = Ground::bare().await;
    let wait = Duration::from_millis(300);
    let error = ground
        .bus
        .request("nobody.here".into(), "x".into(), wait)
        .await
        .unwrap_err();
    assert!(
        matches!(error, BusError::NoResponder { .. }) && error.is_transient(),
        "{error}"
    );
    assert_eq!(
        error.to_string(),
        "failed to ask nobody.here: nobody listens there"
    );
    let _silent = client(&ground).await.subscribe("silent").await.unwrap();
    let mut error = None;
    eventually("the silence is heard", async || {
        error = ground.bus.request("silent".into(), "x".into(), wait).await.err();
        matches!(error, Some(BusError::Timeout { .. }))
    })
    .await;
    assert!(error.unwrap().is_transient());
    let error = ground
        .bus
        .request("a b".into(), "x".into(), wait)
        .await
        .unwrap_err();
    assert!(matches!(error, BusError::Unsendable { .. }), "{error}");
    let large = vec![b'x'; LARGE].into();
    let error = ground
        .bus
        .request("silent".into(), large, wait)
        .await
        .unwrap_err();
    assert!(matches!(error, BusError::TooLarge { .. }), "{error}");
}

#[tokio::test]
async fn without_a_server_a_request_is_a_transient_error_in_time() {
    let mut ground = Ground::bare().await;
    ground.server.kill().await.unwrap();
    eventually("the loss is noticed", async || !ground.bus.is_connected()).await;
    let asking = ground
        .bus
        .request("anybody".into(), "x".into(), Duration::from_millis(200));
    let error = soon("the error", asking).await.unwrap_err();
    assert!(matches!(error, BusError::Disconnected { .. }), "{error}");
}

#[tokio::test]
async fn an_answerer_survives_a_restart_and_stops_when_asked_to() {
    let mut ground = Ground::bare().await;
    let echo = |request: Request| async move { Some(request.body) };
    let (task, shutdown) = answer(&ground.bus, "echo.*", None, 4, echo);
    let other = ground.another_bus().await;
    assert_eq!(ask(&other, "echo.one", "before").await, "before");
    ground.server.kill().await.unwrap();
    ground.server.restart().await.unwrap();
    assert_eq!(ask(&other, "echo.two", "after").await, "after");
    shutdown.cancel();
    soon("the end", task).await.unwrap().unwrap();
    let error = other
        .request("echo.one".into(), "x".into(), PATIENT)
        .await
        .unwrap_err();
    assert!(matches!(error, BusError::NoResponder { .. }), "{error}");
}

#[tokio::test]
async fn without_a_queue_each_hears_everything_and_hints_need_no_answer() {
    let ground = Ground::bare().await;
    let heard = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
    for heard in &heard {
        let heard = Arc::clone(heard);
        answer(&ground.bus, "hint.*", None, 1, move |_| {
            heard.fetch_add(1, Ordering::SeqCst);
            async { None }
        });
    }
    let plain = client(&ground).await;
    // Both are there once both have heard something; then both hear the same.
    eventually("both listen", async || {
        plain.publish("hint.a", "".into()).await.unwrap();
        plain.flush().await.unwrap();
        heard.iter().all(|heard| heard.load(Ordering::SeqCst) > 0)
    })
    .await;
}

#[tokio::test]
async fn no_more_than_agreed_are_worked_on_and_the_rest_is_dropped() {
    let ground = Ground::bare().await;
    let (gate, working, most) = (
        CancellationToken::new(),
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
    );
    let total = Arc::new(AtomicUsize::new(0));
    let (task, shutdown) = answer(&ground.bus, "work", None, 2, {
        let (gate, working, most, total) = (gate.clone(), working.clone(), most.clone(), total.clone());
        move |_| {
            let (gate, working, most, total) = (gate.clone(), working.clone(), most.clone(), total.clone());
            async move {
                let now = working.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now, Ordering::SeqCst);
                gate.cancelled().await;
                working.fetch_sub(1, Ordering::SeqCst);
                total.fetch_add(1, Ordering::SeqCst);
                None
            }
        }
    });
    let plain = client(&ground).await;
    eventually("it is at work", async || {
        plain.publish("work", "".into()).await.unwrap();
        plain.flush().await.unwrap();
        working.load(Ordering::SeqCst) == 2
    })
    .await;
    let other = ground.another_bus().await;
    let wait = Duration::from_secs(1);
    let asking = (0..30).map(|_| other.request("work".into(), Bytes::new(), wait));
    for answered in futures_util::future::join_all(asking).await {
        assert!(matches!(answered, Err(BusError::Timeout { .. })), "{answered:?}");
    }
    // Two were worked on and eight times as many waited; those are finished, and nothing else.
    shutdown.cancel();
    gate.cancel();
    soon("the end", task).await.unwrap().unwrap();
    assert_eq!(most.load(Ordering::SeqCst), 2);
    assert_eq!(total.load(Ordering::SeqCst), 18);
}

fn spec() -> ServiceSpec {
    let operation = |name: &'static str| OperationSpec {
        name,
        subject: format!("status.api.v1.{name}"),
        metadata: vec![("path", format!("/v1/{name}"))],
    };
    ServiceSpec {
        name: "status-api",
        version: "1.2.3",
        description: "Answers questions",
        operations: ["echo", "refuse", "panic", "wait", "huge"].map(operation).into(),
    }
}

/// One replica; `gate` holds the operation `wait` up.
fn replica(
    bus: &Bus,
    concurrency: usize,
    gate: &CancellationToken,
) -> (Outcome, CancellationToken, Arc<AtomicUsize>) {
    let (bus, shutdown, handled) = (
        bus.clone(),
        CancellationToken::new(),
        Arc::new(AtomicUsize::new(0)),
    );
    let (token, gate, count) = (shutdown.clone(), gate.clone(), handled.clone());
    let task = tokio::spawn(async move {
        let handler = |operation: &'static str, request: Request| {
            let (gate, count) = (gate.clone(), count.clone());
            async move {
                count.fetch_add(1, Ordering::SeqCst);
                let reply = |status, body: Bytes| Reply {
                    status,
                    body,
                    headers: vec![("x-seen".into(), request.header("X-ASKED").unwrap_or("no").into())],
                };
                match operation {
                    "echo" => reply(200, request.body.clone()),
                    "refuse" => reply(409, r#"{"title":"conflict"}"#.into()),
                    "huge" => reply(200, vec![b'x'; LARGE].into()),
                    "wait" => {
                        gate.cancelled().await;
                        reply(200, "waited".into())
                    }
                    _ => panic!("on purpose"),
                }
            }
        };
        serve_api(&bus, spec(), concurrency, token, handler).await
    });
    (task, shutdown, handled)
}

/// One call as any client makes it: status, headers as the reply has them, body.
async fn call(
    plain: &async_nats::Client,
    operation: &str,
    body: Bytes,
) -> (u16, async_nats::HeaderMap, String) {
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("x-asked", "yes");
    let subject = format!("status.api.v1.{operation}");
    let answer = plain.request_with_headers(subject, headers, body).await.unwrap();
    let headers = answer.headers.unwrap();
    let status = headers
        .get("Nats-Service-Error-Code")
        .map_or(200, |code| code.as_str().parse().unwrap());
    (
        status,
        headers,
        String::from_utf8(answer.payload.to_vec()).unwrap(),
    )
}

/// What all replicas say to one question of discovery, as the client library reads it.
async fn discovered<T: serde::de::DeserializeOwned>(
    plain: &async_nats::Client,
    subject: &str,
    replicas: usize,
) -> Vec<T> {
    let mut found = Vec::new();
    eventually("all replicas are found", async || {
        let inbox = plain.new_inbox();
        let mut answers = plain.subscribe(inbox.clone()).await.unwrap();
        plain
            .publish_with_reply(subject.to_owned(), inbox, "".into())
            .await
            .unwrap();
        found.clear();
        while let Ok(Some(answer)) = tokio::time::timeout(Duration::from_millis(300), answers.next()).await {
            if answer.status.is_none() {
                found.push(serde_json::from_slice(&answer.payload).unwrap());
            }
        }
        found.len() == replicas
    })
    .await;
    found
}

#[tokio::test]
async fn a_service_is_found_asked_and_its_errors_are_counted() {
    let ground = Ground::bare().await;
    let (task, shutdown, _) = replica(&ground.bus, 4, &CancellationToken::new());
    let plain = client(&ground).await;
    let pings: Vec<PingResponse> = discovered(&plain, "$SRV.PING", 1).await;
    assert_eq!(
        (pings[0].name.as_str(), pings[0].version.as_str()),
        ("status-api", "1.2.3")
    );
    let infos: Vec<Info> = discovered(&plain, "$SRV.INFO.status-api", 1).await;
    let echo = infos[0].endpoints.iter().find(|it| it.name == "echo").unwrap();
    assert_eq!(
        (
            echo.subject.as_str(),
            echo.queue_group.as_str(),
            echo.metadata["path"].as_str()
        ),
        ("status.api.v1.echo", "q", "/v1/echo")
    );
    assert_eq!(
        (infos[0].endpoints.len(), infos[0].description.as_str()),
        (5, "Answers questions")
    );

    let (status, headers, body) = call(&plain, "echo", "hello".into()).await;
    assert_eq!((status, body.as_str()), (200, "hello"));
    assert_eq!(headers.get("x-seen").unwrap().as_str(), "yes");
    assert_eq!(headers.get("content-type").unwrap().as_str(), "application/json");
    let (status, headers, body) = call(&plain, "refuse", Bytes::new()).await;
    assert_eq!((status, body.as_str()), (409, r#"{"title":"conflict"}"#));
    assert_eq!(headers.get("Nats-Service-Error").unwrap().as_str(), "conflict");
    assert_eq!(
        headers.get("content-type").unwrap().as_str(),
        "application/problem+json"
    );
    let (status, _, body) = call(&plain, "panic", Bytes::new()).await;
    assert_eq!(status, 500);
    assert!(
        body.contains("failed to answer") && !body.contains("on purpose"),
        "{body}"
    );
    assert_eq!(call(&plain, "huge", Bytes::new()).await.0, 500);
    // And it goes on.
    assert_eq!(call(&plain, "echo", "still".into()).await.2, "still");

    let subject = format!("$SRV.STATS.status-api.{}", pings[0].id);
    let stats: Vec<Stats> = discovered(&plain, &subject, 1).await;
    let of = |name: &str| stats[0].endpoints.iter().find(|it| it.name == name).unwrap();
    assert_eq!((of("echo").requests, of("echo").errors), (2, 0));
    assert_eq!((of("refuse").requests, of("refuse").errors), (1, 1));
    let last = of("refuse").last_error.as_ref().unwrap();
    assert_eq!((last.code, last.status.as_str()), (409, "conflict"));
    shutdown.cancel();
    soon("the end", task).await.unwrap().unwrap();
}

#[tokio::test]
async fn too_large_is_refused_without_the_handler_and_so_is_too_much() {
    let ground = Ground::bare().await;
    let gate = CancellationToken::new();
    let (task, shutdown, handled) = replica(&ground.bus, 1, &gate);
    let plain = client(&ground).await;
    let _: Vec<PingResponse> = discovered(&plain, "$SRV.PING", 1).await;
    let (status, _, body) = call(&plain, "echo", vec![b'x'; (64 << 10) + 1].into()).await;
    assert_eq!(status, 413);
    assert!(body.contains("64 KiB"), "{body}");
    assert_eq!(handled.load(Ordering::SeqCst), 0);
    assert_eq!(call(&plain, "echo", vec![b'x'; 64 << 10].into()).await.0, 200);
    // One is worked on, eight wait.
    let calls = (0..20).map(|_| call(&plain, "wait", Bytes::new()));
    let mut calls: futures_util::stream::FuturesUnordered<_> = calls.collect();
    for _ in 0..11 {
        assert_eq!(soon("a refusal", calls.next()).await.unwrap().0, 503);
    }
    // Discovery answers all the same.
    let _: Vec<Stats> = discovered(&plain, "$SRV.STATS", 1).await;
    gate.cancel();
    for _ in 0..9 {
        assert_eq!(soon("an answer", calls.next()).await.unwrap().2, "waited");
    }
    shutdown.cancel();
    soon("the end", task).await.unwrap().unwrap();
    assert_eq!(handled.load(Ordering::SeqCst), 10);
}

#[tokio::test]
async fn replicas_share_and_one_that_stops_answers_what_it_has_begun() {
    let ground = Ground::bare().await;
    let gate = CancellationToken::new();
    let (one, two) = (ground.another_bus().await, ground.another_bus().await);
    let (first, stop_first, by_first) = replica(&one, 8, &gate);
    let (second, stop_second, by_second) = replica(&two, 8, &gate);
    let plain = client(&ground).await;
    let _: Vec<PingResponse> = discovered(&plain, "$SRV.PING.status-api", 2).await;
    for number in 0..100 {
        assert_eq!(
            call(&plain, "echo", number.to_string().into()).await.2,
            number.to_string()
        );
    }
    let (mine, theirs) = (by_first.load(Ordering::SeqCst), by_second.load(Ordering::SeqCst));
    assert_eq!(mine + theirs, 100);
    assert!(mine > 0 && theirs > 0, "{mine} and {theirs}");

    let mut calls: futures_util::stream::FuturesUnordered<_> =
        (0..8).map(|_| call(&plain, "wait", Bytes::new())).collect();
    let begun = eventually("all wait", async || {
        by_first.load(Ordering::SeqCst) + by_second.load(Ordering::SeqCst) == 108
    });
    tokio::select! {
        () = begun => {}
        answer = calls.next() => panic!("answered too early: {answer:?}"),
    }
    stop_first.cancel();
    // It takes no more: from now on the other one answers.
    eventually("one is left", async || {
        let found: Vec<PingResponse> = discovered(&plain, "$SRV.PING", 1).await;
        found.len() == 1
    })
    .await;
    let before = by_first.load(Ordering::SeqCst);
    for _ in 0..10 {
        assert_eq!(call(&plain, "echo", Bytes::new()).await.0, 200);
    }
    assert_eq!(by_first.load(Ordering::SeqCst), before);
    gate.cancel();
    for _ in 0..8 {
        assert_eq!(soon("an answer", calls.next()).await.unwrap().2, "waited");
    }
    soon("the end", first).await.unwrap().unwrap();
    stop_second.cancel();
    soon("the end", second).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_rolling_restart_loses_no_request() {
    let ground = Ground::bare().await;
    let gate = CancellationToken::new();
    let plain = client(&ground).await;
    let mut running = replica(&ground.another_bus().await, 8, &gate);
    let _: Vec<PingResponse> = discovered(&plain, "$SRV.PING", 1).await;
    let asking = {
        let (plain, gate) = (plain.clone(), gate.clone());
        tokio::spawn(async move {
            let mut asked = 0;
            while !gate.is_cancelled() {
                assert_eq!(call(&plain, "echo", "x".into()).await.2, "x");
                asked += 1;
            }
            asked
        })
    };
    for _ in 0..3 {
        let next = replica(&ground.another_bus().await, 8, &gate);
        let _: Vec<PingResponse> = discovered(&plain, "$SRV.PING", 2).await;
        running.1.cancel();
        soon("the end", running.0).await.unwrap().unwrap();
        running = next;
    }
    gate.cancel();
    assert!(soon("the asker", asking).await.unwrap() > 0);
}

#[tokio::test]
async fn a_handler_works_in_the_trace_of_who_asks() {
    let ground = Ground::bare().await;
    let inside = Arc::new(Mutex::new(None));
    let kept = inside.clone();
    answer(&ground.bus, "traced", Some("q"), 1, move |request| {
        *kept.lock().unwrap() = trace::current_traceparent();
        async move {
            Some(
                request
                    .header("TraceParent")
                    .unwrap_or_default()
                    .to_owned()
                    .into(),
            )
        }
    });
    let span = info_span!("asking");
    let sent = ask(&ground.bus, "traced", "x").instrument(span.clone()).await;
    let trace = span.context().span().span_context().trace_id().to_string();
    assert!(sent.contains(&trace), "{sent}");
    let inside = inside.lock().unwrap().clone().unwrap();
    assert!(inside.contains(&trace) && inside != sent, "{inside}");
}
