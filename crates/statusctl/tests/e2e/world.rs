//! A private nats-server, a private PostgreSQL, the services and a simulated fleet, for one test.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bus::{Bus, BusOptions, From as Begin, permissions};
use clap::Parser as _;
use dtma_sim::{DialectMix, Sim, SimConfig, SimHandle, ToolboxInfo};
use embedded::{NatsOptions, NatsServer, Postgres, PostgresOptions};
use futures_util::StreamExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use service::Lifecycle;
use sqlx::PgPool;
use store::{Database, DatabaseOptions};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wire::{streams, subjects};

/// No condition here takes longer on a machine that works; it bounds a test that will fail, and asserts nothing else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a test starts with.
pub(crate) struct Setup {
    pub(crate) toolboxes: usize,
    pub(crate) containers: usize,
    pub(crate) dialect: DialectMix,
    pub(crate) mappers: usize,
    pub(crate) pollers: usize,
    /// More options of status-mapper.
    pub(crate) mapper: Vec<&'static str>,
    /// More options of dtma-poller.
    pub(crate) poller: Vec<&'static str>,
    pub(crate) apis: usize,
    /// More options of status-api.
    pub(crate) api: Vec<&'static str>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            toolboxes: 1,
            containers: 2,
            dialect: DialectMix::B,
            mappers: 1,
            pollers: 1,
            mapper: vec![],
            // Polls every second, the finest a schedule can be; each test says what else it needs.
            poller: QUICK.to_vec(),
            apis: 0,
            api: vec![],
        }
    }
}

/// Every cadence a second.
pub(crate) const QUICK: [&str; 12] = [
    "--every-transition",
    "1s",
    "--every-running",
    "1s",
    "--every-error",
    "1s",
    "--every-stopped",
    "1s",
    "--backoff-max",
    "1s",
    "--dead-man",
    "1s",
];

/// Polls so rare that whatever a test sees came by a heartbeat.
pub(crate) const NO_POLLS: [&str; 12] = [
    "--every-transition",
    "1h",
    "--every-running",
    "1h",
    "--every-error",
    "1h",
    "--every-stopped",
    "1h",
    "--backoff-max",
    "1h",
    "--dead-man",
    "1h",
];

pub(crate) struct World {
    pub(crate) nats: NatsServer,
    pub(crate) postgres: Postgres,
    pub(crate) pool: PgPool,
    pub(crate) database: Database,
    pub(crate) bus: Bus,
    pub(crate) sim: SimHandle,
    pub(crate) events: Events,
    mappers: Vec<Hosted>,
    pollers: Vec<Hosted>,
    apis: Vec<Hosted>,
    sealing_key: SecretString,
    mapper_url: SecretString,
    mapper_options: Vec<&'static str>,
    stop_following: CancellationToken,
    dir: TempDir,
}

struct Hosted {
    url: String,
    shutdown: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl World {
    /// Starts everything and registers the fleet; returns when the services are ready.
    pub(crate) async fn start(setup: Setup) -> Self {
        let world = Self::start_unregistered(setup).await;
        world.register(&world.sim.fleet()).await;
        world
    }

    /// As [`World::start`], with nothing in the registry.
    pub(crate) async fn start_unregistered(setup: Setup) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut nats = NatsOptions::new(dir.path().join("nats"));
        nats.sync_always = false;
        // As in production: each service may do what it must, and nothing else.
        nats.more = permissions::whole(password, "");
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
        let url_of = roles(&database, &url).await;

        let (_, sealing_key) = bus::SealingKey::generate();
        let key = sealing_key.clone();
        let mut mappers = Vec::new();
        for _ in 0..setup.mappers {
            let config = mapper(
                &login(&nats, "status-mapper"),
                &url_of("status_sync_mapper"),
                &key,
                &setup.mapper,
            );
            mappers.push(host(|lifecycle| status_mapper::run(config, lifecycle)).await);
        }
        let mut pollers = Vec::new();
        for _ in 0..setup.pollers {
            let config = poller(&login(&nats, "dtma-poller"), &key, &setup.poller);
            pollers.push(host(|lifecycle| dtma_poller::run(config, lifecycle)).await);
        }
        let mut apis = Vec::new();
        for _ in 0..setup.apis {
            let config = api(
                &login(&nats, "status-api"),
                &url_of("status_sync_api"),
                &setup.api,
            );
            apis.push(host(|lifecycle| status_api::run(config, lifecycle)).await);
        }
        let poller_url = pollers[0].url.clone();
        let config = SimConfig {
            toolboxes: setup.toolboxes,
            containers_per_toolbox: setup.containers,
            dialect: setup.dialect,
            // Heartbeats go out when a test says so.
            heartbeat_url: Some(poller_url.parse().unwrap()),
            heartbeat_interval: Duration::from_secs(24 * 3600),
            start_delay: Duration::ZERO,
            stop_delay: Duration::ZERO,
            ..SimConfig::default()
        };
        let sim = Sim::start(config, CancellationToken::new()).await.unwrap();

        let bus = connect(&login(&nats, "admin")).await;
        let stop_following = CancellationToken::new();
        let events = Events::follow(&bus, stop_following.clone());
        let pool = database.pool().clone();
        Self {
            nats,
            postgres,
            pool,
            database,
            bus,
            sim,
            events,
            mappers,
            pollers,
            apis,
            sealing_key,
            mapper_url: url_of("status_sync_mapper"),
            mapper_options: setup.mapper,
            stop_following,
            dir,
        }
    }

