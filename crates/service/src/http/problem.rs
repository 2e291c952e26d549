//! Problem documents (RFC 9457): what a client sees when it did not get what it asked for.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

/// Media type of problem documents (RFC 9457 §3).
pub const PROBLEM: &str = "application/problem+json";

/// A problem document in the making. Holds no internal text: it goes to strangers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    kind: String,
    title: String,
    detail: String,
    field: Option<String>,
    command: Option<String>,
    pub(crate) request: Option<String>,
}

impl Problem {
    /// A problem that its status describes: the title for people, and the details of this occurrence.
    pub fn new(status: StatusCode, title: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            status,
            kind: "about:blank".to_owned(),
            title: title.into(),
            detail: detail.into(),
            field: None,
            command: None,
            request: None,
        }
    }

    /// What kind of problem, as a URI; `about:blank` without.
    #[must_use]
    pub fn of_type(self, uri: impl Into<String>) -> Self {
        Self {
            kind: uri.into(),
            ..self
        }
    }

    /// The field or parameter that was not right.
    #[must_use]
    pub fn field(self, name: impl Into<String>) -> Self {
        Self {
            field: Some(name.into()),
            ..self
        }
    }

    /// The command that stands in the way.
    #[must_use]
    pub fn command(self, id: impl ToString) -> Self {
        Self {
            command: Some(id.to_string()),
            ..self
        }
    }

    /// The request's id; [`crate::http::request_id`] fills it in where it is not given.
    #[must_use]
    pub fn request(self, id: impl ToString) -> Self {
        Self {
            request: Some(id.to_string()),
            ..self
        }
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The document.
    pub fn json(&self) -> Value {
        let mut document = serde_json::json!({
            "type": self.kind,
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let members = [
            ("field", &self.field),
            ("commandId", &self.command),
            ("requestId", &self.request),
        ];
        for (name, value) in members {
            if let Some(value) = value {
                document[name] = value.as_str().into();
            }
        }
        document
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = self.json().to_string();
        let mut response = (self.status, [(header::CONTENT_TYPE, PROBLEM)], body).into_response();
        // For who knows more than whoever made it.
        response.extensions_mut().insert(self);
        response
    }
}

/// A problem document with a status, a title for people, and the details of this occurrence.
pub fn problem(status: StatusCode, title: &str, detail: impl Into<String>) -> Response {
    Problem::new(status, title, detail).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stand_where_they_are_known() {
        let plain = Problem::new(StatusCode::NOT_FOUND, "not found", "there is no such server");
        assert_eq!(
            plain.json(),
            serde_json::json!({
                "type": "about:blank", "title": "not found", "status": 404, "detail": "there is no such server",
            })
        );
        let full = plain.of_type("urn:x").field("name").command(7).request("r-1");
        assert_eq!(
            full.json(),
            serde_json::json!({
                "type": "urn:x", "title": "not found", "status": 404, "detail": "there is no such server",
                "field": "name", "commandId": "7", "requestId": "r-1",
            })
        );
    }
}
