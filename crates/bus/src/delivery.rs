//! A message as it arrives.

use std::sync::Arc;

use async_nats::jetstream::message::StreamMessage;
use async_nats::{HeaderMap, Message, Subject, jetstream};
use bytes::Bytes;
use jiff::Timestamp;
use opentelemetry::Context;

use crate::trace;

/// A message from a stream. Cheap to clone.
///
/// Subject, body and headers are what a publisher sent: data, trusted no further than who may publish there. The
/// numbers and the time are the server's.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Where it was published.
    pub subject: String,
    /// What was published.
    pub body: Bytes,
    /// Its sequence in the stream.
    pub sequence: u64,
    /// How often it has been delivered by its consumer, this time included; 1 where it is only read.
    pub deliveries: u32,
    /// When the stream took it, by the server's clock.
    pub published_at: Timestamp,
    /// How many more messages the consumer had to deliver after this one.
    pub pending: u64,
    pub(crate) headers: Arc<HeaderMap>,
    /// Where an acknowledgement goes.
    pub(crate) reply: Option<Subject>,
    /// Its place among all deliveries of its consumer, from 1.
    pub(crate) place: u64,
}

impl Delivery {
    /// The first value of a header, by its exact name.
    pub fn header(&self, name: &str) -> Option<&str> {
        trace::header(&self.headers, name)
    }

    /// The trace that its publisher was in; an empty context where it was in none.
    pub fn trace_context(&self) -> Context {
        trace::extract(&self.headers)
    }

    /// A message that a consumer delivered; otherwise the message back.
    ///
    /// Only what bears a JetStream reply subject is one. Everything else in an inbox is the server speaking for
    /// itself: a status line that a publisher put into a message's headers is not.
    pub(crate) fn from_consumer(
        message: Message,
        context: &jetstream::Context,
    ) -> Result<Self, Box<Message>> {
        let message = jetstream::Message {
            message,
            context: context.clone(),
        };
        let Ok(info) = message.info() else {
            return Err(Box::new(message.message));
        };
        let (sequence, place, pending) = (info.stream_sequence, info.consumer_sequence, info.pending);
        let deliveries = u32::try_from(info.delivered.max(1)).unwrap_or(u32::MAX);
        let published_at = timestamp(info.published.unix_timestamp_nanos());
        let Message {
            subject,
            payload,
            headers,
            reply,
            ..
        } = message.message;
        Ok(Self {
            subject: subject.into_string(),
            body: payload,
            sequence,
            deliveries,
            published_at,
            pending,
            headers: Arc::new(headers.unwrap_or_default()),
            reply,
            place,
        })
    }

    /// A message read from its stream without a consumer.
    pub(crate) fn from_stream(message: StreamMessage) -> Self {
        Self {
            subject: message.subject.into_string(),
            body: message.payload,
            sequence: message.sequence,
            deliveries: 1,
            published_at: timestamp(message.time.unix_timestamp_nanos()),
            pending: 0,
            headers: Arc::new(message.headers),
            reply: None,
            place: 0,
        }
    }
}

/// A server's time. One beyond the calendar is as good as the calendar's end.
fn timestamp(nanoseconds: i128) -> Timestamp {
    Timestamp::from_nanosecond(nanoseconds).unwrap_or(if nanoseconds < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}