    /// Inserts toolboxes and instances as the owner application would.
    pub(crate) async fn register(&self, fleet: &[ToolboxInfo]) {
        statusctl::up::demo::register(&self.database, fleet)
            .await
            .unwrap();
    }

    /// Waits until every instance of the fleet is announced as running and healthy.
    pub(crate) async fn all_running(&self) {
        for toolbox in self.sim.fleet() {
            for instance in toolbox.instances {
                self.events
                    .wait_for(instance.id, "running and healthy", |event| {
                        event["state"] == "running" && event["health"] == "healthy"
                    })
                    .await;
            }
        }
    }

    /// A row, as an operator would read it.
    pub(crate) async fn row(&self, server: Uuid) -> Value {
        sqlx::query_scalar("SELECT to_jsonb(i) FROM account_tool_instances i WHERE id = $1")
            .bind(server)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// The (version, state, health) history of a server.
    pub(crate) async fn history(&self, server: Uuid) -> Vec<(i64, Option<String>, Option<String>)> {
        sqlx::query_as(
            "SELECT version, state, health FROM status_changes WHERE subject_id = $1 ORDER BY version",
        )
        .bind(server)
        .fetch_all(&self.pool)
        .await
        .unwrap()
    }

    /// A metric's value at the services' /metrics: the sum of all series whose line contains every one of `parts`.
    pub(crate) fn metric(&self, parts: &[&str]) -> f64 {
        metric(parts)
    }

    /// Waits for a condition on the world, bounded.
    pub(crate) async fn until<Fut: Future<Output = bool>>(&self, what: &str, mut holds: impl FnMut() -> Fut) {
        let began = Instant::now();
        while !holds().await {
            assert!(
                began.elapsed() < PATIENCE,
                "{what}: not within {PATIENCE:?}; events:\n{}",
                self.events.dump()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Where the `index`-th status-api is.
    pub(crate) fn api_url(&self, index: usize) -> &str {
        &self.apis[index].url
    }

    /// Starts one more poller.
    pub(crate) async fn add_poller(&mut self, more: &[&str]) {
        let config = poller(&login(&self.nats, "dtma-poller"), &self.sealing_key, more);
        let hosted = host(|lifecycle| dtma_poller::run(config, lifecycle)).await;
        self.pollers.push(hosted);
    }

    /// Starts a notifier; it ends with the status-apis.
    pub(crate) async fn add_notifier(&mut self, more: &[&str]) {
        let config = notifier(&login(&self.nats, "notifier"), &self.sealing_key, more);
        let hosted = host(|lifecycle| notifier::run(config, lifecycle)).await;
        self.apis.push(hosted);
    }

    /// Ends the `index`-th poller as a crash does: nothing is finished, acknowledged or given back.
    pub(crate) async fn kill_poller(&mut self, index: usize) {
        let killed = self.pollers.remove(index);
        killed.task.abort();
        assert!(killed.task.await.unwrap_err().is_cancelled());
    }

    /// Starts a mapper like those that the world began with.
    pub(crate) async fn add_mapper(&mut self) {
        let config = mapper(
            &login(&self.nats, "status-mapper"),
            &self.mapper_url,
            &self.sealing_key,
            &self.mapper_options,
        );
        self.mappers
            .push(host(|lifecycle| status_mapper::run(config, lifecycle)).await);
    }

    /// Keeps what the database is now. The server stops for it.
    pub(crate) async fn back_up(&mut self) {
        self.postgres.stop().await.unwrap();
        copy(self.postgres.cluster(), &self.dir.path().join("backup"));
        self.postgres.restart().await.unwrap();
    }

    /// Puts back what was kept.
    pub(crate) async fn restore(&mut self) {
        self.postgres.stop().await.unwrap();
        std::fs::remove_dir_all(self.postgres.cluster()).unwrap();
        copy(&self.dir.path().join("backup"), self.postgres.cluster());
        self.postgres.restart().await.unwrap();
    }

    /// Ends all mappers in order.
    pub(crate) async fn stop_mappers(&mut self) {
        for hosted in self.mappers.drain(..) {
            hosted.stop().await;
        }
    }

    pub(crate) async fn stop(self) {
        self.sim.shutdown().await.unwrap();
        let services = self.apis.into_iter().chain(self.pollers).chain(self.mappers);
        for hosted in services {
            hosted.stop().await;
        }
        self.stop_following.cancel();
        self.pool.close().await;
    }
}

/// Copies a folder with its owners, who may be others than we.
fn copy(from: &std::path::Path, to: &std::path::Path) {
    let status = std::process::Command::new("cp")
        .arg("-a")
        .args([from, to])
        .status();
    assert!(
        status.unwrap().success(),
        "{} to {}",
        from.display(),
        to.display()
    );
}

impl Hosted {
    async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(PATIENCE, self.task)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }
}

async fn host<F, Fut>(run: F) -> Hosted
where
    F: FnOnce(Lifecycle) -> Fut,
    Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    telemetry();
    let shutdown = CancellationToken::new();
    let (lifecycle, mut ready) = Lifecycle::new(shutdown.clone());
    let mut task = tokio::spawn(run(lifecycle));
    let url = tokio::select! {
        url = ready.wait_for(Option::is_some) => url.unwrap().clone().unwrap(),
        ended = &mut task => panic!("a service ended instead of becoming ready: {ended:?}"),
        () = tokio::time::sleep(PATIENCE) => panic!("a service did not become ready"),
    };
    Hosted { url, shutdown, task }
}

/// One registry and one log for all tests of the process.
fn telemetry() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let log = std::env::var("E2E_LOG").unwrap_or_else(|_| "error".to_owned());
        let options = service::options::TelemetryOptions {
            log,
            log_format: service::options::LogFormat::Pretty,
        };
        std::mem::forget(service::Telemetry::start("e2e", &options).unwrap());
    });
}

