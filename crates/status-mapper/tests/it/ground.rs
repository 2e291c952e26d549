//! What every test stands on: servers, a mapper, rows as the owner's application writes them, and ways to look.

use std::net::SocketAddr;
use std::time::Duration;

use bus::{Bus, BusOptions, Outgoing};
use clap::Parser as _;
use domain::{AccountId, ServerId, ToolboxId};
use embedded::{NatsOptions, NatsServer, Postgres, PostgresOptions};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use service::Lifecycle;
use sqlx::PgPool;
use status_mapper::Config;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wire::{Message as _, RawReport, streams, subjects};

use crate::waiting::{PATIENCE, eventually, name, within};

/// The account of everything, unless a test says otherwise.
pub(crate) const ACCOUNT: AccountId = AccountId(Uuid::from_u128(0xacc));

/// Servers, and a bus and a pool to look at them with.
pub(crate) struct Ground {
    pub(crate) nats: NatsServer,
    /// Where the test has one to itself.
    pub(crate) postgres: Option<Postgres>,
    pub(crate) bus: Bus,
    pub(crate) pool: PgPool,
    pub(crate) key: bus::SealingKey,
    key_text: String,
    database_url: String,
    database: String,
    _dir: TempDir,
}

/// A mapper in this process.
pub(crate) struct Mapper {
    pub(crate) address: SocketAddr,
    shutdown: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
}

