//! What a request asks to be done: its body, and under which key.

use aws_lc_rs::digest;
use axum::body::{Bytes, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use store::commands::Idempotency;

use crate::app::App;
use crate::refusal::{Refusal, Result};

/// The header that makes a request one that is done once.
pub(crate) const KEY: &str = "Idempotency-Key";
/// Longest key taken.
const KEY_MAX: usize = 255;

/// A request that changes something.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) idempotency: Option<Idempotency>,
    is_json: bool,
    body: Bytes,
}

impl FromRequest<App> for Ask {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &App) -> Result<Self> {
        let (parts, body) = request.into_parts();
        let limit = app.bounds.body_limit as usize;
        let body = to_bytes(body, limit)
            .await
            .map_err(|error| unread(&error, limit))?;
        let idempotency = key(&parts.headers)?.map(|key| Idempotency {
            fingerprint: fingerprint(parts.method.as_str(), parts.uri.path(), parts.uri.query(), &body),
            key,
        });
        Ok(Self {
            idempotency,
            is_json: is_json(&parts.headers),
            body,
        })
    }
}

fn unread(error: &axum::Error, limit: usize) -> Refusal {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.to_string().contains("length limit exceeded") {
            let detail = format!("a body may have {limit} bytes");
            return Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "content too large", detail);
        }
        cause = error.source();
    }
    Refusal::unreadable("the body could not be read")
}

fn key(headers: &HeaderMap) -> Result<Option<String>> {
    let mut values = headers.get_all(KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.as_bytes();
    let fits = (1..=KEY_MAX).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic);
    if !fits || values.next().is_some() {
        return Err(Refusal::field(
            KEY,
            "one value of 1 to 255 visible ASCII characters",
        ));
    }
    Ok(Some(String::from_utf8_lossy(text).into_owned()))
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    value.is_some_and(|value| {
        let essence = value.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/json")
    })
}

/// What was asked, without how long to wait for it.
fn fingerprint(method: &str, path: &str, query: Option<&str>, body: &[u8]) -> String {
    let mut query: Vec<_> = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .filter(|(name, _)| name != "wait")
        .collect();
    query.sort();
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [method, path] {
        context.update(part.as_bytes());
        context.update(b"\n");
    }
    for (name, value) in query {
        // Lengths, so that no value can pass for a name.
        context.update(format!("{}:{}={name}{value}\n", name.len(), value.len()).as_bytes());
    }
    context.update(b"\n");
    context.update(body);
    let hash = context.finish();
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Ask {
    /// The body.
    ///
    /// # Errors
    /// 415 for another media type, 400 naming the field and what was expected there. Values are not repeated.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T> {
        if !self.is_json {
            return Err(Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported media type",
                "expected application/json",
            ));
        }
        let mut json = serde_json::Deserializer::from_slice(&self.body);
        let value = serde_path_to_error::deserialize(&mut json).map_err(|error| malformed(&error))?;
        json.end()
            .map_err(|_| Refusal::unreadable("the body is not one JSON value"))?;
        Ok(value)
    }
}

fn malformed(error: &serde_path_to_error::Error<serde_json::Error>) -> Refusal {
    let cause = error.inner();
    if !cause.is_data() {
        let (line, column) = (cause.line(), cause.column());
        return Refusal::unreadable(format!("the body is not JSON: line {line}, column {column}"));
    }
    let path = error.path().to_string();
    let text = cause.to_string();
    let quoted = || text.split('`').nth(1).unwrap_or_default().to_owned();
    let below = |name: &str| {
        if path == "." {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        }
    };
    if text.starts_with("unknown field") {
        // The path ends in the field itself.
        return Refusal::unknown(if path == "." { quoted() } else { path.clone() }.as_str());
    }
    if text.starts_with("missing field") {
        let name = below(&quoted());
        return Refusal::field(name, "a value: it is required");
    }
    if text.starts_with("duplicate field") {
        return Refusal::field(below(&quoted()), "one value");
    }
    // Of the parser's text only what it expected: what it found is the client's own.
    let expected = text
        .rsplit_once(", expected ")
        .or_else(|| text.rsplit_once(" expected "));
    let expected = expected.map_or("a value of the right form", |(_, expected)| {
        expected.split(" at line").next().unwrap_or_default()
    });
    let expected = expected.replace('`', "");
    let expected = if text.contains("UUID") {
        "a UUID"
    } else {
        expected.trim()
    };
    if path == "." {
        return Refusal::unreadable(format!("the body: expected {expected}"));
    }
    Refusal::field(path, expected)
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;
    use serde_json::Value;
    use wire::api::{NewServer, OverrideRequest};

    use super::*;

    fn ask(body: &str) -> Ask {
        Ask {
            idempotency: None,
            is_json: true,
            body: Bytes::from(body.to_owned()),
        }
    }

    async fn problem<T: DeserializeOwned + std::fmt::Debug>(body: &str) -> (String, String) {
        let response = ask(body).read::<T>().unwrap_err().into_response();
        let body = to_bytes(response.into_body(), 10_000).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        (text("field"), text("detail"))
    }

    #[tokio::test]
    async fn what_is_wrong_is_named_and_not_repeated() {
        for (body, field, detail) in [
            ("{", "", "the body is not JSON: line 1, column 1"),
            ("", "", "the body is not JSON: line 1, column 0"),
            ("[]", "", "the body is not JSON: line 1, column 2"),
            (
                r#"{"name":"s3cret"}"#,
                "toolboxId",
                "toolboxId: expected a value: it is required",
            ),
            (
                r#"{"toolboxId":"s3cret"}"#,
                "toolboxId",
                "toolboxId: expected a UUID",
            ),
            (
                r#"{"s3cret":1}"#,
                "s3cret",
                "s3cret: there is no such field or parameter here",
            ),
            (
                r#"{"monitored":"s3cret"}"#,
                "monitored",
                "monitored: expected a boolean",
            ),
            (r#"{"name":7}"#, "name", "name: expected a string"),
        ] {
            let found = problem::<NewServer>(body).await;
            if body == "[]" {
                assert!(!found.1.contains("s3cret"));
                continue;
            }
            assert_eq!(found, (field.to_owned(), detail.to_owned()), "{body}");
        }
        let (field, detail) = problem::<OverrideRequest>(r#"{"state":"s3cret"}"#).await;
        assert_eq!(field, "state");
        assert!(
            detail.contains("running") && !detail.contains("s3cret"),
            "{detail}"
        );
    }

    #[test]
    fn the_same_request_has_the_same_fingerprint() {
        let of = |query, body: &str| fingerprint("POST", "/v1/servers/x/start", query, body.as_bytes());
        let plain = of(Some("monitor=true"), "");
        assert_eq!(plain, of(Some("wait=30s&monitor=true"), ""));
        assert_ne!(plain, of(None, ""));
        assert_ne!(plain, of(Some("monitor=true"), "{}"));
        assert_ne!(of(Some("a=b&c=d"), ""), of(Some("a=bc&=d"), ""));
        assert_ne!(
            plain,
            fingerprint("POST", "/v1/servers/x/stop", Some("monitor=true"), b"")
        );
    }
}
