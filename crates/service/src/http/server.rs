//! The HTTP listener, for senders that cannot be trusted to be quick.
//!
//! `axum::serve` has no time limit for the head of a request; this has: a connection that does not deliver a whole
//! head in time is closed, idle ones between requests too. The number of connections and the size of a head are
//! bounded as well. Connections may be upgraded (WebSockets): they keep their place for as long as they are open.

use std::future::Future as _;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use instruments::{Counter, InFlight, Label, Metric, UpDownCounter};
use opentelemetry::global;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

/// Largest head of a request, in bytes: browsers' with their cookies and tokens have some thousand.
const HEAD: usize = 16 << 10;
/// Wait after the system refused to give a connection, as it does when files run out: others must end first.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);
/// How long requests under way may take after the end was asked for: with what else a service has to finish, it stays
/// under the 20 s that it has to stop.
const DRAIN: Duration = Duration::from_secs(5);

/// The bounds of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Longest time for the head of a request, and for an idle connection.
    pub head_time: Duration,
    /// Most connections at once, upgraded ones included; more wait to be accepted.
    pub connections: usize,
}

impl Default for Bounds {
    /// Ten seconds: what is slower is no client of ours. 2048 connections: far more than anybody polls health with, at
    /// some ten kilobytes each.
    fn default() -> Self {
        Self {
            head_time: Duration::from_secs(10),
            connections: 2048,
        }
    }
}

/// How long a peer may take nothing of what is written to it, unless told otherwise: who has stopped reading for so long
/// is gone.
const WRITE: Duration = Duration::from_secs(30);

/// Serves `router` until `shutdown`, then finishes the requests under way. Every request learns its peer's address as
/// `ConnectInfo<SocketAddr>`. What was upgraded is its handler's to end.
///
/// # Errors
/// Never of its own accord: a listener that cannot accept tries again.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    bounds: Bounds,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    serve_streams(listener, router, bounds, WRITE, shutdown).await
}

/// As [`serve`], for streams that go on for as long as their readers read: one that takes nothing for `write_time` is
/// closed, upgraded or not.
///
/// # Errors
/// As [`serve`].
pub async fn serve_streams(
    listener: TcpListener,
    router: Router,
    bounds: Bounds,
    write_time: Duration,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let metrics = Metrics::new();
    let places = Arc::new(Semaphore::new(bounds.connections));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await?;
            anyhow::Ok((place, listener.accept().await?))
        };
        let (place, (stream, peer)) = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = accepted => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "failed to accept a connection");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                    continue;
                }
            },
            // Reaps what has ended, so that the set does not grow.
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection's task failed");
                }
                continue;
            }
        };
        let held = Held {
            stream,
            write_time,
            stuck: None,
            _place: place,
            _open: metrics.open.one(()),
        };
        let connection = connection(held, peer, router.clone(), bounds);
        let (metrics, shutdown) = (metrics.clone(), shutdown.clone());
        connections.spawn(async move {
            let mut connection = pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = shutdown.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                metrics.dropped.add(1, [reason(&error)]);
                tracing::debug!(%peer, %error, "connection dropped");
            }
        });
    }
    drop(listener);
    let ending = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, ending).await.is_err() {
        tracing::warn!("requests did not end in time, closing their connections");
    }
    Ok(())
}

fn connection(
    held: Held,
    peer: SocketAddr,
    router: Router,
    bounds: Bounds,
) -> http1::UpgradeableConnection<
    TokioIo<Held>,
    impl hyper::service::HttpService<
        Incoming,
        ResBody = axum::body::Body,
        Error = std::convert::Infallible,
        Future: Send,
    >,
> {
    // Answers are one small write; there is nothing to gather.
    let _ = held.stream.set_nodelay(true);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.call(request)
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head_time)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(held), service)
        .with_upgrades()
}

fn reason(error: &hyper::Error) -> &'static str {
    match error {
        error if error.is_timeout() => "slow_head",
        error if error.is_parse_too_large() => "large_head",
        error if error.is_parse() => "no_http",
        error if is_slow(error) => "slow_reader",
        _ => "cut",
    }
}

fn is_slow(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error);
    let source = source.and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
}

instruments::declare! {
    CONNECTIONS = Metric::up_down(
        "http.server.connections", "{connection}", "Open HTTP connections, upgraded ones included",
    );
    DROPPED = Metric::counter("http.server.connections.dropped", "{connection}", "HTTP connections ended for cause")
        .by(&[Label::of("reason", &["slow_head", "large_head", "no_http", "slow_reader", "cut"])]);
}

#[derive(Clone)]
struct Metrics {
    open: UpDownCounter,
    dropped: Counter,
}

impl Metrics {
    fn new() -> Self {
        let meter = global::meter("service");
        Self {
            open: CONNECTIONS.in_up_down(&meter),
            dropped: DROPPED.in_counter(&meter),
        }
    }
}

/// A connection with its place: an upgrade hands on the stream alone, and that is how the place goes with it.
struct Held {
    stream: TcpStream,
    write_time: Duration,
    /// Runs out when the peer has taken nothing for too long; there is none while it takes.
    stuck: Option<Pin<Box<Sleep>>>,
    _place: OwnedSemaphorePermit,
    _open: InFlight,
}

impl Held {
    /// What a write came to, or that it has come to nothing for too long.
    fn in_time(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stuck = None;
            return written;
        }
        let write_time = self.write_time;
        let stuck = self
            .stuck
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(write_time)));
        match stuck.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Held {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Held {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.in_time(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.in_time(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
