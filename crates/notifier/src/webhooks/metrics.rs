//! What is measured of webhooks.

use std::sync::Arc;
use std::time::Duration;

use instruments::{Counter, Histogram, Label, Metric};
use opentelemetry::global;

use crate::webhooks::lanes::Lanes;

/// Seconds: from an endpoint next door to one that uses up its time.
const SECONDS: &[f64] = &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0];

instruments::declare! {
    DELIVERIES = Metric::counter("notifier.webhooks.deliveries", "{attempt}", "Attempts to deliver")
        // `gone`: its webhook is no more.
        .by(&[Label::of("outcome", &["delivered", "failed", "dead", "gone"])]);
    DURATION = Metric::histogram("notifier.webhooks.duration", "s", SECONDS, "How long attempts take");
    RETRIES = Metric::counter("notifier.webhooks.retries", "{delivery}", "Deliveries put off")
        .by(&[Label::of("reason", &["failed", "resting", "busy"])]);
    DEAD = Metric::counter("notifier.webhooks.dead", "{delivery}", "Deliveries that were given up");
    REFUSED = Metric::counter(
        "notifier.webhooks.refused_addresses", "{attempt}", "Attempts that were not made because of the address",
    );
    IGNORED = Metric::counter(
        "notifier.webhooks.ignored", "{change}", "Changes that a webhook of their account was not told of",
    ).by(&[Label::of("reason", &["disabled", "another", "stale", "filtered", "own_command"])]);
    CIRCUITS = Metric::gauge(
        "notifier.webhooks.circuits_open", "{webhook}", "Webhooks that are left alone for a while because they fail",
    );
}

/// The instruments.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    deliveries: Counter,
    duration: Histogram,
    retries: Counter,
    dead: Counter,
    refused: Counter,
    ignored: Counter,
}

impl Metrics {
    /// The instruments of the process's meter.
    pub(crate) fn new(lanes: &Arc<Lanes>) -> Self {
        let meter = global::meter("notifier");
        let lanes = Arc::clone(lanes);
        CIRCUITS.looked_at(&meter, move || vec![(lanes.open_circuits() as f64, ())]);
        Self {
            deliveries: DELIVERIES.in_counter(&meter),
            duration: DURATION.in_histogram(&meter),
            retries: RETRIES.in_counter(&meter),
            dead: DEAD.in_counter(&meter),
            refused: REFUSED.in_counter(&meter),
            ignored: IGNORED.in_counter(&meter),
        }
    }

    pub(crate) fn attempt(&self, outcome: &'static str, took: Duration) {
        self.deliveries.add(1, [outcome]);
        self.duration.record(took.as_secs_f64(), ());
    }

    pub(crate) fn put_off(&self, reason: &'static str) {
        self.retries.add(1, [reason]);
    }

    pub(crate) fn dead(&self) {
        self.dead.add(1, ());
    }

    pub(crate) fn refused(&self) {
        self.refused.add(1, ());
    }

    pub(crate) fn ignored(&self, reason: &'static str) {
        self.ignored.add(1, [reason]);
    }
}
