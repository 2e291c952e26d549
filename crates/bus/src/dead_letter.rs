//! Dead letters: what could not be used, whole, with the reason.

use async_nats::{HeaderMap, HeaderName, HeaderValue, header};
use wire::{headers, subjects};

use crate::{Bus, BusError, Delivery};

/// Goes before the name of an original header that would tell the server what to do with the dead letter itself:
/// replace others, expire, be a schedule, or be refused.
const DISARMED: &str = "dlq-original-";
/// Bears original headers that cannot be read, all in one, in base64.
const UNREADABLE: &str = "dlq-original-headers";
/// What such names start with, and what ours do.
const SERVERS: &str = "nats-";
const OURS: &str = "dlq-";
/// Longest reason kept, bytes: a sentence or two; a handler may have put a whole error chain in it.
const LONGEST_REASON: usize = 1024;

/// Stores a message as a dead letter of its stream. Storing it twice keeps one.
///
/// # Errors
/// Those of publishing; the message must then not be acknowledged.
pub(crate) async fn store(
    bus: &Bus,
    stream: &str,
    delivery: &Delivery,
    reason: &str,
) -> Result<(), BusError> {
    publish(
        bus,
        stream,
        delivery,
        own_headers(stream, delivery, reason),
        disarmed(&delivery.headers),
    )
    .await
}

/// Stores a message whose headers cannot be read; they are kept as they are, in base64.
///
/// # Errors
/// Those of publishing; the message must then not be removed.
pub(crate) async fn store_unreadable(
    bus: &Bus,
    stream: &str,
    delivery: &Delivery,
    headers: &str,
) -> Result<(), BusError> {
    let mut original = HeaderMap::new();
    original.insert(UNREADABLE, sendable(headers, usize::MAX));
    publish(
        bus,
        stream,
        delivery,
        own_headers(stream, delivery, "its headers cannot be read"),
        original,
    )
    .await
}

async fn publish(
    bus: &Bus,
    stream: &str,
    delivery: &Delivery,
    ours: HeaderMap,
    mut all: HeaderMap,
) -> Result<(), BusError> {
    for (name, values) in ours.iter() {
        all.insert(name.clone(), values[0].clone());
    }
    let subject = subjects::dead_letter(stream);
    match bus.publish_raw(subject.clone(), all, delivery.body.clone()).await {
        // It fitted before our headers were added. Better without its own headers, or its end, than delivered
        // again for ever.
        Err(BusError::TooLarge { .. }) => {
            let room = bus.client().max_payload().saturating_sub(wire_length(&ours));
            let body = delivery.body.slice(..delivery.body.len().min(room));
            tracing::warn!(
                stream,
                sequence = delivery.sequence,
                bytes_cut = delivery.body.len() - body.len(),
                "a dead letter is too large with its headers; it is kept without them"
            );
            bus.publish_raw(subject, ours, body).await.map(|_| ())
        }
        stored => stored.map(|_| ()),
    }
}

/// The headers that say what it is. The message id makes a dead letter of the same delivery the same dead letter;
/// the time tells it from one of an earlier stream of the same name.
fn own_headers(stream: &str, delivery: &Delivery, reason: &str) -> HeaderMap {
    let mut map = HeaderMap::new();
    let id = format!(
        "{stream}.{}.{}",
        delivery.sequence,
        delivery.published_at.as_nanosecond()
    );
    for (name, value) in [
        (header::NATS_MESSAGE_ID, id),
        (
            HeaderName::from_static(headers::DLQ_REASON),
            sendable(reason, LONGEST_REASON),
        ),
        (HeaderName::from_static(headers::DLQ_STREAM), stream.to_owned()),
        (
            HeaderName::from_static(headers::DLQ_SUBJECT),
            sendable(&delivery.subject, LONGEST_REASON),
        ),
        (
            HeaderName::from_static(headers::DLQ_SEQUENCE),
            delivery.sequence.to_string(),
        ),
        (
            HeaderName::from_static(headers::DLQ_DELIVERIES),
            delivery.deliveries.to_string(),
        ),
    ] {
        map.insert(name, value);
    }
    map
}

/// The original headers, all of them, as data: none commands the server, none passes for one of ours.
fn disarmed(original: &HeaderMap) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, values) in original.iter() {
        let text: &str = name.as_ref();
        let starts_with = |start: &str| {
            text.get(..start.len())
                .is_some_and(|it| it.eq_ignore_ascii_case(start))
        };
        let name = if starts_with(SERVERS) || starts_with(OURS) {
            HeaderName::try_from(format!("{DISARMED}{text}")).expect("a longer name of the same letters")
        } else {
            name.clone()
        };
        for value in values {
            map.append(name.clone(), value.clone());
        }
    }
    map
}

/// Text as a header can hold it: one line of at most so many bytes.
fn sendable(text: &str, longest: usize) -> String {
    let end = text.floor_char_boundary(longest.min(text.len()));
    text[..end]
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect()
}

/// Bytes of headers on the wire.
fn wire_length(map: &HeaderMap) -> usize {
    const FRAME: usize = "NATS/1.0\r\n\r\n".len();
    const SEPARATORS: usize = ": \r\n".len();
    let line = |name: &HeaderName, value: &HeaderValue| {
        AsRef::<str>::as_ref(name).len() + value.as_str().len() + SEPARATORS
    };
    FRAME
        + map
            .iter()
            .flat_map(|(name, values)| values.iter().map(move |value| line(name, value)))
            .sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_command_the_server_becomes_data() {
        let mut original = HeaderMap::new();
        original.insert(header::NATS_ROLLUP, "all");
        original.insert("nats-ttl", "1");
        original.insert("DLQ-Reason", "forged");
        original.append("ce-id", "1");
        original.append("ce-id", "2");
        let map = disarmed(&original);
        let mut names: Vec<&str> = map.iter().map(|(name, _)| name.as_ref()).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "ce-id",
                "dlq-original-DLQ-Reason",
                "dlq-original-Nats-Rollup",
                "dlq-original-nats-ttl"
            ]
        );
        assert_eq!(map.get_all("ce-id").count(), 2);
    }

    #[test]
    fn a_reason_is_one_bounded_line() {
        assert_eq!(
            sendable("a\r\nNats-Rollup: all\u{85}", 100),
            "a  Nats-Rollup: all "
        );
        assert_eq!(sendable(&"é".repeat(10), 8), "éééé");
        assert_eq!(sendable("xéééé", 8), "xééé");
    }

    #[test]
    fn the_length_is_that_on_the_wire() {
        let mut map = HeaderMap::new();
        map.insert("a", "1");
        map.append("a", "22");
        assert_eq!(wire_length(&map), "NATS/1.0\r\na: 1\r\na: 22\r\n\r\n".len());
    }
}
