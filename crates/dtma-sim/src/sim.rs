//! Starting a simulation and holding it: the tasks, their order of ending, and the methods scripts use.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::http::HeaderValue;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::chaos::{self, Chaos};
use crate::clock::Clock;
use crate::config::SimConfig;
use crate::control;
use crate::fleet::Fleet;
use crate::handle::SimHandle;
use crate::heartbeat::{self, Heartbeats};
use crate::net::{self, Limits, OWN_BACKLOG, Peer, Ports, SHARED_BACKLOG};
use crate::registry;
use crate::toolbox::Payload;

/// How long answers under way may take to finish once the simulation is to end. The whole must stop within a second.
const GRACE: Duration = Duration::from_millis(300);

/// What every part of a running simulation knows.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) fleet: Fleet,
    pub(crate) clock: Clock,
    pub(crate) base_url: String,
    pub(crate) gzip: bool,
    pub(crate) keep_alive_header: Option<HeaderValue>,
    pub(crate) delays: Delays,
    pub(crate) heartbeats: Heartbeats,
    pub(crate) heartbeats_late: AtomicU64,
    pub(crate) chaos_events: AtomicU64,
    pub(crate) shutdown: CancellationToken,
}

/// How long commands take to work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delays {
    pub(crate) pull: Duration,
    pub(crate) start: Duration,
    pub(crate) stop: Duration,
}

/// The entry to simulations.
#[derive(Debug)]
pub struct Sim;

impl Sim {
    /// Starts a simulation on the machine's clock. It runs until `shutdown` is cancelled, or the handle is shut down
    /// or dropped.
    ///
    /// # Errors
    /// When the configuration is not possible, a port is taken, or a payload or registry file cannot be used.
    pub async fn start(config: SimConfig, shutdown: CancellationToken) -> anyhow::Result<SimHandle> {
        Self::start_at(config, Clock::system(), shutdown).await
    }

    /// Starts a simulation on a clock of the caller's, such as a [`crate::ManualClock`]. Heartbeats and simulated
    /// slowness follow real time all the same.
    ///
    /// # Errors
    /// As [`Sim::start`].
    pub async fn start_at(
        config: SimConfig,
        clock: Clock,
        shutdown: CancellationToken,
    ) -> anyhow::Result<SimHandle> {
        config.validate()?;
        let payloads = read_payloads(&config).await?;
        let shared_port = open(config.listen, SHARED_BACKLOG)?;
        let own_ports = open_own_ports(&config)?;
        let host = advertised_host(&config);
        let base_url = format!("http://{host}:{}", shared_port.local_addr()?.port());
        url::Url::parse(&base_url).with_context(|| format!("--advertise-host {host} is not a host"))?;
        let numbers: Vec<u16> = own_ports
            .iter()
            .map(|port| Ok(port.local_addr()?.port()))
            .collect::<std::io::Result<_>>()?;
        let shared_number = shared_port.local_addr()?.port();
        let fleet = Fleet::build(&config, clock.now(), |index, id| match numbers.get(index) {
            Some(port) => (format!("http://{host}:{port}"), *port),
            None => (format!("{base_url}/t/{id}"), shared_number),
        })?;
        for toolbox in &fleet.toolboxes {
            for (path, payload) in &payloads {
                toolbox.serve(path, payload.clone())?;
            }
        }

        let shutdown = shutdown.child_token();
        let kill = CancellationToken::new();
        let limits = Limits {
            connections: Arc::new(Semaphore::new(config.max_connections)),
            idle: (!config.keep_alive.is_zero()).then_some(config.keep_alive),
            kill: kill.clone(),
        };
        let populated = !fleet.toolboxes.is_empty();
        let chaos = Chaos::new(fleet.seed, config.chaos_per_minute, clock.now()).filter(|_| populated);
        let keep_alive = config.keep_alive.as_secs();
        let shared = Arc::new(Shared {
            clock,
            base_url,
            gzip: config.gzip,
            keep_alive_header: (keep_alive > 0)
                .then(|| HeaderValue::from_str(&format!("timeout={keep_alive}")))
                .transpose()?,
            delays: Delays {
                pull: config.pull_delay,
                start: config.start_delay,
                stop: config.stop_delay,
            },
            heartbeats: Heartbeats::new(&config).context("failed to set up the heartbeat client")?,
            heartbeats_late: AtomicU64::new(0),
            chaos_events: AtomicU64::new(0),
            shutdown: shutdown.clone(),
            fleet,
        });
        if let Some(file) = &config.write_registry {
            registry::write(file, &shared).await?;
        }

        let mut tasks = JoinSet::new();
        let front = Ports::new([(None, shared_port)], limits.clone());
        tasks.spawn(serve(
            front,
            control::router(Arc::clone(&shared)),
            shutdown.clone(),
            kill.clone(),
        ));
        if !own_ports.is_empty() {
            let ports = own_ports
                .into_iter()
                .enumerate()
                .map(|(index, port)| (Some(index), port));
            let agents = control::agents_only(Arc::clone(&shared));
            tasks.spawn(serve(
                Ports::new(ports, limits),
                agents,
                shutdown.clone(),
                kill.clone(),
            ));
        }
        if shared.heartbeats.are_sent() && populated {
            let shared = Arc::clone(&shared);
            tasks.spawn(async move {
                heartbeat::schedule(shared).await;
                Ok(())
            });
        }
        if let Some(chaos) = chaos {
            let shared = Arc::clone(&shared);
            tasks.spawn(async move {
                chaos::drive(shared, chaos).await;
                Ok(())
            });
        }
        tracing::info!(url = %shared.base_url, toolboxes = shared.fleet.toolboxes.len(), "simulated agents are up");
        Ok(SimHandle::new(shared, tasks, shutdown, kill))
    }
}