impl Ground {
    /// A migrated database on whichever server there is.
    pub(crate) async fn new() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "scripts/test tells tests in this way which server to use"
        )]
        match std::env::var("DATABASE_URL") {
            Ok(url) => Self::on(url, None, tempfile::tempdir().unwrap()).await,
            Err(_) => Self::with_postgres().await,
        }
    }

    /// With a PostgreSQL that may be stopped.
    pub(crate) async fn with_postgres() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = PostgresOptions {
            durable: false,
            ..PostgresOptions::new(dir.path().join("postgres"))
        };
        let postgres = Postgres::start(options).await.unwrap();
        Self::on(postgres.url("postgres"), Some(postgres), dir).await
    }

    async fn on(server_url: String, postgres: Option<Postgres>, dir: TempDir) -> Self {
        let options = NatsOptions {
            sync_always: false,
            ..NatsOptions::new(dir.path().join("nats"))
        };
        let nats = NatsServer::start(options).await.unwrap();
        let database = format!("mapper_{}", Uuid::new_v4().simple());
        let admin = PgPool::connect(&server_url).await.unwrap();
        let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {database}"));
        sqlx::query(create).execute(&admin).await.unwrap();
        admin.close().await;
        let mut url: url::Url = server_url.parse().unwrap();
        url.set_path(&database);
        let pool = PgPool::connect(url.as_str()).await.unwrap();
        store::migrate(&pool).await.unwrap();
        let bus = Bus::connect(BusOptions::new(nats.url(), "test")).await.unwrap();
        bus.ensure_streams().await.unwrap();
        let (key, key_text) = bus::SealingKey::generate();
        Self {
            nats,
            postgres,
            bus,
            pool,
            key,
            key_text: key_text.expose_secret().to_owned(),
            database_url: url.into(),
            database,
            _dir: dir,
        }
    }

    /// Starts a mapper with quick loops and waits until it is ready. Later options win.
    pub(crate) async fn mapper(&self, options: &[&str]) -> Mapper {
        let mapper = self.start_mapper(options);
        mapper.until_ready().await;
        mapper
    }

    /// Starts a mapper and does not wait.
    pub(crate) fn start_mapper(&self, options: &[&str]) -> Mapper {
        // Known before it is ready, so that a test can see that it is not.
        let address = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let listen = address.to_string();
        let nats_url = self.nats.url();
        let mut arguments = vec![
            "status-mapper",
            "--nats-url",
            &nats_url,
            "--database-url",
            &self.database_url,
            "--sealing-key",
            &self.key_text,
            "--listen",
            &listen,
        ];
        for (option, value) in [
            ("--nats-timeout", "1s"),
            ("--database-timeout", "5s"),
            ("--relay-every", "100ms"),
            ("--relay-after", "300ms"),
            ("--sweep-every", "200ms"),
            ("--mirror-every", "200ms"),
            ("--rebuild-every", "500ms"),
            ("--streams-every", "500ms"),
        ] {
            if !options.contains(&option) {
                arguments.extend([option, value]);
            }
        }
        arguments.extend(options);
        let config = Config::try_parse_from(arguments).unwrap();
        let shutdown = CancellationToken::new();
        let (lifecycle, _host) = Lifecycle::new(shutdown.clone());
        let running = tokio::spawn(status_mapper::run(config, lifecycle));
        Mapper {
            address,
            shutdown,
            running,
        }
    }

    /// A toolbox row.
    pub(crate) async fn toolbox(&self, number: u128) -> ToolboxId {
        let id = ToolboxId(Uuid::from_u128(0x7000_0000 + number));
        sqlx::query("INSERT INTO account_tool_environments (id, user_id, name) VALUES ($1, $2, $3)")
            .bind(id.0)
            .bind(ACCOUNT.0)
            .bind(format!("box {number}"))
            .execute(&self.pool)
            .await
            .unwrap();
        id
    }

    /// An instance row; its container is called `mcp-{number}`.
    pub(crate) async fn server(&self, toolbox: ToolboxId, number: u128) -> ServerId {
        let id = ServerId(Uuid::from_u128(0x5000_0000 + number));
        sqlx::query(
            "INSERT INTO account_tool_instances (id, account_tool_environment_id, instance_name_on_toolbox)
            VALUES ($1, $2, $3)",
        )
        .bind(id.0)
        .bind(toolbox.0)
        .bind(name(number))
        .execute(&self.pool)
        .await
        .unwrap();
        id
    }

    /// Publishes a report.
    pub(crate) async fn report(&self, report: &RawReport) {
        let subject = subjects::raw(ToolboxId(report.toolbox_id));
        self.bus
            .publish(subject, &Uuid::new_v4().to_string(), report)
            .await
            .unwrap();
    }

    /// Publishes bytes where reports go.
    pub(crate) async fn raw(&self, toolbox: ToolboxId, body: impl Into<Vec<u8>>, traceparent: Option<&str>) {
        let outgoing = Outgoing {
            subject: subjects::raw(toolbox),
            id: Uuid::new_v4().to_string(),
            type_name: RawReport::TYPE,
            body: body.into().into(),
            traceparent: traceparent.map(str::to_owned),
            ttl: None,
            rollup: false,
        };
        for result in self.bus.publish_all(vec![outgoing]).await {
            result.unwrap();
        }
    }

    /// A server's row; `None` where there is none.
    pub(crate) async fn row(&self, server: ServerId) -> Option<Row> {
        sqlx::query_as(
            "SELECT mcp_state, health, last_error ->> 'code', status_version, status_on_toolbox
            FROM account_tool_instances WHERE id = $1",
        )
        .bind(server.0)
        .fetch_optional(&self.pool)
        .await
        .unwrap()
        .map(|(state, health, code, version, label)| Row {
            state,
            health,
            code,
            version,
            label,
        })
    }

    /// Waits for a server's row to be so.
    pub(crate) async fn row_becomes(&self, server: ServerId, what: &str, is: impl Fn(&Row) -> bool) -> Row {
        let mut last = None;
        let found = within(PATIENCE, async || {
            // The database may be away just now.
            last = tokio::time::timeout(Duration::from_secs(1), self.row(server))
                .await
                .ok()
                .flatten();
            last.clone().filter(|row| is(row))
        })
        .await;
        found.unwrap_or_else(|| panic!("{server} did not become {what}: {last:?}"))
    }

    /// The history of a server or toolbox: versions and kinds.
    pub(crate) async fn history(&self, subject: Uuid) -> Vec<(i64, String)> {
        sqlx::query_as("SELECT version, kind FROM status_changes WHERE subject_id = $1 ORDER BY version")
            .bind(subject)
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    /// Changes that are committed and not marked as published.
    pub(crate) async fn unpublished(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM status_changes WHERE published_at IS NULL")
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// Waits until every report is dealt with and every change published.
    pub(crate) async fn settled(&self) {
        eventually("all reports are dealt with", async || {
            let backlog = self.bus.backlog(&streams::MAPPER).await.ok()?;
            (backlog.pending == 0 && backlog.ack_pending == 0).then_some(())
        })
        .await;
        eventually("all changes are published", async || {
            (self.unpublished().await == 0).then_some(())
        })
        .await;
    }

    /// The last event on a server's subject.
    pub(crate) async fn last_event(&self, account: AccountId, server: ServerId) -> Option<Value> {
        let subject = subjects::server_status(account, server);
        let last = self.bus.last(&streams::MCP_STATUS, &subject).await.ok()??;
        serde_json::from_slice(&last.body).ok()
    }

    /// Takes everything down.
    pub(crate) async fn close(self) {
        self.pool.close().await;
        match self.postgres {
            Some(postgres) => postgres.remove().await.unwrap(),
            None => {
                let mut url: url::Url = self.database_url.parse().unwrap();
                url.set_path("postgres");
                let admin = PgPool::connect(url.as_str()).await.unwrap();
                let drop = sqlx::AssertSqlSafe(format!("DROP DATABASE {} WITH (FORCE)", self.database));
                sqlx::query(drop).execute(&admin).await.unwrap();
                admin.close().await;
            }
        }
    }
}

impl Mapper {
    pub(crate) async fn until_ready(&self) {
        eventually("the mapper is ready", async || {
            (self.readyz().await?.0 == 200).then_some(())
        })
        .await;
    }

    /// Waits until it is not ready for that reason, and returns all reasons.
    pub(crate) async fn until_not_ready(&self, why: &str) -> String {
        eventually("the mapper is not ready", async || {
            let (status, body) = self.readyz().await?;
            (status == 503 && body.contains(why)).then_some(body)
        })
        .await
    }

    /// Status and body of `/readyz`; `None` where nobody listens yet.
    pub(crate) async fn readyz(&self) -> Option<(u16, String)> {
        assert!(!self.running.is_finished(), "the mapper has ended");
        let mut stream = TcpStream::connect(self.address).await.ok()?;
        stream
            .write_all(b"GET /readyz HTTP/1.1\r\nHost: mapper\r\nConnection: close\r\n\r\n")
            .await
            .ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await.ok()?;
        let status = text.split(' ').nth(1)?.parse().ok()?;
        Some((status, text.split_once("\r\n\r\n")?.1.to_owned()))
    }

    /// Stops it in an orderly way, which takes less than the limit that a container engine sets.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        let outcome = tokio::time::timeout(Duration::from_secs(20), self.running).await;
        outcome.expect("the mapper stops in time").unwrap().unwrap();
    }

    /// How it ended by itself.
    pub(crate) async fn ended(self) -> anyhow::Result<()> {
        tokio::time::timeout(PATIENCE, self.running)
            .await
            .expect("the mapper ends")
            .unwrap()
    }
}

/// A server's row, as far as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) state: String,
    pub(crate) health: String,
    pub(crate) code: Option<String>,
    pub(crate) version: i64,
    pub(crate) label: String,
}

impl Row {
    pub(crate) fn is(&self, state: &str, health: &str) -> bool {
        self.state == state && self.health == health
    }
}
