//! What is counted. Every name stands here, so that dashboards have one place to look.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter};

/// The instruments of one process. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    reports: Counter<u64>,
    items_ignored: Counter<u64>,
    foreign_instances: Counter<u64>,
    changes: Counter<u64>,
    batch_size: Histogram<u64>,
    batch_duration: Histogram<f64>,
    change_latency: Histogram<f64>,
    relay_late: Counter<u64>,
    outbox_age: Gauge<f64>,
    sweep_changes: Counter<u64>,
    blind: Gauge<u64>,
    registry_toolboxes: Gauge<u64>,
    registry_instances: Gauge<u64>,
    registry_unusable: Gauge<u64>,
    mirror_writes: Counter<u64>,
    outcomes: Counter<u64>,
    settled: Counter<u64>,
    rebuild_published: Counter<u64>,
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

/// Seconds; a change is expected within a tenth of one, and minutes mean an outage.
const LATENCY_BUCKETS: [f64; 13] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0,
];
/// Reports in a batch, up to what can be configured.
const SIZE_BUCKETS: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 5000.0];

impl Metrics {
    pub(crate) fn new() -> Self {
        Self::on(&opentelemetry::global::meter("status-mapper"))
    }

    fn on(meter: &Meter) -> Self {
        let counter =
            |name: &'static str, what: &'static str| meter.u64_counter(name).with_description(what).build();
        let gauge =
            |name: &'static str, what: &'static str| meter.u64_gauge(name).with_description(what).build();
        let seconds = |name: &'static str, what: &'static str| {
            meter
                .f64_histogram(name)
                .with_description(what)
                .with_unit("s")
                .with_boundaries(LATENCY_BUCKETS.to_vec())
                .build()
        };
        Self {
            reports: counter("status_mapper.reports", "Raw reports, by what became of them"),
            items_ignored: counter(
                "status_mapper.items_ignored",
                "Items of reports that nothing was taken from, by why",
            ),
            foreign_instances: counter(
                "status_mapper.foreign_instances",
                "Items that named an instance of another toolbox, or of none",
            ),
            changes: counter("status_mapper.changes", "Committed changes, by kind and cause"),
            batch_size: meter
                .u64_histogram("status_mapper.batch.size")
                .with_description("Reports in a batch")
                .with_boundaries(SIZE_BUCKETS.to_vec())
                .build(),
            batch_duration: seconds(
                "status_mapper.batch.duration",
                "From a batch's arrival to its verdicts",
            ),
            change_latency: seconds(
                "status_mapper.change.latency",
                "From the observation to the published event",
            ),
            relay_late: counter(
                "status_mapper.relay.late",
                "Events that the relay published for whoever did not",
            ),
            outbox_age: meter
                .f64_gauge("status_mapper.outbox.oldest_age")
                .with_description("Age of the oldest committed change that is not published; 0 when all are")
                .with_unit("s")
                .build(),
            sweep_changes: counter(
                "status_mapper.sweep.changes",
                "Changes that the passing of time brought about",
            ),
            blind: gauge(
                "status_mapper.blind",
                "1 while silence is taken for the observer's own fault",
            ),
            registry_toolboxes: gauge("status_mapper.registry.toolboxes", "Toolboxes in the registry"),
            registry_instances: gauge("status_mapper.registry.instances", "Instances in the registry"),
            registry_unusable: gauge(
                "status_mapper.registry.unusable",
                "Rows of the registry that nothing can be done with",
            ),
            mirror_writes: counter(
                "status_mapper.mirror.writes",
                "Entries put to or deleted from the buckets that mirror the tables",
            ),
            outcomes: counter(
                "status_mapper.outcomes",
                "Outcomes of commands, by what became of them",
            ),
            settled: counter(
                "status_mapper.settled",
                "Toolboxes settled at once because an intent was written",
            ),
            rebuild_published: counter(
                "status_mapper.rebuild.published",
                "Events published because the status stream was behind the rows, by kind",
            ),
        }
    }

    pub(crate) fn reports(&self, result: ReportResult, count: u64) {
        let result = match result {
            ReportResult::Accepted => "accepted",
            ReportResult::Stale => "stale",
            ReportResult::UnknownToolbox => "unknown_toolbox",
            ReportResult::Rejected => "rejected",
        };
        add(&self.reports, count, &[KeyValue::new("result", result)]);
    }

    /// Counts what a fold passed over, and its reports.
    pub(crate) fn fold(&self, counts: &domain::Counts) {
        self.reports(ReportResult::Accepted, counts.accepted);
        self.reports(ReportResult::Stale, counts.stale);
        for (why, count) in [
            ("older_incarnation", counts.older_incarnation),
            ("unknown_container", counts.unknown_container),
            ("foreign_instance", counts.foreign_instance.len() as u64),
            ("duplicate_item", counts.duplicate_item),
        ] {
            add(&self.items_ignored, count, &[KeyValue::new("why", why)]);
        }
        add(&self.foreign_instances, counts.foreign_instance.len() as u64, &[]);
    }

