//! Reading without taking: following a stream, its last message, and how much is in it.

use async_nats::jetstream::consumer::DeliverPolicy;
use futures_util::StreamExt;
use futures_util::stream::{self, Stream};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use wire::streams::{ConsumerSpec, StreamSpec};

use crate::source::{Event, Origin, Source};
use crate::streams::Target;
use crate::{Bus, BusError, Delivery};

/// Messages that a follower may have waiting in this process: some milliseconds of work.
pub(crate) const AHEAD: usize = 256;

/// Where a follower starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// With the last message of every subject: the present state, then the changes.
    LastPerSubject,
    /// With what is published from now on.
    New,
}

/// What is in a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamState {
    /// Messages in it.
    pub messages: u64,
    /// Sequence of the first of them.
    pub first_sequence: u64,
    /// Sequence of the last message it ever took.
    pub last_sequence: u64,
    /// When it was made: another time is another stream, and sequences began anew.
    pub created_at: Timestamp,
}

/// How far behind a consumer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// Messages not delivered yet.
    pub pending: u64,
    /// Messages delivered and not acknowledged yet.
    pub ack_pending: u64,
}

impl Bus {
    /// Follows a stream: every message of `filters` (all of the stream's, when empty) in order and without gaps,
    /// until `shutdown` is cancelled.
    ///
    /// When the connection, the stream or the server's memory of us is lost, it starts again from the last message of
    /// every subject: what was missed is made up for by the newest, and what was seen may come again. A reader that
    /// is slow is not sent more; one that asks for nothing for two minutes starts again in the same way.
    ///
    /// The stream ends early only when it can never go on (which is logged as an error): treat that as a task that
    /// ended early.
    pub fn follow(
        &self,
        stream: &'static StreamSpec,
        filters: Vec<String>,
        from: From,
        shutdown: CancellationToken,
    ) -> impl Stream<Item = Delivery> + Send + Unpin + use<> {
        let policy = match from {
            From::LastPerSubject => DeliverPolicy::LastPerSubject,
            From::New => DeliverPolicy::New,
        };
        let origin = Origin::Ordered {
            target: Target::Stream(stream),
            filters: or_all(filters, stream),
            policy,
        };
        let source = Source::new(self, origin, AHEAD);
        stream::unfold((source, shutdown), |(mut source, shutdown)| async {
            loop {
                tokio::select! {
                    biased;
                    () = shutdown.cancelled() => return None,
                    event = source.next(AHEAD) => match event {
                        Ok(Event::Message(delivery)) => return Some((delivery, (source, shutdown))),
                        Ok(Event::Attached { .. } | Event::Idle | Event::Lost) => {}
                        Err(error) => {
                            tracing::error!(%error, "failed to follow a stream; it ends here");
                            return None;
                        }
                    },
                }
            }
        })
        .boxed()
    }

    /// The last message of a subject; `None` where there is none.
    ///
    /// # Errors
    /// [`BusError::NotFound`] when the stream does not exist, and those of every request.
    pub async fn last(&self, stream: &StreamSpec, subject: &str) -> Result<Option<Delivery>, BusError> {
        Ok(self
            .api()
            .last(stream.name, subject)
            .await?
            .map(Delivery::from_stream))
    }

    /// What is in a stream.
    ///
    /// # Errors
    /// [`BusError::NotFound`] when the stream does not exist, and those of every request.
    pub async fn stream_state(&self, stream: &StreamSpec) -> Result<StreamState, BusError> {
        let info = self.api().stream(stream.name).await?;
        Ok(StreamState {
            messages: info.state.messages,
            first_sequence: info.state.first_seq,
            last_sequence: info.state.last_seq,
            created_at: info.created,
        })
    }

    /// How far behind a shared consumer is.
    ///
    /// # Errors
    /// [`BusError::NotFound`] when the stream or the consumer does not exist, and those of every request.
    pub async fn backlog(&self, consumer: &ConsumerSpec) -> Result<Backlog, BusError> {
        let info = self.api().consumer(consumer.stream.name, consumer.name).await?;
        Ok(Backlog {
            pending: info.num_pending,
            ack_pending: info.num_ack_pending,
        })
    }
}

/// The filters, or those for all of the stream: the server takes "last per subject" only together with a filter.
pub(crate) fn or_all(filters: Vec<String>, stream: &StreamSpec) -> Vec<String> {
    if !filters.is_empty() {
        return filters;
    }
    stream
        .subjects
        .iter()
        .map(|subject| (*subject).to_owned())
        .collect()
}
