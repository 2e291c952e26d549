//! Where requests come in and answers go out: one span, one measurement and one log line each, a limit of time, and a
//! problem document for everything that fails, a panic included.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use opentelemetry::propagation::Extractor;
use opentelemetry::{Context, global};
use service::http::{PROBLEM, Problem, RequestId};
use tokio::time::{Instant, timeout};
use tracing::{Instrument as _, Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::app::App;
use crate::caller::OverNats;
use crate::refusal::Refusal;

/// Middleware: everything that every request has in common.
pub(crate) async fn boundary(State(app): State<App>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = method(request.method());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("none", MatchedPath::as_str)
        .to_owned();
    let id = request.extensions().get::<RequestId>().cloned();
    let request_id = id.as_ref().map(field::display);
    let span = span(&request, method, &route);
    let limit = app
        .bounds
        .request_timeout
        .saturating_add(wait(&app, request.uri().query()));
    let answering = async {
        let answering = AssertUnwindSafe(next.run(request)).catch_unwind();
        match timeout(limit, answering).await {
            Ok(Ok(response)) => whole(response),
            Ok(Err(_)) => {
                tracing::error!("a handler panicked");
                Refusal::internal().into_response()
            }
            Err(_) => Refusal::unavailable("this took too long; ask again later").into_response(),
        }
    };
    let response = answering.instrument(span.clone()).await;
    let status = response.status();
    span.record("http.response.status_code", i64::from(status.as_u16()));
    let took = begun.elapsed();
    app.metrics.request(method, &route, status.as_u16(), took);
    let _in = span.enter();
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
        span.record("error.type", status.as_str());
        tracing::warn!(
            method,
            route,
            status = status.as_u16(),
            ?took,
            request_id,
            "request failed"
        );
    } else {
        tracing::debug!(
            method,
            route,
            status = status.as_u16(),
            ?took,
            request_id,
            "request answered"
        );
    }
    response
}

fn span(request: &Request, method: &'static str, route: &str) -> Span {
    let id = request.extensions().get::<RequestId>();
    let make = || {
        tracing::info_span!(
            "request",
            otel.name = format!("{method} {route}"),
            otel.kind = "server",
            http.request.method = method,
            http.route = route,
            http.response.status_code = field::Empty,
            otel.status_code = field::Empty,
            error.type = field::Empty,
            request_id = id.map(tracing::field::display),
        )
    };
    // One that came over NATS is in the span of its message, which has the asker's context.
    if request.extensions().get::<OverNats>().is_some() {
        return make();
    }
    let span = make();
    let context = global::get_text_map_propagator(|propagator| {
        propagator.extract_with_context(&Context::new(), &Headers(request.headers()))
    });
    // Fails where spans are not exported, and then there is no trace to be in.
    let _ = span.set_parent(context);
    span
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(axum::http::HeaderName::as_str).collect()
    }
}

/// What a request asks to wait beside what it takes.
fn wait(app: &App, query: Option<&str>) -> Duration {
    let mut parameters = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let wait = parameters.find(|(name, _)| name == "wait");
    let wait = wait.and_then(|(_, text)| service::duration(&text).ok());
    wait.unwrap_or_default().min(app.commands.wait_max)
}

/// A problem document for whatever failed without one: what the router itself answers.
fn whole(response: Response) -> Response {
    let status = response.status();
    let is_problem = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value == PROBLEM);
    if is_problem || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (title, detail) = match status {
        StatusCode::NOT_FOUND => ("not found", "there is no such route"),
        StatusCode::METHOD_NOT_ALLOWED => ("method not allowed", "the route does not have this method"),
        _ => (
            status.canonical_reason().unwrap_or("failed"),
            "the request failed",
        ),
    };
    let mut problem = Problem::new(status, title, detail).into_response();
    if let Some(allowed) = response.headers().get(header::ALLOW) {
        problem.headers_mut().insert(header::ALLOW, allowed.clone());
    }
    problem
}

/// A method as a label: what strangers make up is not one.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    }
}

#[cfg(test)]
mod tests {
    use ::access::Verifier;
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::middleware::{from_fn, from_fn_with_state};
    use axum::routing::get;
    use clap::Parser as _;
    use serde_json::Value;
    use service::http::request_id;
    use store::{Database, DatabaseOptions};
    use tower::ServiceExt as _;

    use super::*;
    use crate::{Config, run};

    async fn answer(path: &str) -> (u16, Value) {
        let config = Config::parse_from([
            "status-api",
            "--database-url",
            "postgres://u:p@127.0.0.1:1/d",
            "--jwt-secret",
            "a secret of at least thirty-two bytes",
        ]);
        let options = DatabaseOptions::new(config.database.database_url.clone());
        let database = Database::connect_lazy(&options).unwrap();
        let (verifier, _) = Verifier::from_options(&config.access).unwrap();
        let (_dial, line) = bus::Line::new();
        let app = run::assemble(&config, database, line, verifier);
        let router = Router::new()
            .route("/panics", get(panics))
            .route("/hangs", get(std::future::pending::<()>))
            .route("/fails", get(async || StatusCode::IM_A_TEAPOT))
            .layer(from_fn_with_state(app, boundary))
            .layer(from_fn(request_id));
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        assert_eq!(response.headers()[header::CONTENT_TYPE], PROBLEM);
        let body = to_bytes(response.into_body(), 10_000).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    async fn panics() -> &'static str {
        panic!("s3cret")
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_fails_is_a_problem_document() {
        for (path, expected) in [
            ("/panics", 500),
            ("/hangs", 503),
            ("/fails", 418),
            ("/nothing", 404),
            ("/hangs?wait=5s", 503),
        ] {
            let begun = Instant::now();
            let (status, body) = answer(path).await;
            assert_eq!(status, expected, "{path}");
            assert_eq!(body["status"], expected, "{path}");
            assert!(body["requestId"].is_string(), "{path}");
            assert!(!body.to_string().contains("s3cret"));
            let waited =
                if path.contains("hangs") { 30 } else { 0 } + if path.contains("wait") { 5 } else { 0 };
            assert_eq!(begun.elapsed().as_secs(), waited, "{path}");
        }
    }
}
