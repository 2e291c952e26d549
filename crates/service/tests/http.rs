//! The HTTP listener, over real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers as well"
)]

use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router, middleware};
use hyper_util::rt::TokioIo;
use service::http::{self, Bounds, Problem, RequestId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("in vain: {what}"))
}

struct Served {
    address: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Served {
    async fn start(router: Router, bounds: Bounds) -> Self {
        let listener = http::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let (address, shutdown) = (listener.local_addr().unwrap(), CancellationToken::new());
        let task = tokio::spawn(http::serve(listener, router, bounds, shutdown.clone()));
        Self {
            address,
            shutdown,
            task,
        }
    }

    async fn connect(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// Sends, and reads until the connection ends.
    async fn exchange(&self, request: &str) -> String {
        rest(&mut self.connect(request).await).await
    }

    async fn stop(self) {
        self.shutdown.cancel();
        soon("the end", self.task).await.unwrap().unwrap();
    }
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    soon("the connection's end", stream.read_to_end(&mut said))
        .await
        .unwrap();
    String::from_utf8(said).unwrap()
}

/// Reads until what was said ends with `end`.
async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut said = String::new();
    while !said.ends_with(end) {
        let mut bytes = [0; 1024];
        let read = soon(end, stream.read(&mut bytes)).await.unwrap();
        assert_ne!(read, 0, "the connection ended after {said:?}");
        said.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
    }
    said
}

fn asking(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n")
}

/// Says back what comes, after the protocol was switched.
async fn echo(mut request: Request) -> Response {
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut stream = TokioIo::new(upgrade.await.unwrap());
        let mut bytes = [0; 64];
        while let Ok(read @ 1..) = stream.read(&mut bytes).await {
            stream.write_all(&bytes[..read]).await.unwrap();
        }
    });
    let headers = [(header::CONNECTION, "upgrade"), (header::UPGRADE, "echo")];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

const SWITCH: &str = "GET /echo HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";

#[tokio::test]
async fn what_was_upgraded_goes_on_and_keeps_its_place() {
    let router = Router::new()
        .route("/echo", get(echo))
        .route("/", get(async || "hello"));
    let bounds = Bounds {
        connections: 1,
        ..Bounds::default()
    };
    let served = Served::start(router, bounds).await;
    let mut upgraded = served.connect(SWITCH).await;
    let said = until(&mut upgraded, "\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.1 101 "), "{said}");
    upgraded.write_all(b"one").await.unwrap();
    assert_eq!(until(&mut upgraded, "one").await, "one");

    // The only place is taken: another waits, however much is said on the first.
    let mut waiting = served.connect(&asking("/", "")).await;
    for round in 0..50 {
        let word = format!("round {round}.");
        upgraded.write_all(word.as_bytes()).await.unwrap();
        until(&mut upgraded, &word).await;
    }
    let early = waiting.try_read(&mut [0]).unwrap_err();
    assert_eq!(early.kind(), ErrorKind::WouldBlock, "it was let in");
    drop(upgraded);
    let said = rest(&mut waiting).await;
    assert!(said.ends_with("hello"), "{said}");
    served.stop().await;
}

#[tokio::test]
async fn a_slow_head_and_an_idle_connection_are_closed() {
    let router = Router::new().route("/", get(async || "hello"));
    let bounds = Bounds {
        head_time: Duration::from_millis(200),
        ..Bounds::default()
    };
    let served = Served::start(router, bounds).await;
    assert_eq!(served.exchange("GET / HTTP/1.1\r\nX-Slow: ").await, "");
    assert_eq!(served.exchange("").await, "");
    // Kept alive, then idle.
    let said = served.exchange("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(said.ends_with("hello"), "{said}");
    let said = served
        .exchange(&asking("/", &format!("X: {}\r\n", "x".repeat(64 << 10))))
        .await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 431 "), "{said}");
    let said = served.exchange("no http at all\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.1 400 "), "{said}");
    served.stop().await;
}

