//! Wiring: what is made, in which order, and how it ends.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use bus::{Bus, BusOptions, SealingKey};
use http::StatusCode;
use jiff::Timestamp;
use service::{Lifecycle, Readiness, Tasks};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wire::streams::{COMMANDER, POLLER, POLLS};

use crate::client::{Client, Limits};
use crate::command::{self, Commander};
use crate::heartbeat::{self, Heartbeats, Outlet, Rate};
use crate::metrics::Metrics;
use crate::poll::{Memory, Parts, Poller};
use crate::registry::Registry;
use crate::timetable::Timetable;
use crate::{Ambient, Config};

/// Between looks at the connection, and at what has been forgotten long enough.
const TICK: Duration = Duration::from_secs(1);

/// Readiness checks.
const NATS: &str = "nats";
const STREAMS: &str = "streams";
const REGISTRY: &str = "registry";

/// Runs the poller until `lifecycle.shutdown`: then it takes no more due polls and commands, finishes those under way,
/// and stops listening last.
///
/// It listens at once and tells `lifecycle.ready` its URL when it is connected, its streams are there and it knows all
/// toolboxes.
///
/// # Errors
/// When an option cannot be used, the address cannot be listened on, the server is too old or has other streams under
/// our names, or a task ends by itself.
pub async fn run(config: Config, lifecycle: Lifecycle) -> anyhow::Result<()> {
    config.check()?;
    let key = SealingKey::from_base64(&config.sealing_key).context("failed to read --sealing-key")?;
    let shutdown = lifecycle.shutdown.clone();
    let metrics = Metrics::new();
    let registry = Arc::new(Registry::new(key, metrics.clone()));
    let memory = Arc::new(Memory::default());
    let client = Arc::new(Client::new(limits(&config)).context("failed to set up the HTTP client")?);
    let readiness = Readiness::expecting(&[NATS, STREAMS, REGISTRY]);
    let heartbeats = Arc::new(heartbeats(&config, &registry, &memory, &metrics));

    let listener = service::http::bind(config.http.listen).await?;
    let url = service::http::url_of(&listener)?;
    let mut tasks = Tasks::default();
    let stop_http = CancellationToken::new();
    // Cancelled however this function ends; before that, by the end of the polls.
    let _stop_http_at_last = stop_http.clone().drop_guard();
    tasks.spawn(
        "http",
        service::http::serve(
            listener,
            service::http::health_router(readiness.clone())
                .merge(heartbeat::router(Arc::clone(&heartbeats)))
                .fallback(not_found),
            service::http::Bounds {
                head_time: config.heartbeats.head_timeout,
                connections: config.heartbeats.connections.into(),
            },
            stop_http.clone(),
        ),
    );

    let connected = tokio::select! {
        biased;
        () = shutdown.cancelled() => None,
        bus = connect(&config) => Some(bus?),
    };
    let Some(bus) = connected else {
        stop_http.cancel();
        return tasks.run(shutdown).await;
    };
    // Set once, here.
    let _ = heartbeats.outlet.set(Outlet {
        bus: bus.clone(),
        schedules: bus.schedules(),
    });

    let timetable = Arc::new(Timetable::new(
        bus.schedules(),
        Arc::clone(&registry),
        Arc::clone(&memory),
        config.cadence.policy(),
        metrics.clone(),
    ));
    let commander = Arc::new(Commander::new(command::Parts {
        bus: bus.clone(),
        registry: Arc::clone(&registry),
        memory: Arc::clone(&memory),
        client: Arc::clone(&client),
        ambient: AMBIENT,
        limit: config.commands.command_timeout,
        metrics: metrics.clone(),
        shutdown: shutdown.clone(),
    }));
    let poller = Arc::new(Poller::new(Parts {
        bus: bus.clone(),
        registry: Arc::clone(&registry),
        memory,
        client,
        policy: config.cadence.policy(),
        ambient: AMBIENT,
        report_limit: config.polling.report_limit as usize,
        metrics,
        shutdown: shutdown.clone(),
    }));

    tasks.spawn("log", {
        let (bus, shutdown) = (bus.clone(), shutdown.clone());
        async move {
            Ok(bus
                .answer_log_changes("dtma-poller", shutdown, service::log)
                .await?)
        }
    });
    tasks.spawn("registry", {
        let (timetable, bus, shutdown) = (Arc::clone(&timetable), bus.clone(), shutdown.clone());
        async move { timetable.follow(&bus, shutdown).await }
    });
    tasks.spawn("schedules", {
        let (timetable, shutdown) = (Arc::clone(&timetable), shutdown.clone());
        async move { timetable.keep(shutdown).await }
    });
    tasks.spawn("reconcile", {
        let (timetable, shutdown) = (Arc::clone(&timetable), shutdown.clone());
        async move { timetable.reconcile(config.upkeep.reconcile_every, shutdown).await }
    });
    tasks.spawn(
        "streams",
        streams(
            bus.clone(),
            config.upkeep.streams_every,
            timetable,
            readiness.clone(),
            shutdown.clone(),
        ),
    );
    tasks.spawn(
        "polls",
        polls(
            bus.clone(),
            poller,
            Arc::clone(&registry),
            config.polling.poll_concurrency,
            shutdown.clone(),
            stop_http,
        ),
    );
    tasks.spawn(
        "commands",
        commands(
            bus.clone(),
            commander,
            Arc::clone(&registry),
            config.commands.command_concurrency,
            shutdown.clone(),
        ),
    );
    tasks.spawn(
        "readiness",
        watch(bus, registry, heartbeats, readiness, lifecycle, url),
    );
    tasks.run(shutdown).await
}

