//! A poller with a NATS server of its own, for tests that go all the way.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

pub mod commands;

use std::collections::HashSet;
use std::future::Future;
use std::time::Duration;

use bus::{Bucket, Bus, BusOptions, SealingKey, TokenHash};
use domain::{InstanceName, ServerId, ToolboxId};
use dtma_poller::Config;
use dtma_sim::{Sim, SimConfig, SimHandle, ToolboxInfo};
use embedded::{NatsOptions, NatsServer};
use secrecy::SecretString;
use service::Lifecycle;
use service::options::{HttpOptions, LogFormat, NatsOptions as NatsAddress, TelemetryOptions};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wire::streams::{DTMA_RAW, POLLS};
use wire::{InstanceEntry, PollPlan, RawOutcome, RawReport, ToolboxEntry, subjects};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// Looks until there is something, and fails with `what` when there never is.
pub async fn eventually<T, Fut>(what: &str, mut look: impl FnMut() -> Fut) -> T
where
    Fut: Future<Output = Option<T>>,
{
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(LOOK).await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("never: {what}"))
}

/// A NATS server, a connection to it, and the key that seals tokens.
pub struct World {
    pub nats: NatsServer,
    pub bus: Bus,
    pub toolboxes: Bucket<ToolboxEntry>,
    pub key: SealingKey,
    pub secret: SecretString,
    _dir: TempDir,
}

/// A poller that runs.
pub struct Running {
    pub url: String,
    pub shutdown: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl World {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = NatsOptions {
            sync_always: false,
            ..NatsOptions::new(dir.path())
        };
        let nats = NatsServer::start(options).await.unwrap();
        let bus = Bus::connect(BusOptions::new(nats.url(), "test")).await.unwrap();
        bus.ensure_streams().await.unwrap();
        let toolboxes = bus.bucket().await.unwrap();
        let (key, secret) = SealingKey::generate();
        Self {
            nats,
            bus,
            toolboxes,
            key,
            secret,
            _dir: dir,
        }
    }

    /// The configuration of a poller here that is as quick as a schedule allows.
    pub fn config(&self) -> Config {
        let nats = NatsAddress {
            nats_url: self.nats.url(),
            nats_token: None,
            nats_credentials: None,
            nats_timeout: Duration::from_secs(2),
            nats_replicas: 1,
        };
        let http = HttpOptions {
            listen: ([127, 0, 0, 1], 0).into(),
        };
        let telemetry = TelemetryOptions {
            log: "off".to_owned(),
            log_format: LogFormat::Pretty,
        };
        let mut config = Config::new(nats, http, telemetry, self.secret.clone());
        let second = Duration::from_secs(1);
        config.cadence.every_transition = second;
        config.cadence.every_running = second;
        config.cadence.every_error = second;
        config.cadence.every_stopped = second;
        config.cadence.backoff_max = 2 * second;
        config.cadence.dead_man = Duration::from_secs(3_600);
        config.upkeep.reconcile_every = Duration::from_secs(3_600);
        config.upkeep.streams_every = Duration::from_millis(200);
        config.heartbeats.failed_token_burst = 10_000.try_into().unwrap();
        config
    }

    pub async fn poller(&self) -> Running {
        Running::start(self.config()).await
    }

    /// The registry's entry of a simulated toolbox.
    pub fn entry(&self, toolbox: &ToolboxInfo) -> ToolboxEntry {
        let token = SecretString::from(toolbox.token.clone());
        ToolboxEntry {
            toolbox_id: toolbox.id,
            account_id: toolbox.account_id,
            base_url: Some(toolbox.base_url.clone()),
            sealed_token: Some(self.key.seal(ToolboxId(toolbox.id), &token)),
            token_hash: Some(TokenHash::of(&toolbox.token).to_hex()),
            instances: toolbox
                .instances
                .iter()
                .map(|instance| InstanceEntry {
                    server_id: instance.id,
                    name: instance.name.clone(),
                    monitored: true,
                    seen: true,
                    commanded: false,
                })
                .collect(),
        }
    }

    /// Tells the registry of a simulated toolbox.
    pub async fn register(&self, toolbox: &ToolboxInfo) {
        self.toolboxes.put(&self.entry(toolbox)).await.unwrap();
    }

    /// A toolbox that nobody can reach, with this token.
    pub async fn push_only(&self, id: u128, token: &str) -> ToolboxId {
        let toolbox = ToolboxId(Uuid::from_u128(id));
        let entry = ToolboxEntry {
            toolbox_id: toolbox.0,
            account_id: Uuid::from_u128(99),
            base_url: None,
            sealed_token: None,
            token_hash: Some(TokenHash::of(token).to_hex()),
            instances: Vec::new(),
        };
        self.toolboxes.put(&entry).await.unwrap();
        toolbox
    }

    /// The newest report of a toolbox.
    pub async fn report(&self, toolbox: Uuid) -> Option<RawReport> {
        let found = self
            .bus
            .last(&DTMA_RAW, &subjects::raw(ToolboxId(toolbox)))
            .await
            .ok()??;
        Some(RawReport::decode(&found.body).unwrap())
    }

