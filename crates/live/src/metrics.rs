//! What is counted.

use instruments::{Counter, Label, Metric};
use opentelemetry::global;

instruments::declare! {
    EVENTS = Metric::counter("live.events", "{event}", "Events of the status stream, by what became of them")
        .by(&[Label::of("outcome", &["taken", "stale", "undecodable"])]);
    PICTURES = Metric::counter("live.pictures", "{reading}", "Times that the whole present was read");
}

/// The instruments.
#[derive(Debug)]
pub(crate) struct Metrics {
    events: Counter,
    pictures: Counter,
}

impl Metrics {
    /// The instruments of the process's meter.
    pub(crate) fn new() -> Self {
        let meter = global::meter("live");
        Self {
            events: EVENTS.in_counter(&meter),
            pictures: PICTURES.in_counter(&meter),
        }
    }

    pub(crate) fn event(&self, outcome: &'static str) {
        self.events.add(1, [outcome]);
    }

    pub(crate) fn picture(&self) {
        self.pictures.add(1, ());
    }
}
