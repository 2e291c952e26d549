//! One attachment to one pull consumer: asking for exactly as many messages as there is room for, and noticing every
//! way in which it can end.
//!
//! The client's own pull stream asks for more than its reader has room for; what waits in its buffer runs out of
//! acknowledgement time while another replica is idle. Here a message is asked for when somebody is free to take it.

use std::time::Duration;

use async_nats::client::Request;
use async_nats::{Message, StatusCode, Subscriber};
use futures_util::StreamExt;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::connection::Link;
use crate::{Bus, BusError, Delivery};

/// How long a request waits at the server. Longer ones cost nothing, but a lost one is found out later.
const EXPIRES: Duration = Duration::from_secs(30);
/// How often the server says that a waiting request is alive; at most half of [`EXPIRES`].
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Two heartbeats missed and the third late.
const SILENCE: Duration = Duration::from_secs(12);
/// Bytes that one request may bring, unless the server takes larger messages: many reports, and little memory.
const BYTES: usize = 32 << 20;
/// Longest wait for messages that were on their way when an attachment ends.
const DRAIN: Duration = Duration::from_secs(1);

/// How many messages a request still owed when it ended.
const PENDING_MESSAGES: &str = "Nats-Pending-Messages";

/// One attachment.
pub(crate) struct Pull {
    bus: Bus,
    stream: String,
    consumer: String,
    inbox: String,
    subscriber: Subscriber,
    link: watch::Receiver<Link>,
    /// Messages asked for and not yet delivered.
    requested: usize,
    /// When the server last said anything, or was first asked.
    heard: Instant,
    /// Whether a delivery that went missing ends the attachment.
    ordered: bool,
    /// The last delivery that was returned.
    last: Last,
}

/// How far an attachment has come; zeros before its first delivery.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Last {
    /// In deliveries of the consumer.
    pub(crate) place: u64,
    /// In messages of the stream.
    pub(crate) sequence: u64,
}

/// What came.
pub(crate) enum Pulled {
    Message(Delivery),
    /// The server is there and has nothing.
    Idle,
    /// The attachment has ended; why, in words for the log.
    Lost(String),
}

/// What a message from the server itself says about a request.
#[derive(Debug, PartialEq, Eq)]
enum Status {
    Alive,
    /// A request ended, owing this many messages; `None`: all.
    Ended(Option<usize>),
    Over(String),
}

impl Pull {
    /// Attaches to a consumer that exists. `ordered`: a delivery that went missing ends the attachment.
    pub(crate) async fn attach(
        bus: &Bus,
        link: watch::Receiver<Link>,
        stream: &str,
        consumer: String,
        ordered: bool,
    ) -> Result<Self, BusError> {
        let inbox = bus.client().new_inbox();
        let what = || format!("subscribe for consumer {consumer} of {stream}");
        let subscribing = bus.client().subscribe(inbox.clone());
        let subscriber = match timeout(bus.api_timeout(), subscribing).await {
            Ok(Ok(subscriber)) => subscriber,
            Ok(Err(_)) | Err(_) => return Err(bus.unanswered(what())),
        };
        Ok(Self {
            bus: bus.clone(),
            stream: stream.to_owned(),
            consumer,
            inbox,
            subscriber,
            link,
            requested: 0,
            heard: Instant::now(),
            ordered,
            last: Last::default(),
        })
    }

    /// The next thing that happens, with room for `free` more messages of `capacity`. May be dropped at any time
    /// without losing anything.
    pub(crate) async fn next(&mut self, free: usize, capacity: usize) -> Pulled {
        if let Err(lost) = self.ask(free, capacity).await {
            return Pulled::Lost(lost);
        }
        let message = tokio::select! {
            // What has arrived comes before the news that nothing will.
            biased;
            message = self.subscriber.next() => message,
            changed = self.link.changed() => {
                let why = if changed.is_ok() { "the connection was lost" } else { "the client has stopped" };
                return Pulled::Lost(why.to_owned());
            }
            () = sleep_until(self.heard + SILENCE), if self.requested > 0 => {
                return Pulled::Lost(format!("the server was silent for {SILENCE:?}"));
            }
        };
        let Some(message) = message else {
            return Pulled::Lost("the client has stopped".to_owned());
        };
        self.heard = Instant::now();
        match Delivery::from_consumer(message, self.bus.context()) {
            Ok(delivery) => self.take(delivery),
            Err(message) => match status(&message) {
                Status::Alive => Pulled::Idle,
                Status::Ended(owed) => {
                    self.requested = self.requested.saturating_sub(owed.unwrap_or(self.requested));
                    Pulled::Idle
                }
                Status::Over(why) => Pulled::Lost(why),
            },
        }
    }

