//! A whole answer, before it is sent well or badly.

use std::io::Write as _;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::sim::Shared;
use crate::toolbox::Payload;

/// Bodies below this are sent as they are, as compressing servers do: gzip would hardly shorten them.
const GZIP_FROM: usize = 1_024;

/// How Express names its JSON.
const JSON: &str = "application/json; charset=utf-8";

/// A status, a content type and a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) content_type: HeaderValue,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn json(body: Vec<u8>) -> Self {
        Self {
            status: StatusCode::OK,
            content_type: HeaderValue::from_static(JSON),
            body: body.into(),
        }
    }

    pub(crate) fn value(status: StatusCode, value: &Value) -> Self {
        Self {
            status,
            ..Self::json(value.to_string().into_bytes())
        }
    }

    pub(crate) fn error(status: StatusCode, error: &str) -> Self {
        Self::value(status, &json!({ "error": error }))
    }

    pub(crate) fn text(text: &'static str) -> Self {
        Self {
            status: StatusCode::OK,
            content_type: HeaderValue::from_static("text/html; charset=utf-8"),
            body: Bytes::from_static(text.as_bytes()),
        }
    }

    pub(crate) fn verbatim(payload: &Payload) -> Self {
        Self {
            status: StatusCode::from_u16(payload.status).unwrap_or(StatusCode::OK),
            content_type: HeaderValue::from_str(&payload.content_type)
                .unwrap_or_else(|_| HeaderValue::from_static(JSON)),
            body: payload.body.clone(),
        }
    }

    /// The response, compressed if `gzip` and if that is worth it.
    pub(crate) fn into_response(self, shared: &Shared, gzip: bool) -> Response {
        let packed = if gzip && self.body.len() >= GZIP_FROM {
            pack(&self.body)
        } else {
            None
        };
        let encoding = packed.is_some().then_some("gzip");
        respond(
            shared,
            self.status,
            self.content_type,
            encoding,
            Body::from(packed.unwrap_or(self.body)),
        )
    }
}

/// A response with the headers all of them have.
pub(crate) fn respond(
    shared: &Shared,
    status: StatusCode,
    content_type: HeaderValue,
    encoding: Option<&'static str>,
    body: Body,
) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    if let Some(encoding) = encoding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    if let Some(promise) = &shared.keep_alive_header {
        headers.insert(HeaderName::from_static("keep-alive"), promise.clone());
    }
    response
}

/// Whether the client takes gzip.
pub(crate) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let lists = headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let named = parts
            .next()
            .is_some_and(|coding| coding.eq_ignore_ascii_case("gzip") || coding == "*");
        let weight = parts
            .find_map(|part| part.strip_prefix("q="))
            .and_then(|q| q.parse::<f32>().ok());
        named && weight.is_none_or(|weight| weight > 0.0)
    })
}

fn pack(body: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 2), Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_taken_only_where_it_is_offered() {
        let accepts = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
            accepts_gzip(&headers)
        };
        for yes in ["gzip", "br, gzip;q=0.5", "GZIP", "*"] {
            assert!(accepts(yes), "{yes}");
        }
        for no in ["br", "gzip;q=0", "identity"] {
            assert!(!accepts(no), "{no}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
