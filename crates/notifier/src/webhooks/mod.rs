//! Webhooks: changes posted to whoever asked for them, until he has them or a day has passed.
//!
//! ```text
//!  bucket webhooks ─► endpoints ─────┐
//!  MCP_STATUS ─► matching ─► decide ─┼─► now ────────────────────────────► webhook.due ─► send ─► the endpoint
//!                                    ├─► later ─► webhook.check, @at ─► webhook.look ─► looks ──┘ │ ▲
//!                                    └─► with others ─► webhook.held ──────────────────────┘      │ │
//!                                                                     fails ─► webhook.later, @at ─┘ │
//!                                                                     │          └──(the server)────┘
//!                                                                     ├─► webhook.log   every attempt
//!                                                                     └─► webhook.dead  given up
//! ```
//!
//! | module | what it is for |
//! |---|---|
//! | `endpoints` | who is told, from the bucket, with the secrets opened |
//! | `matching`, `decide` | which change is told to whom, and when; what is decided is pure |
//! | `looks` | what is looked at later: quiet options, summaries, tests |
//! | `payload`, `sentence` | what is posted; pure |
//! | `send` | attempts, and what comes after them |
//! | `lanes`, `pace` | how many at once, when again, when to leave an endpoint alone |
//! | `client`, `address` | posting, to public addresses only |
//! | `sign` | signatures |
//!
//! Replicas share durable consumers, so each change and each delivery is taken by one of them; all that must outlive a
//! process is in the streams. In memory are only an endpoint's circuit, its lanes, and what a server was last called: a
//! replica that starts anew asks a dead endpoint five times more.
//!
//! # What receivers may rely on
//! - At least once: a delivery may come twice, under the same `webhook-id`.
//! - The body is the same, to the byte, at every attempt and replay; the time and the signatures are of the attempt.
//! - Deliveries of one server to one endpoint go one after the other, in the order of its versions, as long as none fails.
//!   One that is tried again is overtaken: `version` in the body tells which is newer.
//! - Of a server that changes faster than notifiers can follow, `MCP_STATUS` keeps the last five changes.
//!
//! # What it must never do
//! - Connect to an address that was not checked, or to another than the checked one; follow a redirect; use a proxy.
//! - Tell an endpoint of another account's server.
//! - Put a secret, a signature or an endpoint's URL into a log or an error.
//! - Let one endpoint that does not answer hold up another.

mod address;
mod client;
mod decide;
mod endpoints;
mod lanes;
mod looks;
mod matching;
mod metrics;
mod names;
mod options;
mod pace;
mod payload;
mod send;
mod sentence;
mod sign;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bus::{Bus, SealingKey, consume};
use live::Fleet;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wire::WebhookEntry;
use wire::streams::{WEBHOOK_LOOKER, WEBHOOK_MATCHER, WEBHOOK_SENDER};

pub use address::{Network, NoNetwork};
pub use options::WebhookOptions;

use crate::webhooks::address::Guard;
use crate::webhooks::client::{Client, Limits, System};
use crate::webhooks::endpoints::Endpoints;
use crate::webhooks::lanes::Lanes;
use crate::webhooks::metrics::Metrics;

use crate::webhooks::names::LastNames;
use crate::webhooks::pace::Backoff;
pub use metrics::METRICS;

/// Changes that are taken in at once.
const MATCHED: usize = 32;
/// Looks that are taken at once.
const LOOKED: usize = 32;
/// Deliveries in memory for each request under way: those of endpoints that do not answer wait, and the rest pass by.
const AHEAD: usize = 16;
/// Between tries to make the streams.
const AGAIN: Duration = Duration::from_secs(1);

/// What webhooks are told with. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Hooks(Arc<Parts>);

