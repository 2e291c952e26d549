//! What is measured. No metric has a label that grows with the number of servers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use instruments::{Counter, Gauge, Histogram, Label, Metric};
use opentelemetry::global;

use crate::census::Census;

/// Seconds; a change is expected within a tenth of one, and minutes mean an outage.
const SECONDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0,
];
/// Reports in a batch, up to what can be configured.
const SIZES: &[f64] = &[1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 5000.0];

instruments::declare! {
    REPORTS = Metric::counter("status_mapper.reports", "{report}", "Raw reports, by what became of them")
        .by(&[Label::of("outcome", &["accepted", "stale", "unknown_toolbox", "rejected"])]);
    ITEMS_IGNORED = Metric::counter(
        "status_mapper.items_ignored", "{item}", "Items of reports that nothing was taken from",
    ).by(&[Label::of("reason", &["older_incarnation", "unknown_container", "foreign_instance", "duplicate_item"])]);
    CHANGES = Metric::counter("status_mapper.changes", "{change}", "Committed changes, by what changed and why")
        .by(&[
            Label::of("kind", &["server", "toolbox", "deleted"]),
            Label::of("cause", &["report", "age", "registry", "command", "operator"]),
        ]);
    FOUND_BY_POLL = Metric::counter(
        "status_mapper.changes.found_by_poll", "{change}",
        "Changes of servers that a heartbeat should have brought first: found by the poll that the dead-man's switch made",
    );
    BATCH_SIZE = Metric::histogram("status_mapper.batch.size", "{report}", SIZES, "Reports in a batch");
    BATCH_DURATION = Metric::histogram(
        "status_mapper.batch.duration", "s", SECONDS, "From a batch's arrival to its verdicts",
    );
    CHANGE_LATENCY = Metric::histogram(
        "status_mapper.change.latency", "s", SECONDS,
        "From the stream's taking a report until the change that it brought is published",
    );
    RELAY_LATE = Metric::counter(
        "status_mapper.relay.late", "{event}", "Events that the relay published for whoever did not",
    );
    OUTBOX_AGE = Metric::gauge(
        "status_mapper.outbox.oldest_age", "s",
        "Age of the oldest committed change that is not published; 0 when all are",
    );
    SWEEP_CHANGES = Metric::counter(
        "status_mapper.sweep.changes", "{change}", "Changes that the passing of time brought about",
    );
    BLIND = Metric::gauge("status_mapper.blind", "{observer}", "1 while silence is taken for the observer's own fault");
    KNOWLEDGE_AGE = Metric::gauge(
        "status_mapper.knowledge.age", "s",
        "How old what is known of the watched servers is; said by the replica on duty",
    ).by(&[Label::of("quantile", &["0.5", "0.99", "1"])]);
    KNOWLEDGE = Metric::gauge(
        "status_mapper.knowledge.servers", "{server}",
        "Watched servers, by how fresh what is known of them is; said by the replica on duty",
    ).by(&[Label::of("freshness", &["fresh", "overdue", "agent_failing", "unseen"])]);
    SERVERS = Metric::gauge(
        "status_mapper.servers", "{server}", "Watched servers, by what people see; said by the replica on duty",
    ).by(&[
        Label::of("state", &["running", "stopped", "starting", "stopping", "error", "unknown"]),
        Label::of("health", &["healthy", "degraded", "unhealthy", "unknown"]),
    ]);
    TOOLBOXES = Metric::gauge("status_mapper.registry.toolboxes", "{toolbox}", "Toolboxes in the registry");
    INSTANCES = Metric::gauge("status_mapper.registry.instances", "{instance}", "Instances in the registry");
    UNUSABLE = Metric::gauge(
        "status_mapper.registry.unusable", "{row}", "Rows of the registry that nothing can be done with",
    );
    MIRROR_WRITES = Metric::counter(
        "status_mapper.mirror.writes", "{entry}", "Entries written to the buckets that mirror the tables",
    ).by(&[Label::of("operation", &["put", "delete"])]);
    OUTCOMES = Metric::counter("status_mapper.outcomes", "{outcome}", "Outcomes of commands, by what became of them")
        .by(&[Label::of("outcome", &["taken", "late", "rejected"])]);
    SETTLED = Metric::counter(
        "status_mapper.settled", "{toolbox}", "Toolboxes settled at once because an intent was written",
    );
    REBUILD = Metric::counter(
        "status_mapper.rebuild.published", "{event}",
        "Events published because the status stream was behind the rows",
    ).by(&[Label::of("kind", &["standing", "renumbered", "tombstone"])]);
}

