//! Asking agents, and telling them what to do. The only place that opens a connection to one.
//!
//! ```text
//!  tell ─► POST /tools/{name}/start, /stop, DELETE /tools/{name} ─► Told
//!
//!  ask ─► /tools/status ─ 404, 405 ─► /status        the one that worked last comes first
//!           │                           │
//!           └──► status ─► body, counted while it is unpacked ─► agent::read_status ─► Said
//! ```
//!
//! One time limit covers all of a question, the second request included. Redirects are not followed, proxies of the
//! environment are not used, no cookie is kept, and the token is in the Authorization header only.

mod failure;
mod span;
mod tell;

use std::time::Duration;

use domain::Dialect;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use reqwest::Response;
use reqwest::redirect::Policy;
use secrecy::ExposeSecret as _;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument as _;
use url::Url;

use crate::agent::{self, Said};
use crate::registry::{Target, Token};

pub(crate) use failure::Failure;
pub(crate) use tell::{Told, Verb};

/// Idle connections are kept for less than the 5 s after which Node closes its side: a request that meets the close
/// would fail without having been read.
const IDLE: Duration = Duration::from_secs(4);
/// Most that is read of an answer that is no status: enough for an agent's one-line error.
const ERROR_BODY: usize = 4 << 10;
/// Most that is kept of an agent's error text, in bytes.
const ERROR_TEXT: usize = 200;

/// The limits of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// For all of a poll.
    pub(crate) time: Duration,
    /// For connecting alone.
    pub(crate) connect: Duration,
    /// For the body, in bytes after it is unpacked.
    pub(crate) body: usize,
}

/// Asks agents. One per process, for its connections.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    limits: Limits,
}

/// What came of a poll.
#[derive(Debug)]
pub(crate) struct Asked {
    /// When the request began that decided it.
    pub(crate) as_of: Timestamp,
    /// Which route the agent serves, as far as is known now.
    pub(crate) dialect: Option<Dialect>,
    /// What it said.
    pub(crate) said: Result<Said, Failure>,
}

enum Page {
    Said(Said),
    /// The agent serves no such route.
    NoRoute(StatusCode),
}

impl Client {
    /// # Errors
    /// When the system's certificates cannot be read.
    pub(crate) fn new(limits: Limits) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("dtma-poller/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .referer(false)
            .no_proxy()
            .gzip(true)
            .connect_timeout(limits.connect)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(1)
            .build()?;
        Ok(Self { http, limits })
    }

    /// Asks an agent for the status of its containers. `remembered` is the route it served last; `now` is our clock.
    pub(crate) async fn ask(
        &self,
        target: &Target,
        remembered: Option<Dialect>,
        now: impl Fn() -> Timestamp,
    ) -> Asked {
        let base = match target.address.url() {
            Ok(base) => base,
            Err(why) => return Asked::failed(now(), None, Failure::unreachable(why)),
        };
        let deadline = Instant::now() + self.limits.time;
        let first = remembered.unwrap_or(Dialect::Tools);
        let mut known = remembered;
        let mut gone = None;
        for dialect in [first, other(first)] {
            let as_of = now();
            let asking = async {
                let page = timeout_at(deadline, self.get(base, &target.token, dialect))
                    .await
                    .unwrap_or_else(|_| Err(Failure::no_answer_within(self.limits.time)));
                if let Err(Failure(reason)) = &page {
                    span::failed(reason.code);
                }
                page
            };
            let page = asking
                .instrument(span::request(&Method::GET, path(dialect), base))
                .await;
            match page {
                Ok(Page::Said(said)) => {
                    return Asked {
                        as_of,
                        dialect: Some(dialect),
                        said: Ok(said),
                    };
                }
                Err(failure) => return Asked::failed(as_of, known, failure),
                Ok(Page::NoRoute(status)) => {
                    known = None;
                    gone = Some((as_of, status));
                }
            }
        }
        let (as_of, status) = gone.unwrap_or_else(|| (now(), StatusCode::NOT_FOUND));
        Asked::failed(as_of, None, Failure::no_status_route(status))
    }

    async fn get(&self, base: &Url, token: &Token, dialect: Dialect) -> Result<Page, Failure> {
        let path = path(dialect);
        let response = self
            .http
            .get(beneath(base, path))
            .headers(headers(token)?)
            .send()
            .await
            .map_err(|error| Failure::request(&place(base), &error, self.limits.connect))?;
        let status = response.status();
        span::answered(status);
        match status {
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
                // Read to its end, so that the connection serves the next request.
                let _ = read(response, path, ERROR_BODY).await;
                Ok(Page::NoRoute(status))
            }
            _ if status.is_success() => {
                let body = read(response, path, self.limits.body).await?;
                agent::read_status(dialect, &body)
                    .map(Page::Said)
                    .map_err(|error| Failure::unreadable(path, &error))
            }
            _ => {
                let said = read(response, path, ERROR_BODY)
                    .await
                    .ok()
                    .and_then(|body| error_text(&body, token));
                Err(Failure::status(path, status, said.as_deref(), token))
            }
        }
    }
}

impl Asked {
    fn failed(as_of: Timestamp, dialect: Option<Dialect>, failure: Failure) -> Self {
        Self {
            as_of,
            dialect,
            said: Err(failure),
        }
    }
}

fn other(dialect: Dialect) -> Dialect {
    match dialect {
        Dialect::Tools => Dialect::Status,
        Dialect::Status => Dialect::Tools,
    }
}

fn path(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Tools => "/tools/status",
        Dialect::Status => "/status",
    }
}

/// `path` under a base URL that may have a path of its own.
fn beneath(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url
}

/// Where an agent is, for people: host and port, without the path.
fn place(base: &Url) -> String {
    let host = base.host_str().unwrap_or_default();
    base.port_or_known_default()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn headers(token: &Token) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]);
    if let Token::Opened(token) = token {
        let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret())).map_err(|_| {
            Failure::unreachable("characters that no header may hold are in the toolbox's token")
        })?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

/// The body, unpacked, as far as `limit`: what is counted is what comes out of the unpacking, so a small body that
/// unpacks to a large one ends here too.
async fn read(mut response: Response, path: &str, limit: usize) -> Result<Vec<u8>, Failure> {
    // Announced lengths are of the packed body; reqwest has none for one that it unpacks.
    let announced = response.content_length().unwrap_or(0);
    if announced > limit as u64 {
        return Err(Failure::too_large(path, limit));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| Failure::body(path, &error))?
    {
        if body.len() + chunk.len() > limit {
            return Err(Failure::too_large(path, limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What an agent put in `message` and `error`, should it have echoed the token without it.
fn error_text(body: &[u8], token: &Token) -> Option<String> {
    // A tree will do: the body is a few KiB at most.
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let said = ["message", "error"].map(|field| body[field].as_str());
    let mut text = said.into_iter().flatten().collect::<Vec<_>>().join(" ");
    if let Token::Opened(token) = token
        && !token.expose_secret().is_empty()
    {
        text = text.replace(token.expose_secret(), "[redacted]");
    }
    let mut text = domain::sanitise(&text);
    text.truncate(text.floor_char_boundary(ERROR_TEXT));
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests;
