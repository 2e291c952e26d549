//! The board: the page that people look at, served from the binary.
//!
//! It is what `web/board` was built to; a binary that was made without that serves a page that says how. The page asks
//! status-api and opens its stream here; what it may do beside that is nothing (`Content-Security-Policy`).
//!
//! | path | answer |
//! |---|---|
//! | `/board.json` | where status-api is |
//! | a file of the build | it, or 304; what is under `assets/` is named by its content and kept for ever |
//! | another, asked for as a page | `index.html`: the page finds its way by the path itself |
//! | everything else | 404, as without a board |

mod options;

use std::borrow::Cow;
use std::marker::PhantomData;
use std::sync::Arc;

use aws_lc_rs::digest;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rust_embed::{EmbeddedFile, RustEmbed};
use serde::Serialize;
use tower_http::compression::CompressionLayer;

pub use options::BoardOptions;

/// The build. In a debug build the files are read when they are asked for: the web can be built without this.
#[derive(RustEmbed)]
#[folder = "../../web/board/dist"]
#[allow_missing = true]
struct Built;

/// What is served where nothing was built.
const UNBUILT: &str = include_str!("unbuilt.html");
const INDEX: &str = "index.html";
/// What the web build puts under names that have a hash of the content in them.
const HASHED: &str = "assets/";
/// First segments of paths that are not the page's to make up.
const OURS: [&str; 4] = ["v1", "livez", "readyz", "metrics"];

/// Where the page finds what it needs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Settings {
    /// Where status-api is; `null`: where the page is.
    api_url: Option<String>,
    version: &'static str,
}

/// A board of the files `F`.
struct Board<F> {
    /// As JSON.
    settings: String,
    policy: HeaderValue,
    /// Of the page that says how to build it.
    unbuilt_policy: HeaderValue,
    files: PhantomData<fn() -> F>,
}

/// The routes of the board, with a fallback for what only it knows.
///
/// # Errors
/// When an option cannot be used.
pub(crate) fn router(options: &BoardOptions) -> anyhow::Result<Router> {
    router_of::<Built>(options)
}

fn router_of<F: RustEmbed + 'static>(options: &BoardOptions) -> anyhow::Result<Router> {
    let api = options.api_url()?;
    let connect = match &api {
        Some(url) => format!("'self' {}", url.origin().ascii_serialization()),
        None => "'self'".to_owned(),
    };
    let settings = Settings {
        api_url: api.map(|url| url.as_str().trim_end_matches('/').to_owned()),
        version: env!("CARGO_PKG_VERSION"),
    };
    let board = Board::<F> {
        settings: serde_json::to_string(&settings)?,
        policy: policy(&connect, "'self'")?,
        unbuilt_policy: policy("'none'", &format!("'sha256-{}'", hash(style(UNBUILT))))?,
        files: PhantomData,
    };
    Ok(Router::new()
        .route("/board.json", get(settings_of::<F>))
        .fallback(serve::<F>)
        .with_state(Arc::new(board))
        .layer(CompressionLayer::new()))
}

/// What the page may do: load what is served here, and connect to `connect`.
fn policy(connect: &str, style: &str) -> anyhow::Result<HeaderValue> {
    Ok(format!(
        "default-src 'none'; script-src 'self'; style-src {style}; img-src 'self' data:; font-src 'self'; \
         connect-src {connect}; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'"
    )
    .try_into()?)
}

fn style(page: &str) -> &str {
    let inner = page
        .split_once("<style>")
        .and_then(|(_, rest)| rest.split_once("</style>"));
    inner.map_or("", |(style, _)| style)
}

fn hash(text: &str) -> String {
    STANDARD.encode(digest::digest(&digest::SHA256, text.as_bytes()))
}

async fn settings_of<F: RustEmbed + 'static>(State(board): State<Arc<Board<F>>>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, board.settings.clone()).into_response()
}