/// The instruments of one process. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    reports: Counter,
    items_ignored: Counter,
    changes: Counter,
    found_by_poll: Counter,
    batch_size: Histogram,
    batch_duration: Histogram,
    change_latency: Histogram,
    relay_late: Counter,
    outbox_age: Gauge,
    sweep_changes: Counter,
    blind: Gauge,
    census: Arc<Mutex<Option<Census>>>,
    registry_toolboxes: Gauge,
    registry_instances: Gauge,
    registry_unusable: Gauge,
    mirror_writes: Counter,
    outcomes: Counter,
    settled: Counter,
    rebuild_published: Counter,
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReportResult {
    /// It was newer than what was known.
    Accepted,
    /// All it says is old.
    Stale,
    /// No such toolbox.
    UnknownToolbox,
    /// It is a dead letter.
    Rejected,
}

/// What became of an outcome of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutcomeResult {
    /// It moved its command on.
    Taken,
    /// Its command is over, or its server gone.
    Late,
    /// It is a dead letter.
    Rejected,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let meter = global::meter("status-mapper");
        let census = Arc::<Mutex<Option<Census>>>::default();
        let look = |what: fn(&Census) -> Vec<_>| {
            let census = Arc::clone(&census);
            move || read(&census).as_ref().map(what).unwrap_or_default()
        };
        KNOWLEDGE_AGE.looked_at(&meter, look(ages));
        KNOWLEDGE.looked_at(&meter, look(freshness));
        SERVERS.looked_at(&meter, {
            let census = Arc::clone(&census);
            move || read(&census).as_ref().map(servers).unwrap_or_default()
        });
        Self {
            reports: REPORTS.in_counter(&meter),
            items_ignored: ITEMS_IGNORED.in_counter(&meter),
            changes: CHANGES.in_counter(&meter),
            found_by_poll: FOUND_BY_POLL.in_counter(&meter),
            batch_size: BATCH_SIZE.in_histogram(&meter),
            batch_duration: BATCH_DURATION.in_histogram(&meter),
            change_latency: CHANGE_LATENCY.in_histogram(&meter),
            relay_late: RELAY_LATE.in_counter(&meter),
            outbox_age: OUTBOX_AGE.in_gauge(&meter),
            sweep_changes: SWEEP_CHANGES.in_counter(&meter),
            blind: BLIND.in_gauge(&meter),
            census,
            registry_toolboxes: TOOLBOXES.in_gauge(&meter),
            registry_instances: INSTANCES.in_gauge(&meter),
            registry_unusable: UNUSABLE.in_gauge(&meter),
            mirror_writes: MIRROR_WRITES.in_counter(&meter),
            outcomes: OUTCOMES.in_counter(&meter),
            settled: SETTLED.in_counter(&meter),
            rebuild_published: REBUILD.in_counter(&meter),
        }
    }

    pub(crate) fn reports(&self, result: ReportResult, count: u64) {
        let outcome = match result {
            ReportResult::Accepted => "accepted",
            ReportResult::Stale => "stale",
            ReportResult::UnknownToolbox => "unknown_toolbox",
            ReportResult::Rejected => "rejected",
        };
        self.reports.add(count, [outcome]);
    }

    /// Counts what a fold passed over, and its reports.
    pub(crate) fn fold(&self, counts: &domain::Counts) {
        self.reports(ReportResult::Accepted, counts.accepted);
        self.reports(ReportResult::Stale, counts.stale);
        for (reason, count) in [
            ("older_incarnation", counts.older_incarnation),
            ("unknown_container", counts.unknown_container),
            ("foreign_instance", counts.foreign_instance.len() as u64),
            ("duplicate_item", counts.duplicate_item),
        ] {
            // Nearly always none.
            if count > 0 {
                self.items_ignored.add(count, [reason]);
            }
        }
    }

    pub(crate) fn change(&self, kind: &'static str, cause: &'static str) {
        self.changes.add(1, [kind, cause]);
    }

    pub(crate) fn found_by_poll(&self, count: u64) {
        self.found_by_poll.add(count, ());
    }

    pub(crate) fn batch(&self, size: usize, took: Duration) {
        self.batch_size.record(size as f64, ());
        self.batch_duration.record(took.as_secs_f64(), ());
    }

    pub(crate) fn change_latency(&self, seconds: f64) {
        self.change_latency.record(seconds, ());
    }

    pub(crate) fn relay_late(&self, count: u64) {
        self.relay_late.add(count, ());
    }

    pub(crate) fn outbox_age(&self, seconds: f64) {
        self.outbox_age.set(seconds, ());
    }

    pub(crate) fn sweep_changes(&self, count: u64) {
        self.sweep_changes.add(count, ());
    }

    pub(crate) fn blind(&self, blind: bool) {
        self.blind.set(u8::from(blind).into(), ());
    }

    /// How the fleet is; `None`: it is not ours to say, or not known.
    pub(crate) fn census(&self, census: Option<Census>) {
        *self.census.lock().unwrap_or_else(PoisonError::into_inner) = census;
    }

    pub(crate) fn registry(&self, toolboxes: usize, instances: usize, unusable: usize) {
        self.registry_toolboxes.set(toolboxes as f64, ());
        self.registry_instances.set(instances as f64, ());
        self.registry_unusable.set(unusable as f64, ());
    }

    pub(crate) fn mirror_write(&self, operation: &'static str) {
        self.mirror_writes.add(1, [operation]);
    }

    pub(crate) fn outcome(&self, result: OutcomeResult) {
        let outcome = match result {
            OutcomeResult::Taken => "taken",
            OutcomeResult::Late => "late",
            OutcomeResult::Rejected => "rejected",
        };
        self.outcomes.add(1, [outcome]);
    }

    pub(crate) fn settled(&self) {
        self.settled.add(1, ());
    }

    pub(crate) fn rebuild_published(&self, kind: &'static str, count: u64) {
        self.rebuild_published.add(count, [kind]);
    }
}

