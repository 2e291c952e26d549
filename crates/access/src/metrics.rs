//! What is counted.

use instruments::{Counter, Label, Metric};
use opentelemetry::global;

instruments::declare! {
    FETCHES = Metric::counter("access.jwks.fetches", "{fetch}", "Fetches of the keys that tokens are signed with")
        .by(&[Label::of("outcome", &["ok", "unreachable", "status", "too_large", "unreadable", "no_usable_key"])]);
    DENIED = Metric::counter("access.denied", "{token}", "Tokens that were turned down")
        .by(&[Label::of("reason", &[
            "malformed", "algorithm", "unknown_key", "signature", "no_expiry", "expired", "not_yet_valid", "audience",
            "issuer", "role", "subject", "keys_unavailable",
        ])]);
}

/// The instruments. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    fetches: Counter,
    denied: Counter,
}

impl Metrics {
    /// The instruments of the process's meter.
    pub(crate) fn new() -> Self {
        let meter = global::meter("access");
        Self {
            fetches: FETCHES.in_counter(&meter),
            denied: DENIED.in_counter(&meter),
        }
    }

    pub(crate) fn fetched(&self, outcome: &'static str) {
        self.fetches.add(1, [outcome]);
    }

    pub(crate) fn denied(&self, reason: &'static str) {
        self.denied.add(1, [reason]);
    }
}
