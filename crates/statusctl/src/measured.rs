//! All that the services measure, in one table: `deploy/observability/METRICS.md`, and what dashboards and alerts are checked
//! against.

use std::fmt::Write as _;

use instruments::{Kind, Label, Metric, Values};

/// A metric, and the services that have it.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// The metric.
    pub metric: &'static Metric,
    /// `all`, or which.
    pub services: &'static str,
}

/// What the Prometheus client library says of each process by itself, on Linux.
pub const PROCESS: [(&str, &str, &str); 7] = [
    (
        "process_cpu_seconds_total",
        "counter",
        "Time spent on processors, in seconds",
    ),
    ("process_open_fds", "gauge", "Open files and sockets"),
    (
        "process_max_fds",
        "gauge",
        "Most files and sockets that may be open",
    ),
    ("process_resident_memory_bytes", "gauge", "Memory held, in bytes"),
    ("process_virtual_memory_bytes", "gauge", "Memory mapped, in bytes"),
    ("process_threads", "gauge", "Threads"),
    (
        "process_start_time_seconds",
        "gauge",
        "When it was started, in seconds since 1970",
    ),
];

/// Every metric, by name.
pub fn all() -> Vec<Measured> {
    let of = [
        (service::http::METRICS, "all"),
        (service::READINESS_METRICS, "all"),
        (bus::METRICS, "all"),
        (access::METRICS, "notifier, status-api"),
        (live::METRICS, "notifier, status-api"),
        (dtma_poller::METRICS, "dtma-poller"),
        (status_mapper::METRICS, "status-mapper"),
        (notifier::METRICS, "notifier"),
        (notifier::WEBHOOK_METRICS, "notifier"),
        (status_api::METRICS, "status-api"),
    ];
    let each = of.into_iter().flat_map(|(metrics, services)| {
        let measured = metrics.iter().map(move |metric| Measured { metric, services });
        measured.collect::<Vec<_>>()
    });
    let mut all: Vec<_> = each.collect();
    all.sort_by_key(|measured| measured.metric.name);
    all
}

/// The table, as Markdown.
pub fn table() -> String {
    let mut text = "# Metrics\n\n\
        Made from the code by `scripts/generate`. Each service serves its own at `/metrics`, and pushes them over OTLP where the\n\
        standard `OTEL_*` variables say so. The first name is OpenTelemetry's, the second what Prometheus makes of it; labels are\n\
        written as Prometheus has them, and counters whose labels are listed here begin at 0 for each of them.\n\n\
        | metric | Prometheus | type | unit | labels | says | services |\n|---|---|---|---|---|---|---|\n"
        .to_owned();
    for Measured { metric, services } in all() {
        let Metric {
            name,
            kind,
            unit,
            says,
            ..
        } = metric;
        let kind = match kind {
            Kind::Histogram(boundaries) => {
                let ends = boundaries.first().zip(boundaries.last());
                ends.map_or_else(String::new, |(first, last)| {
                    format!("histogram, {first} to {last}")
                })
            }
            kind => kind.as_str().to_owned(),
        };
        let labels = labels(metric);
        let _ = writeln!(
            text,
            "| `{name}` | `{}` | {kind} | `{unit}` | {labels} | {says} | {services} |",
            metric.scraped_as()
        );
    }
    text.push_str(
        "\nOf each process besides, only at `/metrics`: `target_info` (`service_name`, `service_version`, \
         `service_instance_id`), and\n\n| Prometheus | type | says |\n|---|---|---|\n",
    );
    for (name, kind, says) in PROCESS {
        let _ = writeln!(text, "| `{name}` | {kind} | {says} |");
    }
    text
}

fn labels(metric: &Metric) -> String {
    let values = |label: &Label| match (label.values, metric.only.is_empty()) {
        (Values::These(values), true) => list(values.iter().copied()),
        (Values::Such(what), true) => what.to_owned(),
        (_, false) => String::new(),
    };
    let of = |label: &Label| {
        let name = label.scraped_as();
        match values(label) {
            values if values.is_empty() => format!("`{name}`"),
            values => format!("`{name}`: {values}"),
        }
    };
    let mut text: Vec<_> = metric.labels.iter().map(of).collect();
    if !metric.only.is_empty() {
        text.push(list(metric.only.iter().map(|values| values.join(" "))));
    }
    text.join("; ")
}

fn list(values: impl Iterator<Item = impl std::fmt::Display>) -> String {
    let values: Vec<_> = values.map(|value| format!("`{value}`")).collect();
    values.join(", ")
}