/// Serves until the shutdown, lets answers under way finish for a moment, then cuts what is left.
async fn serve(
    ports: Ports,
    router: Router,
    shutdown: CancellationToken,
    kill: CancellationToken,
) -> anyhow::Result<()> {
    let make = router.into_make_service_with_connect_info::<Peer>();
    let serving = axum::serve(ports, make).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let cut = async {
        shutdown.cancelled().await;
        tokio::time::sleep(GRACE).await;
        kill.cancel();
        std::future::pending().await
    };
    tokio::select! {
        served = serving.into_future() => served.context("failed to serve"),
        never = cut => never,
    }
}

async fn read_payloads(config: &SimConfig) -> anyhow::Result<Vec<(String, Payload)>> {
    let mut payloads = Vec::with_capacity(config.payload_file.len());
    for wanted in &config.payload_file {
        let file = wanted.file.display();
        let body = tokio::fs::read(&wanted.file)
            .await
            .with_context(|| format!("failed to read the payload file {file}"))?;
        anyhow::ensure!(
            body.len() <= control::MAX_BODY,
            "the payload file {file} is larger than 16 MiB"
        );
        let content_type = "application/json; charset=utf-8".to_owned();
        payloads.push((
            wanted.path.clone(),
            Payload {
                status: 200,
                content_type,
                body: body.into(),
            },
        ));
    }
    Ok(payloads)
}

fn open(address: SocketAddr, backlog: u32) -> anyhow::Result<TcpListener> {
    net::bind(address, backlog).with_context(|| format!("failed to listen on {address}"))
}

fn open_own_ports(config: &SimConfig) -> anyhow::Result<Vec<TcpListener>> {
    if !config.own_ports() {
        return Ok(Vec::new());
    }
    (0..config.toolboxes)
        .map(|index| {
            let port = config
                .ports_from
                .map_or(0, |first| first.saturating_add(u16::try_from(index).unwrap_or(0)));
            open(SocketAddr::new(config.listen.ip(), port), OWN_BACKLOG)
        })
        .collect()
}

/// The host of base URLs: as configured, else the address we listen on, which for "all addresses" is this machine.
fn advertised_host(config: &SimConfig) -> String {
    let local = match config.listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    config.advertise_host.clone().unwrap_or_else(|| match local {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    })
}

impl Shared {
    /// The toolboxes a fleet-wide order is for: those named, or all.
    pub(crate) fn select(&self, ids: Option<&[Uuid]>) -> Result<Vec<usize>, crate::SimError> {
        let Some(ids) = ids else {
            return Ok((0..self.fleet.toolboxes.len()).collect());
        };
        let mut seen = HashSet::with_capacity(ids.len());
        ids.iter()
            .filter(|id| seen.insert(**id))
            .map(|id| {
                self.fleet
                    .index_of(*id)
                    .ok_or_else(|| crate::SimError::UnknownToolbox(id.to_string()))
            })
            .collect()
    }
}
