//! Publishing: CloudEvents in binary mode, deduplicated by the event's id, acknowledged by the stream.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::context::{PublishAckFuture, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::{HeaderMap, HeaderName, HeaderValue, header};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use tracing::Instrument as _;
use wire::{Message, headers};

use crate::{Bus, BusError, spans, trace};

/// Publishes of one [`Bus::publish_all`] that await their acknowledgement at once: enough to keep a server busy at a
/// millisecond's distance, small enough to repeat when it is lost.
const IN_FLIGHT: usize = 256;
/// Value of the rollup header: replaces what the subject held.
pub(crate) const ROLLUP_SUBJECT: &str = "sub";

/// The stream's word that it keeps a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The message's sequence in its stream; of the first one, where it is a duplicate.
    pub sequence: u64,
    /// The stream had a message of this id already; nothing was added.
    pub duplicate: bool,
}

/// A message ready to go, with its body already encoded: what an outbox holds.
#[derive(Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Where to, from [`wire::subjects`].
    pub subject: String,
    /// `ce-id` and message id: the stream keeps one message of an id within its duplicate window. An empty one is
    /// not sent.
    pub id: String,
    /// `ce-type`, from [`wire::Message::TYPE`].
    pub type_name: &'static str,
    /// JSON.
    pub body: Bytes,
    /// The trace it belongs to, where it was decided on earlier; `None`: the current span's.
    pub traceparent: Option<String>,
    /// How long the stream keeps it, rounded up to whole seconds, at least one; `None`: by the stream's own rule.
    pub ttl: Option<Duration>,
    /// Replaces everything its subject held.
    pub rollup: bool,
}

/// Tells what it is, not what is in it: a body does not belong in a log.
impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("subject", &self.subject)
            .field("id", &self.id)
            .field("type_name", &self.type_name)
            .field("body_bytes", &self.body.len())
            .field("ttl", &self.ttl)
            .field("rollup", &self.rollup)
            .finish_non_exhaustive()
    }
}

impl Bus {
    /// Publishes a message and waits until the stream has it, as long as [`crate::BusOptions::api_timeout`].
    ///
    /// Does not retry: after a time-out the message may or may not be stored, and publishing it again under the same
    /// id is harmless.
    ///
    /// # Errors
    /// [`BusError::NotFound`] when no stream takes the subject, [`BusError::Timeout`] or [`BusError::Disconnected`]
    /// when no acknowledgement came, [`BusError::TooLarge`], or what the server objects to.
    pub async fn publish<M: Message>(
        &self,
        subject: String,
        id: &str,
        message: &M,
    ) -> Result<Receipt, BusError> {
        let body = encode(message)?;
        let outgoing = Outgoing {
            subject,
            id: id.to_owned(),
            type_name: M::TYPE,
            body,
            traceparent: None,
            ttl: None,
            rollup: false,
        };
        self.start_event(outgoing).await?.await
    }

    /// Publishes many messages in the given order without waiting for each; the results stand in the same order.
    ///
    /// After the first one that gets no answer, what was not sent yet is not sent and fails alike, so that the call
    /// is bounded by about twice [`crate::BusOptions::api_timeout`] however many messages there are.
    pub async fn publish_all(&self, events: Vec<Outgoing>) -> Vec<Result<Receipt, BusError>> {
        let mut results: Vec<Result<Receipt, BusError>> = Vec::with_capacity(events.len());
        let mut in_flight = FuturesOrdered::new();
        let mut silent = false;
        for event in events {
            if in_flight.len() >= IN_FLIGHT
                && let Some(result) = in_flight.next().await
            {
                silent |= is_silence(&result);
                results.push(result);
            }
            let what = format!("publish to {}", event.subject);
            let started = if silent {
                Err(self.unanswered(what))
            } else {
                self.start_event(event).await
            };
            silent |= is_silence(&started);
            in_flight.push_back(async { started?.await });
        }
        while let Some(result) = in_flight.next().await {
            results.push(result);
        }
        results
    }

    /// Sends an event; what is returned waits for its acknowledgement.
    async fn start_event(
        &self,
        event: Outgoing,
    ) -> Result<impl Future<Output = Result<Receipt, BusError>> + use<>, BusError> {
        let span = spans::publish(&event.subject, event.traceparent.as_deref());
        let starting = async {
            let headers = self.event_headers(&event)?;
            self.start(event.subject, headers, event.body).await
        };
        Ok(starting.instrument(span.clone()).await?.instrument(span))
    }

    fn event_headers(&self, event: &Outgoing) -> Result<HeaderMap, BusError> {
        let mut map = HeaderMap::new();
        let what = || format!("publish to {}", event.subject);
        let mut put = |name: HeaderName, field: &'static str, value: &str| match value.parse::<HeaderValue>()
        {
            Ok(value) => {
                map.insert(name, value);
                Ok(())
            }
            Err(_) => Err(BusError::Unsendable { what: what(), field }),
        };
        if !event.id.is_empty() {
            put(header::NATS_MESSAGE_ID, "the id", &event.id)?;
            put(HeaderName::from_static(headers::CE_ID), "the id", &event.id)?;
        }
        put(
            HeaderName::from_static(headers::CE_SPECVERSION),
            "the version",
            headers::SPEC_VERSION,
        )?;
        put(
            HeaderName::from_static(headers::CE_SOURCE),
            "the source",
            self.name(),
        )?;
        put(
            HeaderName::from_static(headers::CE_TYPE),
            "the type",
            event.type_name,
        )?;
        put(
            HeaderName::from_static(headers::CE_TIME),
            "the time",
            &now().to_string(),
        )?;
        put(
            HeaderName::from_static(headers::CONTENT_TYPE),
            "the media type",
            headers::JSON,
        )?;
        if let Some(ttl) = event.ttl {
            put(header::NATS_MESSAGE_TTL, "the time to live", &ttl_text(ttl))?;
        }
        if event.rollup {
            put(header::NATS_ROLLUP, "the rollup", ROLLUP_SUBJECT)?;
        }
        match &event.traceparent {
            // A process that traces nothing hands on what it was given.
            Some(traceparent) if trace::current_traceparent().is_none() => put(
                HeaderName::from_static(trace::TRACEPARENT),
                "the traceparent",
                traceparent,
            )?,
            _ => trace::inject_current(&mut map),
        }
        Ok(map)
    }

