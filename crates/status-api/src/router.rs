//! The router: operations, their document, and what all have in common.

use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use service::http::{REQUEST_ID, request_id};
use tower_http::cors::CorsLayer;

use crate::answer::REPLAYED;
use crate::app::App;
use crate::boundary::boundary;
use crate::routes::{docs, operations};

/// How long a browser may remember what it was allowed.
const CORS_AGE: Duration = Duration::from_secs(600);

/// Everything but health.
pub(crate) fn router(app: App) -> Router {
    let (operations, _) = operations().split_for_parts();
    let mut router = operations
        .route("/openapi.json", get(docs::document))
        .route("/docs", get(docs::page))
        .with_state(app.clone());
    let origins: Vec<HeaderValue> = app
        .bounds
        .cors_origins
        .iter()
        // An option that is given empty counts as not given.
        .filter(|origin| !origin.is_empty())
        .filter_map(|origin| HeaderValue::from_str(origin).ok())
        .collect();
    if !origins.is_empty() {
        router = router.layer(cors(origins));
    }
    router
        .layer(from_fn_with_state(app, boundary))
        .layer(from_fn(request_id))
}

fn cors(origins: Vec<HeaderValue>) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_NONE_MATCH,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("traceparent"),
            REQUEST_ID,
        ])
        .expose_headers([
            header::ETAG,
            header::LOCATION,
            header::RETRY_AFTER,
            REQUEST_ID,
            REPLAYED,
        ])
        .max_age(CORS_AGE)
}
