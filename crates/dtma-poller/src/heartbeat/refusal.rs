//! Every way to turn a heartbeat down, and what the sender is told.
//!
//! The answers are RFC 9457 problem documents. They never repeat what was sent, and do not tell an unknown token from
//! one that several toolboxes claim.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use crate::agent::Unreadable;

/// Why a heartbeat is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Not POST.
    Method,
    /// The registry is not read yet: any token might be good.
    NotReady,
    /// No Authorization header, or none that is `Bearer` and a token.
    Malformed(&'static str),
    /// No toolbox has this token.
    Unknown,
    /// Several toolboxes claim this token.
    Ambiguous,
    /// Too many wrong tokens from one address.
    TooManyFailures(Duration),
    /// Too many heartbeats of one toolbox.
    TooOften(Duration),
    /// As many as allowed are under way.
    Busy,
    /// The body is too long.
    TooLarge(usize),
    /// The body did not come in time.
    Slow(Duration),
    /// The connection ended before the body did.
    Cut,
    /// The body cannot be read.
    Unreadable(Unreadable),
    /// The list is longer than the bus takes.
    TooLong(usize),
    /// The bus did not acknowledge the report.
    NotPublished,
}

/// When a sender that was told to come back may do so: our reconnects take about that long.
const COME_BACK: Duration = Duration::from_secs(5);

impl Refusal {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Malformed(_) | Self::Unknown | Self::Ambiguous => StatusCode::UNAUTHORIZED,
            Self::TooManyFailures(_) | Self::TooOften(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::NotReady | Self::Busy | Self::NotPublished => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooLarge(_) | Self::TooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Cut | Self::Unreadable(_) => StatusCode::BAD_REQUEST,
        }
    }

    /// For the metric.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::NotReady => "not_ready",
            Self::Malformed(_) => "malformed_token",
            Self::Unknown => "unknown_token",
            Self::Ambiguous => "ambiguous_token",
            Self::TooManyFailures(_) => "too_many_failures",
            Self::TooOften(_) => "too_often",
            Self::Busy => "busy",
            Self::TooLarge(_) => "too_large",
            Self::Slow(_) => "slow",
            Self::Cut => "cut",
            Self::Unreadable(Unreadable::NotJson(_)) => "not_json",
            Self::Unreadable(Unreadable::WrongShape { .. }) => "wrong_shape",
            Self::TooLong(_) => "report_too_large",
            Self::NotPublished => "not_published",
        }
    }

    fn title(&self) -> &'static str {
        match self {
            Self::Method => "method not allowed",
            Self::NotReady | Self::NotPublished => "not available",
            Self::Malformed(_) | Self::Unknown | Self::Ambiguous => "not authorised",
            Self::TooManyFailures(_) | Self::TooOften(_) => "too many requests",
            Self::Busy => "busy",
            Self::TooLarge(_) | Self::TooLong(_) => "body too large",
            Self::Slow(_) => "body too slow",
            Self::Cut | Self::Unreadable(_) => "not a heartbeat",
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Method => "heartbeats are posted".to_owned(),
            Self::NotReady => "the toolboxes are not known yet".to_owned(),
            Self::Malformed(what) => (*what).to_owned(),
            Self::Unknown | Self::Ambiguous => "the token names no toolbox".to_owned(),
            Self::TooManyFailures(_) => "too many wrong tokens from this address".to_owned(),
            Self::TooOften(_) => "too many heartbeats of this toolbox".to_owned(),
            Self::Busy => "too many heartbeats at once".to_owned(),
            Self::TooLarge(limit) => format!("at most {limit} bytes are taken"),
            Self::Slow(limit) => format!("the body did not come within {limit:?}"),
            Self::Cut => "the body ended too early".to_owned(),
            Self::Unreadable(error) => error.to_string(),
            Self::TooLong(limit) => {
                format!("the list takes more than the {limit} bytes that a report may have")
            }
            Self::NotPublished => "the report could not be stored".to_owned(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooManyFailures(wait) | Self::TooOften(wait) => Some(*wait),
            Self::NotReady | Self::Busy | Self::NotPublished => Some(COME_BACK),
            _ => None,
        }
    }

    /// Whether the rest of the body is not wanted: the connection ends with the answer.
    fn closes(&self) -> bool {
        matches!(self, Self::TooLarge(_) | Self::Slow(_) | Self::Cut)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = service::http::problem(self.status(), self.title(), self.detail());
        let headers = response.headers_mut();
        if self.status() == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self == Self::Method {
            headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        if let Some(wait) = self.retry_after() {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if self.closes() {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