    /// The newest report of a toolbox, once there is one that is `wanted`.
    pub async fn report_that(
        &self,
        what: &str,
        toolbox: Uuid,
        wanted: impl Fn(&RawReport) -> bool,
    ) -> RawReport {
        eventually(what, async || {
            self.report(toolbox).await.filter(|report| wanted(report))
        })
        .await
    }

    /// The plan of a toolbox's schedule.
    pub async fn plan(&self, toolbox: Uuid) -> Option<PollPlan> {
        let found = self
            .bus
            .last(&POLLS, &subjects::schedule(ToolboxId(toolbox)))
            .await
            .ok()??;
        Some(PollPlan::decode(&found.body).unwrap())
    }

    /// The plan of a toolbox's schedule, once it is `wanted`.
    pub async fn plan_that(&self, what: &str, toolbox: Uuid, wanted: impl Fn(&PollPlan) -> bool) -> PollPlan {
        eventually(what, async || {
            self.plan(toolbox).await.filter(|plan| wanted(plan))
        })
        .await
    }

    /// Waits until exactly these toolboxes have a schedule.
    pub async fn scheduled(&self, what: &str, toolboxes: &[Uuid]) {
        let expected: HashSet<ToolboxId> = toolboxes.iter().copied().map(ToolboxId).collect();
        eventually(what, async || {
            self.bus
                .schedules()
                .existing()
                .await
                .ok()
                .filter(|existing| *existing == expected)
        })
        .await;
    }

    /// Publishes bytes as they are.
    pub async fn publish(&self, subject: &str, body: &str) {
        ask_nats(
            &self.nats,
            &format!("PUB {subject} {}\r\n{body}\r\n", body.len()),
            "PONG",
        )
        .await;
    }

    /// Deletes a stream behind everybody's back.
    pub async fn delete_stream(&self, name: &str) {
        let request = format!("SUB answer 1\r\nPUB $JS.API.STREAM.DELETE.{name} answer 0\r\n\r\n");
        ask_nats(&self.nats, &request, "\"success\":true").await;
    }
}

/// Speaks to the server in its own words, until it has said `last`.
async fn ask_nats(nats: &NatsServer, request: &str, last: &str) {
    let stream = TcpStream::connect(nats.address()).await.unwrap();
    let mut stream = BufReader::new(stream);
    stream
        .write_all(format!("CONNECT {{\"verbose\":false}}\r\n{request}PING\r\n").as_bytes())
        .await
        .unwrap();
    let mut said = String::new();
    tokio::time::timeout(PATIENCE, async {
        while !said.contains(last) {
            assert_ne!(stream.read_line(&mut said).await.unwrap(), 0, "{said}");
        }
    })
    .await
    .unwrap_or_else(|_| panic!("the server said only {said}"));
}

impl Running {
    pub async fn start(config: Config) -> Self {
        let (shutdown, mut host, task) = begin(config);
        let url = tokio::time::timeout(PATIENCE, host.wait_for(Option::is_some))
            .await
            .expect("the poller never became ready")
            .expect("the poller ended")
            .clone()
            .unwrap();
        Self { url, shutdown, task }
    }

    /// Stops it, and waits until it is over.
    pub async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(PATIENCE, self.task)
            .await
            .expect("the poller did not stop")
            .unwrap()
            .unwrap();
    }
}

impl Running {
    /// Ends it as a machine that loses its power does: nothing is finished, nothing put back.
    pub async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

/// A poller that may not become ready.
pub fn begin(
    config: Config,
) -> (
    CancellationToken,
    tokio::sync::watch::Receiver<Option<String>>,
    JoinHandle<anyhow::Result<()>>,
) {
    let shutdown = CancellationToken::new();
    let (lifecycle, host) = Lifecycle::new(shutdown.clone());
    (shutdown, host, tokio::spawn(dtma_poller::run(config, lifecycle)))
}

/// A simulation.
pub async fn sim(config: SimConfig) -> SimHandle {
    Sim::start(config, CancellationToken::new()).await.unwrap()
}

/// How often a simulated agent was asked for its status.
pub fn polls(sim: &SimHandle, toolbox: Uuid) -> u64 {
    let requests = sim.toolbox_stats(toolbox).unwrap().requests;
    requests
        .iter()
        .filter(|(route, _)| route.ends_with("/status"))
        .map(|(_, count)| count)
        .sum()
}

/// The containers of a report, as (name or id, word).
pub fn words(report: &RawReport) -> Vec<(String, String)> {
    let RawOutcome::Containers { containers, .. } = &report.outcome else {
        panic!("no containers: {report:?}");
    };
    let name = |container: &wire::RawContainer| match container.server_id {
        Some(id) => ServerId(id).to_string(),
        None => container
            .names
            .iter()
            .find_map(|name| InstanceName::new(name))
            .unwrap()
            .to_string(),
    };
    containers
        .iter()
        .map(|container| (name(container), container.word.clone()))
        .collect()
}

/// Failures in a row that a report tells of, with the code.
pub fn failures(report: &RawReport) -> Option<(u32, &str)> {
    match &report.outcome {
        RawOutcome::Failed {
            reason,
            failures_in_a_row,
        } => Some((*failures_in_a_row, &reason.code)),
        _ => None,
    }
}
