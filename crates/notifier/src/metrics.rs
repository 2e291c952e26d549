//! What is counted. Names are those of the meter; the Prometheus page writes `_` for `.` and adds `_total`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use opentelemetry::metrics::{Counter, Histogram, Meter, UpDownCounter};
use opentelemetry::{KeyValue, global};

use crate::frame::Frame;
use crate::hub::Hub;

/// The instruments.
#[derive(Clone)]
pub(crate) struct Metrics {
    connections: UpDownCounter<i64>,
    sent: Counter<u64>,
    coalesced: Counter<u64>,
    closed: Counter<u64>,
    refused: Counter<u64>,
    errors: Counter<u64>,
    latency: Histogram<f64>,
}

fn meter() -> Meter {
    global::meter("notifier")
}

impl Default for Metrics {
    /// The instruments of the process's meter.
    fn default() -> Self {
        let meter = meter();
        let counter = |name, text| meter.u64_counter(name).with_description(text).build();
        Self {
            connections: meter
                .i64_up_down_counter("notifier.connections")
                .with_description("Open streams, by transport")
                .build(),
            sent: counter("notifier.messages.sent", "Messages written, by type"),
            coalesced: counter(
                "notifier.coalesced",
                "Events that a newer one of the same server overtook before they were written",
            ),
            closed: counter("notifier.closed", "Streams that ended, by reason"),
            refused: counter(
                "notifier.refused",
                "Requests for a stream that were refused, by reason",
            ),
            errors: counter(
                "notifier.errors",
                "Requests on a stream that were not granted, by code",
            ),
            latency: meter
                .f64_histogram("notifier.deliver.latency")
                .with_unit("s")
                .with_description(
                    "From the decision on a change until it is written, the newest of each write",
                )
                .with_boundaries(vec![
                    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0,
                ])
                .build(),
        }
    }
}

impl Metrics {
    /// Counts a stream in until what is returned is dropped.
    pub(crate) fn open(&self, transport: &'static str) -> Open {
        let attributes = [KeyValue::new("transport", transport)];
        self.connections.add(1, &attributes);
        Open {
            level: self.connections.clone(),
            attributes,
        }
    }

    /// Messages were written.
    pub(crate) fn sent(&self, frames: &[Frame], now: jiff::Timestamp) {
        let mut kinds = BTreeMap::<&'static str, u64>::new();
        for frame in frames {
            *kinds.entry(frame.kind()).or_default() += 1;
        }
        for (kind, count) in kinds {
            self.sent.add(count, &[KeyValue::new("type", kind)]);
        }
        if let Some(changed_at) = frames.iter().rev().find_map(Frame::changed_at) {
            let took = Duration::try_from(now.duration_since(changed_at)).unwrap_or_default();
            self.latency.record(took.as_secs_f64(), &[]);
        }
    }

    pub(crate) fn coalesced(&self, how_many: u64) {
        if how_many > 0 {
            self.coalesced.add(how_many, &[]);
        }
    }

    pub(crate) fn closed(&self, reason: &'static str) {
        self.closed.add(1, &[KeyValue::new("reason", reason)]);
    }

    pub(crate) fn refused(&self, reason: &'static str) {
        self.refused.add(1, &[KeyValue::new("reason", reason)]);
    }

    pub(crate) fn error(&self, code: &'static str) {
        self.errors.add(1, &[KeyValue::new("code", code)]);
    }
}

/// Has the most that waits for one connection be looked at whenever metrics are read.
pub(crate) fn watch_pending(hub: &Hub) {
    let hub = hub.clone();
    let _ = meter()
        .u64_observable_gauge("notifier.pending")
        .with_description("Most events that wait for one stream: never more than what it is subscribed to")
        .with_callback(move |gauge| {
            let most = hub.waiting().iter().map(|waiting| waiting.pending).max();
            gauge.observe(u64::try_from(most.unwrap_or_default()).unwrap_or(u64::MAX), &[]);
        })
        .build();
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// Counts a stream in until it is dropped.
#[derive(Debug)]
pub(crate) struct Open {
    level: UpDownCounter<i64>,
    attributes: [KeyValue; 1],
}

impl Drop for Open {
    fn drop(&mut self) {
        self.level.add(-1, &self.attributes);
    }
}
