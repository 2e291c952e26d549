//! The document, and a page to try it: one file, no request to anybody else.

use std::sync::LazyLock;

use aws_lc_rs::digest;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::openapi;

/// The page.
const PAGE: &str = include_str!("docs.html");

/// Made once: it does not change while the process lives.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| openapi::document().to_string());
static POLICY: LazyLock<String> = LazyLock::new(|| policy(PAGE));

/// `GET /openapi.json`
pub(crate) async fn document() -> Response {
    let headers = [
        (header::CONTENT_TYPE, wire::headers::JSON),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, DOCUMENT.as_str()).into_response()
}

/// `GET /docs`
pub(crate) async fn page() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY.as_str()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, PAGE).into_response()
}

/// Lets run what is in the page, by its hash, and ask nobody but where it came from.
fn policy(page: &str) -> String {
    let hash = |tag: &str| {
        let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
        let text = page
            .split_once(&open)
            .and_then(|(_, rest)| rest.split_once(&close))
            .map_or("", |(text, _)| text);
        let hash = digest::digest(&digest::SHA256, text.as_bytes());
        format!("'sha256-{}'", STANDARD.encode(hash))
    };
    format!(
        "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
        hash("script"),
        hash("style")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_whole_and_asks_nobody_else() {
        assert_eq!(PAGE.matches("<script>").count(), 1);
        assert_eq!(PAGE.matches("<style>").count(), 1);
        for foreign in [
            "src=",
            "http://",
            "https://",
            "@import",
            "url(",
            "style=",
            "onclick=",
            "innerHTML",
        ] {
            assert!(!PAGE.contains(foreign), "{foreign}");
        }
        // The hash of nothing would stand for a page that was not found in.
        assert!(!POLICY.contains("47DEQpj8HBSa"), "{}", *POLICY);
    }
}
