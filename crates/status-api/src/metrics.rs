//! What is counted. Names are those of the meter; the Prometheus page writes `_` for `.` and adds `_total`.
//!
//! No metric has an attribute that grows with the number of servers or callers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::metrics::{Counter, Histogram, ObservableGauge};
use opentelemetry::{KeyValue, global};

/// Seconds: from an answer out of memory to a command that was waited for.
const SECONDS: [f64; 12] = [
    0.0001, 0.0005, 0.001, 0.005, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0, 60.0,
];

/// The instruments. Clones share them.
#[derive(Clone)]
pub(crate) struct Metrics {
    requests: Histogram<f64>,
    commands: Counter<u64>,
    denied: Counter<u64>,
    joined: Counter<u64>,
    stale: Counter<u64>,
    relayed: Counter<u64>,
    away: Arc<AtomicBool>,
    _away_gauge: ObservableGauge<u64>,
}

impl Metrics {
    /// The instruments of the process's meter.
    pub(crate) fn new() -> Self {
        let meter = global::meter("status-api");
        let counter = |name, text| meter.u64_counter(name).with_description(text).build();
        let away = Arc::new(AtomicBool::new(false));
        let observed = Arc::clone(&away);
        Self {
            requests: meter
                .f64_histogram("http.server.request.duration")
                .with_unit("s")
                .with_description("How long requests took")
                .with_boundaries(SECONDS.to_vec())
                .build(),
            commands: counter(
                "status_api.commands",
                "Commands, by kind and what became of the request",
            ),
            denied: counter("status_api.denied", "Requests that were turned down, by reason"),
            joined: counter(
                "status_api.refresh_joined",
                "Refreshes that joined one which had just been asked for",
            ),
            stale: counter(
                "status_api.stale_answers",
                "Answers from the last known state, because the database or the bus was away",
            ),
            relayed: counter(
                "status_api.relayed",
                "Commands handed to the pollers after whoever accepted them did not",
            ),
            _away_gauge: meter
                .u64_observable_gauge("status_api.db_away")
                .with_description("1 while the database does not answer")
                .with_callback(move |gauge| gauge.observe(observed.load(Ordering::Relaxed).into(), &[]))
                .build(),
            away,
        }
    }

    pub(crate) fn request(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        self.requests.record(
            took.as_secs_f64(),
            &[
                KeyValue::new("http.request.method", method),
                KeyValue::new("http.route", route.to_owned()),
                KeyValue::new("http.response.status_code", i64::from(status)),
            ],
        );
    }

    /// `accepted`, `conflict`, `withdrawn`, `repeated` or `done`.
    pub(crate) fn command(&self, kind: &'static str, outcome: &'static str) {
        self.commands.add(
            1,
            &[KeyValue::new("kind", kind), KeyValue::new("outcome", outcome)],
        );
    }

    pub(crate) fn denied(&self, reason: &'static str) {
        self.denied.add(1, &[KeyValue::new("reason", reason)]);
    }

    pub(crate) fn refresh_joined(&self) {
        self.joined.add(1, &[]);
    }

    pub(crate) fn stale_answer(&self) {
        self.stale.add(1, &[]);
    }

    pub(crate) fn relayed(&self, how_many: usize) {
        self.relayed.add(u64::try_from(how_many).unwrap_or(u64::MAX), &[]);
    }

    /// Whether the database is away.
    pub(crate) fn away(&self, away: bool) {
        self.away.store(away, Ordering::Relaxed);
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}
