//! Messages for later, one by one: the server keeps them and sends them when their time has come, once.
//!
//! ```text
//!  send_at: schedule subject, @at time ──(the server, at that time)──► target subject; the schedule is gone
//!     └─ published again: replaced            (never sooner than the next whole second)
//! ```
//!
//! And what is kept under one subject, read without a consumer.

use async_nats::{HeaderMap, HeaderName, HeaderValue, header};
use jiff::{SignedDuration, Timestamp, Unit};
use wire::streams::StreamSpec;
use wire::{Message, headers};

use crate::api::StoredMessage;
use crate::publish::encode;
use crate::{Bus, BusError, Receipt};

/// A message that lies under a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its sequence in the stream.
    pub sequence: u64,
    /// What was published.
    pub body: Vec<u8>,
    /// When the stream took it, by the server's clock.
    pub published_at: Timestamp,
}

/// Which message must be the last of a schedule's subject for the new one to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// Whichever.
    Any,
    /// None at all.
    None,
    /// The one of this sequence.
    Sequence(u64),
}

impl Bus {
    /// Has `message` sent to `target` at `at`, replacing what `schedule` held. Both subjects must be of one stream that
    /// takes schedules.
    ///
    /// The message bears no id and no time: whatever the schedule's headers say is said again by the one that is sent. So
    /// is the trace, which goes on with it.
    ///
    /// # Errors
    /// [`BusError::Conflict`] where another message was `before`, and those of publishing.
    pub async fn send_at<M: Message>(
        &self,
        schedule: String,
        target: String,
        at: Timestamp,
        message: &M,
        before: Before,
    ) -> Result<Receipt, BusError> {
        let mut map = HeaderMap::new();
        map.insert(header::NATS_SCHEDULE, format!("@at {}", whole_second(at)));
        map.insert(header::NATS_SCHEDULE_TARGET, target);
        map.insert(
            HeaderName::from_static(headers::CONTENT_TYPE),
            HeaderValue::from(headers::JSON),
        );
        let expected = match before {
            Before::Any => None,
            Before::None => Some(0),
            Before::Sequence(sequence) => Some(sequence),
        };
        if let Some(sequence) = expected {
            map.insert(
                header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE,
                HeaderValue::from(sequence),
            );
        }
        self.publish_traced(schedule, map, encode(message)?).await
    }

    /// What lies under a subject from a sequence on, in order, at most `limit`.
    ///
    /// # Errors
    /// [`BusError::NotFound`] when the stream does not exist, and those of every request.
    pub async fn kept(
        &self,
        stream: &StreamSpec,
        subject: &str,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Kept>, BusError> {
        let mut found = Vec::new();
        let mut next = from.max(1);
        while found.len() < limit {
            let Some(message) = self.api().message_from(stream.name, next, subject).await? else {
                break;
            };
            next = message.seq + 1;
            found.push(kept(message)?);
        }
        Ok(found)
    }

    /// Removes what lies under a subject, up to and including a sequence.
    ///
    /// # Errors
    /// Those of every request; what is gone already is as good.
    pub async fn remove_until(
        &self,
        stream: &StreamSpec,
        subject: &str,
        sequence: u64,
    ) -> Result<(), BusError> {
        self.api().purge_until(stream.name, subject, sequence).await
    }

    /// Removes one message; one that is gone already is as good.
    ///
    /// # Errors
    /// Those of every request.
    pub async fn remove(&self, stream: &StreamSpec, sequence: u64) -> Result<(), BusError> {
        self.api().delete_message(stream.name, sequence).await
    }
}

fn kept(message: StoredMessage) -> Result<Kept, BusError> {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.decode(&message.data);
    Ok(Kept {
        sequence: message.seq,
        body: body.map_err(|_| BusError::Client {
            what: format!("read message {}", message.seq),
            problem: "its body is not base64".to_owned(),
        })?,
        published_at: message.time,
    })
}

/// The next whole second: the server knows no finer times, and rounds down.
fn whole_second(at: Timestamp) -> Timestamp {
    let down = at.round(Unit::Second).unwrap_or(at);
    if down < at {
        down.checked_add(SignedDuration::from_secs(1)).unwrap_or(down)
    } else {
        down
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_sooner_than_asked_for() {
        for (at, expected) in [
            ("2026-11-28T09:00:00Z", "2026-11-28T09:00:00Z"),
            ("2026-11-28T09:00:00.001Z", "2026-11-28T09:00:01Z"),
            ("2026-11-28T09:00:00.999Z", "2026-11-28T09:00:01Z"),
        ] {
            assert_eq!(whole_second(at.parse().unwrap()).to_string(), expected);
        }
    }
}
