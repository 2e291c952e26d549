//! What is measured. No metric has a label that grows with the number of toolboxes.

use std::time::Duration;

use instruments::{Counter, Gauge, Histogram, InFlight, Label, Metric, UpDownCounter};
use opentelemetry::global;

/// Seconds: from a healthy agent next door to one that uses up its time.
const SECONDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Seconds: from an agent that starts a container at once to one that uses up its time, or is waited for.
const COMMAND_SECONDS: &[f64] = &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];

/// What came of a poll: what the agent spoke of, or why it could not be asked.
const POLLED: Label = Label::of(
    "outcome",
    &[
        "containers",
        "alive",
        "agent_unreachable",
        "agent_rejected_token",
        "agent_bad_answer",
        "docker_unavailable",
        "failed",
    ],
);
const ACTION: Label = Label::of("action", &["start", "stop", "restart", "delete", "refresh"]);

instruments::declare! {
    POLLS = Metric::counter("dtma_poller.polls", "{poll}", "Polls").by(&[POLLED]);
    POLL_DURATION = Metric::histogram("dtma_poller.poll.duration", "s", SECONDS, "How long agents take to answer")
        .by(&[POLLED]);
    POLLS_IN_FLIGHT = Metric::up_down("dtma_poller.polls.in_flight", "{poll}", "Polls under way");
    COALESCED = Metric::counter("dtma_poller.polls.coalesced", "{poll}", "Due polls that another one under way answers");
    SWITCHES = Metric::counter(
        "dtma_poller.polls.dead_man", "{poll}",
        "Polls made because a heartbeat that was expected did not come (the dead-man's switch)",
    );
    DUE_IGNORED = Metric::counter("dtma_poller.due.ignored", "{poll}", "Due polls of toolboxes that are not to be polled")
        .by(&[Label::of("reason", &["subject", "unknown", "no_address", "not_watched"])]);
    DUE_UNDECODABLE = Metric::counter("dtma_poller.due.undecodable", "{poll}", "Due polls whose plan was unreadable");
    SCHEDULES = Metric::counter("dtma_poller.schedules", "{change}", "Changes of poll schedules")
        .by(&[
            // `kept`: it was there already.
            Label::of("action", &["created", "kept", "replaced", "purged"]),
            Label::of("outcome", &["ok", "failed"]),
        ]);
    COMMANDS = Metric::counter("dtma_poller.commands", "{command}", "Commands dealt with")
        .by(&[
            ACTION,
            // `already`: all was as it was to be.
            Label::of("outcome", &[
                "executed", "already", "refused", "rejected_token", "unreachable", "foreign", "expired", "retried",
            ]),
        ]);
    COMMAND_DURATION = Metric::histogram(
        "dtma_poller.command.duration", "s", COMMAND_SECONDS, "How long agents take to carry commands out",
    ).by(&[ACTION]);
    COMMANDS_IN_FLIGHT = Metric::up_down("dtma_poller.commands.in_flight", "{command}", "Commands under way");
    HEARTBEATS = Metric::counter("dtma_poller.heartbeats", "{heartbeat}", "Heartbeats, by the answer and its reason")
        .by(&[Label::such("code", "HTTP statuses"), Label::such("reason", "`accepted`, or why not")])
        .only(&[
            &["204", "accepted"], &["400", "cut"], &["400", "not_json"], &["400", "wrong_shape"],
            &["401", "malformed_token"], &["401", "unknown_token"], &["401", "ambiguous_token"], &["405", "method"],
            &["408", "slow"], &["413", "too_large"], &["413", "report_too_large"], &["429", "too_many_failures"],
            &["429", "too_often"], &["503", "not_ready"], &["503", "busy"], &["503", "not_published"],
        ]);
    HEARTBEATS_IN_FLIGHT = Metric::up_down("dtma_poller.heartbeats.in_flight", "{heartbeat}", "Heartbeats under way");
    REPORTS_REFUSED = Metric::counter("dtma_poller.reports.refused", "{report}", "Reports larger than a message may be")
        .by(&[Label::of("source", &["poll", "heartbeat"])]);
    TOOLBOXES = Metric::gauge("dtma_poller.registry.toolboxes", "{toolbox}", "Toolboxes in the registry");
    INSTANCES = Metric::gauge("dtma_poller.registry.instances", "{instance}", "Instances in the registry");
    AMBIGUOUS = Metric::gauge("dtma_poller.registry.ambiguous_tokens", "{token}", "Tokens that several toolboxes claim");
    FLAWS = Metric::counter("dtma_poller.registry.flaws", "{value}", "Registry values that cannot be used")
        .by(&[Label::of("field", &["base_url", "sealed_token", "token_hash", "instance_name"])]);
}

