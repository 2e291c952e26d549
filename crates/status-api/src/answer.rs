//! What a request gets that gets what it asked for.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::to_raw_value;
use store::commands::Answer;

use crate::refusal::{Refusal, Result};

/// Tells that an answer was given before.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// An answer with a body.
///
/// # Errors
/// 500 where it cannot be written, which nothing here should be.
pub(crate) fn json<T: Serialize>(status: StatusCode, body: &T) -> Result<Answer> {
    let body = to_raw_value(body).map_err(|error| {
        tracing::error!(%error, "failed to write an answer");
        Refusal::internal()
    })?;
    Ok(Answer {
        status: status.as_u16(),
        body: Some(body),
        location: None,
    })
}

/// 200 with a body.
///
/// # Errors
/// As [`json`].
pub(crate) fn ok<T: Serialize>(body: &T) -> Result<Response> {
    Ok(respond(json(StatusCode::OK, body)?))
}

/// An answer with a secret in it, which nothing on its way may keep.
///
/// # Errors
/// As [`json`].
pub(crate) fn secret<T: Serialize>(status: StatusCode, body: &T) -> Result<Response> {
    let mut response = respond(json(status, body)?);
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The answer, sent.
pub(crate) fn respond(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = match answer.body {
        Some(body) => {
            let media_type = [(header::CONTENT_TYPE, wire::headers::JSON)];
            (status, media_type, body.get().to_owned()).into_response()
        }
        None => status.into_response(),
    };
    if let Some(location) = answer.location.and_then(|to| HeaderValue::try_from(to).ok()) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}