async fn serve<F: RustEmbed + 'static>(
    State(board): State<Arc<Board<F>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let mut response = match board.find(uri.path().trim_start_matches('/'), &headers) {
        None => return nothing(),
        Some(_) if method != Method::GET && method != Method::HEAD => {
            let mut response = service::http::problem(
                StatusCode::METHOD_NOT_ALLOWED,
                "method not allowed",
                "pages are only read",
            );
            response
                .headers_mut()
                .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        Some(found) => found.respond(&headers),
    };
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        ),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// What there is under a path that nothing is under.
pub(crate) fn nothing() -> Response {
    service::http::problem(StatusCode::NOT_FOUND, "not found", "there is nothing here")
}

/// A file to be sent.
struct Found {
    content: Cow<'static, [u8]>,
    content_type: HeaderValue,
    /// Of the content, whatever it is encoded to on its way: a weak validator.
    etag: String,
    is_hashed: bool,
    policy: HeaderValue,
}

impl<F: RustEmbed> Board<F> {
    /// What a path without its slash means to who takes such answers.
    fn find(&self, path: &str, headers: &HeaderMap) -> Option<Found> {
        let first = path.split('/').next().unwrap_or_default();
        if OURS.contains(&first) {
            return None;
        }
        if path.is_empty() || path == INDEX {
            return Some(self.index());
        }
        if let Some(file) = F::get(path) {
            return Some(self.file(path, file));
        }
        // A file that is missing must not be a page: a script that is HTML fails in ways that nobody understands.
        let is_route = !path.starts_with(HASHED) && !last(path).contains('.');
        (is_route && takes_pages(headers)).then(|| self.index())
    }

    fn index(&self) -> Found {
        match F::get(INDEX) {
            Some(file) => self.file(INDEX, file),
            None => Found {
                content: UNBUILT.as_bytes().into(),
                content_type: HeaderValue::from_static("text/html"),
                etag: format!("W/\"{}\"", hash(UNBUILT)),
                is_hashed: false,
                policy: self.unbuilt_policy.clone(),
            },
        }
    }

    fn file(&self, path: &str, file: EmbeddedFile) -> Found {
        let content_type = file.metadata.mimetype();
        Found {
            content: file.data,
            content_type: HeaderValue::from_str(content_type)
                .unwrap_or(HeaderValue::from_static("application/octet-stream")),
            etag: format!("W/\"{}\"", STANDARD.encode(file.metadata.sha256_hash())),
            is_hashed: path.starts_with(HASHED),
            policy: self.policy.clone(),
        }
    }
}

impl Found {
    fn respond(self, asked: &HeaderMap) -> Response {
        let cache = if self.is_hashed {
            "public, max-age=31536000, immutable"
        } else {
            "no-cache"
        };
        let mut response = if known(asked, &self.etag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let mut response = Response::new(Body::from(self.content));
            response
                .headers_mut()
                .insert(header::CONTENT_TYPE, self.content_type);
            response
        };
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
        headers.insert(header::CONTENT_SECURITY_POLICY, self.policy);
        if let Ok(etag) = HeaderValue::try_from(self.etag) {
            headers.insert(header::ETAG, etag);
        }
        response
    }
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// Whether somebody asks for a page, as browsers do when they go somewhere.
fn takes_pages(headers: &HeaderMap) -> bool {
    let accept = headers.get_all(header::ACCEPT).iter();
    accept
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|range| {
            range
                .split(';')
                .next()
                .unwrap_or_default()
                .trim()
                .eq_ignore_ascii_case("text/html")
        })
}

/// Whether an `If-None-Match` names the content (RFC 9110 §13.1.2: weakly compared).
fn known(headers: &HeaderMap, etag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let tags = headers.get_all(header::IF_NONE_MATCH).iter();
    tags.filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|tag| tag.trim() == "*" || opaque(tag) == opaque(etag))
}

#[cfg(test)]
mod tests;