/// The sum of all series in this process whose line contains every one of `parts`. Tests share the process, so they
/// compare before and after, or name something of their own.
fn metric(parts: &[&str]) -> f64 {
    service::http::metrics_text()
        .unwrap()
        .lines()
        .filter(|line| !line.starts_with('#') && parts.iter().all(|part| line.contains(part)))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

pub(crate) fn mapper(
    nats: &str,
    database: &SecretString,
    key: &SecretString,
    more: &[&str],
) -> status_mapper::Config {
    let own = [
        "status-mapper",
        "--nats-url",
        nats,
        "--database-url",
        database.expose_secret(),
        "--sealing-key",
        key.expose_secret(),
    ];
    status_mapper::Config::try_parse_from(own.iter().chain(more)).unwrap()
}

pub(crate) fn poller(nats: &str, key: &SecretString, more: &[&str]) -> dtma_poller::Config {
    let own = [
        "dtma-poller",
        "--nats-url",
        nats,
        "--sealing-key",
        key.expose_secret(),
    ];
    dtma_poller::Config::try_parse_from(own.iter().chain(more)).unwrap()
}

/// The secret that tokens of the tests are signed with.
pub(crate) const JWT_SECRET: &str = "a secret of the tests, long enough to be one";

fn api(nats: &str, database: &SecretString, more: &[&str]) -> status_api::Config {
    let own = [
        "status-api",
        "--nats-url",
        nats,
        "--database-url",
        database.expose_secret(),
        "--jwt-secret",
        JWT_SECRET,
    ];
    status_api::Config::try_parse_from(own.iter().chain(more)).unwrap()
}

fn notifier(nats: &str, key: &SecretString, more: &[&str]) -> notifier::Config {
    let own = [
        "notifier",
        "--nats-url",
        nats,
        "--sealing-key",
        key.expose_secret(),
        "--jwt-secret",
        JWT_SECRET,
    ];
    notifier::Config::try_parse_from(own.iter().chain(more)).unwrap()
}

/// Makes the roles of the services; what is returned tells each one's URL. Everything else here is the owner's.
async fn roles(database: &Database, owner: &SecretString) -> impl Fn(&str) -> SecretString + use<> {
    const ROLES: &str = include_str!("../../../../deploy/postgres/roles.sql");
    sqlx::raw_sql(ROLES).execute(database.pool()).await.unwrap();
    for role in ["status_sync_mapper", "status_sync_api"] {
        let statement = format!("ALTER ROLE {role} PASSWORD '{}'", password(role));
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(database.pool())
            .await
            .unwrap();
    }
    let owner: url::Url = owner.expose_secret().parse().unwrap();
    move |role| {
        let mut url = owner.clone();
        url.set_username(role).unwrap();
        url.set_password(Some(&password(role))).unwrap();
        url.to_string().into()
    }
}

/// Passwords are guessable here.
fn password(user: &str) -> String {
    format!("of-{user}")
}

/// The address of NATS with a user's login.
fn login(nats: &NatsServer, user: &str) -> String {
    format!("nats://{user}:{}@{}", password(user), nats.address())
}

/// A plain client of a user; `admin` may do everything.
pub(crate) async fn plain(nats: &NatsServer, user: &str) -> async_nats::Client {
    let login = async_nats::ConnectOptions::with_user_and_password(user.to_owned(), password(user));
    login.connect(nats.url()).await.unwrap()
}

async fn connect(url: &str) -> Bus {
    Bus::connect(BusOptions::new(url, "e2e")).await.unwrap()
}

/// Everything a subscriber of the status subjects received, in order.
#[derive(Clone, Default)]
pub(crate) struct Events {
    log: Arc<Mutex<Vec<Received>>>,
    news: Arc<Notify>,
}

#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) at: Instant,
    pub(crate) subject: String,
    pub(crate) body: Value,
}

