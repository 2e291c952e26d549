//! status-mapper: keeps the status of MCP servers true. The only writer of status rows.
//!
//! ```text
//!  DTMA_RAW ─────► ingest ───► domain::fold ─────┐
//!  DTMA_OUTCOMES ► outcomes ─► Server::executed ─┤
//!  a wake ───────► intents ──► Server::sweep ────┼─► announcer ─► PostgreSQL: rows + history, one transaction
//!  time ─────────► sweep ────► Server::sweep ────┤       │
//!  tables ───────► mirror ───► departures ───────┘       └─► MCP_STATUS, after the commit, marked when acknowledged
//!                    │                                            ▲                ▲
//!                    └─► buckets `toolboxes`, `connections`       │                │
//!                                          relay: what was left ──┘                │
//!                                        rebuild: what the stream lost ────────────┘
//! ```
//!
//! | loop | does | who |
//! |---|---|---|
//! | `ingest` | maps reports to rows and events, in batches | every replica |
//! | `outcomes` | tells rows what agents made of commands | every replica |
//! | `intents` | settles a toolbox at once when something was asked of it | the replica on duty |
//! | `relay` | publishes what was committed and left unpublished | whoever has its lock |
//! | `sweep` | ages what falls silent, and says so when we cannot see | the replica on duty |
//! | `mirror` | tells pollers what there is, and everybody what is gone | the replica on duty |
//! | `rebuild` | compares the status stream with the rows and puts it right | the replica on duty, and each after a reconnection |
//! | `census` | says how old what is known is, for metrics | the replica on duty |
//! | `retention` | makes and drops the history's partitions | every replica |
//!
//! The duty is an advisory lock in PostgreSQL; nothing is elected or configured. Decisions are made by `domain` (and, for
//! the two that no report brings about, by `reissue`), executed in one place, `announcer`.
//!
//! # What fails, and what happens then
//! | away | meanwhile | afterwards |
//! |---|---|---|
//! | PostgreSQL | the batch in hand is held and no more is pulled: reports wait in their stream | goes on where it was |
//! | NATS | ages go on, and say that we are blind; changes wait in the outbox | relayed, compared, mirrored |
//! | this process | another replica goes on | |
//!
//! # What it must never do
//! - Acknowledge a report before what it brought about is committed.
//! - Publish a change that is not committed, or an older version of a subject after a newer one.
//! - Insert a server, or write an intent: those are the application's and status-api's.
//! - Let a row go on claiming a health that nobody knows.
//! - Let an agent's token leave PostgreSQL unsealed, or into a log.
//! - Let one bad report, row or event hold up the others.

mod announcer;
mod census;
mod clock;
mod config;
mod decisions;
mod departures;
mod duty;
mod eyes;
mod health;
#[cfg(test)]
mod hot_path;
mod ingest;
mod intents;
mod metrics;
mod mirror;
mod outcomes;
mod pace;
mod rebuild;
mod reissue;
mod relay;
mod retention;
mod spans;
mod sweep;
mod work;

pub use config::{Ages, Config, Mirror, Pace};
pub use metrics::METRICS;

use anyhow::Context as _;
use bus::Line;
use service::{Lifecycle, Readiness, Tasks, http};
use store::{Database, DatabaseOptions};
use tokio::sync::watch;

/// This service's name on the bus, in the database and in telemetry.
const NAME: &str = "status-mapper";

/// Runs until the lifecycle's shutdown. Comes up and stays up while the database or NATS is away: not ready then, and
/// by itself again when they are back.
///
/// # Errors
/// At once for a configuration that cannot work, naming the option. Later for what no waiting mends: a NATS server too
/// old, streams that are not what is needed, a schema that cannot be brought up to date. A task that ends early ends
/// the service.
pub async fn run(config: Config, lifecycle: Lifecycle) -> anyhow::Result<()> {
    config.check()?;
    let shutdown = lifecycle.shutdown.clone();
    let database = Database::connect_lazy(&DatabaseOptions {
        max_connections: config.database.database_connections,
        acquire_timeout: config.database.database_timeout,
        statement_timeout: config.database.database_timeout,
        application_name: NAME.to_owned(),
        ..DatabaseOptions::new(config.database.database_url.clone())
    })
    .context("--database-url")?;
    let listener = http::bind(config.http.listen).await?;
    let url = http::url_of(&listener)?;
    let readiness = Readiness::expecting(&health::CHECKS);
    let (dial, line) = Line::new();
    let (ensured, are_ensured) = watch::channel(false);

    let mut tasks = Tasks::default();
    tasks.spawn(
        "http",
        http::serve(
            listener,
            http::health_router(readiness.clone()),
            http::Bounds::default(),
            shutdown.clone(),
        ),
    );
    tasks.spawn(
        "health",
        health::run(database.clone(), line.clone(), readiness.clone(), lifecycle, url),
    );
    tasks.spawn("connection", {
        let (options, shutdown) = (config.bus_options(), shutdown.clone());
        async move { Ok(dial.run(options, shutdown).await?) }
    });
    tasks.spawn(
        "streams",
        health::streams(
            line.clone(),
            readiness.clone(),
            config.pace.streams_every,
            ensured,
            shutdown.clone(),
        ),
    );
    tasks.spawn(
        "work",
        work::run(
            config,
            database.clone(),
            line,
            are_ensured,
            readiness,
            shutdown.clone(),
        ),
    );
    let outcome = tasks.run(shutdown).await;
    // After the tasks: the last batch still marks what it published.
    database.close().await;
    outcome
}
