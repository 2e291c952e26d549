//! Every service as a process of its own, on private servers, exporting to the sink. The processes are this very program,
//! started again under a service's name.

use std::net::TcpListener;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Instant;

use clap::Parser as _;
use dtma_sim::{DialectMix, Sim, SimConfig, SimHandle};
use embedded::{NatsOptions, NatsServer, Postgres, PostgresOptions};
use secrecy::{ExposeSecret as _, SecretString};
use store::{Database, DatabaseOptions};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::PATIENCE;

/// What tokens are signed with.
pub(crate) const JWT_SECRET: &str = "a secret of the tests, long enough to be one";

/// The service that this process is to be; `None`: it is the test.
pub(crate) fn service() -> Option<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().filter(|name| name == "service")?;
    let arguments: Vec<String> = arguments.collect();
    let exit = match arguments.first().map(String::as_str) {
        Some("dtma-poller") => {
            let config = dtma_poller::Config::parse_from(&arguments);
            let telemetry = config.telemetry.clone();
            service::main("dtma-poller", &telemetry, |lifecycle| {
                dtma_poller::run(config, lifecycle)
            })
        }
        Some("status-mapper") => {
            let config = status_mapper::Config::parse_from(&arguments);
            let telemetry = config.telemetry.clone();
            service::main("status-mapper", &telemetry, |lifecycle| {
                status_mapper::run(config, lifecycle)
            })
        }
        Some("status-api") => {
            let config = status_api::Config::parse_from(&arguments);
            let telemetry = config.telemetry.clone();
            service::main("status-api", &telemetry, |lifecycle| {
                status_api::run(config, lifecycle)
            })
        }
        Some("notifier") => {
            let config = notifier::Config::parse_from(&arguments);
            let telemetry = config.telemetry.clone();
            service::main("notifier", &telemetry, |lifecycle| {
                notifier::run(config, lifecycle)
            })
        }
        other => panic!("{name} {other:?}"),
    };
    Some(exit)
}

pub(crate) struct Stack {
    pub(crate) sim: SimHandle,
    pub(crate) notifier: Process,
    pub(crate) api: Process,
    pub(crate) poller: Process,
    _mapper: Process,
    pub(crate) nats: NatsServer,
    sealing_key: SecretString,
    otlp: String,
    _postgres: Postgres,
    _dir: TempDir,
}

impl Stack {
    /// One toolbox with one server, asked every second.
    pub(crate) async fn start(otlp: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut nats = NatsOptions::new(dir.path().join("nats"));
        nats.sync_always = false;
        let mut postgres = PostgresOptions::new(dir.path().join("postgres"));
        postgres.durable = false;
        let (nats, postgres) = tokio::join!(NatsServer::start(nats), Postgres::start(postgres));
        let (nats, postgres) = (nats.unwrap(), postgres.unwrap());
        postgres.ensure_database("status").await.unwrap();
        let url = SecretString::from(postgres.url("status"));
        let database = Database::connect(&DatabaseOptions::new(url.clone()))
            .await
            .unwrap();
        database.migrate().await.unwrap();
        let (_, sealing_key) = bus::SealingKey::generate();
        let url = url.expose_secret();
        let key = sealing_key.expose_secret();

        let bus = nats.url();
        let start = |name, more: &[&str]| Process::start(name, &bus, otlp, &[], more);
        let mapper = start("status-mapper", &["--database-url", url, "--sealing-key", key]);
        let poller = start_poller(&bus, otlp, key, &[]);
        let api = start("status-api", &["--database-url", url, "--jwt-secret", JWT_SECRET]);
        let hooks = ["--webhook-allow", "127.0.0.0/8", "--webhook-allow-http"];
        let own = ["--jwt-secret", JWT_SECRET, "--sealing-key", key];
        let notifier = start("notifier", &[&own[..], &hooks].concat());
        for process in [&mapper, &poller, &api, &notifier] {
            process.ready().await;
        }
        let config = SimConfig {
            toolboxes: 1,
            containers_per_toolbox: 1,
            dialect: DialectMix::B,
            heartbeat_url: Some(poller.url.parse().unwrap()),
            heartbeat_interval: std::time::Duration::from_secs(24 * 3600),
            start_delay: std::time::Duration::ZERO,
            stop_delay: std::time::Duration::ZERO,
            ..SimConfig::default()
        };
        let sim = Sim::start(config, CancellationToken::new()).await.unwrap();
        statusctl::up::demo::register(&database, &sim.fleet())
            .await
            .unwrap();
        database.close().await;
        Self {
            sim,
            notifier,
            api,
            poller,
            _mapper: mapper,
            nats,
            otlp: otlp.to_owned(),
            sealing_key,
            _postgres: postgres,
            _dir: dir,
        }
    }

    /// Puts another poller in the place of the one that is there.
    pub(crate) async fn replace_poller(&mut self, variables: &[(&str, &str)]) {
        self.poller.end().await;
        let key = self.sealing_key.expose_secret();
        self.poller = start_poller(&self.nats.url(), &self.otlp, key, variables);
        self.poller.ready().await;
    }
}

fn start_poller(bus: &str, otlp: &str, key: &str, variables: &[(&str, &str)]) -> Process {
    let mut options = vec!["--sealing-key", key];
    for option in [
        "--every-transition",
        "--every-running",
        "--every-error",
        "--every-stopped",
        "--backoff-max",
        "--dead-man",
    ] {
        options.extend([option, "1s"]);
    }
    Process::start("dtma-poller", bus, otlp, variables, &options)
}

/// A service. Killed when dropped.
pub(crate) struct Process {
    pub(crate) url: String,
    child: Child,
    lines: tempfile::NamedTempFile,
}

impl Process {
    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.lines.path()).unwrap()
    }

    fn start(name: &str, bus: &str, otlp: &str, variables: &[(&str, &str)], more: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        // What it logs is read.
        let lines = tempfile::NamedTempFile::new().unwrap();
        let log = std::env::var("E2E_LOG").unwrap_or_else(|_| "error".to_owned());
        let child = Command::new(std::env::current_exe().unwrap())
            .args([
                "service",
                name,
                "--nats-url",
                bus,
                "--listen",
                &address,
                "--log",
                &log,
                "--log-format",
                "json",
            ])
            .args(more)
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", otlp)
            .env("OTEL_BSP_SCHEDULE_DELAY", "50")
            .env("OTEL_METRIC_EXPORT_INTERVAL", "200")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stderr(lines.reopen().unwrap())
            .spawn()
            .unwrap();
        Self {
            url: format!("http://{address}"),
            child,
            lines,
        }
    }

    async fn ready(&self) {
        let began = Instant::now();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        loop {
            let answer = http.get(format!("{}/readyz", self.url)).send().await;
            if answer.is_ok_and(|answer| answer.status() == 200) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{} is not ready", self.url);
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    async fn end(&mut self) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        let began = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(began.elapsed() < PATIENCE, "{} does not end", self.url);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // What a test that fails has to say besides.
        if std::thread::panicking() {
            eprintln!("── {}\n{}", self.url, self.log());
        }
    }
}