/// The process's clock and randomness.
const AMBIENT: Ambient = Ambient {
    #[expect(
        clippy::disallowed_methods,
        reason = "this service is the shell that reads the clock"
    )]
    now: Timestamp::now,
    random: rand::random::<f64>,
};

fn limits(config: &Config) -> Limits {
    Limits {
        time: config.polling.poll_timeout,
        connect: config.polling.poll_connect_timeout,
        body: config.polling.answer_limit as usize,
    }
}

fn heartbeats(
    config: &Config,
    registry: &Arc<Registry>,
    memory: &Arc<Memory>,
    metrics: &Metrics,
) -> Heartbeats {
    let options = &config.heartbeats;
    Heartbeats {
        registry: Arc::clone(registry),
        memory: Arc::clone(memory),
        policy: config.cadence.policy(),
        ambient: AMBIENT,
        metrics: metrics.clone(),
        limits: heartbeat::Limits::new(
            Rate {
                per_second: options.heartbeat_rate,
                burst: options.heartbeat_burst,
            },
            Rate {
                per_second: options.failed_token_rate,
                burst: options.failed_token_burst,
            },
        ),
        bounds: heartbeat::Bounds {
            body: options.heartbeat_limit as usize,
            body_time: options.heartbeat_body_timeout,
            wait: options.heartbeat_wait,
            report: config.polling.report_limit as usize,
        },
        places: Semaphore::new(options.heartbeat_concurrency.into()),
        outlet: OnceLock::new(),
    }
}

async fn not_found() -> axum::response::Response {
    service::http::problem(StatusCode::NOT_FOUND, "not found", "there is nothing here")
}

async fn connect(config: &Config) -> anyhow::Result<Bus> {
    let nats = &config.nats;
    let bus = Bus::connect(BusOptions {
        token: nats.nats_token.clone(),
        credentials: nats.nats_credentials.clone(),
        api_timeout: nats.nats_timeout,
        replicas: nats.nats_replicas,
        ..BusOptions::new(nats.nats_url.as_str(), "dtma-poller")
    })
    .await
    .context("failed to connect to NATS")?;
    Ok(bus)
}

/// Sees to it that all streams are there. Where the stream of the schedules is another than before, they are all gone
/// and made again at once.
async fn streams(
    bus: Bus,
    every: Duration,
    timetable: Arc<Timetable>,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut known = None;
    loop {
        let ensured = tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(()),
            ensured = async {
                bus.ensure_streams().await?;
                bus.stream_state(&POLLS).await
            } => ensured,
        };
        match ensured {
            Ok(state) => {
                readiness.set(STREAMS, Ok(()));
                if known
                    .replace(state.created_at)
                    .is_some_and(|before| before != state.created_at)
                {
                    tracing::warn!("the stream of the schedules was made anew");
                    timetable.reconcile_soon();
                }
            }
            Err(error) if error.is_transient() => {
                tracing::warn!(error = %error, "failed to check the streams, trying again");
                readiness.set(STREAMS, Err("not checked lately".to_owned()));
            }
            // Streams of another make under our names are for people to sort out; they are never changed by us.
            Err(error) => return Err(error).context("failed to ensure the streams"),
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(every) => {}
        }
    }
}

/// Polls what is due, once all toolboxes are known: what is not known is taken for gone.
async fn polls(
    bus: Bus,
    poller: Arc<Poller>,
    registry: Arc<Registry>,
    concurrency: u16,
    shutdown: CancellationToken,
    stop_http: CancellationToken,
) -> anyhow::Result<()> {
    let _stop_http = stop_http.drop_guard();
    let mut loaded = registry.loaded();
    tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        loaded = loaded.wait_for(|loaded| *loaded) => drop(loaded?),
    }
    bus::consume(&bus, &POLLER, concurrency.into(), shutdown, move |due| {
        let poller = Arc::clone(&poller);
        async move { poller.handle(due).await }
    })
    .await
    .context("failed to consume due polls")
}

/// Carries commands out, once all toolboxes are known: what is not known is taken for gone.
async fn commands(
    bus: Bus,
    commander: Arc<Commander>,
    registry: Arc<Registry>,
    concurrency: u16,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut loaded = registry.loaded();
    tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        loaded = loaded.wait_for(|loaded| *loaded) => drop(loaded?),
    }
    bus::consume(&bus, &COMMANDER, concurrency.into(), shutdown, move |command| {
        let commander = Arc::clone(&commander);
        async move { commander.handle(command).await }
    })
    .await
    .context("failed to consume commands")
}

/// Tells whether the service is ready, and forgets limits that are whole again.
async fn watch(
    bus: Bus,
    registry: Arc<Registry>,
    heartbeats: Arc<Heartbeats>,
    readiness: Readiness,
    lifecycle: Lifecycle,
    url: String,
) -> anyhow::Result<()> {
    let mut told = false;
    let mut loaded = registry.loaded();
    loop {
        readiness.set(
            NATS,
            if bus.is_connected() {
                Ok(())
            } else {
                Err("not connected".to_owned())
            },
        );
        readiness.set(
            REGISTRY,
            if registry.is_loaded() {
                Ok(())
            } else {
                Err("not read yet".to_owned())
            },
        );
        if !told && readiness.get().is_ok() {
            tracing::info!(url, "ready");
            lifecycle.ready(url.as_str());
            told = true;
        }
        heartbeats.limits.tidy();
        tokio::select! {
            () = lifecycle.shutdown.cancelled() => return Ok(()),
            Ok(()) = loaded.changed() => {}
            // Whoever started the service waits for its first readiness.
            () = tokio::time::sleep(if told { TICK } else { TICK / 20 }) => {}
        }
    }
}
