//! `statusctl up`: everything in one process, on a private nats-server and a private PostgreSQL.
//!
//! Order of start: NATS, PostgreSQL, migrations, status-mapper, dtma-poller, status-api, notifier, simulated agents,
//! `endpoints.json`.
//! The end is the same in reverse, so that each service still has what it needs to drain.

mod configs;
pub mod demo;
mod progress;
pub(crate) mod secrets;

use std::collections::BTreeMap;
use std::future::Future;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use domain::AccountId;
use dtma_sim::{Sim, SimHandle};
use embedded::{NatsOptions, NatsServer, Postgres, PostgresOptions, Programs};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use service::Lifecycle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::api::{Client, Limits};
use crate::ctl::board;
use crate::endpoints::Endpoints;
use configs::Reach;
use progress::Progress;

/// What to start, and where.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Simulate this many toolboxes with their containers and register them
    #[arg(
        long,
        value_name = "TOOLBOXES",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub demo: usize,
    /// Fixed port of nats-server; by default a free one
    #[arg(long, value_name = "PORT", help_heading = "Ports")]
    pub nats_port: Option<u16>,
    /// Fixed port of PostgreSQL
    #[arg(long, value_name = "PORT", help_heading = "Ports")]
    pub postgres_port: Option<u16>,
    /// Fixed port of dtma-poller, where real agents push their heartbeats
    #[arg(long, value_name = "PORT", help_heading = "Ports")]
    pub poller_port: Option<u16>,
    /// Fixed port of status-mapper
    #[arg(long, value_name = "PORT", help_heading = "Ports")]
    pub mapper_port: Option<u16>,
    /// Fixed port of status-api
    #[arg(long, value_name = "PORT", help_heading = "Ports")]
    pub api_port: Option<u16>,
    /// Fixed port of notifier, where browsers watch
    #[arg(long, value_name = "PORT", help_heading = "Ports")]
    pub notifier_port: Option<u16>,
    /// Fixed port of the simulated agents
    #[arg(long, value_name = "PORT", help_heading = "Ports")]
    pub sim_port: Option<u16>,
    /// Containers of each simulated toolbox
    #[arg(long, value_name = "N", default_value_t = 3, help_heading = "Demo")]
    pub demo_containers: usize,
    /// Accounts that own the simulated toolboxes, the first of which the link to the board signs in as
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::MIN, help_heading = "Demo")]
    pub demo_accounts: NonZeroUsize,
    /// Things that happen to the simulated fleet in a minute: crashes, stops, recoveries. 0: it is quiet
    #[arg(long, value_name = "EVENTS", default_value_t = 20.0, help_heading = "Demo")]
    pub demo_chaos: f64,
    /// How often simulated agents push a heartbeat; `off`: they only answer polls
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = heartbeat, help_heading = "Demo")]
    pub demo_heartbeat: Heartbeat,
    /// The same seed gives the same fleet
    #[arg(long, value_name = "NUMBER", default_value_t = 1, help_heading = "Demo")]
    pub demo_seed: u64,
}

/// Whether and how often simulated agents push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heartbeat {
    /// Never.
    Off,
    /// Every so often.
    Every(Duration),
}

fn heartbeat(text: &str) -> Result<Heartbeat, String> {
    match text {
        "off" => Ok(Heartbeat::Off),
        text => service::duration(text)
            .map(Heartbeat::Every)
            .map_err(|expected| format!("{expected}, or off")),
    }
}

/// Database of the private PostgreSQL.
const DATABASE: &str = "mcp_status";
/// A service that is not ready by then says why in its log; nothing it waits for takes longer on a healthy machine.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Starts everything, says where it is, and runs until `shutdown`.
///
/// # Errors
/// When something cannot be started, or ends by itself; the first such reason.
pub async fn run(options: Options, data_dir: PathBuf, shutdown: CancellationToken) -> anyhow::Result<()> {
    std::fs::create_dir_all(&data_dir).with_context(|| format!("failed to create {}", data_dir.display()))?;
    let data_dir = data_dir
        .canonicalize()
        .with_context(|| format!("failed to find {}", data_dir.display()))?;
    let mut stack = Stack::default();
    // Whatever the start came to, what was started is stopped in order.
    let outcome = tokio::select! {
        outcome = start_and_watch(&options, &data_dir, &mut stack) => outcome,
        () = shutdown.cancelled() => Ok(()),
    };
    let stopped = stack.stop().await;
    outcome.and(stopped)
}

