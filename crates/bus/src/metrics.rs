//! What is counted. Labels come from the code's own names, never from a message: their number is bounded.

use opentelemetry::metrics::Counter;
use opentelemetry::{KeyValue, Value, global};
use wire::streams;
use wire::subjects::matches;

use crate::bucket;

/// The counters of one [`crate::Bus`].
pub(crate) struct Metrics {
    consumed: Counter<u64>,
    published: Counter<u64>,
    dead_letters: Counter<u64>,
    undecodable: Counter<u64>,
    requests: Counter<u64>,
    reconnects: Counter<u64>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let meter = global::meter("bus");
        let counter = |name, text| meter.u64_counter(name).with_description(text).build();
        Self {
            consumed: counter("bus.consumed", "Messages whose handler came to a verdict"),
            published: counter("bus.published", "Messages published, by what the server said"),
            dead_letters: counter(
                "bus.dead_letters",
                "Messages given up on and kept with the reason",
            ),
            undecodable: counter(
                "bus.undecodable",
                "Bucket entries skipped because they cannot be read",
            ),
            requests: counter(
                "bus.requests",
                "Requests heard, by operation and what became of them",
            ),
            reconnects: counter("bus.reconnects", "Connections to NATS made again after a loss"),
        }
    }

    pub(crate) fn consumed(&self, stream: &'static str, verdict: &'static str) {
        self.consumed.add(
            1,
            &[KeyValue::new("stream", stream), KeyValue::new("verdict", verdict)],
        );
    }

    pub(crate) fn published(&self, subject: &str, outcome: &'static str) {
        self.published.add(
            1,
            &[
                KeyValue::new("stream", stream_of(subject)),
                KeyValue::new("outcome", outcome),
            ],
        );
    }

    pub(crate) fn dead_letter(&self, stream: &'static str) {
        self.dead_letters.add(1, &[KeyValue::new("stream", stream)]);
    }

    pub(crate) fn undecodable(&self, bucket: &'static str) {
        self.undecodable.add(1, &[KeyValue::new("stream", bucket)]);
    }

    /// `operation` is the code's own name or pattern; `outcome` a word, or the status of an operation's answer.
    pub(crate) fn request(&self, operation: &str, outcome: impl Into<Value>) {
        self.requests.add(
            1,
            &[
                KeyValue::new("operation", operation.to_owned()),
                KeyValue::new("outcome", outcome),
            ],
        );
    }

    pub(crate) fn reconnected(&self) {
        self.reconnects.add(1, &[]);
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
