//! Posting to an endpoint, which is whatever a customer wrote into a form: trusted with nothing.
//!
//! ```text
//!  URL ─► https? (or http, where allowed) ─► an address: checked here
//!                                         └► a name: looked up here, all its addresses checked, and exactly these
//!                                            connected to ─► POST ─► status · Retry-After · the beginning of the body
//! ```
//!
//! Redirects are not followed and proxies of the environment not used, so what was checked is what is connected to. The URL
//! is in no error: the paths of some are as good as passwords.

use std::error::Error as StdError;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use tokio::time::timeout;
use url::{Host, Url};

use crate::webhooks::address::Guard;

/// Most that is read of an answer, in bytes.
const BODY: usize = 16 << 10;
/// Connections to one endpoint that are kept for the next delivery.
const IDLE_CONNECTIONS: usize = 2;
/// And for how long.
const IDLE: Duration = Duration::from_secs(30);

/// Looks up the addresses of a name.
pub(crate) trait Lookup: fmt::Debug + Send + Sync + 'static {
    /// All of them.
    fn lookup(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// As the machine does.
#[derive(Debug)]
pub(crate) struct System;

impl Lookup for System {
    fn lookup(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// An address that nobody may be told at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the endpoint's address is private or reserved (--webhook-allow)")
    }
}

impl StdError for Refused {}

/// Hands on addresses only when all of a name's may be connected to: whoever mixes in one that may not is up to something.
#[derive(Debug)]
struct Checked {
    lookup: Arc<dyn Lookup>,
    guard: Guard,
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let (lookup, guard) = (Arc::clone(&self.lookup), self.guard.clone());
        Box::pin(async move {
            let found = lookup.lookup(name.as_str().to_owned()).await?;
            if !found.iter().all(|address| guard.admits(*address)) {
                return Err(Refused.into());
            }
            let found: Addrs = Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(found)
        })
    }
}

/// The limits of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// For connecting.
    pub(crate) connect: Duration,
    /// For all of it.
    pub(crate) time: Duration,
    /// Whether http will do.
    pub(crate) http: bool,
}

/// Posts. One per process, for its connections.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    guard: Guard,
    limits: Limits,
}

/// What came of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status, where there was an answer.
    pub(crate) status: Option<u16>,
    /// Why it is no success; `None`: it is one.
    pub(crate) error: Option<String>,
    /// The beginning of what was answered, where it is no success.
    pub(crate) response: Option<String>,
    /// What the endpoint asks to be left alone for.
    pub(crate) retry_after: Option<Duration>,
    /// The address may not be connected to.
    pub(crate) refused: bool,
}

impl Answer {
    fn failed(error: impl Into<String>) -> Self {
        Self {
            error: Some(error.into()),
            ..Self::default()
        }
    }

    fn refused() -> Self {
        Self {
            refused: true,
            ..Self::failed(Refused.to_string())
        }
    }

    /// Whether the endpoint took it.
    pub(crate) fn is_success(&self) -> bool {
        self.error.is_none()
    }
}

impl Client {
    /// # Errors
    /// When the system's certificates cannot be read.
    pub(crate) fn new(guard: Guard, lookup: Arc<dyn Lookup>, limits: Limits) -> anyhow::Result<Self> {
        let checked = Checked {
            lookup,
            guard: guard.clone(),
        };
        let http = reqwest::Client::builder()
            .user_agent(concat!("mcp-status-notifier/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .referer(false)
            .no_proxy()
            .no_gzip()
            .dns_resolver(Arc::new(checked))
            .connect_timeout(limits.connect)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .build()?;
        Ok(Self { http, guard, limits })
    }

    /// Posts a body.
    pub(crate) async fn post(&self, url: &Url, headers: HeaderMap, body: String, now: Timestamp) -> Answer {
        if let Some(answer) = self.forbidden(url) {
            return answer;
        }
        let posting = async {
            let sent = self
                .http
                .post(url.clone())
                .headers(headers)
                .body(body)
                .send()
                .await;
            match sent {
                Ok(response) => read(response, now).await,
                Err(error) => failure(&error),
            }
        };
        timeout(self.limits.time, posting)
            .await
            .unwrap_or_else(|_| Answer::failed(format!("no answer within {:?}", self.limits.time)))
    }

    /// What is wrong with a URL before anything is looked up.
    fn forbidden(&self, url: &Url) -> Option<Answer> {
        match url.scheme() {
            "https" => {}
            "http" if self.limits.http => {}
            "http" => return Some(Answer::failed("only https is taken (--webhook-allow-http)")),
            _ => return Some(Answer::failed("only https is taken")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Some(Answer::failed("a user does not belong in the URL"));
        }
        // What is an address is never looked up.
        let address = match url.host()? {
            Host::Ipv4(address) => IpAddr::V4(address),
            Host::Ipv6(address) => IpAddr::V6(address),
            Host::Domain(_) => return None,
        };
        (!self.guard.admits(address)).then(Answer::refused)
    }
}

async fn read(mut response: reqwest::Response, now: Timestamp) -> Answer {
    let status = response.status();
    let retry_after = retry_after(response.headers(), now);
    let mut body = Vec::new();
    // Read as far as it is taken, so that the connection may serve again; what follows is not waited for.
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = BODY - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() >= BODY {
            break;
        }
    }
    if status.is_success() {
        return Answer {
            status: Some(status.as_u16()),
            ..Answer::default()
        };
    }
    let error = if status.is_redirection() {
        format!("the endpoint answered {status}; redirects are not followed")
    } else {
        format!("the endpoint answered {status}")
    };
    let text = domain::sanitise(&String::from_utf8_lossy(&body));
    Answer {
        status: Some(status.as_u16()),
        response: Some(text).filter(|text| !text.is_empty()),
        retry_after,
        ..Answer::failed(error)
    }
}

/// What the endpoint asks for, in seconds or as a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let at = jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(text)
        .ok()?;
    Duration::try_from(at.duration_since(now)).ok()
}

/// Why there was no answer, in words of ours: the client's own would name the URL.
fn failure(error: &reqwest::Error) -> Answer {
    let mut cause: Option<&dyn StdError> = Some(error);
    let mut system = None;
    while let Some(it) = cause {
        if it.is::<Refused>() {
            return Answer::refused();
        }
        if let Some(it) = it.downcast_ref::<io::Error>() {
            system.get_or_insert(it.kind());
        }
        cause = it.source();
    }
    let why = match system {
        Some(kind) if kind != io::ErrorKind::Other => format!(": {kind}"),
        _ => String::new(),
    };
    if error.is_timeout() {
        Answer::failed("no connection in time")
    } else if error.is_connect() {
        Answer::failed(format!("no connection to the endpoint{why}"))
    } else {
        Answer::failed(format!("the request was not answered{why}"))
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
