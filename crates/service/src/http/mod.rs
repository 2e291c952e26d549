//! What every service's HTTP is made of: a bounded listener, health endpoints, problem documents, request ids.
//!
//! ```text
//!  connection ─► serve: bounded ─► request_id ─► the service's routes · health_router ─► problem
//! ```
//!
//! | route | answers |
//! |---|---|
//! | `GET /livez` | 200 while the process runs; never depends on others |
//! | `GET /readyz` | 200 when every check passes, else 503 with a problem document that names those that fail |
//! | `GET /metrics` | the process's metrics in Prometheus' text format |

mod origin;
mod problem;
mod request_id;
mod server;

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::{TcpListener, TcpSocket};

pub use origin::is_origin;
pub use problem::{PROBLEM, Problem, problem};
pub use request_id::{REQUEST_ID, RequestId, request_id};
pub use server::{Bounds, METRICS, serve, serve_streams};

use crate::Readiness;

/// The routes above.
pub fn health_router(readiness: Readiness) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route(
            "/readyz",
            get(async move || match readiness.get() {
                Ok(()) => "ok\n".into_response(),
                Err(failing) => {
                    let detail: Vec<String> = failing
                        .iter()
                        .map(|(name, why)| format!("{name}: {why}"))
                        .collect();
                    problem(StatusCode::SERVICE_UNAVAILABLE, "not ready", detail.join("; "))
                }
            }),
        )
        .route("/metrics", get(async || metrics()))
}

fn metrics() -> Response {
    match metrics_text() {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "failed to encode metrics");
            problem(
                StatusCode::INTERNAL_SERVER_ERROR,
                "metrics unavailable",
                "see the log",
            )
        }
    }
}

/// All metrics of the process, as `GET /metrics` gives them.
///
/// # Errors
/// When an instrument cannot be encoded.
pub fn metrics_text() -> prometheus::Result<String> {
    prometheus::TextEncoder::new().encode_to_string(&prometheus::default_registry().gather())
}

/// Connections that may wait to be accepted: all clients come back at once after a restart, and the 128 that a listener has
/// by default would send most of them away.
const BACKLOG: u32 = 4096;

/// Listens on `address`.
///
/// # Errors
/// When the address cannot be had, naming it.
#[expect(clippy::unused_async, reason = "listening needs the runtime it is asked in")]
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listen = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        // As a listener has it by default: a port that was just left can be had again.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().with_context(|| format!("failed to listen on {address}"))
}

/// The URL under which a listener is reached from this machine.
///
/// # Errors
/// When the socket has no address any more.
pub fn url_of(listener: &TcpListener) -> anyhow::Result<String> {
    Ok(format!(
        "http://{}",
        listener
            .local_addr()
            .context("failed to read the listener's address")?
    ))
}
