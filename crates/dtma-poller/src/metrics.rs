//! What is counted. Names are those of the meter; the Prometheus page writes `_` for `.` and adds `_total`.
//!
//! No metric has an attribute that grows with the number of toolboxes.

use std::fmt;
use std::time::Duration;

use opentelemetry::metrics::{Counter, Gauge, Histogram, UpDownCounter};
use opentelemetry::{KeyValue, global};

/// Seconds: from a healthy agent next door to one that uses up its time.
const SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Seconds: from an agent that starts a container at once to one that uses up its time, or is waited for.
const COMMAND_SECONDS: [f64; 12] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];

/// The instruments. Clones share them.
#[derive(Clone)]
pub(crate) struct Metrics {
    polls: Counter<u64>,
    poll_duration: Histogram<f64>,
    polls_in_flight: UpDownCounter<i64>,
    polls_coalesced: Counter<u64>,
    due_ignored: Counter<u64>,
    due_undecodable: Counter<u64>,
    schedules: Counter<u64>,
    commands: Counter<u64>,
    command_duration: Histogram<f64>,
    commands_in_flight: UpDownCounter<i64>,
    heartbeats: Counter<u64>,
    heartbeats_in_flight: UpDownCounter<i64>,
    reports_refused: Counter<u64>,
    toolboxes: Gauge<u64>,
    instances: Gauge<u64>,
    ambiguous: Gauge<u64>,
    flaws: Counter<u64>,
}

impl Metrics {
    /// The instruments of the process's meter.
    pub(crate) fn new() -> Self {
        let meter = global::meter("dtma-poller");
        let counter = |name, text| meter.u64_counter(name).with_description(text).build();
        let level = |name, text| meter.i64_up_down_counter(name).with_description(text).build();
        let gauge = |name, text| meter.u64_gauge(name).with_description(text).build();
        Self {
            polls: counter("dtma_poller.polls", "Polls, by outcome"),
            poll_duration: meter
                .f64_histogram("dtma_poller.poll.duration")
                .with_unit("s")
                .with_description("How long agents take to answer, by outcome")
                .with_boundaries(SECONDS.to_vec())
                .build(),
            polls_in_flight: level("dtma_poller.polls.in_flight", "Polls under way"),
            polls_coalesced: counter(
                "dtma_poller.polls.coalesced",
                "Due polls that another one under way answers",
            ),
            due_ignored: counter(
                "dtma_poller.due.ignored",
                "Due polls of toolboxes that are not to be polled, by reason",
            ),
            due_undecodable: counter(
                "dtma_poller.due.undecodable",
                "Due polls whose plan was unreadable",
            ),
            schedules: counter(
                "dtma_poller.schedules",
                "Changes of poll schedules, by action and outcome",
            ),
            commands: counter(
                "dtma_poller.commands",
                "Commands dealt with, by action and outcome",
            ),
            command_duration: meter
                .f64_histogram("dtma_poller.command.duration")
                .with_unit("s")
                .with_description("How long agents take to carry commands out, by action")
                .with_boundaries(COMMAND_SECONDS.to_vec())
                .build(),
            commands_in_flight: level("dtma_poller.commands.in_flight", "Commands under way"),
            heartbeats: counter("dtma_poller.heartbeats", "Heartbeats, by answer code and reason"),
            heartbeats_in_flight: level("dtma_poller.heartbeats.in_flight", "Heartbeats under way"),
            reports_refused: counter(
                "dtma_poller.reports.refused",
                "Reports larger than a message may be, by source",
            ),
            toolboxes: gauge("dtma_poller.registry.toolboxes", "Toolboxes in the registry"),
            instances: gauge("dtma_poller.registry.instances", "Instances in the registry"),
            ambiguous: gauge(
                "dtma_poller.registry.ambiguous_tokens",
                "Tokens that several toolboxes claim",
            ),
            flaws: counter(
                "dtma_poller.registry.flaws",
                "Registry values that cannot be used, by field",
            ),
        }
    }

    pub(crate) fn poll(&self, outcome: &'static str, took: Duration) {
        let outcome = [KeyValue::new("outcome", outcome)];
        self.polls.add(1, &outcome);
        self.poll_duration.record(took.as_secs_f64(), &outcome);
    }

    /// Counts a poll in until the guard is dropped.
    pub(crate) fn polling(&self) -> InFlight {
        InFlight::new(&self.polls_in_flight)
    }

    pub(crate) fn coalesced(&self) {
        self.polls_coalesced.add(1, &[]);
    }

    pub(crate) fn ignored(&self, reason: &'static str) {
        self.due_ignored.add(1, &[KeyValue::new("reason", reason)]);
    }

    pub(crate) fn undecodable(&self) {
        self.due_undecodable.add(1, &[]);
    }

    /// `action`: `created`, `kept` (was there already), `replaced`, `purged`.
    pub(crate) fn schedule(&self, action: &'static str, ok: bool) {
        let outcome = if ok { "ok" } else { "failed" };
        self.schedules.add(
            1,
            &[KeyValue::new("action", action), KeyValue::new("outcome", outcome)],
        );
    }

    /// `outcome`: `executed`, `already` (all was as it was to be), `refused`, `rejected_token`, `unreachable`,
    /// `foreign`, `expired`, `retried`.
    pub(crate) fn command(&self, action: &'static str, outcome: &'static str) {
        self.commands.add(
            1,
            &[KeyValue::new("action", action), KeyValue::new("outcome", outcome)],
        );
    }

    pub(crate) fn command_took(&self, action: &'static str, took: Duration) {
        self.command_duration
            .record(took.as_secs_f64(), &[KeyValue::new("action", action)]);
    }

    /// Counts a command in until the guard is dropped.
    pub(crate) fn commanding(&self) -> InFlight {
        InFlight::new(&self.commands_in_flight)
    }

    pub(crate) fn heartbeat(&self, code: u16, reason: &'static str) {
        self.heartbeats.add(
            1,
            &[
                KeyValue::new("code", i64::from(code)),
                KeyValue::new("reason", reason),
            ],
        );
    }

    /// Counts a heartbeat in until the guard is dropped.
    pub(crate) fn receiving(&self) -> InFlight {
        InFlight::new(&self.heartbeats_in_flight)
    }

    pub(crate) fn too_large(&self, source: &'static str) {
        self.reports_refused.add(1, &[KeyValue::new("source", source)]);
    }

    pub(crate) fn registry(&self, toolboxes: usize, instances: usize, ambiguous: usize) {
        self.toolboxes.record(toolboxes as u64, &[]);
        self.instances.record(instances as u64, &[]);
        self.ambiguous.record(ambiguous as u64, &[]);
    }

    pub(crate) fn flaw(&self, field: impl fmt::Display) {
        self.flaws.add(1, &[KeyValue::new("field", field.to_string())]);
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// One of something that is under way.
#[derive(Debug)]
pub(crate) struct InFlight(UpDownCounter<i64>);

impl InFlight {
    fn new(level: &UpDownCounter<i64>) -> Self {
        level.add(1, &[]);
        Self(level.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.add(-1, &[]);
    }
}
