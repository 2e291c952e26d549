//! Messages that the client cannot read: the server stores whatever bytes a publisher sends as headers, and the client
//! closes the connection (or ends its task) on headers that are not text of the form `name: value`.
//!
//! One such message would stand in the way for ever: delivered again and again, and each time whatever is on its way
//! behind it is lost with the connection, until others are given up for its sake. So whoever attaches to a consumer
//! first looks, through the API and without a consumer, at what was delivered and never came to anything. What cannot
//! be read becomes a dead letter and leaves its stream.

use std::ops::RangeInclusive;
use std::sync::Arc;

use async_nats::{HeaderMap, HeaderName, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::api::StoredMessage;
use crate::streams::Target;
use crate::{Bus, BusError, Delivery, dead_letter};

/// Most messages looked at for one attachment, oldest first. What cannot be read is never acknowledged, so in time it
/// is the oldest.
const LOOKED_AT: usize = 1000;

/// Makes dead letters of the messages in `range` that the client cannot read.
///
/// # Errors
/// Those of every request and of storing the dead letter; what was not stored is still there.
pub(crate) async fn bury(
    bus: &Bus,
    target: Target,
    filters: &[String],
    range: RangeInclusive<u64>,
) -> Result<(), BusError> {
    let stream = &*target.name();
    for filter in filters {
        let mut sequence = *range.start();
        for _ in 0..LOOKED_AT {
            let message = match bus.api().message_from(stream, sequence, filter).await? {
                Some(message) if range.contains(&message.seq) => message,
                _ => break,
            };
            sequence = message.seq + 1;
            let headers = STANDARD.decode(&message.hdrs).unwrap_or_default();
            if is_readable(&message.subject, &headers) {
                continue;
            }
            dead_letter::store_unreadable(bus, stream, &without_headers(&message), &message.hdrs).await?;
            tracing::warn!(
                stream,
                sequence = message.seq,
                "message became a dead letter: its headers cannot be read"
            );
            match target {
                Target::Stream(spec) => {
                    bus.metrics().dead_letter(spec.name);
                    bus.api().delete_message(stream, message.seq).await?;
                }
                // Nothing of a bucket may be deleted, but a key's older entries mean nothing either.
                Target::Bucket(spec) => {
                    bus.metrics().undecodable(spec.name);
                    bus.api()
                        .purge_until(stream, &message.subject, message.seq)
                        .await?;
                }
            }
        }
    }
    Ok(())
}

fn without_headers(message: &StoredMessage) -> Delivery {
    Delivery {
        subject: message.subject.clone(),
        body: STANDARD.decode(&message.data).unwrap_or_default().into(),
        sequence: message.seq,
        deliveries: 1,
        published_at: message.time,
        pending: 0,
        headers: Arc::new(HeaderMap::new()),
        reply: None,
        place: 0,
    }
}

/// Whether the client can read a message, by its own rules (async-nats 0.51, `connection.rs`).
fn is_readable(subject: &str, headers: &[u8]) -> bool {
    // The API shows bytes that are not UTF-8 as U+FFFD; blanks end a subject for the client.
    if subject.contains(|letter: char| letter.is_whitespace() || letter == char::REPLACEMENT_CHARACTER) {
        return false;
    }
    if headers.is_empty() {
        return true;
    }
    let Ok(text) = std::str::from_utf8(headers) else {
        return false;
    };
    let mut lines = text.lines().peekable();
    let Some(status) = lines.next().and_then(|version| version.strip_prefix("NATS/1.0")) else {
        return false;
    };
    let code = status.trim().split(' ').next().unwrap_or_default();
    if !code.is_empty() && code.parse::<StatusCode>().is_err() {
        return false;
    }
    while let Some(line) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let Some((name, value)) = line.split_once(':') else {
            return false;
        };
        let mut value = value.to_owned();
        while let Some(more) = lines.next_if(|line| line.starts_with(char::is_whitespace)) {
            value.push_str(more);
        }
        // A carriage return at either end is trimmed away.
        if HeaderName::try_from(name).is_err() || value.trim().contains('\r') {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_client_can_read_is_left_alone() {
        for headers in [
            &b""[..],
            b"NATS/1.0\r\n\r\n",
            b"NATS/1.0 503\r\n\r\n",
            b"NATS/1.0 100 Idle Heartbeat\r\nA: b\r\n\r\n",
            b"NATS/1.0\r\nce-id: 1\r\nce-id:2\r\nEmpty:\r\n\r\n",
            b"NATS/1.0\r\nFolded: a\r\n b\r\n\r\n",
            "NATS/1.0\r\nName: größer\r\n\r\n".as_bytes(),
            b"NATS/1.0\nA: b\n\n",
            b"NATS/1.0\r\nA: b\r\r\n\r\n",
        ] {
            assert!(
                is_readable("dtma.raw.v1.x", headers),
                "{}",
                String::from_utf8_lossy(headers)
            );
        }
    }

    #[test]
    fn what_it_cannot_read_is_found() {
        for headers in [
            &b"\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"NATS/1.0 abc\r\n\r\n",
            b"NATS/1.0\r\nno colon\r\n\r\n",
            b"NATS/1.0\r\nwhite space: x\r\n\r\n",
            b"NATS/1.0\r\nA: \xff\r\n\r\n",
            b"NATS/1.0\r\nA: a\rb\r\n\r\n",
            b"NATS/1.0\r\nA: a\r\n b\rc\r\n\r\n",
        ] {
            assert!(
                !is_readable("dtma.raw.v1.x", headers),
                "{}",
                String::from_utf8_lossy(headers)
            );
        }
        assert!(!is_readable("dtma.raw.v1.\u{fffd}", b""));
        assert!(!is_readable("dtma.raw.v1.a\u{2003}b", b""));
    }
}
