//! What every stream is served with.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use live::Fleet;
use service::http::Problem;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::StreamOptions;
use crate::gate::{Gate, Stopped};
use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::places::Places;

/// The state of the routes.
#[derive(Debug, Clone)]
pub(crate) struct App(Arc<Parts>);

/// What it is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) hub: Hub,
    pub(crate) fleet: Fleet,
    pub(crate) gate: Gate,
    pub(crate) places: Places,
    pub(crate) options: StreamOptions,
    /// The streams that are open: none is an orphan.
    pub(crate) open: TaskTracker,
    pub(crate) shutdown: CancellationToken,
}

impl std::ops::Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// Longest that a cursor from the future is waited for: a client that comes from a replica that was milliseconds ahead.
const AHEAD: Duration = Duration::from_secs(2);

impl App {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        self.hub.metrics()
    }

    /// What stands in the way of any stream, whoever asks: a token in the URL, a foreign origin, nothing to tell yet.
    pub(crate) fn refusal(&self, headers: &HeaderMap, query: Option<&str>) -> Option<Response> {
        if let Some(name) = crate::gate::token_parameter(query) {
            let detail = "a token must not be in the URL, which ends in logs: use the Authorization header, a \
                          subprotocol, the first message, or a ticket";
            let problem = Problem::new(StatusCode::BAD_REQUEST, "token in the URL", detail).field(name);
            return Some(self.refuse("token_in_url", problem));
        }
        if !self.gate.admits(headers) {
            let detail = "pages of this origin may not read here (--origins)";
            let problem = Problem::new(StatusCode::FORBIDDEN, "origin not allowed", detail);
            return Some(self.refuse("origin", problem));
        }
        if !self.fleet.is_loaded() {
            return Some(self.refuse(
                "not_ready",
                unavailable("the present is not known yet; come again"),
            ));
        }
        None
    }

    /// A counted refusal.
    pub(crate) fn refuse(&self, reason: &'static str, problem: Problem) -> Response {
        self.metrics().refused(reason);
        let status = problem.status();
        let mut response = problem.into_response();
        let headers = response.headers_mut();
        if matches!(
            status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
        ) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"status\""),
            );
        }
        response
    }

    pub(crate) fn stopped(&self, stopped: &Stopped) -> Response {
        match stopped {
            Stopped::Denied(why) => {
                let problem = Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", why.clone());
                self.refuse("unauthorized", problem)
            }
            Stopped::Unavailable => {
                let text = "who is asking cannot be found out at the moment";
                self.refuse("unavailable", unavailable(text))
            }
        }
    }

    /// Waits a moment for a cursor that is ahead of us.
    pub(crate) async fn catch_up(&self, start: crate::session::Start) {
        if let crate::session::Start::Cursor(cursor) = start {
            let at = self.fleet.look(live::Picture::position);
            if cursor.epoch == at.epoch && cursor.sequence > at.sequence {
                // In vain: then it is told to be of the future.
                let _ = tokio::time::timeout(AHEAD, self.fleet.reached(cursor)).await;
            }
        }
    }
}

fn unavailable(detail: &str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "service unavailable", detail)
}
