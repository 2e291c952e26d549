//! What is counted. Names are those of the meter; the Prometheus page writes `_` for `.` and adds `_total`.

use std::fmt;

use opentelemetry::metrics::Counter;
use opentelemetry::{KeyValue, global};

/// The instruments. Clones share them.
#[derive(Clone)]
pub(crate) struct Metrics {
    fetches: Counter<u64>,
    denied: Counter<u64>,
}

impl Metrics {
    /// The instruments of the process's meter.
    pub(crate) fn new() -> Self {
        let meter = global::meter("access");
        let counter = |name, text| meter.u64_counter(name).with_description(text).build();
        Self {
            fetches: counter(
                "access.jwks.fetches",
                "Fetches of the keys that tokens are signed with, by outcome",
            ),
            denied: counter("access.denied", "Tokens that were turned down, by reason"),
        }
    }

    pub(crate) fn fetched(&self, outcome: &'static str) {
        self.fetches.add(1, &[KeyValue::new("outcome", outcome)]);
    }

    pub(crate) fn denied(&self, reason: &'static str) {
        self.denied.add(1, &[KeyValue::new("reason", reason)]);
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}
