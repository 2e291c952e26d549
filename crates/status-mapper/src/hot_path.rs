//! `scripts/bench telemetry`: what a batch of reports costs from its bytes to what is to be written and published, where
//! nothing is traced. The script counts the instructions of `measured`.

use domain::{AccountId, InstanceName, Server, ServerId, Thresholds, Toolbox, ToolboxId};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;
use wire::{RawContainer, RawCoverage, RawOutcome, RawReport, RawSource, subjects};

use crate::decisions::Decisions;
use crate::ingest::batch::Batch;

/// Reports of a batch.
const REPORTS: u128 = 500;
/// Containers in each.
const CONTAINERS: u128 = 4;
/// One in so many brings a change.
const CHANGES: u128 = 10;

type Rows = Vec<(Toolbox, Vec<Server>)>;

fn id(toolbox: u128, container: u128) -> Uuid {
    Uuid::from_u128(toolbox << 8 | container)
}

fn delivery(toolbox: u128, round: u64, as_of: Timestamp, stopped: bool) -> bus::Delivery {
    let container = |container: u128| RawContainer {
        names: vec![format!("mcp-{container}")],
        word: if stopped && container == 1 {
            "exited"
        } else {
            "running"
        }
        .to_owned(),
        text: Some("Up 3 minutes".to_owned()),
        container_id: Some(format!("{container:064x}")),
        ..RawContainer::default()
    };
    let report = RawReport {
        toolbox_id: id(toolbox, 0),
        as_of,
        source: RawSource::Poll,
        agent_time: None,
        agent_version: Some("2.1.0".to_owned()),
        next_within_seconds: Some(30),
        missed_heartbeat: false,
        outcome: RawOutcome::Containers {
            coverage: RawCoverage::Whole,
            containers: (1..=CONTAINERS).map(container).collect(),
        },
    };
    let body = serde_json::to_vec(&report).unwrap();
    let sequence = round * 1_000 + u64::try_from(toolbox).unwrap();
    bus::Delivery::made(subjects::raw(ToolboxId(report.toolbox_id)), body.into(), sequence)
}

fn rows() -> Rows {
    let row = |toolbox: u128| {
        let (toolbox_id, account) = (ToolboxId(id(toolbox, 0)), AccountId(Uuid::from_u128(1)));
        let server = |container: u128| {
            let name = InstanceName::new(&format!("mcp-{container}")).unwrap();
            Server::new(ServerId(id(toolbox, container)), toolbox_id, account, name)
        };
        let servers = (1..=CONTAINERS).map(server).collect();
        (Toolbox::new(toolbox_id, account, "toolbox"), servers)
    };
    (1..=REPORTS).map(row).collect()
}

/// What `ingest` does with a batch between the bus and the database.
#[inline(never)]
fn measured(deliveries: &[bus::Delivery], rows: Rows, now: Timestamp, thresholds: &Thresholds) -> Decisions {
    let batch = Batch::read(deliveries, now);
    let mut decisions = Decisions::default();
    let all = batch.all();
    for (toolbox, servers) in rows {
        let at = all
            .binary_search_by_key(&toolbox.id, |(toolbox, _)| *toolbox)
            .unwrap();
        let reports = all[at].1;
        let fold = domain::fold(toolbox, servers, reports, batch.known_until, now, thresholds);
        decisions
            .take_fold(fold, |change| batch.cause(change, reports))
            .unwrap();
    }
    decisions
}

#[test]
#[ignore = "scripts/bench telemetry counts its instructions"]
fn instructions() {
    let _telemetry = telemetry();
    let thresholds = Thresholds::default();
    let first = "2026-11-22T10:00:00Z".parse::<Timestamp>().unwrap();
    let then = first + SignedDuration::from_secs(20);
    let batch = |round, at, stops: bool| -> Vec<_> {
        (1..=REPORTS)
            .map(|toolbox| delivery(toolbox, round, at, stops && toolbox % CHANGES == 0))
            .collect()
    };
    // What everything is at first, not measured.
    let deliveries = batch(1, first, false);
    let read = Batch::read(&deliveries, first);
    let all = read.all();
    let known = rows().into_iter().map(|(toolbox, servers)| {
        let at = all
            .binary_search_by_key(&toolbox.id, |(toolbox, _)| *toolbox)
            .unwrap();
        let fold = domain::fold(toolbox, servers, all[at].1, first, first, &thresholds);
        (fold.toolbox, fold.write)
    });
    let known: Rows = known.collect();
    let deliveries = batch(2, then, true);
    let decisions = measured(&deliveries, known, then, &thresholds);
    assert_eq!(decisions.tally.len() as u128, REPORTS / CHANGES);
}

/// As the process has it, or (`HOT_PATH=bare`) as if nothing in the program could log or trace.
fn telemetry() -> Option<service::Telemetry> {
    let options = service::options::TelemetryOptions {
        log: "info,sqlx=warn".to_owned(),
        log_format: service::options::LogFormat::Json,
    };
    #[expect(clippy::disallowed_methods, reason = "how the script says what is measured")]
    let bare = std::env::var("HOT_PATH").is_ok_and(|what| what == "bare");
    (!bare).then(|| service::Telemetry::start("hot-path", &options).unwrap())
}
