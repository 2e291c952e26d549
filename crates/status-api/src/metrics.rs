//! What is measured. No metric has a label that grows with the number of servers or callers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use instruments::{Counter, Histogram, Label, Metric};
use opentelemetry::{Value, global};

/// Seconds: from an answer out of memory to a command that was waited for.
const SECONDS: &[f64] = &[
    0.0001, 0.0005, 0.001, 0.005, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0, 60.0,
];

instruments::declare! {
    REQUESTS = Metric::histogram("http.server.request.duration", "s", SECONDS, "How long requests take")
        .by(&[
            Label::such("http.request.method", "HTTP methods"),
            Label::such("http.route", "routes of the OpenAPI document, else `none`"),
            Label::such("http.response.status_code", "HTTP statuses"),
        ]);
    COMMANDS = Metric::counter("status_api.commands", "{command}", "Commands, by what became of the request")
        .by(&[
            // `any`: what was asked with a key that was used before.
            Label::of("kind", &[
                "start", "stop", "restart", "delete", "refresh", "monitor", "unmonitor", "override", "clear_override",
                "register", "change", "unregister", "any",
            ]),
            Label::of("outcome", &["accepted", "conflict", "withdrawn", "repeated", "done"]),
        ]);
    DENIED = Metric::counter("status_api.denied", "{request}", "Requests that were turned down")
        .by(&[Label::of("reason", &[
            "no_token", "malformed", "algorithm", "unknown_key", "signature", "no_expiry", "expired", "not_yet_valid",
            "audience", "issuer", "role", "subject", "keys_unavailable", "failures", "rate",
            "sign_in", "redemptions",
        ])]);
    JOINED = Metric::counter(
        "status_api.refresh_joined", "{request}", "Refreshes that joined one which had just been asked for",
    );
    STALE = Metric::counter(
        "status_api.stale_answers", "{answer}",
        "Answers from the last known state, because the database or the bus was away",
    );
    RELAYED = Metric::counter(
        "status_api.relayed", "{command}",
        "Commands handed to the pollers after whoever accepted them did not",
    );
    AWAY = Metric::gauge("status_api.db_away", "{database}", "1 while the database does not answer");
}

/// The instruments. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    requests: Histogram,
    commands: Counter,
    denied: Counter,
    joined: Counter,
    stale: Counter,
    relayed: Counter,
    away: Arc<AtomicBool>,
}

impl Metrics {
    /// The instruments of the process's meter.
    pub(crate) fn new() -> Self {
        let meter = global::meter("status-api");
        let away = Arc::new(AtomicBool::new(false));
        let looked_at = Arc::clone(&away);
        AWAY.looked_at(&meter, move || {
            vec![(u8::from(looked_at.load(Ordering::Relaxed)).into(), ())]
        });
        Self {
            requests: REQUESTS.in_histogram(&meter),
            commands: COMMANDS.in_counter(&meter),
            denied: DENIED.in_counter(&meter),
            joined: JOINED.in_counter(&meter),
            stale: STALE.in_counter(&meter),
            relayed: RELAYED.in_counter(&meter),
            away,
        }
    }

    pub(crate) fn request(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        self.requests.record(
            took.as_secs_f64(),
            (method, route.to_owned(), Value::from(i64::from(status))),
        );
    }

    pub(crate) fn command(&self, kind: &'static str, outcome: &'static str) {
        self.commands.add(1, [kind, outcome]);
    }

    pub(crate) fn denied(&self, reason: &'static str) {
        self.denied.add(1, [reason]);
    }

    pub(crate) fn refresh_joined(&self) {
        self.joined.add(1, ());
    }

    pub(crate) fn stale_answer(&self) {
        self.stale.add(1, ());
    }

    pub(crate) fn relayed(&self, how_many: usize) {
        self.relayed.add(how_many as u64, ());
    }

    /// Whether the database is away.
    pub(crate) fn away(&self, away: bool) {
        self.away.store(away, Ordering::Relaxed);
    }
}
