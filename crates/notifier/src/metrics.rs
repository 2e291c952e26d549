//! What is measured.

use std::collections::BTreeMap;

use instruments::{Counter, Histogram, InFlight, Label, Metric, UpDownCounter};
use jiff::Timestamp;
use opentelemetry::global;
use opentelemetry::metrics::Meter;

use crate::frame::Frame;
use crate::hub::Hub;

/// Seconds: from at once to what people notice, and on to an outage.
const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0,
];

const TRANSPORT: Label = Label::of("transport", &["websocket", "sse"]);

instruments::declare! {
    CONNECTIONS = Metric::up_down("notifier.connections", "{stream}", "Open streams").by(&[TRANSPORT]);
    SENT = Metric::counter("notifier.messages.sent", "{message}", "Messages written")
        .by(&[Label::of("type", &[
            "hello", "subscribed", "unsubscribed", "snapshot", "status", "deleted", "toolbox", "gone", "present",
            "reset", "stale", "current", "error", "pong", "bye",
        ])]);
    COALESCED = Metric::counter(
        "notifier.coalesced", "{event}", "Events that a newer one of the same server overtook before they were written",
    );
    CLOSED = Metric::counter("notifier.closed", "{stream}", "Streams that ended").by(&[Label::of("reason", ENDS)]);
    REFUSED = Metric::counter("notifier.refused", "{request}", "Requests for a stream that were refused")
        .by(&[Label::of("reason", &[
            "token_in_url", "origin", "not_ready", "bad_request", "unauthorized", "unavailable", "too_many_connections",
            "too_many_connections_of_account", "too_many_connections_from_address",
        ])]);
    ERRORS = Metric::counter("notifier.errors", "{request}", "Requests on a stream that were not granted")
        .by(&[Label::of("code", &["not_found", "limit", "unsupported", "unauthorized"])]);
    DELIVERY = Metric::histogram(
        "notifier.deliver.latency", "s", SECONDS,
        "From the publication of an event until it is written to a stream that was open; of each write the oldest",
    );
    CHANGE = Metric::histogram(
        "notifier.change.latency", "s", SECONDS,
        "From the observation of a change (the poll began, the heartbeat arrived) until it is written, the same way",
    );
    PENDING = Metric::gauge(
        "notifier.pending", "{event}",
        "Most events that wait for one stream: never more than what it is subscribed to",
    );
}

const ENDS: &[&str] = &[
    "left",
    "bad_message",
    "binary_message",
    "message_too_long",
    "no_websocket_message",
    "authentication_timeout",
    "unauthorized",
    "token_expired",
    "another_account",
    "no_answer_to_pings",
    "no_subscription",
    "too_slow",
    "too_many_connections",
    "too_many_connections_of_account",
    "too_many_connections_from_address",
    "too_many_messages",
    "unavailable",
    "restart",
];

/// The instruments.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    connections: UpDownCounter,
    sent: Counter,
    coalesced: Counter,
    closed: Counter,
    refused: Counter,
    errors: Counter,
    delivery: Histogram,
    change: Histogram,
}

fn meter() -> Meter {
    global::meter("notifier")
}

impl Default for Metrics {
    /// The instruments of the process's meter.
    fn default() -> Self {
        let meter = meter();
        Self {
            connections: CONNECTIONS.in_up_down(&meter),
            sent: SENT.in_counter(&meter),
            coalesced: COALESCED.in_counter(&meter),
            closed: CLOSED.in_counter(&meter),
            refused: REFUSED.in_counter(&meter),
            errors: ERRORS.in_counter(&meter),
            delivery: DELIVERY.in_histogram(&meter),
            change: CHANGE.in_histogram(&meter),
        }
    }
}

impl Metrics {
    /// Counts a stream in until what is returned is dropped.
    pub(crate) fn open(&self, transport: &'static str) -> Open {
        self.connections.one([transport])
    }

    /// Messages were written. What stands in the stream up to `state` was no change to this client but the state that it
    /// asked for: how old that is says nothing of how quick we are.
    pub(crate) fn sent(&self, frames: &[Frame], state: u64, now: Timestamp) {
        let mut kinds = BTreeMap::<&'static str, u64>::new();
        for frame in frames {
            *kinds.entry(frame.kind()).or_default() += 1;
        }
        for (kind, count) in kinds {
            self.sent.add(count, [kind]);
        }
        let mut events = frames.iter().filter_map(Frame::told);
        if let Some(oldest) = events.find(|told| told.cursor.sequence > state) {
            let since = |then: Timestamp| now.duration_since(then).as_secs_f64().max(0.0);
            self.delivery.record(since(oldest.published_at), ());
            if let Some(observed_at) = oldest.observed_at {
                self.change.record(since(observed_at), ());
            }
        }
    }

    pub(crate) fn coalesced(&self, how_many: u64) {
        self.coalesced.add(how_many, ());
    }

    pub(crate) fn closed(&self, reason: &'static str) {
        self.closed.add(1, [reason]);
    }

    pub(crate) fn refused(&self, reason: &'static str) {
        self.refused.add(1, [reason]);
    }

    pub(crate) fn error(&self, code: &'static str) {
        self.errors.add(1, [code]);
    }
}

/// Has the most that waits for one connection be looked at whenever metrics are read.
pub(crate) fn watch_pending(hub: &Hub) {
    let hub = hub.clone();
    PENDING.looked_at(&meter(), move || {
        let most = hub.waiting().iter().map(|waiting| waiting.pending).max();
        vec![(most.unwrap_or_default() as f64, ())]
    });
}

/// Counts a stream in until it is dropped.
pub(crate) type Open = InFlight<[&'static str; 1]>;
