//! Wiring: what is made, in which order, and how it ends.

use std::time::Duration;

use access::Verifier;
use anyhow::Context as _;
use bus::Line;
use live::Fleet;
use service::http::{self, Bounds};
use service::{Lifecycle, Readiness, Tasks};
use store::{Database, DatabaseOptions};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::app::{App, Parts};
use crate::base::{Base, READ, WRITE};
use crate::config::Config;
use crate::gates::Gates;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::oldest::Oldest;
use crate::router::router;
use crate::rows::Rows;
use crate::studies::Studies;
use crate::{bridge, relay};

/// The one readiness check: what there is has been read. The database is none: without it, reads are answered.
const PRESENT: &str = "present";
/// Between rounds of forgetting who has not asked lately.
const TIDY: Duration = Duration::from_secs(60);
/// Between tries to make the streams.
const AGAIN: Duration = Duration::from_secs(1);

/// Runs until the lifecycle's shutdown. Listens at once, and answers 503 until the present is known; comes up and stays
/// up while the database is away.
///
/// # Errors
/// At once for a configuration that cannot work, naming the option. Later for what no waiting mends: a NATS server too
/// old, streams that are not what is needed. A task that ends early ends the service.
pub async fn run(config: Config, lifecycle: Lifecycle) -> anyhow::Result<()> {
    config.check()?;
    let shutdown = lifecycle.shutdown.clone();
    let database = Database::connect_lazy(&DatabaseOptions {
        max_connections: config.database.database_connections,
        // Nobody waits longer for a place: whoever reads has something else to answer with.
        acquire_timeout: config.database.database_timeout.min(READ),
        // What was given up here must not hold its connection for long.
        statement_timeout: config.database.database_timeout.min(WRITE),
        application_name: crate::NAME.to_owned(),
        ..DatabaseOptions::new(config.database.database_url.clone())
    })
    .context("--database-url")?;
    let (verifier, keeper) = Verifier::from_options(&config.access)?;
    let listener = http::bind(config.http.listen).await?;
    let url = http::url_of(&listener)?;
    let readiness = Readiness::expecting(&[PRESENT]);
    let (dial, line) = Line::new();
    let app = assemble(&config, database.clone(), line.clone(), verifier);
    let router = router(app.clone());

    let mut tasks = Tasks::default();
    let bounds = Bounds {
        head_time: config.limits.head_timeout,
        connections: config.limits.connections.into(),
    };
    let served = http::health_router(readiness.clone()).merge(router.clone());
    tasks.spawn("http", http::serve(listener, served, bounds, shutdown.clone()));
    tasks.spawn("connection", {
        let (options, shutdown) = (config.bus_options(), shutdown.clone());
        async move { Ok(dial.run(options, shutdown).await?) }
    });
    if let Some(keeper) = keeper {
        tasks.spawn("keys", {
            let shutdown = shutdown.clone();
            async move { keeper.run(shutdown).await }
        });
    }
    tasks.spawn("relay", relay::run(app.clone(), shutdown.clone()));
    tasks.spawn("tidy", tidy(app.clone(), shutdown.clone()));
    tasks.spawn("ready", ready(app.fleet.clone(), readiness, lifecycle, url));
    tasks.spawn("bus work", {
        let shutdown = shutdown.clone();
        let concurrency = config.limits.nats_concurrency.into();
        async move { bus_work(app, line, router, concurrency, shutdown).await }
    });
    let outcome = tasks.run(shutdown).await;
    database.close().await;
    outcome
}

/// What requests are served with.
pub(crate) fn assemble(config: &Config, database: Database, line: Line, verifier: Verifier) -> App {
    let metrics = Metrics::new();
    App::new(Parts {
        fleet: Fleet::default(),
        line,
        base: Base::new(database, metrics.clone()),
        rows: Rows::default(),
        verifier,
        limits: Limits::new(&config.limits),
        gates: Gates::new(config.commands.refresh_every),
        oldest: Oldest::default(),
        studies: Studies::default(),
        commands: config.commands.clone(),
        bounds: config.limits.clone(),
        metrics,
    })
}

/// What needs the bus, as soon as there is one.
async fn bus_work(
    app: App,
    mut line: Line,
    router: axum::Router,
    concurrency: usize,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let Some(bus) = line.first(&shutdown).await else {
        return Ok(());
    };
    loop {
        match bus.ensure_streams().await {
            Ok(()) => break,
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
    }
    let mut tasks = Tasks::default();
    tasks.spawn(
        "present",
        live::run(bus.clone(), app.fleet.clone(), shutdown.clone()),
    );
    tasks.spawn("log", {
        let (bus, shutdown) = (bus.clone(), shutdown.clone());
        async move {
            Ok(bus
                .answer_log_changes("status-api", shutdown, service::log)
                .await?)
        }
    });
    tasks.spawn("nats", {
        let shutdown = shutdown.clone();
        async move {
            // Who is found is ready.
            let mut loaded = app.fleet.loaded();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                loaded = loaded.wait_for(|loaded| *loaded) => drop(loaded?),
            }
            bridge::run(bus, router, concurrency, shutdown).await
        }
    });
    tasks.run(shutdown).await
}

/// Tells that it is ready once the present is known.
async fn ready(fleet: Fleet, readiness: Readiness, lifecycle: Lifecycle, url: String) -> anyhow::Result<()> {
    let shutdown = lifecycle.shutdown.clone();
    let mut loaded = fleet.loaded();
    tokio::select! {
        biased;
        () = shutdown.cancelled() => return Ok(()),
        loaded = loaded.wait_for(|loaded| *loaded) => drop(loaded?),
    }
    readiness.set(PRESENT, Ok(()));
    tracing::info!(url, "ready");
    lifecycle.ready(url);
    shutdown.cancelled().await;
    Ok(())
}

async fn tidy(app: App, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut rounds = interval(TIDY);
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(()),
            _ = rounds.tick() => app.limits.tidy(),
        }
    }
}
