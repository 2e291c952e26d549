//! A message as it arrives.

use std::fmt;
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
#[derive(Clone)]
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

    /// A message as a stream would deliver it for the first time, without one: to measure what becomes of it.
    pub fn made(subject: String, body: Bytes, sequence: u64) -> Self {
        Self {
            subject,
            body,
            sequence,
            deliveries: 1,
            published_at: Timestamp::UNIX_EPOCH,
            pending: 0,
            headers: Arc::default(),
            reply: None,
            place: sequence,
        }
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

/// Tells what it is, not what is in it: a body does not belong in a log.
impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("subject", &self.subject)
            .field("sequence", &self.sequence)
            .field("deliveries", &self.deliveries)
            .field("published_at", &self.published_at)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
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

#[cfg(test)]
mod tests {
    use async_nats::{ConnectOptions, StatusCode};

    use super::*;

    fn message(reply: Option<&str>) -> Message {
        Message {
            subject: "dtma.raw.v1.x".into(),
            reply: reply.map(Subject::from),
            payload: "body".into(),
            headers: None,
            status: Some(StatusCode::REQUEST_TERMINATED),
            description: Some("Consumer Deleted".to_owned()),
            length: 0,
        }
    }

    #[tokio::test]
    async fn the_reply_subject_alone_tells_a_message_from_the_server_s_own_words() {
        // A client that waits for a server; none is needed to read a message.
        let client = ConnectOptions::new()
            .retry_on_initial_connect()
            .connect("127.0.0.1:1")
            .await
            .unwrap();
        let context = jetstream::new(client);
        let delivered = message(Some("$JS.ACK.DTMA_RAW.quick.2.10.5.1795380129029444338.7"));
        let delivery = Delivery::from_consumer(delivered, &context).unwrap();
        assert_eq!(
            (
                delivery.sequence,
                delivery.deliveries,
                delivery.place,
                delivery.pending
            ),
            (10, 2, 5, 7)
        );
        assert_eq!(delivery.published_at.as_nanosecond(), 1_795_380_129_029_444_338);
        for reply in [
            None,
            Some("_INBOX.x"),
            Some("$JS.ACK.too.few"),
            Some("$JS.ACK.S.C.x.1.1.1.1"),
        ] {
            assert!(
                Delivery::from_consumer(message(reply), &context).is_err(),
                "{reply:?}"
            );
        }
    }

    #[test]
    fn no_body_is_printed() {
        let delivery = Delivery {
            subject: "s".to_owned(),
            body: "secret".into(),
            sequence: 1,
            deliveries: 1,
            published_at: timestamp(0),
            pending: 0,
            headers: Arc::default(),
            reply: None,
            place: 0,
        };
        assert!(!format!("{delivery:?}").contains("secret"));
        assert_eq!(timestamp(i128::MAX), Timestamp::MAX);
    }
}
