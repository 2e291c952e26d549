//! What every test stands on.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::jetstream;
use bus::{Bus, BusError, BusOptions, Delivery, Outgoing, Verdict, consume};
use domain::ToolboxId;
use embedded::{NatsOptions, NatsServer};
use futures_util::{Stream, StreamExt};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wire::streams::{self, ConsumerSpec};
use wire::{InstanceEntry, PollPlan, ToolboxEntry, subjects};

use crate::observe;

/// Longest wait for anything: far longer than it takes, short enough to see a hang.
const PATIENCE: Duration = Duration::from_secs(30);

/// A consumer of raw reports with a short memory.
pub(crate) static QUICK: ConsumerSpec = ConsumerSpec {
    name: "quick",
    stream: &streams::DTMA_RAW,
    filter: subjects::RAW,
    ack_wait: Duration::from_secs(1),
    max_deliver: 3,
    max_ack_pending: 1000,
};

/// The same, whose server would wait longer than any test for an acknowledgement.
pub(crate) static PATIENT: ConsumerSpec = ConsumerSpec {
    name: "patient",
    ack_wait: Duration::from_secs(300),
    ..QUICK
};

/// A server, a bus on it with all streams, and a plain client for what the bus does not do.
pub(crate) struct Ground {
    pub(crate) bus: Bus,
    pub(crate) plain: jetstream::Context,
    pub(crate) server: NatsServer,
    _dir: TempDir,
}

impl Ground {
    pub(crate) async fn new() -> Self {
        let ground = Self::bare().await;
        ground.bus.ensure_streams().await.unwrap();
        ground
    }

    /// Without streams.
    pub(crate) async fn bare() -> Self {
        observe::everything();
        let dir = TempDir::new().unwrap();
        let server = NatsServer::start(NatsOptions::new(dir.path())).await.unwrap();
        let bus = Bus::connect(options(&server)).await.unwrap();
        let plain = jetstream::new(async_nats::connect(server.url()).await.unwrap());
        Self {
            bus,
            plain,
            server,
            _dir: dir,
        }
    }

    /// Another connection.
    pub(crate) async fn another_bus(&self) -> Bus {
        Bus::connect(options(&self.server)).await.unwrap()
    }

    /// Publishes a raw report's worth of text for a toolbox.
    pub(crate) async fn report(&self, toolbox: u128, body: &str) -> u64 {
        let mut results = self.bus.publish_all(vec![raw(toolbox, body)]).await;
        results.remove(0).unwrap().sequence
    }
}

pub(crate) fn options(server: &NatsServer) -> BusOptions {
    BusOptions {
        api_timeout: Duration::from_secs(2),
        ..BusOptions::new(server.url(), "bus-test")
    }
}

pub(crate) fn toolbox(number: u128) -> ToolboxId {
    ToolboxId(Uuid::from_u128(number))
}

pub(crate) fn plan(every_seconds: u32, failures: u32) -> PollPlan {
    PollPlan {
        every_seconds,
        failures,
        dead_man: false,
        dialect: None,
    }
}

pub(crate) fn entry(number: u128, name: &str) -> ToolboxEntry {
    ToolboxEntry {
        toolbox_id: Uuid::from_u128(number),
        account_id: Uuid::from_u128(1),
        base_url: Some("http://127.0.0.1:1".into()),
        sealed_token: None,
        token_hash: None,
        instances: vec![InstanceEntry {
            server_id: Uuid::from_u128(number + 1000),
            name: name.into(),
            monitored: true,
            seen: false,
            commanded: false,
        }],
    }
}

/// A raw report, as far as the bus is concerned.
pub(crate) fn raw(number: u128, body: &str) -> Outgoing {
    Outgoing {
        subject: subjects::raw(toolbox(number)),
        id: Uuid::new_v4().to_string(),
        type_name: "test.raw",
        body: body.to_owned().into(),
        traceparent: None,
        ttl: None,
        rollup: false,
    }
}

pub(crate) fn text(delivery: &Delivery) -> String {
    String::from_utf8(delivery.body.to_vec()).unwrap()
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

/// Waits for a future that must come to an end.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("in vain: {what}"))
}

/// The next item of a stream that must have one.
pub(crate) async fn next<S: Stream + Unpin>(what: &str, stream: &mut S) -> S::Item {
    soon(what, stream.next())
        .await
        .unwrap_or_else(|| panic!("the stream ended instead of: {what}"))
}

/// What consumers took: body and delivery count, in order.
#[derive(Clone, Default)]
pub(crate) struct Taken(Arc<Mutex<Vec<(String, u32)>>>);

impl Taken {
    pub(crate) fn add(&self, delivery: &Delivery) {
        self.0.lock().unwrap().push((text(delivery), delivery.deliveries));
    }

    pub(crate) fn all(&self) -> Vec<(String, u32)> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn bodies(&self) -> Vec<String> {
        self.all().into_iter().map(|(body, _)| body).collect()
    }

    pub(crate) async fn wait_for(&self, body: &str) {
        eventually(&format!("{body} is taken"), async || {
            self.bodies().iter().any(|it| it == body)
        })
        .await;
    }
}

/// A consumer in a task of its own.
pub(crate) struct Running {
    pub(crate) task: JoinHandle<Result<(), BusError>>,
    pub(crate) shutdown: CancellationToken,
}

impl Running {
    /// Runs `handler` on every message of a consumer.
    pub(crate) fn start<F, Fut>(
        bus: &Bus,
        spec: &'static ConsumerSpec,
        concurrency: usize,
        handler: F,
    ) -> Self
    where
        F: Fn(Delivery) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Verdict> + Send,
    {
        let (bus, shutdown) = (bus.clone(), CancellationToken::new());
        let token = shutdown.clone();
        let task = tokio::spawn(async move { consume(&bus, spec, concurrency, token, handler).await });
        Self { task, shutdown }
    }

    /// Takes every message and says nothing against it.
    pub(crate) fn taking(bus: &Bus, spec: &'static ConsumerSpec, taken: &Taken) -> Self {
        let taken = taken.clone();
        Self::start(bus, spec, 8, move |delivery| {
            taken.add(&delivery);
            std::future::ready(Verdict::Done)
        })
    }

    /// Shuts down in good order.
    pub(crate) async fn stop(self) -> Result<(), BusError> {
        self.shutdown.cancel();
        soon("the consumer stops", self.task).await.unwrap()
    }

    /// As a crash would: whatever is under way is lost.
    pub(crate) async fn crash(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

/// The consumer has nothing more to do.
pub(crate) async fn all_acknowledged(bus: &Bus, spec: &'static ConsumerSpec) {
    eventually("everything is acknowledged", async || {
        bus.backlog(spec).await.is_ok_and(|backlog| {
            backlog
                == bus::Backlog {
                    pending: 0,
                    ack_pending: 0,
                }
        })
    })
    .await;
}

/// The last dead letter of a stream.
pub(crate) async fn dead_letter(bus: &Bus, stream: &str) -> Delivery {
    let subject = subjects::dead_letter(stream);
    let mut found = None;
    eventually("a dead letter is stored", async || {
        found = bus.last(&streams::DTMA_DLQ, &subject).await.ok().flatten();
        found.is_some()
    })
    .await;
    found.unwrap()
}
