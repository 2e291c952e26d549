//! The public keys that tokens are signed with, and the task that keeps them fresh.
//!
//! ```text
//!  Keeper: ─► fetch ─┬─ ok ─► replace the keys ─► wait --jwks-refresh ─┐
//!            ▲       └─ failed ─► keep the old ones ─► back off ───────┤
//!            └──────────────── or at once, when asked early ◄──────────┘
//!                                       ▲
//!  verify: a kid that is not there ─────┘ at most once in 30 s; waits for the outcome, at most 2 s
//! ```
//!
//! However long the key server is away, the keys that are there go on: it being down must not lock everybody out.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::denied::Denied;
use crate::fetch::{FetchError, Fetcher};
use crate::key_set::KeySet;
use crate::metrics::Metrics;

/// Between early fetches: anybody can name keys that do not exist, and issuers change theirs a few times a year.
const EARLY_EVERY: Duration = Duration::from_secs(30);
/// Longest wait of a request for keys.
const PATIENCE: Duration = Duration::from_secs(2);
/// First wait after a failed fetch, and the longest before jitter: a key server that is back is noticed soon, and one
/// that is overloaded is left alone.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// The keys. Shared by whoever verifies and the keeper.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    set: ArcSwapOption<KeySet>,
    progress: watch::Sender<Progress>,
}

/// How far the keeper is.
#[derive(Debug, Default)]
struct Progress {
    /// Whether a fetch ever ended, well or not.
    tried: bool,
    early: Early,
    /// When an early fetch was last granted.
    granted: Option<Instant>,
}

/// An early fetch.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Early {
    #[default]
    Idle,
    /// Somebody is waiting for one. A fetch that has begun before does not count: it may miss the key.
    Wanted,
    Running,
}

impl Keys {
    /// The keys for a token that names `kid`, after an early fetch where that may help. They need not have it. A token
    /// that names none waits for the next regular fetch after a rotation: nothing tells that its key is a new one.
    pub(crate) async fn with(&self, kid: Option<&str>) -> Result<Arc<KeySet>, Denied> {
        let Some(set) = self.set.load_full() else {
            // At the start the first fetch is under way. Once it failed, others follow without being asked.
            self.until(|progress| progress.tried).await;
            return self.set.load_full().ok_or(Denied::KeysUnavailable);
        };
        if kid.is_none_or(|kid| set.has(kid)) || !self.ask() {
            return Ok(set);
        }
        self.until(|progress| progress.early == Early::Idle).await;
        Ok(self.set.load_full().unwrap_or(set))
    }

    async fn until(&self, reached: impl FnMut(&Progress) -> bool) {
        // Late or never: the caller looks at what is there.
        let _ = timeout(PATIENCE, self.progress.subscribe().wait_for(reached)).await;
    }

    /// Asks for an early fetch. `false`: none will come, there was one a moment ago.
    fn ask(&self) -> bool {
        let mut comes = true;
        self.progress.send_if_modified(|progress| {
            if progress.early != Early::Idle {
                return false;
            }
            let now = Instant::now();
            comes = progress
                .granted
                .is_none_or(|granted| now - granted >= EARLY_EVERY);
            if comes {
                progress.early = Early::Wanted;
                progress.granted = Some(now);
            }
            comes
        });
        comes
    }

    fn begin(&self) {
        self.progress.send_if_modified(|progress| {
            let wanted = progress.early == Early::Wanted;
            if wanted {
                progress.early = Early::Running;
            }
            wanted
        });
    }

    fn end(&self) {
        self.progress.send_modify(|progress| {
            progress.tried = true;
            if progress.early == Early::Running {
                progress.early = Early::Idle;
            }
        });
    }

    async fn wanted(&self) {
        let mut progress = self.progress.subscribe();
        // Cannot end without: the sender is ours.
        let _ = progress
            .wait_for(|progress| progress.early == Early::Wanted)
            .await;
    }
}

/// Keeps the keys fresh. Without it running, tokens that need them are denied with
/// [`Denied::KeysUnavailable`].
#[derive(Debug)]
pub struct Keeper {
    keys: Arc<Keys>,
    fetcher: Fetcher,
    refresh: Duration,
    metrics: Metrics,
    /// What the last fetch failed of, so that an outage is logged when it begins and ends and not every time.
    failing: Option<&'static str>,
}

impl Keeper {
    pub(crate) fn new(url: Url, refresh: Duration, metrics: Metrics) -> anyhow::Result<(Self, Arc<Keys>)> {
        let keys = Arc::new(Keys::default());
        let keeper = Self {
            keys: Arc::clone(&keys),
            fetcher: Fetcher::new(url)?,
            refresh,
            metrics,
            failing: None,
        };
        Ok((keeper, keys))
    }

    /// Runs until shutdown. A key server that does not answer is no error: it is asked again.
    ///
    /// # Errors
    /// None at present; a supervised task returns a result.
    pub async fn run(mut self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut waits = backoff();
        loop {
            self.keys.begin();
            let fetched = tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                fetched = self.fetcher.fetch() => fetched,
            };
            let wait = match fetched {
                Ok(set) => {
                    self.took(&set);
                    self.keys.set.store(Some(Arc::new(set)));
                    waits = backoff();
                    self.refresh
                }
                Err(error) => {
                    self.failed(&error);
                    waits.next().unwrap_or(BACKOFF.1)
                }
            };
            self.keys.end();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                () = self.keys.wanted() => {}
                () = sleep(wait) => {}
            }
        }
    }

    fn took(&mut self, set: &KeySet) {
        self.metrics.fetched("ok");
        let first = self.keys.set.load().is_none();
        if self.failing.take().is_some() || first {
            tracing::info!(
                host = self.fetcher.host(),
                keys = set.len(),
                "fetched the keys of tokens"
            );
        }
    }

    fn failed(&mut self, error: &FetchError) {
        self.metrics.fetched(error.label());
        if self.failing.replace(error.label()) != Some(error.label()) {
            tracing::warn!(
                host = self.fetcher.host(),
                error = %error,
                source = error.source().map(tracing::field::display),
                kept = self.keys.set.load().as_ref().map_or(0, |set| set.len()),
                "failed to fetch the keys of tokens"
            );
        }
    }
}

/// Waits that double, each with up to as much again by chance, so that replicas do not come back in step.
fn backoff() -> ExponentialBackoff {
    let builder = ExponentialBuilder::new()
        .with_min_delay(BACKOFF.0)
        .with_max_delay(BACKOFF.1)
        .with_factor(2.0);
    builder.with_jitter().without_max_times().build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn early_fetches_are_granted_once_in_a_while() {
        let keys = Keys::default();
        assert!(keys.ask());
        assert!(keys.ask(), "whoever comes while it is wanted waits for the same");
        keys.end();
        assert!(
            keys.ask(),
            "one that had begun before is not the one that is waited for"
        );
        keys.begin();
        assert!(keys.ask(), "nor are there two at once");
        keys.end();
        assert!(!keys.ask());
        tokio::time::advance(EARLY_EVERY - Duration::from_millis(1)).await;
        assert!(!keys.ask());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(keys.ask());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_keys_longer_than_two_seconds() {
        let start = Instant::now();
        let keys = Keys::default();
        assert_eq!(keys.with(None).await.unwrap_err(), Denied::KeysUnavailable);
        assert_eq!(start.elapsed(), PATIENCE);
        keys.end();
        assert_eq!(keys.with(None).await.unwrap_err(), Denied::KeysUnavailable);
        assert_eq!(
            start.elapsed(),
            PATIENCE,
            "the first fetch is over, so there is nothing to wait for"
        );
    }
}
