//! Fetching a JWKS. The only place of this crate that opens a connection.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::header::ACCEPT;
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use url::Url;

use crate::key_set::KeySet;

/// For all of a fetch. Whoever waits for a new key gives up sooner.
const TIME: Duration = Duration::from_secs(10);
/// Largest body taken, in bytes after it is unpacked: a hundred times what issuers have.
const BODY: usize = 256 << 10;

/// Why no keys were fetched. The texts never hold the address, whose query may hold a key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("the key server did not answer")]
    Unreachable(#[source] reqwest::Error),
    #[error("the key server answered {0}")]
    Status(StatusCode),
    #[error("the key server's answer is larger than {BODY} bytes")]
    TooLarge,
    #[error("the key server's answer is not a JSON Web Key Set")]
    Unreadable,
    #[error("the key server has no key that signatures of tokens can be verified with")]
    NoUsableKey,
}

impl FetchError {
    /// Which one it is, for metrics.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Status(_) => "status",
            Self::TooLarge => "too_large",
            Self::Unreadable => "unreadable",
            Self::NoUsableKey => "no_usable_key",
        }
    }
}

/// Asks one key server.
#[derive(Debug)]
pub(crate) struct Fetcher {
    http: Client,
    url: Url,
}

impl Fetcher {
    /// # Errors
    /// When the system's certificates cannot be read.
    pub(crate) fn new(url: Url) -> anyhow::Result<Self> {
        let http = Client::builder()
            .user_agent(concat!("mcp-status-sync/", env!("CARGO_PKG_VERSION")))
            // A redirect could lead to keys of somebody else; the proxies of the environment are a second, hidden
            // configuration.
            .redirect(Policy::none())
            .referer(false)
            .no_proxy()
            .timeout(TIME)
            // Minutes pass between fetches, and no server keeps a connection that long.
            .pool_max_idle_per_host(0)
            .build()
            .context("failed to set up the client for --jwks-url")?;
        Ok(Self { http, url })
    }

    /// Where the keys are, for logs.
    pub(crate) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    pub(crate) async fn fetch(&self) -> Result<KeySet, FetchError> {
        let unreachable = |error: reqwest::Error| FetchError::Unreachable(error.without_url());
        let request = self.http.get(self.url.clone()).header(ACCEPT, "application/json");
        let mut response = request.send().await.map_err(unreachable)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > BODY {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        KeySet::read(&body)
    }
}
