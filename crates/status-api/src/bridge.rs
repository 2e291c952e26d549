//! The same operations over NATS: a request becomes an HTTP request to the very same router, so that authorisation and
//! answers are the same by construction.
//!
//! ```text
//!  status.api.v1.getServer {"params": {"serverId": "…"}} ─► GET /v1/servers/… ─► router ─► reply: status, headers, body
//! ```

use std::collections::HashMap;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request as HttpRequest, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bus::{Bus, OperationSpec, Reply, Request, ServiceSpec, serve_api};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use wire::subjects;

use crate::caller::OverNats;
use crate::openapi::{self, Operation};
use crate::refusal::{Refusal, Result};

/// Headers of a message that are those of the request.
const TAKEN: [&str; 5] = [
    "authorization",
    "idempotency-key",
    "if-none-match",
    "x-request-id",
    "traceparent",
];
/// Tells the status of every answer, where the micro-service protocol tells only of failures.
const STATUS: &str = "status";
/// Longest answer: more than any page has.
const ANSWER: usize = 16 << 20;

/// What a message asks.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    params: Option<Map<String, Value>>,
    #[serde(default)]
    body: Option<Box<RawValue>>,
}

/// Offers the operations until shutdown.
///
/// # Errors
/// When the bus can never be used again.
pub(crate) async fn run(
    bus: Bus,
    router: Router,
    concurrency: usize,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let operations: HashMap<&'static str, Operation> = openapi::operations(&openapi::document())
        .into_iter()
        // Names live as long as the process: there are some thirty, made once.
        .map(|operation| (&*operation.id.clone().leak(), operation))
        .collect();
    let mut offered: Vec<_> = operations
        .iter()
        .map(|(name, operation)| OperationSpec {
            name,
            subject: subjects::api(name),
            metadata: vec![
                ("http", format!("{} {}", operation.method, operation.path)),
                ("summary", operation.summary.clone()),
            ],
        })
        .collect();
    offered.sort_by_key(|operation| operation.name);
    let spec = ServiceSpec {
        name: crate::NAME,
        version: env!("CARGO_PKG_VERSION"),
        description: "The status of MCP servers, asked for and commanded",
        operations: offered,
    };
    serve_api(&bus, spec, concurrency, shutdown, |name, request| {
        let (router, operation) = (router.clone(), operations.get(name));
        async move {
            let response = match operation
                .ok_or_else(Refusal::internal)
                .and_then(|it| http(it, &request))
            {
                // Nothing in the router fails otherwise than by an answer.
                Ok(http) => router.oneshot(http).await.unwrap_or_else(|never| match never {}),
                Err(refusal) => refusal.into_response(),
            };
            reply(response).await
        }
    })
    .await?;
    Ok(())
}

/// The HTTP request that a message stands for.
fn http(operation: &Operation, request: &Request) -> Result<HttpRequest<Body>> {
    let asked = if request.body.is_empty() {
        Asked::default()
    } else {
        serde_json::from_slice::<Asked>(&request.body).map_err(|_| {
            Refusal::unreadable(
                "the body: expected a JSON object with params, body or both, and nothing else",
            )
        })?
    };
    let uri = uri(&operation.path, asked.params.unwrap_or_default())?;
    let mut http = HttpRequest::builder().method(operation.method.as_str()).uri(uri);
    for name in TAKEN {
        if let Some(value) = request.header(name) {
            http = http.header(name, value);
        }
    }
    let body = match asked.body {
        Some(body) => {
            http = http.header(header::CONTENT_TYPE, wire::headers::JSON);
            Body::from(body.get().to_owned())
        }
        None => Body::empty(),
    };
    http.extension(OverNats)
        .body(body)
        .map_err(|_| Refusal::unreadable("a header cannot be read"))
}

/// The path with its parameters, and the others as its query: unknown ones are the router's to refuse.
fn uri(path: &str, mut params: Map<String, Value>) -> Result<String> {
    let mut uri = String::new();
    for part in path.split('/').skip(1) {
        uri.push('/');
        match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(name) => {
                let value = params
                    .remove(name)
                    .ok_or_else(|| Refusal::field(name, "a value: it is required"))?;
                let text = text(name, value)?;
                if text.is_empty() {
                    return Err(Refusal::field(name, "a value: it is required"));
                }
                uri.extend(url::form_urlencoded::byte_serialize(text.as_bytes()));
            }
            None => uri.push_str(part),
        }
    }
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in params {
        query.append_pair(&name, &text(&name, value)?);
    }
    let query = query.finish();
    if !query.is_empty() {
        uri.push('?');
        uri.push_str(&query);
    }
    Ok(uri)
}

fn text(name: &str, value: Value) -> Result<String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(is) => Ok(is.to_string()),
        _ => Err(Refusal::field(name, "a text, a number, true or false")),
    }
}

async fn reply(response: Response) -> Reply {
    let (parts, body) = response.into_parts();
    let mut headers = vec![(STATUS.to_owned(), parts.status.as_u16().to_string())];
    for (name, value) in &parts.headers {
        // Of HTTP itself, and of browsers.
        let is_ours = !matches!(*name, header::CONTENT_LENGTH | header::VARY);
        if let (true, Ok(value)) = (is_ours, value.to_str()) {
            headers.push((name.as_str().to_owned(), value.to_owned()));
        }
    }
    match to_bytes(body, ANSWER).await {
        Ok(body) => Reply {
            status: parts.status.as_u16(),
            body,
            headers,
        },
        Err(_) => Reply {
            status: StatusCode::INTERNAL_SERVER_ERROR.as_u16(),
            body: Vec::new().into(),
            headers: Vec::new(),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn made(params: Value) -> Option<String> {
        let Value::Object(params) = params else { panic!() };
        uri("/v1/servers/{serverId}/start", params).ok()
    }

    #[test]
    fn parameters_go_where_they_belong_and_cannot_leave_it() {
        assert_eq!(
            made(json!({"serverId": "a/../b?c", "wait": "1 s", "monitor": true})).unwrap(),
            "/v1/servers/a%2F..%2Fb%3Fc/start?wait=1+s&monitor=true"
                .replace("wait=1+s&monitor=true", "monitor=true&wait=1+s")
        );
        assert_eq!(made(json!({})), None);
        assert_eq!(made(json!({"serverId": ""})), None);
        assert_eq!(made(json!({"serverId": ["x"]})), None);
        assert_eq!(made(json!({"serverId": "x", "wait": null})), None);
    }
}
