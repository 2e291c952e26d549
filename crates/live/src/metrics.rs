//! What is counted. Names are those of the meter; the Prometheus page writes `_` for `.` and adds `_total`.

use std::fmt;

use opentelemetry::metrics::Counter;
use opentelemetry::{KeyValue, global};

/// The instruments.
pub(crate) struct Metrics {
    events: Counter<u64>,
    pictures: Counter<u64>,
}

impl Metrics {
    /// The instruments of the process's meter.
    pub(crate) fn new() -> Self {
        let meter = global::meter("live");
        let counter = |name, text| meter.u64_counter(name).with_description(text).build();
        Self {
            events: counter(
                "live.events",
                "Events of the status stream, by what became of them",
            ),
            pictures: counter("live.pictures", "Times that the whole present was read"),
        }
    }

    /// `taken`, `stale` or `undecodable`.
    pub(crate) fn event(&self, outcome: &'static str) {
        self.events.add(1, &[KeyValue::new("outcome", outcome)]);
    }

    pub(crate) fn picture(&self) {
        self.pictures.add(1, &[]);
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}
