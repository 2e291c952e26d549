//! Wiring: what is made, in which order, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use access::Verifier;
use anyhow::Context as _;
use axum::Router;
use bus::{Bus, BusOptions};
use live::Fleet;
use service::{Lifecycle, Readiness, Tasks};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::{App, Parts};
use crate::config::{Config, StreamOptions};
use crate::gate::Gate;
use crate::hub::Hub;
use crate::places::{Most, Places};
use crate::{board, events, metrics, socket, webhooks};

/// Between looks at the connection.
const TICK: Duration = Duration::from_secs(1);
/// Connections beyond the streams: for health, and to tell those who are too many that they are.
const BESIDE: usize = 512;
/// How long streams may take to be told that they end, all of them.
const DRAIN: Duration = Duration::from_secs(10);
/// What a write may take beyond the time a stream gives it, which can tell why it ends.
const BEYOND: Duration = Duration::from_secs(2);

/// Readiness checks.
const NATS: &str = "nats";
const PRESENT: &str = "present";

/// Runs the notifier until `lifecycle.shutdown`: then every stream is told to come back elsewhere, and closed.
///
/// It listens at once and tells `lifecycle.ready` its URL when it is connected and the whole present is known.
///
/// # Errors
/// When an option cannot be used, the address cannot be listened on, the server is too old or has other streams under
/// our names, or a task ends by itself.
pub async fn run(config: Config, lifecycle: Lifecycle) -> anyhow::Result<()> {
    run_on(Hub::default(), config, lifecycle).await
}

/// As [`run`], for a host that wants to see what waits for each connection.
///
/// # Errors
/// As [`run`].
pub async fn run_on(hub: Hub, config: Config, lifecycle: Lifecycle) -> anyhow::Result<()> {
    config.check()?;
    let listener = service::http::bind(config.http.listen).await?;
    serve(hub, listener, config, lifecycle).await
}

/// As [`run`], for a host that had to know the address before: on a socket that listens already.
///
/// # Errors
/// As [`run`].
pub async fn run_at(listener: TcpListener, config: Config, lifecycle: Lifecycle) -> anyhow::Result<()> {
    config.check()?;
    serve(Hub::default(), listener, config, lifecycle).await
}

async fn serve(hub: Hub, listener: TcpListener, config: Config, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let shutdown = lifecycle.shutdown.clone();
    let (verifier, keeper) = Verifier::from_options(&config.access)?;
    metrics::watch_pending(&hub);
    let fleet = Fleet::watched(Arc::new(hub.clone()));
    let readiness = Readiness::expecting(&[NATS, PRESENT]);
    let open = TaskTracker::new();
    let app = App::new(Parts {
        hub,
        fleet: fleet.clone(),
        gate: Gate::new(verifier, config.streams.origins.clone()),
        places: places(&config.streams),
        options: config.streams.clone(),
        open: open.clone(),
        shutdown: shutdown.clone(),
    });

    let router = router(&app, readiness.clone(), &config)?;
    let url = service::http::url_of(&listener)?;
    let mut tasks = Tasks::default();
    let stop_http = CancellationToken::new();
    // Cancelled however this function ends; before that, when the streams have ended.
    let _stop_http_at_last = stop_http.clone().drop_guard();
    tasks.spawn(
        "http",
        service::http::serve_streams(
            listener,
            router,
            service::http::Bounds {
                head_time: config.streams.head_timeout,
                connections: config.streams.connections as usize + BESIDE,
            },
            config.streams.write_timeout + BEYOND,
            stop_http.clone(),
        ),
    );
    if let Some(keeper) = keeper {
        tasks.spawn("keys", keeper.run(shutdown.clone()));
    }
    tasks.spawn("streams", drain(open, shutdown.clone(), stop_http));
    tasks.spawn("present", {
        let (app, shutdown) = (app.clone(), shutdown.clone());
        async move { follow(config, app, readiness, lifecycle, url, shutdown).await }
    });
    tasks.run(shutdown).await
}

