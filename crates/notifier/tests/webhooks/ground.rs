//! What every test stands on.

use std::time::Duration;

use access::AccessOptions;
use bus::{Bus, BusOptions, Outgoing, SealingKey};
use domain::{AccountId, ServerId};
use embedded::{NatsOptions, NatsServer};
use jiff::Timestamp;
use notifier::{Config, WebhookOptions as Options};
use secrecy::SecretString;
use service::Lifecycle;
use service::options::{HttpOptions, LogFormat, TelemetryOptions};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wire::{
    Message as _, Previous, SealedSecret, ServerStatus, StatusEvent, Tombstone, WebhookAttempt,
    WebhookDeadLetter, WebhookEntry, WebhookFilters, WebhookOptions, WebhookTemplate, streams, subjects,
};

/// Longest wait for anything: far longer than it takes, short enough to see a hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Secrets as status-api makes them.
pub(crate) const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
pub(crate) const FORMER: &str = "whsec_IB8eHRwbGhkYFxYVFBMSERAPDg0MCwoJCAcGBQQDAgE=";

pub(crate) fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// A server, a bus on it with all streams, and the key that secrets are sealed with.
pub(crate) struct Ground {
    pub(crate) bus: Bus,
    pub(crate) nats: NatsServer,
    key: SealingKey,
    key_text: SecretString,
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
        let (key, key_text) = SealingKey::generate();
        Self {
            bus,
            nats,
            key,
            key_text,
            _dir: dir,
        }
    }

    /// A notifier, once it is ready, that may post to this machine and does not wait long between attempts.
    pub(crate) async fn replica(&self) -> Replica {
        self.replica_with(|_| ()).await
    }

    pub(crate) async fn replica_with(&self, change: impl FnOnce(&mut Options)) -> Replica {
        let mut config = Config::new(
            service::options::NatsOptions {
                nats_url: self.nats.url(),
                nats_token: None,
                nats_credentials: None,
                nats_timeout: Duration::from_secs(5),
                nats_replicas: 1,
            },
            HttpOptions {
                listen: "127.0.0.1:0".parse().unwrap(),
            },
            TelemetryOptions {
                log: "warn".to_owned(),
                log_format: LogFormat::Pretty,
            },
            AccessOptions {
                jwt_leeway: Duration::ZERO,
                ..AccessOptions::new(Some("a secret of more than thirty-two bytes".into()), None)
            },
        );
        config.webhooks = Options {
            sealing_key: Some(self.key_text.clone()),
            webhook_allow: vec!["127.0.0.0/8".parse().unwrap()],
            webhook_allow_http: true,
            webhook_backoff: vec![Duration::from_secs(1)],
            webhook_rest: Duration::from_secs(1),
            ..Options::default()
        };
        change(&mut config.webhooks);
        Replica::start(config).await
    }

    /// Has an endpoint told, as the mapper's mirror does.
    pub(crate) async fn webhook(&self, number: u128, account: u128, url: &str) -> WebhookEntry {
        self.webhook_with(number, account, url, |_| ()).await
    }

    pub(crate) async fn webhook_with(
        &self,
        number: u128,
        account: u128,
        url: &str,
        change: impl FnOnce(&mut WebhookEntry),
    ) -> WebhookEntry {
        let mut entry = WebhookEntry {
            webhook_id: id(number),
            account_id: id(account),
            url: url.to_owned(),
            enabled: true,
            secrets: vec![self.sealed(number, SECRET, None)],
            filters: WebhookFilters::default(),
            template: WebhookTemplate::Standard,
            options: WebhookOptions::default(),
            created_at: Timestamp::UNIX_EPOCH,
        };
        change(&mut entry);
        self.bus.bucket().await.unwrap().put(&entry).await.unwrap();
        entry
    }

    pub(crate) fn sealed(&self, number: u128, secret: &str, until: Option<Timestamp>) -> SealedSecret {
        SealedSecret {
            sealed: self.key.seal(id(number), &secret.into()),
            until,
        }
    }

    pub(crate) async fn publish(&self, events: &[StatusEvent]) {
        let outgoing = events.iter().map(|event| {
            let account = match event {
                StatusEvent::Status(status) => status.account_id,
                StatusEvent::Deleted(end) => end.account_id,
            };
            Outgoing {
                subject: subjects::server_status(AccountId(account), ServerId(event.server_id())),
                id: Uuid::new_v4().to_string(),
                type_name: StatusEvent::TYPE,
                body: serde_json::to_vec(event).unwrap().into(),
                traceparent: None,
                ttl: None,
                rollup: false,
            }
        });
        for published in self.bus.publish_all(outgoing.collect()).await {
            published.unwrap();
        }
    }

    /// The delivery log of an endpoint, the oldest first.
    pub(crate) async fn log(&self, webhook: &WebhookEntry) -> Vec<WebhookAttempt> {
        let subject = subjects::webhook_log(AccountId(webhook.account_id), webhook.webhook_id);
        let kept = self.bus.kept(&streams::WEBHOOK_LOG, &subject, 0, 1000).await;
        kept.unwrap()
            .iter()
            .map(|one| WebhookAttempt::decode(&one.body).unwrap())
            .collect()
    }

    /// What an endpoint did not take, with its sequence.
    pub(crate) async fn dead(&self, webhook: &WebhookEntry) -> Vec<(u64, WebhookDeadLetter)> {
        let subject = subjects::webhook_dead(AccountId(webhook.account_id), webhook.webhook_id);
        let kept = self.bus.kept(&streams::WEBHOOK_DEAD, &subject, 0, 1000).await;
        kept.unwrap()
            .iter()
            .map(|one| (one.sequence, WebhookDeadLetter::decode(&one.body).unwrap()))
            .collect()
    }

    /// Waits until nothing is on its way any more.
    pub(crate) async fn all_done(&self) {
        eventually("nothing is on its way any more", async || {
            let state = self.bus.stream_state(&streams::WEBHOOKS).await.unwrap();
            let matched = self.bus.backlog(&streams::WEBHOOK_MATCHER).await.unwrap();
            state.messages == 0 && matched.pending == 0 && matched.ack_pending == 0
        })
        .await;
    }
}