impl Events {
    fn follow(bus: &Bus, shutdown: CancellationToken) -> Self {
        let events = Self::default();
        let filters = vec![
            subjects::SERVER_STATUS.to_owned(),
            subjects::TOOLBOX_STATUS.to_owned(),
        ];
        let stream = bus.follow(&streams::MCP_STATUS, filters, Begin::LastPerSubject, shutdown);
        let into = events.clone();
        tokio::spawn(async move {
            let mut stream = std::pin::pin!(stream);
            while let Some(delivery) = stream.next().await {
                let body = serde_json::from_slice(&delivery.body).unwrap();
                into.log.lock().unwrap().push(Received {
                    at: Instant::now(),
                    subject: delivery.subject,
                    body,
                });
                into.news.notify_waiters();
            }
        });
        events
    }

    /// All so far.
    pub(crate) fn all(&self) -> Vec<Received> {
        self.log.lock().unwrap().clone()
    }

    /// All so far of one server or toolbox.
    pub(crate) fn of(&self, id: Uuid) -> Vec<Received> {
        self.all()
            .into_iter()
            .filter(|event| event.subject.ends_with(&id.to_string()))
            .collect()
    }

    /// The versions received of one server, in order, repetitions left out as a subscriber would.
    pub(crate) fn versions(&self, id: Uuid) -> Vec<u64> {
        let mut newest = 0;
        let versions = self
            .of(id)
            .into_iter()
            .filter_map(|event| event.body["version"].as_u64());
        versions
            .filter(|version| {
                *version > newest && {
                    newest = *version;
                    true
                }
            })
            .collect()
    }

    /// What a subscriber holds of a server, who takes nothing that is not newer than what he has.
    pub(crate) fn held(&self, id: Uuid) -> Value {
        let mut held = Value::Null;
        for event in self.of(id) {
            if event.body["version"].as_u64() > held["version"].as_u64() {
                held = event.body;
            }
        }
        held
    }

    /// Waits until the *newest* event of a server or toolbox is as wanted, and returns it.
    pub(crate) async fn wait_for(&self, id: Uuid, what: &str, wanted: impl Fn(&Value) -> bool) -> Received {
        let began = Instant::now();
        loop {
            let news = self.news.notified();
            if let Some(event) = self.of(id).last().filter(|event| wanted(&event.body)) {
                return event.clone();
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{id} is not {what} within {PATIENCE:?}:\n{}",
                self.dump()
            );
            let _ = tokio::time::timeout(Duration::from_millis(200), news).await;
        }
    }

    pub(crate) fn dump(&self) -> String {
        self.all()
            .iter()
            .map(|event| format!("{} {}\n", event.subject, event.body))
            .collect()
    }
}