/// What runs, in the order in which it was started.
#[derive(Default)]
struct Stack {
    nats: Option<NatsServer>,
    postgres: Option<Postgres>,
    services: Vec<Hosted>,
    sim: Option<SimHandle>,
}

/// A service hosted in this process.
struct Hosted {
    name: &'static str,
    shutdown: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Stack {
    /// Hosts a service and waits until it says that it is ready; its address.
    async fn host<F, Fut>(&mut self, name: &'static str, run: F) -> anyhow::Result<String>
    where
        F: FnOnce(Lifecycle) -> Fut,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let shutdown = CancellationToken::new();
        let (lifecycle, mut ready) = Lifecycle::new(shutdown.clone());
        let task = tokio::spawn(run(lifecycle));
        self.services.push(Hosted { name, shutdown, task });
        let became_ready = async {
            let address = ready
                .wait_for(Option::is_some)
                .await
                .ok()
                .and_then(|url| url.clone());
            match address {
                Some(url) => Ok(url),
                // It dropped its lifecycle without a word: its own error says more.
                None => Err(self.first_to_end().await),
            }
        };
        tokio::time::timeout(READY_WITHIN, became_ready)
            .await
            .map_err(|_| anyhow!("{name} was not ready within {READY_WITHIN:?}; --log info says more"))?
    }

    /// Waits until anything that should run ends, and says what.
    async fn first_to_end(&mut self) -> anyhow::Error {
        let nats = self.nats.as_ref().map(NatsServer::exited);
        let postgres = self.postgres.as_ref().map(Postgres::exited);
        let services = self.services.iter_mut().map(|hosted| {
            Box::pin(async {
                let ended = (&mut hosted.task).await;
                (hosted.name, ended)
            })
        });
        let services = async {
            if services.len() == 0 {
                return std::future::pending().await;
            }
            futures_util::future::select_all(services).await.0
        };
        tokio::select! {
            () = maybe(nats) => anyhow!("nats-server ended by itself; its log is in the data folder"),
            () = maybe(postgres) => anyhow!("PostgreSQL ended by itself; its log is in the data folder"),
            (name, ended) = services => {
                self.services.retain(|hosted| hosted.name != name);
                match ended {
                    Ok(Ok(())) => anyhow!("{name} ended by itself"),
                    Ok(Err(error)) => error.context(format!("{name} failed")),
                    Err(panic) => anyhow!(panic).context(format!("{name} panicked")),
                }
            }
        }
    }

    /// Stops everything in reverse; the first thing that went wrong.
    async fn stop(mut self) -> anyhow::Result<()> {
        let mut outcome = Ok(());
        if let Some(sim) = self.sim.take() {
            outcome = outcome.and(
                sim.shutdown()
                    .await
                    .context("failed to stop the simulated agents"),
            );
        }
        while let Some(hosted) = self.services.pop() {
            hosted.shutdown.cancel();
            let ended = hosted.task.await.map_err(anyhow::Error::from).flatten();
            outcome = outcome.and(ended.with_context(|| format!("failed to stop {}", hosted.name)));
        }
        if let Some(mut postgres) = self.postgres.take() {
            outcome = outcome.and(postgres.stop().await.context("failed to stop PostgreSQL"));
        }
        if let Some(mut nats) = self.nats.take() {
            outcome = outcome.and(nats.stop().await.context("failed to stop nats-server"));
        }
        outcome
    }
}

async fn maybe(ended: Option<impl Future<Output = ()>>) {
    match ended {
        Some(ended) => ended.await,
        None => std::future::pending().await,
    }
}

async fn start_and_watch(options: &Options, data_dir: &Path, stack: &mut Stack) -> anyhow::Result<()> {
    let progress = Progress::start();
    let programs = Programs::locate()?;

    let step = progress.step("nats-server");
    let mut nats = NatsOptions::new(data_dir.join("nats"));
    nats.port = options.nats_port;
    nats.program = Some(programs.nats_server);
    let nats = stack.nats.insert(NatsServer::start(nats).await?);
    let nats_url = nats.url();
    step.done(&format!("{} {nats_url}", nats.version()));
    // The folder is ours from here on: its lock is held.
    Endpoints::remove_stale(data_dir)?;

    let step = progress.step("PostgreSQL");
    let mut postgres = PostgresOptions::new(data_dir.join("postgres"));
    postgres.port = options.postgres_port;
    postgres.programs = Some(programs.postgres);
    let postgres = stack.postgres.insert(Postgres::start(postgres).await?);
    postgres.ensure_database(DATABASE).await?;
    let database_url = SecretString::from(postgres.url(DATABASE));
    step.done(&format!("{} port {}", postgres.version(), postgres.port()));

    let step = progress.step("migrations");
    let database = store::Database::connect(&store::DatabaseOptions::new(database_url.clone())).await?;
    database.migrate().await?;
    step.done("");

    let reach = Reach {
        nats_url: nats_url.clone(),
        database_url: database_url.clone(),
        sealing_key: secrets::sealing_key(data_dir)?,
        jwt_secret: secrets::jwt_secret(data_dir)?,
    };
    let mut urls = BTreeMap::new();
    let step = progress.step("status-mapper");
    let config = configs::mapper(options, &reach)?;
    let url = stack
        .host("status-mapper", |lifecycle| status_mapper::run(config, lifecycle))
        .await?;
    step.done(&url);
    urls.insert("status-mapper".to_owned(), url.into());

    let step = progress.step("dtma-poller");
    let config = configs::poller(options, &reach)?;
    let poller = stack
        .host("dtma-poller", |lifecycle| dtma_poller::run(config, lifecycle))
        .await?;
    step.done(&poller);
    urls.insert("dtma-poller".to_owned(), poller.clone().into());

    // Each must know where the other is: the board's pages, which notifier serves, ask status-api, and status-api must know
    // where its pages come from. So notifier's socket is there before either.
    let notifier_socket = service::http::bind(configs::notifier_address(options)).await?;
    let step = progress.step("status-api");
    let config = configs::api(options, &reach, notifier_socket.local_addr()?)?;
    let api = stack
        .host("status-api", |lifecycle| status_api::run(config, lifecycle))
        .await?;
    step.done(&api);
    urls.insert("status-api".to_owned(), api.clone().into());

    let step = progress.step("notifier");
    let config = configs::notifier(&reach, &api)?;
    let has_board = config.board.board;
    let board = stack
        .host("notifier", |lifecycle| {
            notifier::run_at(notifier_socket, config, lifecycle)
        })
        .await?;
    step.done(&board);
    urls.insert("notifier".to_owned(), board.clone().into());

    let step = progress.step("simulated agents");
    let sim = Sim::start(configs::sim(options, &poller)?, CancellationToken::new()).await?;
    let sim = stack.sim.insert(sim);
    let fleet = sim.fleet();
    demo::register(&database, &fleet).await?;
    let demo_account = fleet.first().map(|toolbox| toolbox.account_id);
    let sim_url = sim.base_url().to_owned();
    step.done(&format!("{} toolboxes {sim_url}", sim.len()));
    drop(database);

    let endpoints = Endpoints {
        pid: std::process::id(),
        nats: nats_url.into(),
        database: database_url.expose_secret().to_owned().into(),
        services: urls,
        sim: sim_url.into(),
        demo_account,
    };
    let link = if has_board {
        let token = board::token(&reach.jwt_secret, demo_account.map(AccountId), now())?;
        let client = Client::new(&api.parse()?, Some(token), Limits::default())?;
        Some(board::link(&client, &board).await?.url)
    } else {
        None
    };
    // Gone again when this future ends, before anything is stopped.
    let published = endpoints.publish(data_dir)?;
    progress.ready(published.path(), link.as_deref(), options.demo);
    Err(stack.first_to_end().await)
}

#[expect(clippy::disallowed_methods, reason = "a token is made for the present")]
fn now() -> Timestamp {
    Timestamp::now()
}