/// A server of that account in that state, and what it was before.
pub(crate) fn status(server: u128, account: u128, version: u64, state: &str, before: &str) -> StatusEvent {
    StatusEvent::Status(ServerStatus {
        server_id: id(server),
        toolbox_id: id(7),
        account_id: id(account),
        name: format!("mcp-{server}"),
        version,
        state: state.to_owned(),
        health: health(state),
        uptime: None,
        last_started: None,
        last_error: None,
        status_on_toolbox: state.to_owned(),
        container_id: None,
        as_of: None,
        changed_at: now(),
        previous: Some(Previous {
            state: before.to_owned(),
            health: health(before),
        }),
        cause: Some("report".to_owned()),
        monitored: true,
        command: None,
        override_until: None,
    })
}

fn health(state: &str) -> String {
    match state {
        "running" => "healthy",
        "error" => "unhealthy",
        _ => "unknown",
    }
    .to_owned()
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

#[expect(clippy::disallowed_methods, reason = "events are of the present")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// A notifier in this process.
pub(crate) struct Replica {
    shutdown: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Replica {
    async fn start(config: Config) -> Self {
        let shutdown = CancellationToken::new();
        let (lifecycle, mut ready) = Lifecycle::new(shutdown.clone());
        let task = tokio::spawn(notifier::run(config, lifecycle));
        tokio::time::timeout(PATIENCE, ready.wait_for(Option::is_some))
            .await
            .expect("the notifier is not ready")
            .expect("the notifier has ended");
        Self { shutdown, task }
    }

    /// Stops it in good order.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.task).await;
        ended.expect("the notifier stops in time").unwrap().unwrap();
    }

    /// As a crash would.
    pub(crate) async fn crash(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

/// Waits until something holds.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("in vain: {what}"));
}