fn read(census: &Mutex<Option<Census>>) -> std::sync::MutexGuard<'_, Option<Census>> {
    census.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ages(census: &Census) -> Vec<(f64, [&'static str; 1])> {
    let knowledge = &census.knowledge;
    let ages = [
        ("0.5", knowledge.median),
        ("0.99", knowledge.p99),
        ("1", knowledge.oldest),
    ];
    let known = ages
        .into_iter()
        .filter_map(|(quantile, age)| Some((age?, [quantile])));
    known.collect()
}

fn freshness(census: &Census) -> Vec<(f64, [&'static str; 1])> {
    let knowledge = &census.knowledge;
    vec![
        (knowledge.fresh as f64, ["fresh"]),
        (knowledge.overdue as f64, ["overdue"]),
        (knowledge.agent_failing as f64, ["agent_failing"]),
        (knowledge.unseen as f64, ["unseen"]),
    ]
}

/// Of every state and health, so that what no server is any more is 0 and not absent.
fn servers(census: &Census) -> Vec<(f64, Vec<&'static str>)> {
    let count = |wanted: &[&'static str]| {
        let mut servers = census.servers.iter();
        let found = servers.find(|(state, health, _)| [state.as_str(), health.as_str()] == *wanted);
        found.map_or(0, |(_, _, count)| *count) as f64
    };
    let combinations = SERVERS.combinations().into_iter();
    combinations.map(|labels| (count(&labels), labels)).collect()
}
