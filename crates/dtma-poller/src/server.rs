//! The HTTP listener, for senders that cannot be trusted to be quick.
//!
//! `axum::serve` has no time limit for the head of a request; this has: a connection that does not deliver a whole
//! head in time is closed, idle ones between requests too. The number of connections and the size of a head are
//! bounded as well.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// Largest head of a request, in bytes; agents' have some 300.
const HEAD: usize = 16 << 10;
/// Wait after the system refused to give a connection, as it does when files run out: others must end first.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);
/// How long requests under way may take after the end was asked for. Polls were given their time before that, and
/// all of it stays under the 20 s that a service has to stop.
const DRAIN: Duration = Duration::from_secs(5);

/// The bounds of a listener.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Longest time for the head of a request, and for an idle connection.
    pub(crate) head_time: Duration,
    /// Most connections at once; more wait to be accepted.
    pub(crate) connections: usize,
}

/// Serves `router` until `shutdown`, then finishes the requests under way. Every request learns its peer's address as
/// `ConnectInfo<SocketAddr>`.
///
/// # Errors
/// Never of its own accord: a listener that cannot accept tries again.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    bounds: Bounds,
    metrics: Metrics,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let places = Arc::new(Semaphore::new(bounds.connections));
    let graceful = GracefulShutdown::new();
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
        let watcher = graceful.watcher();
        let connection = connection(stream, peer, router.clone(), bounds);
        let metrics = metrics.clone();
        connections.spawn(async move {
            let _open = metrics.connection();
            let ended = watcher.watch(connection).await;
            drop(place);
            if let Err(error) = ended {
                metrics.dropped(reason(&error));
                tracing::debug!(%peer, %error, "connection dropped");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests did not end in time, closing their connections");
    }
    Ok(())
}

fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    bounds: Bounds,
) -> http1::Connection<
    TokioIo<TcpStream>,
    impl hyper::service::HttpService<
        Incoming,
        ResBody = axum::body::Body,
        Error = std::convert::Infallible,
        Future: Send,
    >,
> {
    // Answers are one small write; there is nothing to gather.
    let _ = stream.set_nodelay(true);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.call(request)
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head_time)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), service)
}

fn reason(error: &hyper::Error) -> &'static str {
    match error {
        error if error.is_timeout() => "slow_head",
        error if error.is_parse_too_large() => "large_head",
        error if error.is_parse() => "no_http",
        _ => "cut",
    }
}