fn router(app: &App, readiness: Readiness, config: &Config) -> anyhow::Result<Router> {
    let router = service::http::health_router(readiness)
        .merge(socket::router(app.clone()))
        .merge(events::router(app.clone()));
    Ok(if config.board.board {
        router.merge(board::router(&config.board)?)
    } else {
        router.fallback(async || board::nothing())
    })
}

fn places(options: &StreamOptions) -> Places {
    Places::new(Most {
        connections: options.connections as usize,
        per_account: options.account_connections as usize,
        per_address: options.address_connections as usize,
    })
}

/// Ends the streams first and the listener last: a stream is told why.
async fn drain(
    open: TaskTracker,
    shutdown: CancellationToken,
    stop_http: CancellationToken,
) -> anyhow::Result<()> {
    let _stop_http = stop_http.drop_guard();
    shutdown.cancelled().await;
    open.close();
    if tokio::time::timeout(DRAIN, open.wait()).await.is_err() {
        tracing::warn!(
            open = open.len(),
            "streams did not end in time, closing their connections"
        );
    }
    Ok(())
}

/// Connects, follows, and tells whether the service is ready.
async fn follow(
    config: Config,
    app: App,
    readiness: Readiness,
    lifecycle: Lifecycle,
    url: String,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let connected = tokio::select! {
        biased;
        () = shutdown.cancelled() => None,
        bus = connect(&config) => Some(bus?),
    };
    let Some((bus, tickets)) = connected else {
        return Ok(());
    };
    app.gate.open(tickets);
    let fleet = app.fleet.clone();
    tokio::try_join!(
        live::run(bus.clone(), fleet.clone(), shutdown.clone()),
        // Boxed: it is large, and there is one.
        Box::pin(webhooks::run(
            bus.clone(),
            fleet.clone(),
            config.webhooks.clone(),
            shutdown.clone(),
        )),
        log_changes(bus.clone(), shutdown),
        watch(bus, fleet, readiness, lifecycle, url),
    )?;
    Ok(())
}

async fn log_changes(bus: Bus, shutdown: CancellationToken) -> anyhow::Result<()> {
    Ok(bus.answer_log_changes("notifier", shutdown, service::log).await?)
}

async fn connect(config: &Config) -> anyhow::Result<(Bus, bus::Tickets)> {
    let nats = &config.nats;
    let bus = Bus::connect(BusOptions {
        token: nats.nats_token.clone(),
        credentials: nats.nats_credentials.clone(),
        api_timeout: nats.nats_timeout,
        replicas: nats.nats_replicas,
        ..BusOptions::new(nats.nats_url.as_str(), "notifier")
    })
    .await
    .context("failed to connect to NATS")?;
    loop {
        match bus.tickets().await {
            Ok(tickets) => return Ok((bus, tickets)),
            Err(error) if error.is_transient() => tracing::debug!(%error, "the tickets cannot be had yet"),
            Err(error) => return Err(error).context("failed to have the bucket of tickets"),
        }
        tokio::time::sleep(TICK).await;
    }
}

/// Tells whether the service is ready.
async fn watch(
    bus: Bus,
    fleet: Fleet,
    readiness: Readiness,
    lifecycle: Lifecycle,
    url: String,
) -> anyhow::Result<()> {
    let mut told = false;
    let mut loaded = fleet.loaded();
    loop {
        let connected = bus.is_connected();
        readiness.set(
            NATS,
            connected.then_some(()).ok_or_else(|| "not connected".to_owned()),
        );
        let known = fleet.is_loaded();
        readiness.set(
            PRESENT,
            known.then_some(()).ok_or_else(|| "not read yet".to_owned()),
        );
        if known && !told {
            told = true;
            lifecycle.ready(url.as_str());
        }
        tokio::select! {
            () = lifecycle.shutdown.cancelled() => return Ok(()),
            changed = loaded.changed(), if !told => changed.context("the fleet is gone")?,
            () = tokio::time::sleep(TICK) => {}
        }
    }
}
