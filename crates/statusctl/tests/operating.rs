//! What people operate with speaks of what there is: dashboards, rules, alerts, the runbook and doctor.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use instruments::{Kind, Values};
use statusctl::doctor::runbook;
use statusctl::measured;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

fn read(path: &str) -> String {
    fs::read_to_string(deploy().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What a series can be asked by: its labels with their values, where these are known.
type Labels = BTreeMap<String, Option<BTreeSet<String>>>;

/// Every series, as Prometheus has it.
fn series() -> BTreeMap<String, Labels> {
    let mut all = BTreeMap::new();
    let by_target = || ["job", "instance"].map(|name| (name.to_owned(), None));
    for (name, _, _) in measured::PROCESS {
        all.insert(name.to_owned(), Labels::from(by_target()));
    }
    for it in measured::all() {
        let mut labels = Labels::from(by_target());
        for (place, label) in it.metric.labels.iter().enumerate() {
            let values = match label.values {
                Values::These(values) => Some(values.iter().map(|value| (*value).to_owned()).collect()),
                Values::Such(_) if it.metric.only.is_empty() => None,
                Values::Such(_) => Some(it.metric.only.iter().map(|row| row[place].to_owned()).collect()),
            };
            labels.insert(label.scraped_as(), values);
        }
        let name = it.metric.scraped_as();
        if matches!(it.metric.kind, Kind::Histogram(_)) {
            all.insert(format!("{name}_sum"), labels.clone());
            all.insert(format!("{name}_count"), labels.clone());
            labels.insert("le".to_owned(), None);
            all.insert(format!("{name}_bucket"), labels);
        } else {
            all.insert(name, labels);
        }
    }
    all
}

/// Names and, where there are, the matchers after each.
fn names(text: &str) -> Vec<(String, String)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(is_name) {
        let end = rest[start..]
            .find(|c| !is_name(c))
            .map_or(rest.len(), |end| start + end);
        // A colon in a sentence is no part of a name.
        let (name, after) = (rest[start..end].trim_matches(':'), &rest[end..]);
        let matchers = after.strip_prefix('{').and_then(|inside| inside.split_once('}'));
        found.push((
            name.to_owned(),
            matchers.map_or_else(String::new, |(inside, _)| inside.to_owned()),
        ));
        rest = after;
    }
    found
}

/// What is wrong with a text that speaks of metrics.
fn mistakes(text: &str, series: &BTreeMap<String, Labels>, recorded: &BTreeSet<String>) -> Vec<String> {
    let ours = [
        "access",
        "bus",
        "dtma_poller",
        "http_server",
        "live",
        "notifier",
        "process",
        "service",
        "status_api",
        "status_mapper",
    ];
    let mut mistakes = Vec::new();
    for (name, matchers) in names(text) {
        let is_ours = ours.iter().any(|prefix| {
            name.strip_prefix(prefix)
                .is_some_and(|rest| rest.starts_with('_'))
        });
        let is_recorded = name.starts_with("status:") || name.starts_with("slo:");
        if is_recorded && !recorded.contains(&name) {
            mistakes.push(format!("{name} is recorded nowhere"));
        }
        let Some(labels) = series.get(&name) else {
            if is_ours {
                mistakes.push(format!("{name} is no metric"));
            }
            continue;
        };
        for matcher in matchers.split(", ").filter(|matcher| !matcher.trim().is_empty()) {
            let (label, value) = matcher.split_once(['=', '!']).unwrap();
            let Some(values) = labels.get(label.trim()) else {
                mistakes.push(format!("{name} has no label {label}"));
                continue;
            };
            let given = value.trim_start_matches(['=', '~']).trim_matches('"');
            let known = |value: &str| values.as_ref().is_none_or(|values| values.contains(value));
            let is_pattern = given.contains("..");
            if !is_pattern && let Some(unknown) = given.split('|').find(|value| !known(value)) {
                mistakes.push(format!("{name}: {label} is never {unknown}"));
            }
        }
    }
    mistakes
}

fn recorded() -> BTreeSet<String> {
    let rules = read("observability/prometheus/rules.yaml");
    let names = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- record: "));
    names.map(str::to_owned).collect()
}

/// Every query of a dashboard.
fn queries(dashboard: &serde_json::Value) -> Vec<String> {
    let targets = dashboard["panels"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|panel| panel["targets"].as_array());
    let queries = targets
        .flatten()
        .map(|target| target["expr"].as_str().unwrap().to_owned());
    queries.collect()
}

fn dashboards() -> BTreeMap<String, serde_json::Value> {
    let files = fs::read_dir(deploy().join("observability/grafana"))
        .unwrap()
        .map(|file| file.unwrap().path());
    let json = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    json.map(|path| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        (
            name,
            serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap(),
        )
    })
    .collect()
}

