//! Request and reply without a stream: asked now, answered now, or not at all.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use async_nats::client::{RequestError, RequestErrorKind};
use async_nats::{HeaderMap, HeaderValue, Message, Subject};
use bytes::Bytes;
use opentelemetry::Context;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use crate::intake::{Bounds, Intake};
use crate::publish::check_subject;
use crate::{Bus, BusError, spans, trace};

/// What somebody asks. Data, trusted no further than who may publish there.
#[derive(Clone)]
pub struct Request {
    /// Where it was asked.
    pub subject: String,
    /// What was asked.
    pub body: Bytes,
    headers: HeaderMap,
}

impl Request {
    pub(crate) fn new(message: Message) -> Self {
        Self {
            subject: message.subject.into_string(),
            body: message.payload,
            headers: message.headers.unwrap_or_default(),
        }
    }

    /// The first value of a header, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(header, _)| AsRef::<str>::as_ref(*header).eq_ignore_ascii_case(name));
        found
            .and_then(|(_, values)| values.first())
            .map(HeaderValue::as_str)
    }

    /// The trace that the one who asks is in; an empty context where in none.
    pub fn trace_context(&self) -> Context {
        trace::extract(&self.headers)
    }

    /// The span of a handler's work, a child of the asker's trace.
    pub(crate) fn span(&self, operation: &str) -> Span {
        let span = tracing::info_span!(
            parent: None,
            "answer",
            otel.name = format!("process {operation}"),
            otel.kind = "server",
            messaging.system = "nats",
            messaging.operation.type = "process",
            messaging.operation.name = "process",
            messaging.destination.template = operation,
            messaging.destination.name = self.subject,
        );
        if !span.is_disabled() {
            trace::adopt(&span, self.trace_context());
        }
        span
    }
}

/// Tells what it is, not what is in it: a body does not belong in a log.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("subject", &self.subject)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl Bus {
    /// Asks and waits for the first answer, at most for `wait`. The answerer learns the current span's trace.
    ///
    /// # Errors
    /// [`BusError::NoResponder`] when nobody listens there, [`BusError::Timeout`] or [`BusError::Disconnected`] when no
    /// answer came: whether it was heard is then unknown. [`BusError::TooLarge`], [`BusError::Unsendable`].
    pub async fn request(&self, subject: String, body: Bytes, wait: Duration) -> Result<Bytes, BusError> {
        check_subject(&subject, "ask")?;
        let span = spans::ask(&subject);
        let asking = async {
            let answer = self.asked(subject, body, wait).await;
            spans::result(&answer);
            answer
        };
        asking.instrument(span).await
    }

    async fn asked(&self, subject: String, body: Bytes, wait: Duration) -> Result<Bytes, BusError> {
        let mut headers = HeaderMap::new();
        trace::inject_current(&mut headers);
        let request = async_nats::Request::new()
            .headers(headers)
            .payload(body)
            .timeout(Some(wait));
        // The client waits for room without an end when there is no connection.
        let asking = timeout(wait, self.client().send_request(subject.clone(), request));
        let what = format!("ask {subject}");
        match asking.await {
            Ok(Ok(answer)) => Ok(answer.payload),
            Ok(Err(error)) => Err(self.request_error(what, &error)),
            Err(_) => Err(self.unanswered(what)),
        }
    }

    fn request_error(&self, what: String, error: &RequestError) -> BusError {
        match error.kind() {
            RequestErrorKind::NoResponders => BusError::NoResponder { what },
            RequestErrorKind::TimedOut => self.unanswered(what),
            RequestErrorKind::MaxPayloadExceeded => BusError::TooLarge { what },
            RequestErrorKind::InvalidSubject => BusError::Unsendable {
                what: "ask".to_owned(),
                field: "the subject",
            },
            RequestErrorKind::Other if !self.is_connected() => self.unanswered(what),
            RequestErrorKind::Other => BusError::Client {
                what,
                problem: error.to_string(),
            },
        }
    }

    /// Answers what is asked or told on `subject` (wildcards are fine), at most `concurrency` at once and eight times as
    /// many waiting; what comes beyond that is dropped and counted. Replicas that name the same `queue` share; without
    /// one each hears everything. A handler that returns `None`, or whose asker wants no answer, sends none.
    ///
    /// Survives every loss of the connection; what is sent meanwhile is not heard. Ends when `shutdown` is cancelled:
    /// takes no more, and finishes what came. All handlers run in the caller's task; a panic in one is the caller's
    /// panic.
    ///
    /// # Errors
    /// [`BusError::Closed`], or [`BusError::Unsendable`] for a subject or queue group that cannot be.
    pub async fn answer<F, Fut>(
        &self,
        subject: String,
        queue: Option<&'static str>,
        concurrency: usize,
        shutdown: CancellationToken,
        handler: F,
    ) -> Result<(), BusError>
    where
        F: Fn(Request) -> Fut,
        Fut: Future<Output = Option<Bytes>>,
    {
        let subjects = [subject];
        let intake = tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(()),
            intake = Intake::subscribe(self, &subjects, queue) => intake?,
        };
        let [subject] = &subjects;
        // What the server takes is bounded, and what is said here is as large as it is said to be.
        let bounds = Bounds {
            concurrency,
            bytes: usize::MAX,
        };
        let work = async |mut message: Message| {
            let reply = message.reply.take();
            let request = Request::new(message);
            let span = request.span(subject);
            let answer = async { handler(request).await }.instrument(span).await;
            let outcome = match (reply, answer) {
                (Some(reply), Some(body)) => self.reply(reply, HeaderMap::new(), body).await,
                _ => "silent",
            };
            self.metrics().request(subject, outcome);
        };
        let turn_away = |_, _: &Message, _| self.metrics().request(subject, "busy");
        intake
            .attend(bounds, shutdown, |_, message| work(message), turn_away)
            .await
    }

    /// Sends an answer; what is to be counted of that.
    pub(crate) async fn reply(&self, to: Subject, headers: HeaderMap, body: Bytes) -> &'static str {
        let sending = async {
            if headers.is_empty() {
                self.client().publish(to, body).await
            } else {
                self.client().publish_with_headers(to, headers, body).await
            }
        };
        match timeout(self.api_timeout(), sending).await {
            Ok(Ok(())) => "answered",
            Ok(Err(error)) => {
                tracing::warn!(%error, "failed to send an answer");
                "failed"
            }
            Err(_) => {
                tracing::warn!("failed to send an answer: the client takes no messages");
                "failed"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_found_whatever_their_case_and_no_body_is_printed() {
        let mut headers = HeaderMap::new();
        headers.insert("Authorization", "Bearer x");
        let request = Request {
            subject: "status.api.v1.x".to_owned(),
            body: "secret".into(),
            headers,
        };
        for name in ["Authorization", "authorization", "AUTHORIZATION"] {
            assert_eq!(request.header(name), Some("Bearer x"), "{name}");
        }
        for name in ["author", "", "no such", "ä\n"] {
            assert_eq!(request.header(name), None, "{name}");
        }
        let shown = format!("{request:?}");
        assert!(!shown.contains("secret") && !shown.contains("Bearer"), "{shown}");
    }
}