    pub(crate) fn change(&self, kind: &'static str, cause: &'static str) {
        self.changes
            .add(1, &[KeyValue::new("kind", kind), KeyValue::new("cause", cause)]);
    }

    pub(crate) fn batch(&self, size: usize, seconds: f64) {
        self.batch_size.record(size as u64, &[]);
        self.batch_duration.record(seconds, &[]);
    }

    pub(crate) fn change_latency(&self, seconds: f64) {
        self.change_latency.record(seconds, &[]);
    }

    pub(crate) fn relay_late(&self, count: u64) {
        add(&self.relay_late, count, &[]);
    }

    pub(crate) fn outbox_age(&self, seconds: f64) {
        self.outbox_age.record(seconds, &[]);
    }

    pub(crate) fn sweep_changes(&self, count: u64) {
        add(&self.sweep_changes, count, &[]);
    }

    pub(crate) fn blind(&self, blind: bool) {
        self.blind.record(blind.into(), &[]);
    }

    pub(crate) fn registry(&self, toolboxes: usize, instances: usize, unusable: usize) {
        self.registry_toolboxes.record(toolboxes as u64, &[]);
        self.registry_instances.record(instances as u64, &[]);
        self.registry_unusable.record(unusable as u64, &[]);
    }

    pub(crate) fn mirror_write(&self, operation: &'static str) {
        self.mirror_writes
            .add(1, &[KeyValue::new("operation", operation)]);
    }

    pub(crate) fn outcome(&self, result: OutcomeResult) {
        let result = match result {
            OutcomeResult::Taken => "taken",
            OutcomeResult::Late => "late",
            OutcomeResult::Rejected => "rejected",
        };
        self.outcomes.add(1, &[KeyValue::new("result", result)]);
    }

    pub(crate) fn settled(&self) {
        self.settled.add(1, &[]);
    }

    pub(crate) fn rebuild_published(&self, kind: &'static str, count: u64) {
        add(&self.rebuild_published, count, &[KeyValue::new("kind", kind)]);
    }
}

/// A series that never counted anything is not exported.
fn add(counter: &Counter<u64>, count: u64, attributes: &[KeyValue]) {
    if count > 0 {
        counter.add(count, attributes);
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::metrics::MeterProvider as _;
    use opentelemetry_sdk::metrics::SdkMeterProvider;

    use super::*;

    /// Dashboards and alarms know these names: a change here breaks them.
    #[test]
    fn every_name_as_it_is_scraped() {
        let registry = prometheus::Registry::new();
        let reader = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .without_target_info()
            .build()
            .unwrap();
        let provider = SdkMeterProvider::builder().with_reader(reader).build();
        let metrics = Metrics::on(&provider.meter("test"));

        for result in [
            ReportResult::Accepted,
            ReportResult::Stale,
            ReportResult::UnknownToolbox,
            ReportResult::Rejected,
        ] {
            metrics.reports(result, 1);
        }
        metrics.fold(&domain::Counts {
            accepted: 1,
            stale: 1,
            older_incarnation: 1,
            unknown_container: 1,
            foreign_instance: vec![domain::ServerId(uuid::Uuid::nil())],
            duplicate_item: 1,
        });
        metrics.change("server", "report");
        metrics.batch(1, 0.1);
        metrics.change_latency(0.1);
        metrics.relay_late(1);
        metrics.outbox_age(0.0);
        metrics.sweep_changes(1);
        metrics.blind(true);
        metrics.registry(1, 2, 3);
        metrics.mirror_write("put");
        for result in [OutcomeResult::Taken, OutcomeResult::Late, OutcomeResult::Rejected] {
            metrics.outcome(result);
        }
        metrics.settled();
        metrics.rebuild_published("standing", 1);

        let mut names = Vec::new();
        for family in registry.gather() {
            let mut labels: Vec<&str> = family
                .get_metric()
                .iter()
                .flat_map(|metric| metric.get_label())
                .map(prometheus::proto::LabelPair::name)
                // The exporter's own, on everything.
                .filter(|label| !label.starts_with("otel_scope"))
                .collect();
            labels.sort_unstable();
            labels.dedup();
            names.push(format!("{}{{{}}}", family.name(), labels.join(",")));
        }
        assert_eq!(
            names,
            [
                "status_mapper_batch_duration_seconds{}",
                "status_mapper_batch_size{}",
                "status_mapper_blind{}",
                "status_mapper_change_latency_seconds{}",
                "status_mapper_changes_total{cause,kind}",
                "status_mapper_foreign_instances_total{}",
                "status_mapper_items_ignored_total{why}",
                "status_mapper_mirror_writes_total{operation}",
                "status_mapper_outbox_oldest_age_seconds{}",
                "status_mapper_outcomes_total{result}",
                "status_mapper_rebuild_published_total{kind}",
                "status_mapper_registry_instances{}",
                "status_mapper_registry_toolboxes{}",
                "status_mapper_registry_unusable{}",
                "status_mapper_relay_late_total{}",
                "status_mapper_reports_total{result}",
                "status_mapper_settled_total{}",
                "status_mapper_sweep_changes_total{}",
            ]
        );
    }
}
