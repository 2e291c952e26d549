//! Messages of one consumer for as long as anybody wants them: attaches, notices every loss, attaches again.
//!
//! ```text
//!            ┌── seek: wait for the connection, make what is missing, attach ◄─┐
//!            ▼                                                                 │
//!     Found(Pull) ── message · idle ──► the reader                             │
//!            └── lost: connection, consumer, stream, heartbeat, gap ── wait ───┘
//! ```

use std::borrow::Cow;
use std::time::Duration;

use async_nats::jetstream::consumer::{self, AckPolicy, DeliverPolicy, ReplayPolicy};
use futures_util::future::BoxFuture;
use wire::streams::ConsumerSpec;

use crate::api::ConsumerInfo;
use crate::backoff::Backoff;
use crate::pull::{Last, Pull, Pulled};
use crate::streams::{self, Target};
use crate::{Bus, BusError, Delivery, unreadable};

/// How long the server keeps a reader's consumer that asks for nothing. A reader that was away for longer starts
/// from the last message per subject again.
const READER_INACTIVE: Duration = Duration::from_secs(120);

/// Whose messages.
#[derive(Clone)]
pub(crate) enum Origin {
    /// A durable consumer, shared by all replicas.
    Shared(&'static ConsumerSpec),
    /// A consumer of our own that delivers in order and without gaps.
    Ordered {
        target: Target,
        filters: Vec<String>,
        policy: DeliverPolicy,
    },
}

impl Origin {
    fn stream(&self) -> Cow<'static, str> {
        match self {
            Self::Shared(spec) => spec.stream.name.into(),
            Self::Ordered { target, .. } => target.name(),
        }
    }

    fn consumer(&self) -> &'static str {
        match self {
            Self::Shared(spec) => spec.name,
            Self::Ordered { .. } => "of our own",
        }
    }
}

/// What happens at a source.
pub(crate) enum Event {
    /// Attached, for the first time or again, with this many messages to come at that moment.
    Attached {
        pending: u64,
    },
    Message(Delivery),
    /// The server is there and has nothing.
    Idle,
    /// Not attached any more; the next event is that it is again.
    Lost,
}

/// Messages of one consumer.
pub(crate) struct Source {
    bus: Bus,
    origin: Origin,
    capacity: usize,
    state: State,
    /// Waits between losses that follow each other without a sign of life in between.
    losses: Option<Backoff>,
}

enum State {
    /// Kept as a future so that [`Source::next`] can be dropped and called again without starting over.
    Seeking(BoxFuture<'static, Result<Attached, BusError>>),
    Found(Attached),
    /// An error that no waiting heals.
    Failed,
}

struct Attached {
    pull: Pull,
    name: String,
    pending: u64,
}

/// A reader's consumer that was lost, and how far we came with it: the next that it sent may be what the client could
/// not read.
struct Former {
    consumer: String,
    last: Last,
}

impl Source {
    /// A source that holds at most `capacity` messages asked for or under way.
    pub(crate) fn new(bus: &Bus, origin: Origin, capacity: usize) -> Self {
        let capacity = capacity.max(1);
        let seeking = seek(bus.clone(), origin.clone(), None, Duration::ZERO);
        Self {
            bus: bus.clone(),
            origin,
            capacity,
            state: State::Seeking(Box::pin(seeking)),
            losses: None,
        }
    }

    /// The next event, with room for `free` more messages. May be dropped at any time without losing a message.
    ///
    /// # Errors
    /// Only what no waiting heals; every call after that fails with [`BusError::Closed`].
    pub(crate) async fn next(&mut self, free: usize) -> Result<Event, BusError> {
        match &mut self.state {
            State::Failed => Err(BusError::Closed),
            State::Seeking(seeking) => match seeking.as_mut().await {
                Ok(attached) => Ok(self.attached(attached)),
                Err(error) => {
                    self.state = State::Failed;
                    Err(error)
                }
            },
            State::Found(attached) => match attached.pull.next(free, self.capacity).await {
                Pulled::Message(delivery) => {
                    self.losses = None;
                    Ok(Event::Message(delivery))
                }
                Pulled::Idle => {
                    self.losses = None;
                    Ok(Event::Idle)
                }
                Pulled::Lost(why) => {
                    self.lost(&why);
                    Ok(Event::Lost)
                }
            },
        }
    }

    fn attached(&mut self, attached: Attached) -> Event {
        let (stream, consumer, pending) = (self.origin.stream(), self.origin.consumer(), attached.pending);
        tracing::info!(%stream, consumer, pending, "consumer attached");
        self.state = State::Found(attached);
        Event::Attached { pending }
    }

    fn lost(&mut self, why: &str) {
        let (stream, consumer) = (self.origin.stream(), self.origin.consumer());
        tracing::warn!(%stream, consumer, why, "consumer lost; attaching again");
        // The first loss is healed at once; only one that follows on it at once has to wait.
        let wait = self.losses.as_mut().map_or(Duration::ZERO, Backoff::next);
        self.losses.get_or_insert_with(Backoff::new);
        if let Origin::Ordered { policy, .. } = &mut self.origin {
            *policy = DeliverPolicy::LastPerSubject;
        }
        let former = match std::mem::replace(&mut self.state, State::Failed) {
            State::Found(attached) => Some(Former {
                consumer: attached.name,
                last: attached.pull.last(),
            }),
            State::Seeking(_) | State::Failed => None,
        };
        let seeking = seek(self.bus.clone(), self.origin.clone(), former, wait);
        self.state = State::Seeking(Box::pin(seeking));
    }