    fn take(&mut self, delivery: Delivery) -> Pulled {
        self.requested = self.requested.saturating_sub(1);
        if self.ordered && delivery.place != self.last.place + 1 {
            return Pulled::Lost(format!("delivery {} went missing", self.last.place + 1));
        }
        self.last = Last {
            place: delivery.place,
            sequence: delivery.sequence,
        };
        Pulled::Message(delivery)
    }

    /// The last delivery that was returned.
    pub(crate) fn last(&self) -> Last {
        self.last
    }

    /// Asks for what there is room for, once that is half of all or nothing is asked for yet: a request a message
    /// would double the traffic.
    async fn ask(&mut self, free: usize, capacity: usize) -> Result<(), String> {
        let missing = free.min(capacity).saturating_sub(self.requested);
        if missing == 0 || (self.requested > 0 && missing * 2 < capacity) {
            return Ok(());
        }
        let request = PullRequest {
            batch: missing,
            expires: nanoseconds(EXPIRES),
            idle_heartbeat: nanoseconds(HEARTBEAT),
            // Twice: the server counts subject and headers too, and what never fits would never be delivered.
            max_bytes: BYTES.max(2 * self.bus.client().max_payload()),
        };
        let request = serde_json::to_vec(&request).expect("four numbers are always JSON");
        let subject = format!("CONSUMER.MSG.NEXT.{}.{}", self.stream, self.consumer);
        let request = Request::new().inbox(self.inbox.clone()).payload(request.into());
        if self.requested == 0 {
            self.heard = Instant::now();
        }
        match timeout(
            self.bus.api_timeout(),
            self.bus.context().send_request(subject, request),
        )
        .await
        {
            Ok(Ok(())) => {
                self.requested += missing;
                Ok(())
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the client takes no requests".to_owned()),
        }
    }

    /// Ends the attachment in good order: the server sends no more, and what was on its way is returned.
    pub(crate) async fn close(mut self) -> Vec<Delivery> {
        let mut late = Vec::new();
        let draining = async {
            if self.subscriber.drain().await.is_ok() {
                while let Some(message) = self.subscriber.next().await {
                    late.extend(Delivery::from_consumer(message, self.bus.context()));
                }
            }
        };
        // What does not come back in time is redelivered when its acknowledgement is due.
        let _ = timeout(DRAIN, draining).await;
        late
    }
}

#[derive(Serialize)]
struct PullRequest {
    batch: usize,
    expires: u64,
    idle_heartbeat: u64,
    max_bytes: usize,
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn status(message: &Message) -> Status {
    let owed = message
        .headers
        .as_ref()
        .and_then(|headers| headers.get(PENDING_MESSAGES));
    let owed = owed.and_then(|owed| owed.as_str().parse().ok());
    let words = || message.description.clone().unwrap_or_default();
    match message.status {
        None | Some(StatusCode::IDLE_HEARTBEAT | StatusCode::OK) => Status::Alive,
        Some(StatusCode::TIMEOUT | StatusCode::NOT_FOUND) => Status::Ended(owed),
        // What ends one request says what it still owed; what ends the consumer does not.
        Some(StatusCode::REQUEST_TERMINATED) if owed.is_some() => Status::Ended(owed),
        Some(StatusCode::NO_RESPONDERS) => Status::Over("the consumer is gone".to_owned()),
        Some(status) => Status::Over(
            format!("the server says {status} {}", words())
                .trim_end()
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use async_nats::HeaderMap;

    use super::*;

    fn said(code: u16, words: &str, owed: Option<&str>) -> Status {
        let mut headers = HeaderMap::new();
        if let Some(owed) = owed {
            headers.insert(PENDING_MESSAGES, owed);
        }
        status(&Message {
            subject: "_INBOX.x".into(),
            reply: None,
            payload: bytes::Bytes::new(),
            headers: Some(headers),
            status: Some(StatusCode::try_from(code).unwrap()),
            description: Some(words.to_owned()),
            length: 0,
        })
    }

    #[test]
    fn what_the_server_says_of_requests() {
        assert_eq!(said(100, "Idle Heartbeat", None), Status::Alive);
        assert_eq!(said(408, "Request Timeout", Some("3")), Status::Ended(Some(3)));
        assert_eq!(
            said(409, "Message Size Exceeds MaxBytes", Some("7")),
            Status::Ended(Some(7))
        );
        assert_eq!(
            said(408, "Request Timeout", Some("nonsense")),
            Status::Ended(None)
        );
        assert_eq!(
            said(409, "Consumer Deleted", None),
            Status::Over("the server says 409 Consumer Deleted".to_owned())
        );
        assert_eq!(
            said(503, "", None),
            Status::Over("the consumer is gone".to_owned())
        );
    }
}
