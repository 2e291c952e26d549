//! What every test stands on.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use access::{AccessOptions, NewToken, mint};
use bus::{Bus, BusOptions, Outgoing};
use bytes::Bytes;
use domain::{AccountId, ServerId, ToolboxId};
use embedded::{NatsOptions, NatsServer};
use jiff::{SignedDuration, Timestamp};
use notifier::{Config, Hub, StreamOptions};
use secrecy::{ExposeSecret as _, SecretString};
use service::Lifecycle;
use service::options::{HttpOptions, LogFormat, TelemetryOptions};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wire::{ConnectionEntry, Message as _, ServerStatus, StatusEvent, Tombstone, ToolboxEvent, subjects};

/// Longest wait for anything: far longer than it takes, short enough to see a hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

const SECRET: &str = "a secret of more than thirty-two bytes";

pub(crate) fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// A server, and a bus on it with all streams.
pub(crate) struct Ground {
    pub(crate) bus: Bus,
    pub(crate) nats: NatsServer,
    messages: AtomicU64,
    _dir: TempDir,
}

impl Ground {
    pub(crate) async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let nats = NatsServer::start(NatsOptions {
            sync_always: false,
            ..NatsOptions::new(dir.path())
        })
        .await
        .unwrap();
        let bus = Bus::connect(BusOptions::new(nats.url(), "test")).await.unwrap();
        bus.ensure_streams().await.unwrap();
        Self {
            bus,
            nats,
            messages: AtomicU64::new(0),
            _dir: dir,
        }
    }

    /// A notifier, once it is ready.
    pub(crate) async fn replica(&self) -> Replica {
        self.replica_with(|_| ()).await
    }

    pub(crate) async fn replica_with(&self, change: impl FnOnce(&mut StreamOptions)) -> Replica {
        Replica::start(&self.nats.url(), "127.0.0.1:0".parse().unwrap(), change).await
    }

    pub(crate) fn outgoing(&self, event: &StatusEvent) -> Outgoing {
        let account = match event {
            StatusEvent::Status(status) => status.account_id,
            StatusEvent::Deleted(tombstone) => tombstone.account_id,
        };
        let subject = subjects::server_status(AccountId(account), ServerId(event.server_id()));
        let body = serde_json::to_vec(event).unwrap().into();
        self.raw(subject, StatusEvent::TYPE, body)
    }

    pub(crate) fn raw(&self, subject: String, type_name: &'static str, body: Bytes) -> Outgoing {
        Outgoing {
            subject,
            id: format!("m{}", self.messages.fetch_add(1, Ordering::Relaxed)),
            type_name,
            body,
            traceparent: None,
            ttl: None,
            rollup: false,
        }
    }

    pub(crate) async fn publish(&self, events: &[StatusEvent]) {
        let outgoing = events.iter().map(|event| self.outgoing(event)).collect();
        for published in self.bus.publish_all(outgoing).await {
            published.unwrap();
        }
    }

    pub(crate) async fn toolbox(&self, toolbox: u128, account: u128, version: u64, status: &str) {
        let event = ToolboxEvent {
            toolbox_id: id(toolbox),
            account_id: id(account),
            name: format!("box-{toolbox}"),
            version,
            status: status.to_owned(),
            problem: None,
            agent_version: None,
            last_heartbeat: None,
            changed_at: now(),
        };
        let subject = subjects::toolbox_status(AccountId(id(account)), ToolboxId(id(toolbox)));
        let outgoing = self.raw(
            subject,
            ToolboxEvent::TYPE,
            serde_json::to_vec(&event).unwrap().into(),
        );
        self.bus.publish_all(vec![outgoing]).await.remove(0).unwrap();
    }

    /// Connects an agent of an account to a server, or ends that.
    pub(crate) async fn connect(&self, account: u128, server: u128, active: bool) {
        let entry = ConnectionEntry {
            connection_id: id(account << 64 | server),
            agent_id: id(77),
            account_id: Some(id(account)),
            server_id: id(server),
            active,
        };
        self.bus.bucket().await.unwrap().put(&entry).await.unwrap();
    }
}

pub(crate) fn status(server: u128, account: u128, version: u64, state: &str) -> StatusEvent {
    StatusEvent::Status(ServerStatus {
        server_id: id(server),
        toolbox_id: id(7),
        account_id: id(account),
        name: format!("mcp-{server}-of-{account}"),
        version,
        state: state.to_owned(),
        health: "healthy".to_owned(),
        uptime: None,
        last_started: None,
        last_error: None,
        status_on_toolbox: "running".to_owned(),
        container_id: None,
        as_of: None,
        changed_at: now(),
        previous: None,
        cause: None,
        monitored: true,
        command: None,
        override_until: None,
    })
}

pub(crate) fn deleted(server: u128, account: u128, version: u64) -> StatusEvent {
    StatusEvent::Deleted(Tombstone {
        server_id: id(server),
        toolbox_id: id(7),
        account_id: id(account),
        version,
        changed_at: now(),
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests make tokens for a service that looks at the clock"
)]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// A user's token that is good for a while.
pub(crate) fn token(account: u128) -> String {
    token_for(account, SignedDuration::from_hours(1))
}

pub(crate) fn token_for(account: u128, life: SignedDuration) -> String {
    mint(
        &SecretString::from(SECRET),
        &NewToken {
            subject: Some(AccountId(id(account))),
            role: "authenticated",
            audience: Some("authenticated"),
            issuer: None,
            issued_at: now(),
            expires_at: now() + life,
        },
    )
    .unwrap()
    .expose_secret()
    .to_owned()
}

/// A service's, which sees everything.
pub(crate) fn service_token() -> String {
    mint(
        &SecretString::from(SECRET),
        &NewToken {
            subject: None,
            role: "service_role",
            audience: None,
            issuer: None,
            issued_at: now(),
            expires_at: now() + SignedDuration::from_hours(1),
        },
    )
    .unwrap()
    .expose_secret()
    .to_owned()
}

/// A notifier in this process.
pub(crate) struct Replica {
    /// `http://…`
    pub(crate) url: String,
    pub(crate) hub: Hub,
    shutdown: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Replica {
    pub(crate) async fn start(
        nats_url: &str,
        listen: SocketAddr,
        change: impl FnOnce(&mut StreamOptions),
    ) -> Self {
        let mut config = Config::new(
            service::options::NatsOptions {
                nats_url: nats_url.to_owned(),
                nats_token: None,
                nats_credentials: None,
                nats_timeout: Duration::from_secs(5),
                nats_replicas: 1,
            },
            HttpOptions { listen },
            TelemetryOptions {
                log: "warn".to_owned(),
                log_format: LogFormat::Pretty,
            },
            AccessOptions {
                jwt_leeway: Duration::ZERO,
                ..AccessOptions::new(Some(SECRET.into()), None)
            },
        );
        change(&mut config.streams);
        let (shutdown, hub) = (CancellationToken::new(), Hub::default());
        let (lifecycle, mut ready) = Lifecycle::new(shutdown.clone());
        let task = tokio::spawn(notifier::run_on(hub.clone(), config, lifecycle));
        let url = tokio::time::timeout(PATIENCE, ready.wait_for(Option::is_some))
            .await
            .expect("the notifier is not ready")
            .expect("the notifier has ended")
            .clone()
            .unwrap();
        Self {
            url,
            hub,
            shutdown,
            task,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.url.strip_prefix("http://").unwrap().parse().unwrap()
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(20), self.task).await;
        ended.expect("does not stop").unwrap().unwrap();
    }
}

pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("in vain: {what}"));
}
