//! What every test stands on: servers, a service, rows as the owner's application writes them, and somebody to ask as.

use std::time::Duration;

use ::access::{NewToken, mint};
use bus::{Bus, BusOptions};
use clap::Parser as _;
use domain::{AccountId, ServerId, ToolboxId};
use embedded::{NatsOptions, NatsServer, Postgres, PostgresOptions};
use jiff::{SignedDuration, Timestamp};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use service::Lifecycle;
use sqlx::PgPool;
use status_api::Config;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wire::{ConnectionEntry, StatusEvent, subjects};

pub(crate) const SECRET: &str = "a secret of at least thirty-two bytes";
/// Longest wait for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const OWNER: AccountId = AccountId(Uuid::from_u128(0xa1));
pub(crate) const GUEST: AccountId = AccountId(Uuid::from_u128(0xa2));
pub(crate) const STRANGER: AccountId = AccountId(Uuid::from_u128(0xa3));

/// Servers, a service, and a bus and a pool to look at them with.
pub(crate) struct Ground {
    pub(crate) nats: NatsServer,
    /// Where the test has one to itself.
    pub(crate) postgres: Option<Postgres>,
    pub(crate) bus: Bus,
    pub(crate) pool: PgPool,
    pub(crate) url: String,
    pub(crate) client: reqwest::Client,
    service: Service,
    arguments: Vec<String>,
    database_url: String,
    database: String,
    _dir: TempDir,
}

/// A service in this process.
pub(crate) struct Service {
    pub(crate) url: String,
    shutdown: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
}

impl Service {
    /// Starts it and waits until it is ready.
    async fn start(arguments: &[String]) -> Self {
        let config = Config::try_parse_from(arguments).unwrap();
        let shutdown = CancellationToken::new();
        let (lifecycle, mut host) = Lifecycle::new(shutdown.clone());
        let running = tokio::spawn(status_api::run(config, lifecycle));
        let url = tokio::time::timeout(PATIENCE, host.wait_for(Option::is_some)).await;
        let url = url.unwrap().unwrap().clone().unwrap();
        Self {
            url,
            shutdown,
            running,
        }
    }

    /// Stops it in an orderly way.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.running).await;
        ended.expect("the service stops in time").unwrap().unwrap();
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        Some(self.headers.get(name)?.to_str().unwrap())
    }

    /// The answer, if it has that status.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self
    }
}