/// The instruments. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    polls: Counter,
    poll_duration: Histogram,
    polls_in_flight: UpDownCounter,
    polls_coalesced: Counter,
    switches: Counter,
    due_ignored: Counter,
    due_undecodable: Counter,
    schedules: Counter,
    commands: Counter,
    command_duration: Histogram,
    commands_in_flight: UpDownCounter,
    heartbeats: Counter,
    heartbeats_in_flight: UpDownCounter,
    reports_refused: Counter,
    toolboxes: Gauge,
    instances: Gauge,
    ambiguous: Gauge,
    flaws: Counter,
}

impl Metrics {
    /// The instruments of the process's meter.
    pub(crate) fn new() -> Self {
        let meter = global::meter("dtma-poller");
        Self {
            polls: POLLS.in_counter(&meter),
            poll_duration: POLL_DURATION.in_histogram(&meter),
            polls_in_flight: POLLS_IN_FLIGHT.in_up_down(&meter),
            polls_coalesced: COALESCED.in_counter(&meter),
            switches: SWITCHES.in_counter(&meter),
            due_ignored: DUE_IGNORED.in_counter(&meter),
            due_undecodable: DUE_UNDECODABLE.in_counter(&meter),
            schedules: SCHEDULES.in_counter(&meter),
            commands: COMMANDS.in_counter(&meter),
            command_duration: COMMAND_DURATION.in_histogram(&meter),
            commands_in_flight: COMMANDS_IN_FLIGHT.in_up_down(&meter),
            heartbeats: HEARTBEATS.in_counter(&meter),
            heartbeats_in_flight: HEARTBEATS_IN_FLIGHT.in_up_down(&meter),
            reports_refused: REPORTS_REFUSED.in_counter(&meter),
            toolboxes: TOOLBOXES.in_gauge(&meter),
            instances: INSTANCES.in_gauge(&meter),
            ambiguous: AMBIGUOUS.in_gauge(&meter),
            flaws: FLAWS.in_counter(&meter),
        }
    }

    pub(crate) fn poll(&self, outcome: &'static str, took: Duration) {
        self.polls.add(1, [outcome]);
        self.poll_duration.record(took.as_secs_f64(), [outcome]);
    }

    /// Counts a poll in until the guard is dropped.
    pub(crate) fn polling(&self) -> InFlight {
        self.polls_in_flight.one(())
    }

    pub(crate) fn coalesced(&self) {
        self.polls_coalesced.add(1, ());
    }

    pub(crate) fn dead_man(&self) {
        self.switches.add(1, ());
    }

    pub(crate) fn ignored(&self, reason: &'static str) {
        self.due_ignored.add(1, [reason]);
    }

    pub(crate) fn undecodable(&self) {
        self.due_undecodable.add(1, ());
    }

    pub(crate) fn schedule(&self, action: &'static str, ok: bool) {
        self.schedules.add(1, [action, if ok { "ok" } else { "failed" }]);
    }

    pub(crate) fn command(&self, action: &'static str, outcome: &'static str) {
        self.commands.add(1, [action, outcome]);
    }

    pub(crate) fn command_took(&self, action: &'static str, took: Duration) {
        self.command_duration.record(took.as_secs_f64(), [action]);
    }

    /// Counts a command in until the guard is dropped.
    pub(crate) fn commanding(&self) -> InFlight {
        self.commands_in_flight.one(())
    }

    pub(crate) fn heartbeat(&self, code: u16, reason: &'static str) {
        self.heartbeats.add(1, (code.to_string(), reason));
    }

    /// Counts a heartbeat in until the guard is dropped.
    pub(crate) fn receiving(&self) -> InFlight {
        self.heartbeats_in_flight.one(())
    }

    pub(crate) fn too_large(&self, source: &'static str) {
        self.reports_refused.add(1, [source]);
    }

    pub(crate) fn registry(&self, toolboxes: usize, instances: usize, ambiguous: usize) {
        self.toolboxes.set(toolboxes as f64, ());
        self.instances.set(instances as f64, ());
        self.ambiguous.set(ambiguous as f64, ());
    }

    pub(crate) fn flaw(&self, field: impl ToString) {
        self.flaws.add(1, [field.to_string()]);
    }
}