    /// Asks the server whether everything there is has been delivered and was returned from here.
    pub(crate) async fn is_caught_up(&mut self) -> bool {
        let State::Found(attached) = &mut self.state else {
            return false;
        };
        let info = self
            .bus
            .api()
            .consumer(&self.origin.stream(), &attached.name)
            .await;
        // What was delivered and is still on its way counts for the server as delivered.
        info.is_ok_and(|info| {
            info.num_pending == 0 && info.delivered.consumer_seq == attached.pull.last().place
        })
    }

    /// Asks for no more and returns what was on its way.
    pub(crate) async fn close(self) -> Vec<Delivery> {
        match self.state {
            State::Found(attached) => attached.pull.close().await,
            State::Seeking(_) | State::Failed => Vec::new(),
        }
    }
}

/// Attaches, however long it takes; only what no waiting heals is an error.
async fn seek(
    bus: Bus,
    origin: Origin,
    former: Option<Former>,
    wait: Duration,
) -> Result<Attached, BusError> {
    tokio::time::sleep(wait).await;
    let mut backoff = Backoff::new();
    let mut reported = false;
    loop {
        let error = match attach(&bus, &origin, former.as_ref()).await {
            Err(error) if error.is_transient() => error,
            result => return result,
        };
        let (stream, consumer) = (origin.stream(), origin.consumer());
        // One line says that it does not work; the line that it works again ends the matter.
        if reported {
            tracing::debug!(%stream, consumer, %error, "failed to attach to the consumer");
        } else {
            tracing::warn!(%stream, consumer, %error, "failed to attach to the consumer; trying again");
        }
        reported = true;
        tokio::time::sleep(backoff.next()).await;
    }
}

async fn attach(bus: &Bus, origin: &Origin, former: Option<&Former>) -> Result<Attached, BusError> {
    let link = bus.connected().await?;
    let (info, ordered) = match origin {
        Origin::Shared(spec) => (shared(bus, spec).await?, false),
        Origin::Ordered {
            target,
            filters,
            policy,
        } => {
            if let Some(former) = former {
                pass_unreadable(bus, *target, filters, former).await?;
            }
            (own(bus, *target, filters, *policy).await?, true)
        }
    };
    let pull = Pull::attach(bus, link, &origin.stream(), info.name.clone(), ordered).await?;
    Ok(Attached {
        pull,
        name: info.name,
        pending: info.num_pending,
    })
}

/// The shared consumer, made where it is missing, without what would stand in its way for ever.
async fn shared(bus: &Bus, spec: &'static ConsumerSpec) -> Result<ConsumerInfo, BusError> {
    let target = Target::Stream(spec.stream);
    let info = match streams::ensure_consumer(bus, spec).await {
        Err(BusError::NotFound { .. }) => {
            bus.ensure(target).await?;
            streams::ensure_consumer(bus, spec).await?
        }
        found => found?,
    };
    if info.num_ack_pending > 0 {
        let unacknowledged = info.ack_floor.stream_seq + 1..=info.delivered.stream_seq;
        unreadable::bury(bus, target, &[spec.filter.to_owned()], unacknowledged).await?;
    }
    Ok(info)
}

/// Removes what the former consumer of a reader sent and the client could not read. A consumer that is gone tells
/// nothing; then it is found the next time.
async fn pass_unreadable(
    bus: &Bus,
    target: Target,
    filters: &[String],
    former: &Former,
) -> Result<(), BusError> {
    let Ok(info) = bus.api().consumer(&target.name(), &former.consumer).await else {
        return Ok(());
    };
    if info.delivered.consumer_seq > former.last.place {
        unreadable::bury(
            bus,
            target,
            filters,
            former.last.sequence + 1..=info.delivered.stream_seq,
        )
        .await?;
    }
    Ok(())
}

/// A consumer for one reader: in memory, on one server, gone when it is not asked any more. What it forgets, the
/// reader does not need, because it starts again from the last message per subject.
async fn own(
    bus: &Bus,
    target: Target,
    filters: &[String],
    policy: DeliverPolicy,
) -> Result<ConsumerInfo, BusError> {
    let config = consumer::Config {
        filter_subjects: filters.to_vec(),
        deliver_policy: policy,
        ack_policy: AckPolicy::None,
        replay_policy: ReplayPolicy::Instant,
        inactive_threshold: READER_INACTIVE,
        num_replicas: 1,
        memory_storage: true,
        ..Default::default()
    };
    match bus.api().create_consumer(&target.name(), &config).await {
        Err(BusError::NotFound { .. }) => {
            bus.ensure(target).await?;
            bus.api().create_consumer(&target.name(), &config).await
        }
        made => made,
    }
}
