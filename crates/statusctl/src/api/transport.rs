//! One request and its answer: bounded in time and size, and repeated only where that does no harm.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Method, Response};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use url::Url;
use uuid::Uuid;

use crate::api::problem;
use crate::exit::{Exit, Failure};

/// How long and how much.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// To connect.
    pub connect: Duration,
    /// For an answer, besides what the request itself asks to wait.
    pub answer: Duration,
    /// Largest answer taken, in bytes after it is unpacked.
    pub body: usize,
    /// Most times that one request is sent.
    pub attempts: u32,
    /// Before the second time; doubled before each further one.
    pub pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(15),
            // A page of 500 servers is a quarter of a megabyte.
            body: 16 << 20,
            attempts: 4,
            pause: Duration::from_millis(250),
        }
    }
}

/// Longest pause that a server may ask for before a request is sent again; a person is waiting.
const LONGEST_PAUSE: u64 = 5;

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) path: Vec<String>,
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) body: Option<serde_json::Value>,
    /// Makes it harmless to send twice.
    pub(crate) key: Option<Uuid>,
    /// How long the server was asked to wait before it answers.
    pub(crate) wait: Duration,
}

impl Ask {
    pub(crate) fn new(method: Method, path: &[&str]) -> Self {
        Self {
            method,
            path: path.iter().map(|part| (*part).to_owned()).collect(),
            query: Vec::new(),
            body: None,
            key: None,
            wait: Duration::ZERO,
        }
    }

    pub(crate) fn query(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.query.extend(value.map(|value| (name, value.to_string())));
        self
    }

    pub(crate) fn body(mut self, body: serde_json::Value) -> Self {
        self.body = Some(body);
        self
    }

    pub(crate) fn key(mut self, key: Uuid) -> Self {
        self.key = Some(key);
        self
    }

    pub(crate) fn wait(mut self, wait: Duration) -> Self {
        if !wait.is_zero() {
            self.query.push(("wait", format!("{}s", wait.as_secs().max(1))));
            self.wait = wait;
        }
        self
    }

    fn may_be_repeated(&self) -> bool {
        self.key.is_some() || self.method.is_safe()
    }
}

/// Asks one status-api as one caller. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<SecretString>,
    limits: Limits,
}

impl Client {
    /// # Errors
    /// When the URL is none of an API, or the system's certificates cannot be read.
    pub fn new(base: &Url, token: Option<SecretString>, limits: Limits) -> Result<Self, Failure> {
        let usable = matches!(base.scheme(), "http" | "https")
            && base.host_str().is_some_and(|host| !host.is_empty())
            && base.username().is_empty()
            && base.password().is_none()
            && base.query().is_none()
            && base.fragment().is_none();
        if !usable {
            return Err(Failure::usage(
                "the API's URL must be http://host:port or https://host, without user, query and fragment",
            ));
        }
        let http = reqwest::Client::builder()
            .user_agent(concat!("statusctl/", env!("CARGO_PKG_VERSION")))
            // A redirect could carry the token to somebody else.
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .connect_timeout(limits.connect)
            .build()
            .context("failed to set up the HTTP client")?;
        Ok(Self {
            http,
            base: base.clone(),
            token,
            limits,
        })
    }

    /// Where it asks, for messages.
    pub fn place(&self) -> String {
        let path = self.base.path().trim_end_matches('/');
        format!("{}{path}", self.base.origin().ascii_serialization())
    }

    /// Asks, and reads the answer.
    pub(crate) async fn get<T: DeserializeOwned>(&self, ask: Ask) -> Result<T, Failure> {
        let body = self.send(&ask).await?;
        serde_json::from_slice(&body).map_err(|error| {
            Failure::new(
                Exit::Failed,
                format!(
                    "failed to understand the answer of {}: {error}; is its version another?",
                    self.place()
                ),
            )
        })
    }

    /// Asks, and is content with any success.
    pub(crate) async fn done(&self, ask: Ask) -> Result<(), Failure> {
        self.send(&ask).await.map(|_| ())
    }

    async fn send(&self, ask: &Ask) -> Result<Vec<u8>, Failure> {
        let mut pause = self.limits.pause;
        let mut attempt = 1;
        loop {
            let last = attempt >= self.limits.attempts;
            let answer = tokio::time::timeout(self.limits.answer + ask.wait, self.once(ask)).await;
            let wait = match answer {
                Ok(Ok(Answer::Success(body))) => return Ok(body),
                Ok(Ok(Answer::Refused { status, body, after })) => match after {
                    Some(seconds) if status == 429 && !last && seconds <= LONGEST_PAUSE => {
                        Duration::from_secs(seconds)
                    }
                    _ => return Err(problem::failure(status, &body, after)),
                },
                Ok(Ok(Answer::TooLarge)) => {
                    return Err(Failure::new(
                        Exit::Failed,
                        format!("{} answered more than {} bytes", self.place(), self.limits.body),
                    ));
                }
                Ok(Err(error)) if last || !ask.may_be_repeated() => {
                    return Err(problem::no_answer(&self.place(), &error));
                }
                Err(_) if last || !ask.may_be_repeated() => {
                    return Err(Failure::unreachable(format!(
                        "failed to reach the API at {}: no answer in time",
                        self.place()
                    )));
                }
                Ok(Err(_)) | Err(_) => pause,
            };
            tracing::debug!(attempt, ?wait, "asking the API again");
            tokio::time::sleep(wait).await;
            pause *= 2;
            attempt += 1;
        }
    }

    async fn once(&self, ask: &Ask) -> Result<Answer, reqwest::Error> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments
                .pop_if_empty()
                .push("v1")
                .extend(ask.path.iter().map(String::as_str));
        }
        if !ask.query.is_empty() {
            url.query_pairs_mut()
                .extend_pairs(ask.query.iter().map(|(name, value)| (*name, value.as_str())));
        }
        let mut request = self
            .http
            .request(ask.method.clone(), url)
            .header(ACCEPT, "application/json, application/problem+json");
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose_secret());
        }
        if let Some(key) = ask.key {
            request = request.header("Idempotency-Key", key.to_string());
        }
        if let Some(body) = &ask.body {
            request = request
                .header(CONTENT_TYPE, "application/json")
                .body(body.to_string());
        }
        let response = request.send().await?;
        let status = response.status();
        let after = retry_after(response.headers());
        let body = match bounded(response, self.limits.body).await? {
            Some(body) => body,
            None => return Ok(Answer::TooLarge),
        };
        if status.is_success() {
            Ok(Answer::Success(body))
        } else {
            Ok(Answer::Refused {
                status: status.as_u16(),
                body,
                after,
            })
        }
    }
}

enum Answer {
    Success(Vec<u8>),
    Refused {
        status: u16,
        body: Vec<u8>,
        after: Option<u64>,
    },
    TooLarge,
}

/// Seconds only: a date would need a clock that agrees.
fn retry_after(headers: &HeaderMap) -> Option<u64> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
}

/// The body, or `None` when it is larger than that.
pub(crate) async fn bounded(mut response: Response, limit: usize) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > limit {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// Without the token.
impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("place", &self.place())
            .field("token", &self.token.as_ref().map(|_| "given"))
            .finish()
    }
}
