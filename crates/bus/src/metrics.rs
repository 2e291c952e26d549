//! What is measured. Labels come from the code's own names, never from a message: their number is bounded.

use instruments::{Counter, Gauge, Label, Metric};
use opentelemetry::{Value, global};
use wire::streams::{self, ConsumerSpec};
use wire::subjects::matches;

use crate::bucket;
use crate::follow::Backlog;

const STREAM: Label = Label::such("stream", "streams of `wire::streams`");
const CONSUMER: Label = Label::such("consumer", "consumers of `wire::streams`");

instruments::declare! {
    CONSUMED = Metric::counter("bus.consumed", "{message}", "Messages whose handler came to a verdict")
        .by(&[STREAM, Label::of("verdict", VERDICTS)]);
    PUBLISHED = Metric::counter("bus.published", "{message}", "Messages published, by what the server said")
        .by(&[
            Label::such("stream", "streams and buckets of `wire::streams`, else `none`"),
            Label::of("outcome", &["stored", "duplicate", "failed"]),
        ]);
    DEAD_LETTERS = Metric::counter("bus.dead_letters", "{message}", "Messages given up on and kept with the reason")
        .by(&[STREAM]);
    UNDECODABLE = Metric::counter("bus.undecodable", "{entry}", "Bucket entries skipped because they cannot be read")
        .by(&[Label::such("stream", "buckets of `wire::streams`")]);
    REQUESTS = Metric::counter("bus.requests", "{request}", "Requests heard, by what became of them")
        .by(&[
            Label::such("operation", "operations of the API, else subject patterns"),
            Label::such("outcome", "HTTP statuses; `busy`, `no_reply` and the like"),
        ]);
    RECONNECTS = Metric::counter("bus.reconnects", "{connection}", "Connections to NATS made again after a loss");
    PENDING = Metric::gauge("bus.consumer.pending", "{message}", "Messages that a shared consumer has not delivered yet")
        .by(&[STREAM, CONSUMER]);
    ACK_PENDING = Metric::gauge(
        "bus.consumer.ack_pending", "{message}", "Messages delivered by a shared consumer and not settled yet",
    ).by(&[STREAM, CONSUMER]);
}

const VERDICTS: &[&str] = &["done", "retry", "exhausted", "reject"];

/// The instruments of one [`crate::Bus`].
pub(crate) struct Metrics {
    consumed: Counter,
    published: Counter,
    dead_letters: Counter,
    undecodable: Counter,
    requests: Counter,
    reconnects: Counter,
    pending: Gauge,
    ack_pending: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let meter = global::meter("bus");
        let undecodable = UNDECODABLE.in_counter(&meter);
        for bucket in streams::BUCKETS {
            undecodable.add(0, [bucket.name]);
        }
        Self {
            consumed: CONSUMED.in_counter(&meter),
            published: PUBLISHED.in_counter(&meter),
            dead_letters: DEAD_LETTERS.in_counter(&meter),
            undecodable,
            requests: REQUESTS.in_counter(&meter),
            reconnects: RECONNECTS.in_counter(&meter),
            pending: PENDING.in_gauge(&meter),
            ack_pending: ACK_PENDING.in_gauge(&meter),
        }
    }

    /// Begins the counters of a stream that this process reads at 0: the first dead letter must show as a rise.
    pub(crate) fn consumes(&self, stream: &'static str) {
        for verdict in VERDICTS {
            self.consumed.add(0, [stream, verdict]);
        }
        self.dead_letters.add(0, [stream]);
    }

    pub(crate) fn consumed(&self, stream: &'static str, verdict: &'static str) {
        self.consumed.add(1, [stream, verdict]);
    }

    pub(crate) fn published(&self, subject: &str, outcome: &'static str) {
        self.published.add(1, [stream_of(subject), outcome]);
    }

    pub(crate) fn dead_letter(&self, stream: &'static str) {
        self.dead_letters.add(1, [stream]);
    }

    pub(crate) fn undecodable(&self, bucket: &'static str) {
        self.undecodable.add(1, [bucket]);
    }

    /// `operation` is the code's own name or pattern; `outcome` a word, or the status of an operation's answer.
    pub(crate) fn request(&self, operation: &str, outcome: impl Into<Value>) {
        self.requests.add(1, (operation.to_owned(), outcome));
    }

    pub(crate) fn reconnected(&self) {
        self.reconnects.add(1, ());
    }

    pub(crate) fn backlog(&self, consumer: &ConsumerSpec, backlog: Backlog) {
        let of = [consumer.stream.name, consumer.name];
        self.pending.set(backlog.pending as f64, of);
        self.ack_pending.set(backlog.ack_pending as f64, of);
    }
}

/// The stream or bucket that takes a subject.
fn stream_of(subject: &str) -> &'static str {
    let stream = streams::ALL
        .into_iter()
        .find(|stream| stream.subjects.iter().any(|pattern| matches(pattern, subject)));
    if let Some(stream) = stream {
        return stream.name;
    }
    let name = bucket::name_of(subject);
    let bucket = streams::BUCKETS
        .into_iter()
        .find(|bucket| Some(bucket.name) == name);
    bucket.map_or("none", |bucket| bucket.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subject_is_counted_under_its_stream() {
        assert_eq!(stream_of("poll.due.x"), "POLLS");
        assert_eq!(stream_of("dtma.raw.v1.x"), "DTMA_RAW");
        assert_eq!(stream_of("mcp.status.v1.a.b"), "MCP_STATUS");
        assert_eq!(stream_of("dtma.dlq.DTMA_RAW"), "DTMA_DLQ");
        assert_eq!(stream_of("$KV.toolboxes.x"), streams::TOOLBOXES.name);
        assert_eq!(stream_of("$KV.connections.x"), streams::CONNECTIONS.name);
        for nobody_s in ["dtma.dlq", "poll.due.x.y", "$KV.toolboxes", "$KV.other.x"] {
            assert_eq!(stream_of(nobody_s), "none", "{nobody_s}");
        }
    }
}
