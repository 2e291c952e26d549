//! An id for every request, to find it in the log by: the client's own where it is a decent one.

use std::fmt;
use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use uuid::Uuid;

use super::Problem;

/// The header that names a request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id taken from a client; it goes into logs.
const LONGEST: usize = 64;

/// A request's id: an extension of every request that passed [`request_id`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// A client's id, where it is 1 to 64 letters, digits, `.`, `_` or `-`.
    pub fn from_client(text: &str) -> Option<Self> {
        let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
        ((1..=LONGEST).contains(&text.len()) && text.chars().all(fits)).then(|| Self(text.into()))
    }

    /// A new one.
    pub fn random() -> Self {
        Self(Uuid::new_v4().to_string().into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Middleware (`axum::middleware::from_fn`): gives a request its [`RequestId`], tells it in the answer's header, and in
/// problem documents that do not say it themselves.
pub async fn request_id(mut request: Request, next: Next) -> Response {
    let told = request.headers().get(REQUEST_ID);
    let id = told
        .and_then(|value| value.to_str().ok())
        .and_then(RequestId::from_client)
        .unwrap_or_else(RequestId::random);
    request.extensions_mut().insert(id.clone());
    let mut response = next.run(request).await;
    if let Some(mut problem) = response.extensions_mut().remove::<Problem>() {
        if problem.request.is_none() {
            problem = problem.request(&id);
            *response.body_mut() = problem.json().to_string().into();
            response.headers_mut().remove(header::CONTENT_LENGTH);
        }
        response.extensions_mut().insert(problem);
    }
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_decent_id_is_taken() {
        let longest = "x".repeat(64);
        for good in ["a", "0190-7c.x_Y", longest.as_str()] {
            assert_eq!(RequestId::from_client(good).unwrap().as_str(), good);
        }
        let longer = "x".repeat(65);
        for bad in ["", "a b", "a\nb", "größe", "a/b", longer.as_str()] {
            assert_eq!(RequestId::from_client(bad), None, "{bad}");
        }
        assert_ne!(RequestId::random(), RequestId::random());
    }
}
