//! `kill -9` between commit and publish loses no event: done for real, to a mapper that is a process of its own.
//!
//! The mapper reaches NATS through a gate. While it waits for a row that the test has locked, the gate closes: what the
//! mapper commits next, it cannot publish. It is killed there, and another takes over.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may panic and has a clock"
)]

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bus::{Bus, BusOptions, SealingKey};
use domain::{AccountId, ServerId, ToolboxId};
use embedded::{NatsOptions, NatsServer, Postgres, PostgresOptions};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use sqlx::PgPool;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use uuid::Uuid;
use wire::{RawContainer, RawCoverage, RawOutcome, RawReport, RawSource, streams, subjects};

const PATIENCE: Duration = Duration::from_secs(60);
const ACCOUNT: Uuid = Uuid::from_u128(1);
const TOOLBOX: Uuid = Uuid::from_u128(2);
const SERVER: Uuid = Uuid::from_u128(3);

/// Passes everything on, until it is closed: then it takes what the client sends and keeps it.
struct Gate {
    address: SocketAddr,
    open: watch::Sender<bool>,
}

impl Gate {
    async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (open, gate) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let gate = gate.clone();
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(server).await else {
                        return;
                    };
                    pass(client, server, gate).await;
                });
            }
        });
        Self { address, open }
    }

    /// When it returns, nothing passes any more.
    async fn close(&self) {
        self.open.send_replace(false);
        // A connection lets go of its receiver when it shuts; who accepts keeps his.
        until("every connection is shut", async || {
            self.open.receiver_count() == 1
        })
        .await;
    }
}

async fn pass(client: TcpStream, server: TcpStream, mut gate: watch::Receiver<bool>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let answers = tokio::io::copy(&mut from_server, &mut to_client);
    let closed = async move {
        // What it lends must not outlive the wait.
        drop(gate.wait_for(|open| !open).await);
    };
    let requests = async {
        tokio::select! {
            biased;
            () = closed => {}
            _ = tokio::io::copy(&mut from_client, &mut to_server) => return,
        }
        // Read on, so that the client believes it was sent, and let nothing through.
        let _ = tokio::io::copy(&mut from_client, &mut tokio::io::sink()).await;
    };
    tokio::select! { _ = answers => {}, () = requests => {} }
}

struct Mapper(Child);

impl Mapper {
    fn start(nats: &str, database: &SecretString, key: &SecretString) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_status-mapper"))
            .env("DATABASE_URL", database.expose_secret())
            .env("SEALING_KEY", key.expose_secret())
            .args(["--nats-url", nats, "--log", "warn"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Mapper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn report(bus: &Bus, word: &str) {
    let report = RawReport {
        toolbox_id: TOOLBOX,
        as_of: Timestamp::now(),
        source: RawSource::Poll,
        agent_time: None,
        agent_version: None,
        next_within_seconds: Some(30),
        missed_heartbeat: false,
        outcome: RawOutcome::Containers {
            coverage: RawCoverage::Whole,
            containers: vec![RawContainer {
                server_id: Some(SERVER),
                word: word.to_owned(),
                ..RawContainer::default()
            }],
        },
    };
    bus.publish(
        subjects::raw(ToolboxId(TOOLBOX)),
        &Uuid::now_v7().to_string(),
        &report,
    )
    .await
    .unwrap();
}

async fn last_event(bus: &Bus) -> Option<Value> {
    let subject = subjects::server_status(AccountId(ACCOUNT), ServerId(SERVER));
    let last = bus.last(&streams::MCP_STATUS, &subject).await.ok().flatten()?;
    Some(serde_json::from_slice(&last.body).unwrap())
}

async fn state(pool: &PgPool) -> String {
    sqlx::query_scalar("SELECT mcp_state FROM account_tool_instances WHERE id = $1")
        .bind(SERVER)
        .fetch_one(pool)
        .await
        .unwrap()
}

async fn unpublished(pool: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM status_changes WHERE subject_id = $1 AND published_at IS NULL")
        .bind(SERVER)
        .fetch_one(pool)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_commit_and_publish() {
    let dir = tempfile::tempdir().unwrap();
    let nats = NatsServer::start(NatsOptions::new(dir.path().join("nats")))
        .await
        .unwrap();
    let mut options = PostgresOptions::new(dir.path().join("postgres"));
    options.durable = false;
    let postgres = Postgres::start(options).await.unwrap();
    postgres.ensure_database("status").await.unwrap();
    let database_url = SecretString::from(postgres.url("status"));
    let database = store::Database::connect(&store::DatabaseOptions::new(database_url.clone()))
        .await
        .unwrap();
    database.migrate().await.unwrap();
    let pool = database.pool().clone();
    sqlx::query("INSERT INTO account_tool_environments (id, user_id, name) VALUES ($1, $2, 'box')")
        .bind(TOOLBOX)
        .bind(ACCOUNT)
        .execute(&pool)
        .await
        .unwrap();
    sqlx::query(
        "INSERT INTO account_tool_instances (id, account_tool_environment_id, instance_name_on_toolbox) VALUES ($1, $2, 'mcp')",
    )
    .bind(SERVER)
    .bind(TOOLBOX)
    .execute(&pool)
    .await
    .unwrap();
    let bus = Bus::connect(BusOptions::new(nats.url(), "test")).await.unwrap();
    bus.ensure_streams().await.unwrap();

    let (_, key) = SealingKey::generate();
    let gate = Gate::before(nats.address()).await;
    let mut first = Mapper::start(&format!("nats://{}", gate.address), &database_url, &key);
    report(&bus, "running").await;
    until("the first report is published", async || {
        last_event(&bus)
            .await
            .is_some_and(|event| event["state"] == "running")
    })
    .await;
    until("and marked", async || unpublished(&pool).await == 0).await;
    let before = last_event(&bus).await.unwrap()["version"].as_u64().unwrap();

    let mut lock = pool.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM account_tool_instances WHERE id = $1 FOR UPDATE")
        .bind(SERVER)
        .execute(&mut *lock)
        .await
        .unwrap();
    report(&bus, "exited").await;
    until("the mapper waits for the row", async || {
        let waiting: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_locks WHERE NOT granted")
            .fetch_one(&pool)
            .await
            .unwrap();
        waiting > 0
    })
    .await;
    gate.close().await;
    lock.rollback().await.unwrap();
    until("the mapper has committed", async || {
        state(&pool).await == "stopped"
    })
    .await;
    assert_eq!(unpublished(&pool).await, 1, "committed and not published");
    first.kill();
    assert_eq!(
        last_event(&bus).await.unwrap()["version"].as_u64(),
        Some(before),
        "nobody was told"
    );

    let _second = Mapper::start(&nats.url(), &database_url, &key);
    until("another mapper tells", async || {
        last_event(&bus)
            .await
            .is_some_and(|event| event["state"] == "stopped")
    })
    .await;
    assert_eq!(
        last_event(&bus).await.unwrap()["version"].as_u64(),
        Some(before + 1)
    );
    until("and marks it", async || unpublished(&pool).await == 0).await;
    let versions: Vec<i64> =
        sqlx::query_scalar("SELECT version FROM status_changes WHERE subject_id = $1 ORDER BY version")
            .bind(SERVER)
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(versions, (1..=versions.len() as i64).collect::<Vec<_>>());
}
