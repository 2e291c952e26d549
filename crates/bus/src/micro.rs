//! Operations that anybody on the bus can find and ask: a NATS micro-service (ADR-32).
//!
//! ```text
//!  $SRV.PING · INFO · STATS ──► discovery: each replica answers for itself
//!  operation's subject ──► one of the replicas (queue group) ──► handler ──► reply: status, headers, body
//!                               │
//!                               └─ too large 413 · no room 503 · panic 500
//! ```
//!
//! The answers of discovery are the client library's types. Its own listener is not used: that sends no body with an
//! error, and loses what is on its way when it stops.

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::datetime::{self, DateTime};
use async_nats::service::{self, endpoint};
use async_nats::{HeaderMap, Message};
use futures_util::FutureExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use crate::intake::{Bounds, Excess, Intake};
use crate::reply::{Reply, words};
use crate::{Bus, BusError, Request};

/// Largest body of a request: questions and commands are small.
const REQUEST_BYTES: usize = 64 << 10;
/// Requests to discovery that are answered at once.
const DISCOVERY: usize = 4;
/// The queue group that the protocol gives to who names none.
const QUEUE: &str = "q";

/// What a service is, to who looks for it.
#[derive(Debug, Clone)]
pub struct ServiceSpec {
    /// Its name: letters, digits, `-` and `_`.
    pub name: &'static str,
    /// Its version, as SemVer writes it.
    pub version: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// What can be asked of it.
    pub operations: Vec<OperationSpec>,
}

