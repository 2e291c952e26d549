//! Why a request does not get what it asks for, on its way to a problem document.

use std::time::Duration;

use access::Denied;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::CommandId;
use service::http::Problem;

use crate::base::Trouble;

/// Result of whatever serves a request.
pub(crate) type Result<T> = std::result::Result<T, Refusal>;

/// Why not. Holds no internal text and nothing of the request but names of fields.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    // Boxed: it is the error of everything, and rare.
    inner: Box<Inner>,
}

#[derive(Debug, Clone)]
struct Inner {
    problem: Problem,
    headers: HeaderMap,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, title: &str, detail: impl Into<String>) -> Self {
        Self {
            inner: Box::new(Inner {
                problem: Problem::new(status, title, detail),
                headers: HeaderMap::new(),
            }),
        }
    }

    /// Something in the request is not right.
    pub(crate) fn field(field: impl Into<String>, expected: impl AsRef<str>) -> Self {
        let (field, expected) = (field.into(), expected.as_ref());
        let detail = format!("{field}: expected {expected}");
        Self::new(StatusCode::BAD_REQUEST, "bad request", detail).naming(field)
    }

    /// There is a field or parameter that nobody knows.
    pub(crate) fn unknown(field: &str) -> Self {
        let field: String = field.chars().filter(|c| !c.is_control()).take(64).collect();
        let detail = format!("{field}: there is no such field or parameter here");
        Self::new(StatusCode::BAD_REQUEST, "bad request", detail).naming(field)
    }

    /// A body or the like that cannot be read at all.
    pub(crate) fn unreadable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad request", detail)
    }

    /// There is none, or none that the caller may know of: nothing tells which.
    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not found",
            format!("there is no such {what}"),
        )
    }

    /// He may know of it, and no more.
    pub(crate) fn forbidden(detail: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", detail)
    }

    /// What it takes is away for the moment.
    pub(crate) fn unavailable(detail: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "service unavailable", detail).again_in(SOON)
    }

    /// Our fault; the log has the rest.
    pub(crate) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal error",
            "the service failed to answer this",
        )
    }

    pub(crate) fn too_many(again_in: Duration) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too many requests",
            "too many requests in a short time; ask again later",
        )
        .again_in(again_in)
    }

    /// No token, or none that is taken (RFC 6750 §3).
    pub(crate) fn unauthorised(error: Option<&'static str>, detail: &str) -> Self {
        let challenge = match error {
            Some(error) => {
                format!("Bearer realm=\"status\", error=\"{error}\", error_description=\"{detail}\"")
            }
            None => "Bearer realm=\"status\"".to_owned(),
        };
        let mut refusal = Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail);
        if let Ok(value) = HeaderValue::try_from(challenge) {
            refusal.inner.headers.insert(header::WWW_AUTHENTICATE, value);
        }
        refusal
    }

    pub(crate) fn denied(denied: Denied) -> Self {
        if denied.is_ours() {
            return Self::unavailable("tokens cannot be verified at the moment");
        }
        Self::unauthorised(Some("invalid_token"), &denied.to_string())
    }

    /// Names the field.
    pub(crate) fn naming(mut self, field: impl Into<String>) -> Self {
        self.inner.problem = self.inner.problem.field(field);
        self
    }

    /// Names the command that stands in the way.
    pub(crate) fn because_of(mut self, command: CommandId) -> Self {
        self.inner.problem = self.inner.problem.command(command);
        self
    }

    /// Says when it is worth another try.
    pub(crate) fn again_in(mut self, wait: Duration) -> Self {
        // In whole seconds, up: a client that comes too early would only be sent away again.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.inner
            .headers
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        self
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.inner.problem.status()
    }
}

/// What is away is looked for every second or so.
const SOON: Duration = Duration::from_secs(2);

impl From<Trouble> for Refusal {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Away => Self::unavailable("the database is away; ask again later"),
            Trouble::Refused(error) => {
                tracing::error!(%error, "the database refused what was asked of it");
                Self::internal()
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Inner { problem, headers } = *self.inner;
        let mut response = problem.into_response();
        response.headers_mut().extend(headers);
        response
    }
}