    /// Publishes with these very headers and waits for the acknowledgement.
    pub(crate) async fn publish_raw(
        &self,
        subject: String,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Receipt, BusError> {
        let span = spans::publish(&subject, None);
        let publishing = async { self.start(subject, headers, body).await?.await };
        publishing.instrument(span).await
    }

    /// The same, with the trace it is published in.
    pub(crate) async fn publish_traced(
        &self,
        subject: String,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Receipt, BusError> {
        let span = spans::publish(&subject, None);
        let publishing = async {
            trace::inject_current(&mut headers);
            self.start(subject, headers, body).await?.await
        };
        publishing.instrument(span).await
    }

    /// Hands a message to the client; what is returned waits for its acknowledgement.
    async fn start(
        &self,
        subject: String,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<impl Future<Output = Result<Receipt, BusError>> + use<>, BusError> {
        check_subject(&subject, "publish")?;
        let message = PublishMessage::build().payload(body).headers(headers);
        // The client waits for room without an end when there is no connection.
        let sending = self.context().send_publish(subject.clone(), message);
        let sent = match tokio::time::timeout(self.api_timeout(), sending).await {
            Ok(sent) => sent.map_err(|error| self.publish_error(&subject, &error)),
            Err(_) => Err(self.unanswered(format!("publish to {subject}"))),
        };
        spans::result(&sent);
        if sent.is_err() {
            self.metrics().published(&subject, "failed");
        }
        let (bus, acknowledgement) = (self.clone(), sent?);
        Ok(async move { bus.acknowledged(&subject, acknowledgement).await })
    }

    async fn acknowledged(
        &self,
        subject: &str,
        acknowledgement: PublishAckFuture,
    ) -> Result<Receipt, BusError> {
        let result = acknowledgement
            .await
            .map_err(|error| self.publish_error(subject, &error));
        let outcome = match &result {
            Ok(ack) if ack.duplicate => "duplicate",
            Ok(_) => "stored",
            Err(_) => "failed",
        };
        self.metrics().published(subject, outcome);
        spans::result(&result);
        result.map(|ack| Receipt {
            sequence: ack.sequence,
            duplicate: ack.duplicate,
        })
    }

    fn publish_error(&self, subject: &str, error: &PublishError) -> BusError {
        let what = format!("publish to {subject}");
        match error.kind() {
            PublishErrorKind::StreamNotFound => BusError::NotFound { what },
            PublishErrorKind::WrongLastSequence => BusError::Conflict { what },
            PublishErrorKind::MaxPayloadExceeded => BusError::TooLarge { what },
            PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe => self.unanswered(what),
            _ => {
                let source = std::error::Error::source(error);
                match source.and_then(|source| source.downcast_ref::<jetstream::Error>()) {
                    Some(answer) => BusError::answered(&what, answer),
                    None if !self.is_connected() => self.unanswered(what),
                    None => BusError::Client {
                        what,
                        problem: error.to_string(),
                    },
                }
            }
        }
    }
}

/// Refuses a subject that cannot be sent.
pub(crate) fn check_subject(subject: &str, what: &str) -> Result<(), BusError> {
    if subject.is_empty() || subject.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
        // The subject itself is not repeated: it may hold anything.
        return Err(BusError::Unsendable {
            what: what.to_owned(),
            field: "the subject",
        });
    }
    Ok(())
}

/// Whether nobody answers: then more messages would only wait in vain.
fn is_silence<T>(result: &Result<T, BusError>) -> bool {
    matches!(
        result,
        Err(BusError::Timeout { .. } | BusError::Disconnected { .. } | BusError::Closed)
    )
}

pub(crate) fn encode<M: Message>(message: &M) -> Result<Bytes, BusError> {
    let body = serde_json::to_vec(message);
    body.map(Bytes::from).map_err(|source| BusError::Encode {
        type_name: M::TYPE,
        source,
    })
}

/// A time to live as the server reads it: whole seconds, rounded up, at least one.
pub(crate) fn ttl_text(ttl: Duration) -> String {
    let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
    seconds.max(1).to_string()
}

#[expect(
    clippy::disallowed_methods,
    reason = "`ce-time` is the moment of sending, which only the sender knows; nothing is decided by it"
)]
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_live_is_never_rounded_to_nothing() {
        assert_eq!(ttl_text(Duration::ZERO), "1");
        assert_eq!(ttl_text(Duration::from_millis(1)), "1");
        assert_eq!(ttl_text(Duration::from_millis(1001)), "2");
        assert_eq!(ttl_text(wire::streams::TOMBSTONE_TTL), "604800");
    }
}