#[test]
fn a_mistake_is_found() {
    let (series, recorded) = (series(), recorded());
    for (text, mistake) in [
        (
            "sum(rate(bus_publish_total[5m]))",
            Some("bus_publish_total is no metric"),
        ),
        (
            "status_mapper_change_latency_seconds",
            Some("status_mapper_change_latency_seconds is no metric"),
        ),
        (
            r#"bus_published_total{outcom="failed"}"#,
            Some("bus_published_total has no label outcom"),
        ),
        (
            r#"bus_published_total{outcome="fail"}"#,
            Some("bus_published_total: outcome is never fail"),
        ),
        (
            r#"dtma_poller_heartbeats_total{code="502"}"#,
            Some("dtma_poller_heartbeats_total: code is never 502"),
        ),
        ("slo:nothing", Some("slo:nothing is recorded nowhere")),
        (r#"bus_published_total{job="notifier", outcome="failed"}"#, None),
        (r#"status_mapper_change_latency_seconds_bucket{le="1"}"#, None),
    ] {
        let found = mistakes(text, &series, &recorded);
        assert_eq!(found, mistake.into_iter().collect::<Vec<_>>(), "{text}");
    }
}

#[test]
fn dashboards_and_rules_ask_for_what_is_measured() {
    let (series, recorded) = (series(), recorded());
    for (name, dashboard) in dashboards() {
        let queries = queries(&dashboard);
        assert!(queries.len() > 5, "{name}");
        for query in queries {
            assert_eq!(mistakes(&query, &series, &recorded), [""; 0], "{name}: {query}");
        }
    }
    let prometheus = [
        "rules.yaml",
        "alerts.yaml",
        "tests/alerts.yaml",
        "tests/objectives.yaml",
        "tests/quiet.yaml",
    ];
    for file in prometheus {
        let text = read(&format!("observability/prometheus/{file}"));
        assert_eq!(mistakes(&text, &series, &recorded), [""; 0], "{file}");
    }
    for file in ["RUNBOOK.md", "SLO.md"] {
        assert_eq!(mistakes(&read(file), &series, &recorded), [""; 0], "{file}");
    }
}

#[test]
fn whatever_is_measured_is_shown() {
    let shown: BTreeSet<String> = dashboards()
        .values()
        .flat_map(queries)
        .chain([read("observability/prometheus/rules.yaml")])
        .flat_map(|text| names(&text))
        .map(|(name, _)| name)
        .collect();
    let mut unseen = Vec::new();
    for it in measured::all() {
        let name = it.metric.scraped_as();
        let of_histogram = ["_bucket", "_count", "_sum"].map(|part| format!("{name}{part}"));
        if !shown.contains(&name) && !of_histogram.iter().any(|name| shown.contains(name)) {
            unseen.push(name);
        }
    }
    assert_eq!(unseen, [""; 0]);
}

#[test]
fn every_alert_and_finding_has_its_entry_in_the_runbook() {
    let text = read("RUNBOOK.md");
    let entries: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .collect();
    let mut referred: BTreeSet<&str> = runbook::ALL.iter().map(|advice| advice.slug).collect();
    let alerts = read("observability/prometheus/alerts.yaml");
    let mut alerting = alerts.split("- alert: ");
    alerting.next();
    for alert in alerting {
        let name = alert.lines().next().unwrap();
        let field = |field: &str| {
            let mut lines = alert.lines().map(str::trim_start);
            lines
                .find_map(|line| line.strip_prefix(field))
                .unwrap_or_else(|| panic!("{name} has no {field}"))
        };
        assert!(
            matches!(
                field("labels: "),
                "{ severity: critical }" | "{ severity: warning }"
            ),
            "{name}"
        );
        assert!(
            !field("for: ").is_empty() && !field("summary: ").is_empty(),
            "{name}"
        );
        referred.insert(field("runbook_url: ").strip_prefix("deploy/RUNBOOK.md#").unwrap());
    }
    let missing: Vec<_> = referred.difference(&entries).collect();
    assert!(missing.is_empty(), "no entry in the runbook for {missing:?}");
    let needless: Vec<_> = entries.difference(&referred).collect();
    assert!(needless.is_empty(), "nothing refers to {needless:?}");
    for link in text.split("](#").skip(1) {
        let (anchor, _) = link.split_once(')').unwrap();
        assert!(entries.contains(anchor), "the runbook refers to #{anchor}");
    }
}

#[test]
fn every_alert_was_seen_to_fire() {
    let alerts = read("observability/prometheus/alerts.yaml");
    let fired = ["alerts", "objectives"]
        .map(|file| read(&format!("observability/prometheus/tests/{file}.yaml")))
        .concat();
    let quiet = read("observability/prometheus/tests/quiet.yaml");
    for name in alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
    {
        // A test that expects none is one line, one that expects some goes on with what.
        let fires = format!("alertname: {name}\n        exp_alerts:");
        assert!(fired.contains(&fires), "no test has {name} fire");
        assert!(
            quiet.contains(&format!("alertname: {name} }}")),
            "{name} is not expected to be quiet"
        );
    }
}
