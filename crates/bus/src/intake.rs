//! Messages of plain subscriptions, bounded: some are worked on, some wait, and the rest is turned away at once.
//!
//! ```text
//!  subscriptions ─► too large, no room? ─► turned away
//!        │
//!        ▼
//!     waiting ─► under way, at most so many at once
//! ```
//!
//! It reads all the time, so that what piles up is what is decided here and not what the client happens to buffer.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_nats::client::{SubscribeError, SubscribeErrorKind};
use async_nats::{Message, Subscriber};
use futures_util::stream::{FuturesUnordered, SelectAll, Stream};
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::{Bus, BusError};

/// Messages that may wait for each that is worked on: a burst passes, and who waits behind more than this would have
/// given up before it is his turn.
const WAITING: usize = 8;
/// Longest wait for messages that were on their way when the end was asked for.
const DRAIN: Duration = Duration::from_secs(1);

/// Subscriptions, told apart by their place in the list of subjects.
pub(crate) struct Intake {
    bus: Bus,
    subscribers: SelectAll<Numbered>,
}

/// What is worked on at once, and what is not worked on at all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) concurrency: usize,
    /// Largest body.
    pub(crate) bytes: usize,
}

/// Why a message is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Excess {
    Busy,
    TooLarge,
}

impl Intake {
    /// Subscribes as soon as there is a connection; from then on the client keeps the subscriptions.
    ///
    /// # Errors
    /// [`BusError::Unsendable`] for a subject or queue group that cannot be, [`BusError::Closed`].
    pub(crate) async fn subscribe(
        bus: &Bus,
        subjects: &[String],
        queue: Option<&str>,
    ) -> Result<Self, BusError> {
        let mut subscribers = Vec::with_capacity(subjects.len());
        for (number, subject) in subjects.iter().enumerate() {
            let subscriber = loop {
                bus.connected().await?;
                let subscribing = async {
                    match queue {
                        Some(queue) => {
                            bus.client()
                                .queue_subscribe(subject.clone(), queue.to_owned())
                                .await
                        }
                        None => bus.client().subscribe(subject.clone()).await,
                    }
                };
                // Who takes no commands for so long is about to be found disconnected.
                if let Ok(subscribed) = timeout(bus.api_timeout(), subscribing).await {
                    break subscribed.map_err(|error| refused(&error))?;
                }
            };
            subscribers.push(Numbered { number, subscriber });
        }
        Ok(Self {
            bus: bus.clone(),
            subscribers: stream::select_all(subscribers),
        })
    }

    /// Works on messages until `shutdown` is cancelled; then takes no more, and finishes what came and what is under
    /// way. `work` and `turn_away` get the number of the subscription.
    ///
    /// # Errors
    /// [`BusError::Closed`].
    pub(crate) async fn attend<F, Fut>(
        mut self,
        bounds: Bounds,
        shutdown: CancellationToken,
        work: F,
        turn_away: impl Fn(usize, &Message, Excess),
    ) -> Result<(), BusError>
    where
        F: Fn(usize, Message) -> Fut,
        Fut: Future<Output = ()>,
    {
        let concurrency = bounds.concurrency.max(1);
        let mut waiting = VecDeque::new();
        let mut under_way = FuturesUnordered::new();
        let mut stopping = None;
        let mut ended = false;
        loop {
            while under_way.len() < concurrency
                && let Some((number, message)) = waiting.pop_front()
            {
                under_way.push(work(number, message));
            }
            if ended && under_way.is_empty() {
                break;
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled(), if stopping.is_none() => {
                    stopping = Some(Instant::now() + DRAIN);
                    self.drain().await;
                }
                () = sleep_until(stopping.unwrap_or_else(Instant::now)), if stopping.is_some() && !ended => {
                    ended = true;
                }
                Some(()) = under_way.next() => {}
                message = self.subscribers.next(), if !ended => match message {
                    Some((number, message)) => {
                        if message.payload.len() > bounds.bytes {
                            turn_away(number, &message, Excess::TooLarge);
                        } else if waiting.len() >= concurrency.saturating_mul(WAITING) {
                            turn_away(number, &message, Excess::Busy);
                        } else {
                            waiting.push_back((number, message));
                        }
                    }
                    None => ended = true,
                },
            }
        }
        self.bus.flush().await;
        if stopping.is_some() {
            Ok(())
        } else {
            Err(BusError::Closed)
        }
    }

    /// Asks the server for no more; what is on its way still comes.
    async fn drain(&mut self) {
        let draining = async {
            for numbered in self.subscribers.iter_mut() {
                // Fails only when the client has ended.
                let _ = numbered.subscriber.drain().await;
            }
        };
        let _ = timeout(DRAIN, draining).await;
    }
}

fn refused(error: &SubscribeError) -> BusError {
    let field = match error.kind() {
        SubscribeErrorKind::InvalidSubject => "the subject",
        SubscribeErrorKind::InvalidQueueName => "the queue group",
        // The client takes no commands any more.
        SubscribeErrorKind::Other => return BusError::Closed,
    };
    BusError::Unsendable {
        what: "subscribe".to_owned(),
        field,
    }
}

struct Numbered {
    number: usize,
    subscriber: Subscriber,
}

impl Stream for Numbered {
    type Item = (usize, Message);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let number = self.number;
        self.subscriber
            .poll_next_unpin(cx)
            .map(|message| message.map(|message| (number, message)))
    }
}
