//! An operation's answer, and what its headers say of it (ADR-32).

use std::fmt;

use async_nats::service::{NATS_SERVICE_ERROR, NATS_SERVICE_ERROR_CODE};
use async_nats::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use wire::api::Problem;
use wire::headers;

/// Room for the headers that every answer has.
const HEADER_BYTES: usize = 512;
/// Media type of what says why not (RFC 9457 §3).
const PROBLEM: &str = "application/problem+json";

/// An operation's answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    /// As in HTTP; from 400 on it is told in headers, and an error in statistics.
    pub status: u16,
    /// Sent whatever the status is.
    pub body: Bytes,
    /// Further headers. Without a `content-type` among them it is JSON's, or that of problem documents.
    pub headers: Vec<(String, String)>,
}

/// Tells what it is, not what is in it: a body does not belong in a log.
impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("status", &self.status)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl Reply {
    /// An answer of the bus itself.
    pub(crate) fn problem(status: u16, detail: &str) -> Self {
        let problem = Problem {
            r#type: "about:blank".to_owned(),
            title: words(status).to_owned(),
            status,
            detail: detail.to_owned(),
            field: None,
            command_id: None,
            request_id: None,
        };
        Self {
            status,
            // A problem of plain texts is always JSON.
            body: serde_json::to_vec(&problem).unwrap_or_default().into(),
            headers: Vec::new(),
        }
    }

    /// Bytes on the wire, at most.
    pub(crate) fn size(&self) -> usize {
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.len() + 4);
        self.body.len() + headers.sum::<usize>() + HEADER_BYTES
    }

    /// Its headers, with what the protocol and the body's type ask for.
    pub(crate) fn header_map(&self) -> HeaderMap {
        let mut map = HeaderMap::new();
        let media_type = if self.status >= 400 {
            PROBLEM
        } else {
            headers::JSON
        };
        map.insert(HeaderName::from_static(headers::CONTENT_TYPE), media_type);
        for (name, value) in &self.headers {
            // The default's spelling, so that it is replaced.
            let is_media_type = name.eq_ignore_ascii_case(headers::CONTENT_TYPE);
            let name = if is_media_type {
                headers::CONTENT_TYPE
            } else {
                name.as_str()
            };
            match (HeaderName::try_from(name), value.parse::<HeaderValue>()) {
                (Ok(name), Ok(value)) => map.insert(name, value),
                _ => tracing::warn!("a header of an answer holds characters that cannot be sent; left out"),
            }
        }
        if self.status >= 400 {
            map.insert(NATS_SERVICE_ERROR, words(self.status));
            map.insert(NATS_SERVICE_ERROR_CODE, self.status.to_string().as_str());
        }
        map
    }
}

/// A status for people; the client library's headers need a text.
pub(crate) fn words(status: u16) -> &'static str {
    match status {
        400 => "bad request",
        401 => "unauthorized",
        403 => "forbidden",
        404 => "not found",
        408 => "request timeout",
        409 => "conflict",
        410 => "gone",
        412 => "precondition failed",
        413 => "content too large",
        415 => "unsupported media type",
        422 => "unprocessable content",
        429 => "too many requests",
        503 => "service unavailable",
        504 => "gateway timeout",
        _ if status < 500 => "request refused",
        _ => "internal error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header<'a>(map: &'a HeaderMap, name: &str) -> Option<&'a str> {
        crate::trace::header(map, name)
    }

    #[test]
    fn an_answer_s_headers_say_what_it_is() {
        let mut reply = Reply {
            status: 200,
            body: "{}".into(),
            headers: vec![
                ("X-Request-Id".to_owned(), "7".to_owned()),
                ("x-bad".to_owned(), "a\nb".to_owned()),
                ("bad name".to_owned(), "x".to_owned()),
            ],
        };
        let map = reply.header_map();
        assert_eq!(header(&map, "content-type"), Some("application/json"));
        assert_eq!(header(&map, "X-Request-Id"), Some("7"));
        assert_eq!((header(&map, "x-bad"), map.len()), (None, 2));
        reply.status = 409;
        let map = reply.header_map();
        assert_eq!(header(&map, "content-type"), Some(PROBLEM));
        assert_eq!(header(&map, NATS_SERVICE_ERROR_CODE), Some("409"));
        assert_eq!(header(&map, NATS_SERVICE_ERROR), Some("conflict"));
        reply.headers = vec![("Content-Type".to_owned(), "text/plain".to_owned())];
        let map = reply.header_map();
        assert_eq!((header(&map, "content-type"), map.len()), (Some("text/plain"), 3));
    }

    #[test]
    fn no_body_is_printed_and_problems_are_documents() {
        let reply = Reply::problem(413, "why");
        assert!(!format!("{reply:?}").contains("why"));
        let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(
            body,
            serde_json::json!({ "type": "about:blank", "title": "content too large", "status": 413, "detail": "why" })
        );
    }
}