/// What it is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) bus: Bus,
    pub(crate) fleet: Fleet,
    pub(crate) endpoints: Endpoints,
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) client: Client,
    pub(crate) backoff: Backoff,
    /// How long an endpoint that fails is left alone at first.
    pub(crate) rest: Duration,
    /// Requests under way at once.
    pub(crate) permits: Semaphore,
    pub(crate) names: LastNames,
    pub(crate) metrics: Metrics,
}

impl std::ops::Deref for Hooks {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// Tells webhooks until `shutdown`; nothing, where there is no key.
///
/// # Errors
/// What no waiting mends: a key that is none, streams or a bucket that are not what is needed.
pub(crate) async fn run(
    bus: Bus,
    fleet: Fleet,
    options: WebhookOptions,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let Some(key) = &options.sealing_key else {
        tracing::info!("no --sealing-key: webhooks are not told anything by this replica");
        shutdown.cancelled().await;
        return Ok(());
    };
    let key = SealingKey::from_base64(key).context("--sealing-key")?;
    let bucket = loop {
        let made = async {
            bus.ensure_streams().await?;
            bus.bucket::<WebhookEntry>().await
        };
        match made.await {
            Ok(bucket) => break bucket,
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "the streams cannot be had yet; trying again");
            }
            Err(error) => return Err(error.into()),
        }
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(AGAIN) => {}
        }
    };
    let hooks = assemble(bus, fleet, &options, key)?;
    let forgetting = Arc::clone(&hooks.lanes);
    let watching = hooks
        .endpoints
        .clone()
        .run(bucket, move |id| forgetting.forget(id), shutdown.clone());
    let naming = hooks.names.clone().run(hooks.endpoints.clone(), shutdown.clone());
    let requests = usize::from(options.webhook_concurrency);
    tokio::try_join!(watching, naming, work(hooks, requests, shutdown.clone()))?;
    Ok(())
}

fn assemble(bus: Bus, fleet: Fleet, options: &WebhookOptions, key: SealingKey) -> anyhow::Result<Hooks> {
    let lanes = Arc::new(Lanes::new(options.webhook_endpoint_concurrency.into()));
    let limits = Limits {
        connect: options.webhook_connect_timeout,
        time: options.webhook_timeout,
        http: options.webhook_allow_http,
    };
    let guard = Guard::new(options.webhook_allow.clone());
    Ok(Hooks(Arc::new(Parts {
        metrics: Metrics::new(&lanes),
        names: LastNames::new(fleet.clone()),
        client: Client::new(guard, Arc::new(System), limits)?,
        backoff: Backoff::new(options.webhook_backoff.clone(), options.webhook_give_up),
        rest: options.webhook_rest,
        permits: Semaphore::new(options.webhook_concurrency.into()),
        endpoints: Endpoints::new(key),
        bus,
        fleet,
        lanes,
    })))
}

/// Takes changes, looks and deliveries, once it is known who there is.
async fn work(hooks: Hooks, requests: usize, shutdown: CancellationToken) -> anyhow::Result<()> {
    tokio::select! {
        biased;
        () = shutdown.cancelled() => return Ok(()),
        () = hooks.endpoints.loaded() => {}
    }
    let (matching, looking, sending) = (hooks.clone(), hooks.clone(), hooks.clone());
    tokio::try_join!(
        consume(
            &hooks.bus,
            &WEBHOOK_MATCHER,
            MATCHED,
            shutdown.clone(),
            move |message| {
                let hooks = matching.clone();
                async move { matching::take(&hooks, message).await }
            }
        ),
        consume(
            &hooks.bus,
            &WEBHOOK_LOOKER,
            LOOKED,
            shutdown.clone(),
            move |message| {
                let hooks = looking.clone();
                async move { looks::take(&hooks, message).await }
            }
        ),
        consume(
            &hooks.bus,
            &WEBHOOK_SENDER,
            requests * AHEAD,
            shutdown,
            move |message| {
                let hooks = sending.clone();
                async move { send::attempt(&hooks, message).await }
            }
        ),
    )?;
    Ok(())
}