#[tokio::test]
async fn the_end_waits_for_requests_under_way() {
    let (begun, mut has_begun) = mpsc::channel(1);
    let gate = CancellationToken::new();
    let held = gate.clone();
    let handler = move |ConnectInfo(peer): ConnectInfo<SocketAddr>| {
        let (begun, gate) = (begun.clone(), held.clone());
        async move {
            begun.send(()).await.unwrap();
            gate.cancelled().await;
            peer.ip().to_string()
        }
    };
    let served = Served::start(Router::new().route("/", get(handler)), Bounds::default()).await;
    let mut stream = served.connect("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    soon("the beginning", has_begun.recv()).await.unwrap();
    served.shutdown.cancel();
    // Nobody is let in any more, and who is in is answered.
    let address = served.address;
    soon("the listener's end", async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    gate.cancel();
    let said = rest(&mut stream).await;
    assert!(said.ends_with("127.0.0.1"), "{said}");
    served.stop().await;
}

#[tokio::test]
async fn every_request_has_an_id_that_its_answer_and_its_problem_tell() {
    let router = Router::new()
        .route(
            "/",
            get(async |Extension(id): Extension<RequestId>| id.to_string()),
        )
        .route(
            "/problem",
            get(async || http::problem(StatusCode::CONFLICT, "conflict", "why")),
        )
        .route(
            "/own",
            get(async || Problem::new(StatusCode::CONFLICT, "conflict", "why").request("theirs")),
        )
        .layer(middleware::from_fn(http::request_id));
    let served = Served::start(router, Bounds::default()).await;
    let told = |said: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix("x-request-id: "));
        line.unwrap_or_else(|| panic!("no id: {said}")).to_owned()
    };
    let said = served.exchange(&asking("/", "X-Request-Id: mine-1\r\n")).await;
    assert_eq!(told(&said), "mine-1");
    assert!(said.ends_with("\r\n\r\nmine-1"), "{said}");
    for indecent in ["", "X-Request-Id: two words\r\n", "X-Request-Id: <b>\r\n"] {
        let said = served.exchange(&asking("/", indecent)).await;
        let id = told(&said);
        assert_eq!(id.len(), 36, "{id}");
        assert!(said.ends_with(&id), "{said}");
    }
    let body = |said: &str| -> serde_json::Value {
        serde_json::from_str(said.split_once("\r\n\r\n").unwrap().1).unwrap()
    };
    let said = served
        .exchange(&asking("/problem", "X-Request-Id: mine-2\r\n"))
        .await;
    assert!(said.starts_with("HTTP/1.1 409 "), "{said}");
    assert!(
        said.contains("content-type: application/problem+json\r\n"),
        "{said}"
    );
    assert_eq!(body(&said)["requestId"], "mine-2");
    assert_eq!(body(&said)["detail"], "why");
    let said = served.exchange(&asking("/own", "X-Request-Id: mine-3\r\n")).await;
    assert_eq!(
        (body(&said)["requestId"].as_str(), told(&said).as_str()),
        (Some("theirs"), "mine-3")
    );
    served.stop().await;
}

#[tokio::test]
async fn who_takes_nothing_of_a_stream_is_closed_and_who_is_slow_is_not() {
    let (open, mut ended) = mpsc::channel::<()>(1);
    let endless = move || {
        let open = open.clone();
        // Held by the body: when it is dropped, the connection has ended.
        async move { Body::new(Endless(open)) }
    };
    let listener = http::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let (address, shutdown) = (listener.local_addr().unwrap(), CancellationToken::new());
    let router = Router::new().route("/", get(endless));
    let write_time = Duration::from_millis(400);
    let serving = http::serve_streams(listener, router, Bounds::default(), write_time, shutdown.clone());
    let task = tokio::spawn(serving);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    // Reads now and then, for several times as long as one may read nothing: more than the network holds comes through.
    let mut buffer = vec![0; 1 << 20];
    for _ in 0..20 {
        tokio::time::sleep(write_time / 4).await;
        stream.read_exact(&mut buffer).await.unwrap();
    }
    // And then never again.
    assert_eq!(soon("the end of the stream", ended.recv()).await, Some(()));
    drop(stream);
    shutdown.cancel();
    soon("the end of the listener", task).await.unwrap().unwrap();
}

/// A body without an end, that says when it is dropped.
struct Endless(mpsc::Sender<()>);

impl Drop for Endless {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
}

impl axum::body::HttpBody for Endless {
    type Data = axum::body::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        let bytes = axum::body::Bytes::from_static(&[b'x'; 16 << 10]);
        std::task::Poll::Ready(Some(Ok(hyper::body::Frame::data(bytes))))
    }
}
