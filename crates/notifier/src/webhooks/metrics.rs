//! What is counted of webhooks.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::metrics::{Counter, Histogram};
use opentelemetry::{KeyValue, global};

use crate::webhooks::lanes::Lanes;

/// The instruments.
#[derive(Clone)]
pub(crate) struct Metrics {
    deliveries: Counter<u64>,
    duration: Histogram<f64>,
    retries: Counter<u64>,
    dead: Counter<u64>,
    refused: Counter<u64>,
    ignored: Counter<u64>,
}

impl Metrics {
    /// The instruments of the process's meter.
    pub(crate) fn new(lanes: &Arc<Lanes>) -> Self {
        let meter = global::meter("notifier");
        let counter = |name, text| meter.u64_counter(name).with_description(text).build();
        let lanes = Arc::clone(lanes);
        let _ = meter
            .u64_observable_gauge("notifier.webhooks.circuits_open")
            .with_description("Webhooks that are left alone for a while because they fail")
            .with_callback(move |gauge| {
                gauge.observe(u64::try_from(lanes.open_circuits()).unwrap_or(u64::MAX), &[]);
            })
            .build();
        Self {
            deliveries: counter("notifier.webhooks.deliveries", "Attempts, by outcome"),
            duration: meter
                .f64_histogram("notifier.webhooks.duration")
                .with_unit("s")
                .with_description("How long attempts take")
                .with_boundaries(vec![0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0])
                .build(),
            retries: counter(
                "notifier.webhooks.retries",
                "Deliveries put off, by why: failed, resting, busy",
            ),
            dead: counter("notifier.webhooks.dead", "Deliveries that were given up"),
            refused: counter(
                "notifier.webhooks.refused_addresses",
                "Attempts that were not made because of the address",
            ),
            ignored: counter(
                "notifier.webhooks.ignored",
                "Changes that a webhook of their account was not told of, by reason",
            ),
        }
    }

    pub(crate) fn attempt(&self, outcome: &'static str, took: Duration) {
        self.deliveries.add(1, &[KeyValue::new("outcome", outcome)]);
        self.duration.record(took.as_secs_f64(), &[]);
    }

    pub(crate) fn put_off(&self, why: &'static str) {
        self.retries.add(1, &[KeyValue::new("why", why)]);
    }

    pub(crate) fn dead(&self) {
        self.dead.add(1, &[]);
    }

    pub(crate) fn refused(&self) {
        self.refused.add(1, &[]);
    }

    pub(crate) fn ignored(&self, reason: &'static str) {
        self.ignored.add(1, &[KeyValue::new("reason", reason)]);
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}
