//! What is measured: something that takes WebSockets and tells them of changes.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use access::{NewToken, mint};
use anyhow::Context as _;
use bus::{Bus, BusOptions};
use domain::{AccountId, ServerId};
use embedded::{NatsOptions, NatsServer};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::process::Command;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Request};
use uuid::Uuid;
use wire::{ServerStatus, StatusEvent, subjects};

use crate::process::Process;

use std::ops::Range;

/// The server whose changes are timed.
pub(crate) const TIMED: Range<usize> = 0..1;
/// Those that the others read.
pub(crate) const OTHERS: Range<usize> = 1..1_000;

const SECRET: &str = "a secret of more than thirty-two bytes";
const ACCOUNT: AccountId = AccountId(Uuid::from_u128(1));
/// Longest wait for something to start.
const START: Duration = Duration::from_secs(60);

pub(crate) trait Subject: Sync {
    fn address(&self) -> SocketAddr;
    /// The handshake of a connection for a server; `None`: for none.
    fn request(&self, server: Option<usize>) -> anyhow::Result<Request<()>>;
    /// What is to be said first.
    fn first(&self, server: Option<usize>) -> Vec<String>;
    /// What the last message says that comes before changes; `None`: none does.
    fn ready(&self, server: Option<usize>) -> Option<&'static str>;
    /// Publishes a change of server 0.
    async fn publish(&self, version: u64) -> anyhow::Result<()>;
    /// Bytes of memory.
    fn memory(&self) -> anyhow::Result<u64>;
}

/// The notifier, as a process of its own.
pub(crate) struct Notifier {
    process: Process,
    address: SocketAddr,
    bus: Bus,
    token: String,
    /// Goes last.
    _server: (NatsServer, tempfile::TempDir),
}

impl Notifier {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let nats = NatsServer::start(NatsOptions {
            sync_always: false,
            ..NatsOptions::new(dir.path())
        })
        .await?;
        let bus = Bus::connect(BusOptions::new(nats.url(), "bench")).await?;
        bus.ensure_streams().await?;
        for server in TIMED.start..OTHERS.end {
            publish(&bus, server, 1).await?;
        }
        let address = crate::process::free_port()?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_notifier"));
        command
            .env("JWT_SECRET", SECRET)
            .args(["--nats-url", &nats.url(), "--listen", &address.to_string()])
            .args(["--connections", "25000"])
            .args(["--account-connections", "0", "--address-connections", "0"])
            .args(["--idle-timeout", "1h", "--log", "warn"])
            .stdin(Stdio::null());
        let process = Process::spawn(command)?;
        let ready = async {
            while reqwest::get(format!("http://{address}/readyz"))
                .await
                .is_ok_and(|answer| answer.status() == 200)
                .eq(&false)
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(START, ready)
            .await
            .context("the notifier is not ready")?;
        let token = mint(
            &SecretString::from(SECRET),
            &NewToken {
                subject: Some(ACCOUNT),
                role: "authenticated",
                audience: Some("authenticated"),
                issuer: None,
                issued_at: now(),
                expires_at: now() + SignedDuration::from_hours(1),
            },
        )?;
        Ok(Self {
            process,
            address,
            bus,
            token: token.expose_secret().to_owned(),
            _server: (nats, dir),
        })
    }
}

impl Subject for Notifier {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn request(&self, _: Option<usize>) -> anyhow::Result<Request<()>> {
        let mut request = format!("ws://{}/v1/ws", self.address).into_client_request()?;
        let bearer = HeaderValue::from_str(&format!("Bearer {}", self.token))?;
        request.headers_mut().insert("authorization", bearer);
        Ok(request)
    }

    fn first(&self, server: Option<usize>) -> Vec<String> {
        let subscribe = |server| format!(r#"{{"type":"subscribe","servers":["{}"]}}"#, id(server));
        server.map(subscribe).into_iter().collect()
    }

    fn ready(&self, server: Option<usize>) -> Option<&'static str> {
        Some(if server.is_some() {
            r#""type":"present""#
        } else {
            r#""type":"hello""#
        })
    }

    async fn publish(&self, version: u64) -> anyhow::Result<()> {
        publish(&self.bus, 0, version + 1).await
    }

    fn memory(&self) -> anyhow::Result<u64> {
        self.process.memory()
    }
}

fn id(server: usize) -> Uuid {
    Uuid::from_u128(1_000_000 + server as u128)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a bench makes tokens for a service that looks at the clock"
)]
fn now() -> Timestamp {
    Timestamp::now()
}

/// A status, as long as they are.
pub(crate) fn status(server: usize, version: u64) -> StatusEvent {
    StatusEvent::Status(ServerStatus {
        server_id: id(server),
        toolbox_id: Uuid::from_u128(7),
        account_id: ACCOUNT.0,
        name: format!("mcp-{server}"),
        version,
        state: "running".to_owned(),
        health: "healthy".to_owned(),
        uptime: Some(30),
        last_started: Some(now()),
        last_error: None,
        status_on_toolbox: "running".to_owned(),
        container_id: Some("86bccadd99198b1c5cf9264e3dc4dd2632cb67be021bf5341d4c1a07f4d77896".to_owned()),
        as_of: Some(now()),
        changed_at: now(),
        previous: None,
        cause: Some("report".to_owned()),
        monitored: true,
        command: None,
        override_until: None,
    })
}

async fn publish(bus: &Bus, server: usize, version: u64) -> anyhow::Result<()> {
    let subject = subjects::server_status(ACCOUNT, ServerId(id(server)));
    let message_id = format!("{server}-{version}");
    bus.publish(subject, &message_id, &status(server, version))
        .await?;
    Ok(())
}
