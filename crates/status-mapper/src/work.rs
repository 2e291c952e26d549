//! What this service consists of, and in which order it comes up.
//!
//! ```text
//!  database usable ──► duty · relay · census · retention ────────────────────┐
//!        │                                                                   ├─► until shutdown
//!        └── and the streams ensured ──► rebuild ────────────────────────────┤
//!                                           │ compared once, or 30 s         │
//!                                           └─► sweep · ingest · outcomes ───┤
//!                                               intents · mirror ────────────┘
//!  first connection to NATS ──► streams
//! ```
//!
//! Nothing changes a row before rows and status stream were compared: a database that was put back from a backup is behind
//! what subscribers know, and would give versions a second time that they would not take. Without NATS there is nothing to
//! compare with; then rows age all the same, after a while.

use std::sync::Arc;
use std::time::Duration;

use bus::Line;
use service::{Readiness, Tasks};
use store::Database;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::announcer::Announcer;
use crate::config::Config;
use crate::duty::{self, Duty};
use crate::metrics::Metrics;
use crate::mirror::{self, Agents};
use crate::pace::{Backoff, Throttle};
use crate::{census, health, ingest, intents, outcomes, rebuild, relay, retention, sweep};

/// Longest time that what changes rows waits for the comparison, once it could begin. Knowledge ages by minutes.
const COMPARED_WITHIN: Duration = Duration::from_secs(30);

/// Says that rows and status stream were compared once.
#[derive(Debug, Clone)]
struct Compared {
    once: watch::Receiver<bool>,
    shutdown: CancellationToken,
}

impl Compared {
    /// Runs what changes rows, after the comparison.
    async fn then(mut self, run: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => return Ok(()),
            // An error: nobody compares any more, because the service stops.
            _ = tokio::time::timeout(COMPARED_WITHIN, self.once.wait_for(|once| *once)) => {}
        }
        run.await
    }
}

/// Waits for what the work needs, then does it until shutdown.
///
/// # Errors
/// Names the task that failed or ended early.
pub(crate) async fn run(
    config: Config,
    database: Database,
    line: Line,
    mut ensured: watch::Receiver<bool>,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let thresholds = config.thresholds()?;
    if !usable(&database, config.migrate, &shutdown).await? {
        return Ok(());
    }
    let Config {
        pace,
        ages,
        mirror,
        keep_history,
        ..
    } = config;
    let announcer = Announcer::new(database.clone(), line.clone(), Metrics::new());
    let overdue_grace = ages.overdue_grace;
    let (duty_sender, duty) = watch::channel(Duty::Unknown);
    let (late_sender, late) = watch::channel(false);
    let (blind_sender, blind) = watch::channel(false);
    let soon = Arc::new(Notify::new());
    let (once, is_once) = watch::channel(false);
    let compared = Compared {
        once: is_once,
        shutdown: shutdown.clone(),
    };
    let mut tasks = Tasks::default();
    tasks.spawn(
        "duty",
        duty::run(database.clone(), line, duty_sender, shutdown.clone()),
    );
    tasks.spawn(
        "sweep",
        compared.clone().then(sweep::run(
            announcer.clone(),
            thresholds,
            ages,
            pace.clone(),
            duty.clone(),
            sweep::Told {
                late: late_sender,
                blind: blind_sender,
            },
            shutdown.clone(),
        )),
    );
    tasks.spawn(
        "relay",
        relay::run(announcer.clone(), pace.clone(), shutdown.clone()),
    );
    tasks.spawn(
        "census",
        census::run(
            announcer.clone(),
            thresholds,
            overdue_grace,
            duty.clone(),
            shutdown.clone(),
        ),
    );
    tasks.spawn(
        "retention",
        retention::run(database, keep_history, pace.retention_every, shutdown.clone()),
    );
    let agents = Agents {
        port: mirror.agent_port,
        token: mirror.agent_token,
        key: bus::SealingKey::from_base64(&mirror.sealing_key)?,
    };
    tasks.spawn("log", {
        let (mut line, shutdown) = (announcer.line.clone(), shutdown.clone());
        async move {
            let Some(bus) = line.first(&shutdown).await else {
                return Ok(());
            };
            Ok(bus
                .answer_log_changes("status-mapper", shutdown, service::log)
                .await?)
        }
    });
    tasks.spawn("bus work", {
        let shutdown = shutdown.clone();
        async move {
            // Nothing is read from or written to streams that may not be what is needed.
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                known = ensured.wait_for(|ensured| *ensured) => if known.is_err() { return Ok(()) },
            }
            let mut tasks = Tasks::default();
            tasks.spawn(
                "ingest",
                compared.clone().then(ingest::run(
                    announcer.clone(),
                    thresholds,
                    pace.clone(),
                    late,
                    shutdown.clone(),
                )),
            );
            tasks.spawn(
                "outcomes",
                compared
                    .clone()
                    .then(outcomes::run(announcer.clone(), thresholds, shutdown.clone())),
            );
            tasks.spawn(
                "intents",
                compared.clone().then(intents::run(
                    announcer.clone(),
                    thresholds,
                    duty.clone(),
                    blind,
                    Arc::clone(&soon),
                    shutdown.clone(),
                )),
            );
            tasks.spawn(
                "rebuild",
                rebuild::run(announcer.clone(), pace, duty.clone(), once, shutdown.clone()),
            );
            tasks.spawn(
                "mirror",
                compared.then(mirror::run(
                    announcer,
                    agents,
                    mirror.mirror_every,
                    readiness,
                    duty,
                    soon,
                    shutdown.clone(),
                )),
            );
            tasks.run(shutdown).await
        }
    });
    tasks.run(shutdown).await
}

/// Waits until the database can be used, bringing it up to date first where that is asked for. `false`: the service
/// stops before.
///
/// # Errors
/// When it cannot be brought up to date, for reasons that no waiting mends.
async fn usable(database: &Database, migrate: bool, shutdown: &CancellationToken) -> anyhow::Result<bool> {
    let mut backoff = Backoff::new();
    let mut throttle = Throttle::default();
    let mut owed = migrate;
    loop {
        let problem = if owed {
            match database.migrate().await {
                Ok(()) => {
                    tracing::info!("the database is up to date");
                    owed = false;
                    continue;
                }
                Err(error) if !error.is_transient() => return Err(error.into()),
                Err(error) => error.to_string(),
            }
        } else {
            match health::usable(database).await {
                Ok(()) => return Ok(true),
                Err(problem) => problem,
            }
        };
        if let Some(held_back) = throttle.pass() {
            tracing::warn!(
                problem,
                held_back,
                "the database cannot be used yet; trying again"
            );
        }
        if !backoff.wait(shutdown).await {
            return Ok(false);
        }
    }
}