impl Ground {
    /// A migrated database on whichever server there is, and a service. Later options win.
    pub(crate) async fn new(options: &[&str]) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "scripts/test tells tests in this way which server to use"
        )]
        match std::env::var("DATABASE_URL") {
            Ok(url) => Self::on(url, None, tempfile::tempdir().unwrap(), options).await,
            Err(_) => Self::with_postgres(options).await,
        }
    }

    /// With a PostgreSQL that may be stopped.
    pub(crate) async fn with_postgres(options: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let postgres = Postgres::start(PostgresOptions {
            durable: false,
            ..PostgresOptions::new(dir.path().join("postgres"))
        })
        .await
        .unwrap();
        Self::on(postgres.url("postgres"), Some(postgres), dir, options).await
    }

    async fn on(server_url: String, postgres: Option<Postgres>, dir: TempDir, options: &[&str]) -> Self {
        let nats = NatsServer::start(NatsOptions {
            sync_always: false,
            ..NatsOptions::new(dir.path().join("nats"))
        })
        .await
        .unwrap();
        let database = format!("api_{}", Uuid::new_v4().simple());
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
        let nats_url = nats.url();
        let mut arguments = vec![
            "status-api",
            "--nats-url",
            &nats_url,
            "--database-url",
            url.as_str(),
            "--jwt-secret",
            SECRET,
            "--nats-timeout",
            "2s",
        ];
        // Tests ask more at once than people do.
        for (option, value) in [
            ("--command-rate", "1000"),
            ("--command-burst", "1000"),
            ("--rate-burst", "5000"),
        ] {
            if !options.contains(&option) {
                arguments.extend([option, value]);
            }
        }
        arguments.extend(options);
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        let service = Service::start(&arguments).await;
        Self {
            nats,
            postgres,
            bus,
            pool,
            url: service.url.clone(),
            client: reqwest::Client::new(),
            service,
            arguments,
            database_url: url.into(),
            database,
            _dir: dir,
        }
    }

    /// Another replica of the service.
    pub(crate) async fn replica(&self) -> Service {
        Service::start(&self.arguments).await
    }

    /// Asks.
    pub(crate) async fn ask(&self, method: Method, path: &str, token: &str, body: Option<Value>) -> Answer {
        self.ask_with(method, path, token, body, &[]).await
    }

    /// Asks with further headers.
    pub(crate) async fn ask_with(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(request).await
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Answer {
        self.ask(Method::GET, path, token, None).await
    }

    pub(crate) async fn post(&self, path: &str, token: &str) -> Answer {
        self.ask(Method::POST, path, token, None).await
    }

    /// A toolbox row.
    pub(crate) async fn toolbox(&self, account: AccountId, number: u128) -> ToolboxId {
        let id = ToolboxId(Uuid::from_u128(0x7000_0000 + number));
        sqlx::query("INSERT INTO account_tool_environments (id, user_id, name) VALUES ($1, $2, $3)")
            .bind(id.0)
            .bind(account.0)
            .bind(format!("box {number}"))
            .execute(&self.pool)
            .await
            .unwrap();
        id
    }

    /// An instance row that was never announced; its container is called `mcp-{number}`.
    pub(crate) async fn server(&self, toolbox: ToolboxId, number: u128) -> ServerId {
        let id = ServerId(Uuid::from_u128(0x5000_0000 + number));
        sqlx::query(
            "INSERT INTO account_tool_instances (id, account_tool_environment_id, instance_name_on_toolbox)
            VALUES ($1, $2, $3)",
        )
        .bind(id.0)
        .bind(toolbox.0)
        .bind(format!("mcp-{number}"))
        .execute(&self.pool)
        .await
        .unwrap();
        id
    }

    /// Gives a row that state and announces it, as the mapper does.
    pub(crate) async fn announce(&self, server: ServerId, state: &str, health: &str) -> StatusEvent {
        let label = match state {
            "starting" => "starting_on_toolbox",
            "stopping" => "stopping_on_toolbox",
            "error" => "error_starting",
            "unknown" => "pending_install",
            same => same,
        };
        sqlx::query(
            "UPDATE account_tool_instances SET mcp_state = $2, health = $3, status_version = status_version + 1,
                status_changed_at = now(), status_on_toolbox = $4, last_started_at = now() - interval '1 hour',
                observed_status = COALESCE(observed_status, 'running'), observed_since = COALESCE(observed_since, now()),
                as_of = now(), as_of_seq = 1
            WHERE id = $1",
        )
        .bind(server.0)
        .bind(state)
        .bind(health)
        .bind(label)
        .execute(&self.pool)
        .await
        .unwrap();
        self.publish(server).await
    }

    /// Announces a row as it stands.
    pub(crate) async fn publish(&self, server: ServerId) -> StatusEvent {
        let mut connection = self.pool.acquire().await.unwrap();
        let row = store::reading::servers(&mut connection, &[server])
            .await
            .unwrap()
            .pop()
            .unwrap();
        let event = StatusEvent::standing(&row.server).unwrap();
        let subject = subjects::server_status(row.server.account, server);
        self.bus
            .publish(subject, &Uuid::new_v4().to_string(), &event)
            .await
            .unwrap();
        event
    }

    /// A server of the owner's that runs, known to the service.
    pub(crate) async fn running(&self, toolbox: ToolboxId, number: u128) -> ServerId {
        let id = self.server(toolbox, number).await;
        self.announce(id, "running", "healthy").await;
        self.shows(id, "running").await;
        id
    }

    /// Waits until the service shows a server in a state.
    pub(crate) async fn shows(&self, server: ServerId, state: &str) -> Value {
        let path = format!("/v1/servers/{server}");
        eventually(&format!("{server} is {state}"), async || {
            let answer = self.get(&path, &service_token()).await;
            (answer.status == 200 && answer.json()["state"] == state).then(|| answer.json())
        })
        .await
    }

    /// Connects an agent of an account to a server, in the table and in the bucket.
    pub(crate) async fn connect(
        &self,
        number: u128,
        account: AccountId,
        server: ServerId,
        active: bool,
    ) -> Uuid {
        let id = Uuid::from_u128(0xc000_0000 + number);
        sqlx::query(
            "INSERT INTO agent_mcp_connections (id, agent_id, user_id, account_tool_instance_id, is_active)
            VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(id)
        .bind(Uuid::from_u128(0xa6e7))
        .bind(account.0)
        .bind(server.0)
        .bind(active)
        .execute(&self.pool)
        .await
        .unwrap();
        let entry = ConnectionEntry {
            connection_id: id,
            agent_id: Uuid::from_u128(0xa6e7),
            account_id: Some(account.0),
            server_id: server.0,
            active,
        };
        let bucket = self.bus.bucket::<ConnectionEntry>().await.unwrap();
        bucket.put(&entry).await.unwrap();
        id
    }

    /// How often a statement counts something.
    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    /// Takes everything down.
    pub(crate) async fn close(mut self) {
        self.service.stop().await;
        self.pool.close().await;
        self.nats.stop().await.unwrap();
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

/// Sends a request.
pub(crate) async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = tokio::time::timeout(PATIENCE, request.send())
        .await
        .unwrap()
        .unwrap();
    Answer {
        status: response.status(),
        headers: response.headers().clone(),
        text: response.text().await.unwrap(),
    }
}

#[expect(clippy::disallowed_methods, reason = "tokens are made for the present")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

fn token(subject: Option<AccountId>, role: &str, life: SignedDuration) -> String {
    let issued_at = now();
    let token = NewToken {
        subject,
        role,
        audience: Some("authenticated"),
        issuer: None,
        issued_at,
        expires_at: issued_at + life,
    };
    let secret: SecretString = SECRET.into();
    mint(&secret, &token).unwrap().expose_secret().to_owned()
}

/// A user's token.
pub(crate) fn user(account: AccountId) -> String {
    token(Some(account), "authenticated", SignedDuration::from_hours(1))
}

/// A token that is over.
pub(crate) fn expired(account: AccountId) -> String {
    token(Some(account), "authenticated", SignedDuration::from_hours(-1))
}

/// A service's.
pub(crate) fn service_token() -> String {
    token(None, "service_role", SignedDuration::from_hours(1))
}

/// Waits for something to be so.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("{what}: never"))
}