/// One operation of a service.
#[derive(Debug, Clone)]
pub struct OperationSpec {
    /// Its name: the handler's, and the one in statistics.
    pub name: &'static str,
    /// Where it is asked for.
    pub subject: String,
    /// What else there is to say of it, for who looks.
    pub metadata: Vec<(&'static str, String)>,
}

/// Offers a service until `shutdown` is cancelled: answers discovery (`$SRV.PING`, `INFO`, `STATS`), and every operation
/// through `handler`, which gets the operation's name. All operations together are worked on at most `concurrency` at
/// once, and eight times as many wait; what comes beyond that is answered 503, a body over 64 KiB 413, both without the
/// handler. A request that names no place for an answer is dropped. Replicas share.
///
/// A handler's work is a child of the asker's trace. A panic in a handler is answered 500. Survives every loss of the
/// connection; at the end takes no more, and answers what came. All handlers run in the caller's task.
///
/// # Errors
/// [`BusError::Closed`], or [`BusError::Unsendable`] for a name or subject that cannot be.
pub async fn serve_api<F, Fut>(
    bus: &Bus,
    spec: ServiceSpec,
    concurrency: usize,
    shutdown: CancellationToken,
    handler: F,
) -> Result<(), BusError>
where
    F: Fn(&'static str, Request) -> Fut,
    Fut: Future<Output = Reply>,
{
    let micro = Micro::new(bus, spec)?;
    let asked: Vec<String> = micro
        .spec
        .operations
        .iter()
        .map(|operation| operation.subject.clone())
        .collect();
    let subscribing = async {
        // Operations first: who is found is ready.
        let operations = Intake::subscribe(bus, &asked, Some(QUEUE)).await?;
        Ok::<_, BusError>((operations, Intake::subscribe(bus, &micro.verbs(), None).await?))
    };
    let (operations, discovery) = tokio::select! {
        biased;
        () = shutdown.cancelled() => return Ok(()),
        subscribed = subscribing => subscribed?,
    };
    let bounds = |concurrency| Bounds {
        concurrency,
        bytes: REQUEST_BYTES,
    };
    let (micro, handler) = (&micro, &handler);
    let operations = operations.attend(
        bounds(concurrency),
        shutdown.clone(),
        |number, message| micro.work(number, message, handler),
        |number, message, excess| micro.turn_away(number, message, excess),
    );
    let discovery = discovery.attend(
        bounds(DISCOVERY),
        shutdown,
        |number, message| micro.discovered(number, message),
        // Who looks asks again.
        |_, _, _| {},
    );
    let (operations, discovery) = futures_util::future::join(operations, discovery).await;
    operations.and(discovery)
}

/// What discovery is asked.
#[derive(Clone, Copy)]
enum Verb {
    Ping,
    Info,
    Stats,
}

const VERBS: [(Verb, &str); 3] = [(Verb::Ping, "PING"), (Verb::Info, "INFO"), (Verb::Stats, "STATS")];
/// Ways to ask each: of all services, of all of one name, of one replica.
const WAYS: usize = 3;

/// One replica of a service.
struct Micro {
    bus: Bus,
    spec: ServiceSpec,
    id: String,
    started: DateTime,
    /// By operation.
    stats: Mutex<Vec<endpoint::Stats>>,
}

impl Micro {
    fn new(bus: &Bus, spec: ServiceSpec) -> Result<Self, BusError> {
        let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
        if spec.name.is_empty() || !spec.name.chars().all(fits) {
            return Err(BusError::Unsendable {
                what: "offer a service".to_owned(),
                field: "its name",
            });
        }
        let stats = spec.operations.iter().map(|operation| endpoint::Stats {
            name: operation.name.to_owned(),
            subject: operation.subject.clone(),
            queue_group: QUEUE.to_owned(),
            ..Default::default()
        });
        Ok(Self {
            bus: bus.clone(),
            stats: Mutex::new(stats.collect()),
            spec,
            id: Uuid::new_v4().simple().to_string(),
            started: datetime::now(),
        })
    }

    /// The subjects of discovery, verb by verb.
    fn verbs(&self) -> Vec<String> {
        let (name, id) = (self.spec.name, &self.id);
        let of = |(_, verb): (Verb, &str)| -> [String; WAYS] {
            [
                format!("$SRV.{verb}"),
                format!("$SRV.{verb}.{name}"),
                format!("$SRV.{verb}.{name}.{id}"),
            ]
        };
        VERBS.into_iter().flat_map(of).collect()
    }

    async fn discovered(&self, number: usize, message: Message) {
        let (Some((verb, _)), Some(reply)) = (VERBS.get(number / WAYS), message.reply) else {
            return;
        };
        let body = match verb {
            Verb::Ping => serde_json::to_vec(&self.ping()),
            Verb::Info => serde_json::to_vec(&self.info()),
            Verb::Stats => serde_json::to_vec(&self.statistics()),
        };
        match body {
            Ok(body) => {
                self.bus.reply(reply, HeaderMap::new(), body.into()).await;
            }
            Err(error) => tracing::warn!(%error, "failed to encode what the service says of itself"),
        }
    }

    fn ping(&self) -> service::PingResponse {
        service::PingResponse {
            kind: "io.nats.micro.v1.ping_response".to_owned(),
            name: self.spec.name.to_owned(),
            id: self.id.clone(),
            version: self.spec.version.to_owned(),
            metadata: HashMap::new(),
        }
    }

    fn info(&self) -> service::Info {
        let operations = self.spec.operations.iter();
        service::Info {
            kind: "io.nats.micro.v1.info_response".to_owned(),
            name: self.spec.name.to_owned(),
            id: self.id.clone(),
            description: self.spec.description.to_owned(),
            version: self.spec.version.to_owned(),
            metadata: HashMap::new(),
            endpoints: operations
                .map(|operation| endpoint::Info {
                    name: operation.name.to_owned(),
                    subject: operation.subject.clone(),
                    queue_group: QUEUE.to_owned(),
                    metadata: operation
                        .metadata
                        .iter()
                        .map(|(name, value)| ((*name).to_owned(), value.clone()))
                        .collect(),
                })
                .collect(),
        }
    }

    fn statistics(&self) -> service::Stats {
        service::Stats {
            kind: "io.nats.micro.v1.stats_response".to_owned(),
            name: self.spec.name.to_owned(),
            id: self.id.clone(),
            version: self.spec.version.to_owned(),
            started: self.started,
            endpoints: self.stats().clone(),
        }
    }

    /// One request from its arrival to its answer.
    async fn work<F, Fut>(&self, number: usize, mut message: Message, handler: &F)
    where
        F: Fn(&'static str, Request) -> Fut,
        Fut: Future<Output = Reply>,
    {
        let Some(operation) = self.spec.operations.get(number) else {
            return;
        };
        let Some(reply_to) = message.reply.take() else {
            self.bus.metrics().request(operation.name, "no_reply");
            return;
        };
        let begun = Instant::now();
        let request = Request::new(message);
        let span = request.span(operation.name);
        // A stranger's request must not end the process, and with it the requests of all others.
        let handling = AssertUnwindSafe(async { handler(operation.name, request).await }).catch_unwind();
        let mut reply = handling.instrument(span).await.unwrap_or_else(|_| {
            tracing::error!(operation = operation.name, "an operation's handler panicked");
            Reply::problem(500, "the service failed to answer this")
        });
        if reply.size() > self.bus.client().max_payload() {
            reply = Reply::problem(500, "the answer is larger than a message may be");
        }
        // Before the answer goes: who has it may look at once.
        self.count(number, reply.status, begun.elapsed());
        let headers = reply.header_map();
        self.bus.reply(reply_to, headers, reply.body).await;
    }

    /// Answers at once, or not at all: nobody here waits for room.
    fn turn_away(&self, number: usize, message: &Message, excess: Excess) {
        let reply = match excess {
            Excess::TooLarge => Reply::problem(413, "a request may have 64 KiB"),
            Excess::Busy => Reply::problem(503, "too many requests are under way; ask again"),
        };
        self.count(number, reply.status, Duration::ZERO);
        if let Some(reply_to) = message.reply.clone() {
            let headers = reply.header_map();
            let _ = self
                .bus
                .client()
                .publish_with_headers(reply_to, headers, reply.body)
                .now_or_never();
        }
    }

    fn count(&self, number: usize, status: u16, took: Duration) {
        let mut stats = self.stats();
        let Some(stats) = stats.get_mut(number) else {
            return;
        };
        self.bus.metrics().request(&stats.name, i64::from(status));
        stats.requests += 1;
        stats.processing_time += took;
        stats.average_processing_time =
            stats.processing_time / u32::try_from(stats.requests).unwrap_or(u32::MAX);
        if status >= 400 {
            stats.errors += 1;
            stats.last_error = Some(service::error::Error {
                status: words(status).to_owned(),
                code: status.into(),
            });
        }
    }

    fn stats(&self) -> MutexGuard<'_, Vec<endpoint::Stats>> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
