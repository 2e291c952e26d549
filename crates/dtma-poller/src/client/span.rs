//! The span of one request to an agent, by OpenTelemetry's conventions for HTTP clients. The agent is not told of the trace:
//! it is a stranger's, and takes no part in it.

use domain::ReasonCode;
use http::{Method, StatusCode};
use tracing::Span;
use tracing::field::Empty;
use url::Url;

/// `route` is the path without anything of the base's, or of a container's name.
pub(super) fn request(method: &Method, route: &'static str, base: &Url) -> Span {
    tracing::info_span!(
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "client",
        otel.status_code = Empty,
        error.type = Empty,
        http.request.method = method.as_str(),
        http.response.status_code = Empty,
        url.template = route,
        server.address = base.host_str(),
        server.port = base.port_or_known_default().map(i64::from),
    )
}

/// An answer came.
pub(super) fn answered(status: StatusCode) {
    Span::current().record("http.response.status_code", i64::from(status.as_u16()));
}

/// The answer is no success, and nobody looks further into it.
pub(super) fn refused(status: StatusCode) {
    let span = Span::current();
    span.record("otel.status_code", "ERROR");
    span.record("error.type", status.as_str());
}

/// Nothing that can be used came of it.
pub(super) fn failed(why: ReasonCode) {
    let span = Span::current();
    span.record("otel.status_code", "ERROR");
    span.record("error.type", why.as_str());
}
