//! Every finding, as it is shown.

use std::collections::HashSet;

use bus::{Backlog, Difference, Inspection};
use domain::ToolboxId;
use store::inspect::{LateCommands, Migrations};
use store::registry::{Registry, RegistryToolbox, Unusable};
use wire::{InstanceEntry, ToolboxEntry, streams};

use super::*;
use crate::doctor::agents::Probe;
use crate::doctor::base::{self, Unresponsive};
use crate::doctor::finding::{Level, exit, report};
use crate::doctor::services::Services;
use crate::exit::{Exit, Failure};
use crate::show::testing::{at, id, look};

fn thing(of: &str, found: Found) -> Inspected {
    Inspected {
        of: of.to_owned(),
        found,
    }
}

fn entry(n: u128, monitored: bool) -> ToolboxEntry {
    ToolboxEntry {
        toolbox_id: id(n),
        account_id: id(900),
        base_url: Some(format!("http://10.0.0.{n}:30000")),
        sealed_token: None,
        token_hash: None,
        instances: vec![InstanceEntry {
            server_id: id(n + 1),
            name: "mcp-x".to_owned(),
            monitored,
            seen: true,
            commanded: false,
        }],
    }
}

fn toolbox(n: u128) -> RegistryToolbox {
    RegistryToolbox {
        id: ToolboxId(id(n)),
        account: domain::AccountId(id(900)),
        name: format!("toolbox-{n}"),
        base_url: None,
        public_ip: None,
        token: None,
        instances: Vec::new(),
    }
}

fn seen() -> Seen {
    Seen {
        inspection: Inspection {
            version: "2.15.1".to_owned(),
            things: vec![
                thing("stream POLLS", Found::Right),
                thing("bucket toolboxes", Found::Right),
                thing("consumer dtma-poller of POLLS", Found::Right),
            ],
        },
        ahead: Some(40),
        backlogs: vec![(
            &streams::MAPPER,
            Backlog {
                pending: 3,
                ack_pending: 1,
            },
        )],
        letters: Vec::new(),
        scheduled: Some(HashSet::from([ToolboxId(id(1))])),
        entries: Some(vec![entry(1, true)]),
    }
}

fn rows() -> Rows {
    Rows {
        oldest_unpublished: None,
        late: LateCommands::default(),
        registry: Registry {
            toolboxes: vec![toolbox(1)],
            unusable: Vec::new(),
        },
        unresponsive: Vec::new(),
    }
}

fn base(rows: Result<Rows, String>, migrations: Migrations) -> Base {
    Base::Seen(Box::new(base::Seen {
        version: "17.2 (Debian 17.2-1)".to_owned(),
        ahead: -20,
        migrations,
        rows,
    }))
}

fn whole() -> Migrations {
    Migrations {
        applied: 6,
        ..Migrations::default()
    }
}

fn well() -> Services {
    Services {
        api: Some(Ok(())),
        place: "http://127.0.0.1:8082".to_owned(),
        unresponsive: Some(Vec::new()),
        ready: vec![
            ("dtma-poller".to_owned(), Ok(())),
            ("status-mapper".to_owned(), Ok(())),
        ],
    }
}

fn everything(nats: &Nats, base: &Base, services: &Services, probes: Option<&[Probe]>) -> Vec<Finding> {
    let mut findings = super::nats(nats);
    findings.extend(database(base, at("2026-11-22T12:00:00Z")));
    findings.extend(registry(nats, base));
    findings.extend(super::services(services));
    findings.extend(agents(base, services, probes));
    findings
}

fn probe(name: &str, outcome: Result<(), &str>) -> Probe {
    Probe {
        name: name.to_owned(),
        outcome: outcome.map_err(str::to_owned),
    }
}

fn when_all_is_well() -> Vec<Finding> {
    let nats = Nats::Seen(Box::new(seen()));
    let probes = [probe("toolbox-1", Ok(()))];
    everything(&nats, &base(Ok(rows()), whole()), &well(), Some(&probes))
}

#[test]
fn all_is_well() {
    let findings = when_all_is_well();
    assert_eq!(exit(&findings), Exit::Done);
    insta::assert_snapshot!(report(&findings, look(None)));
}

#[test]
fn nothing_is_at_hand() {
    let services = Services {
        api: None,
        unresponsive: None,
        ready: Vec::new(),
        ..well()
    };
    let findings = everything(&Nats::Unknown, &Base::Unknown, &services, None);
    assert_eq!(exit(&findings), Exit::Done);
    insta::assert_snapshot!(report(&findings, look(None)));
}

fn when_nothing_answers() -> Vec<Finding> {
    let services = Services {
        api: Some(Err(Failure::unreachable(
            "failed to reach the API at http://h: refused",
        ))),
        unresponsive: None,
        ready: vec![("status-mapper".to_owned(), Err("it does not answer".to_owned()))],
        ..well()
    };
    let nats = Nats::Away("failed to connect to nats://h:4222: refused".to_owned());
    let base = Base::Away("failed to use the database: refused".to_owned());
    everything(&nats, &base, &services, Some(&[]))
}

#[test]
fn nothing_answers() {
    let findings = when_nothing_answers();
    assert_eq!(exit(&findings), Exit::Failed);
    insta::assert_snapshot!(report(&findings, look(None)));
}

fn when_everything_is_wrong() -> Vec<Finding> {
    let differs = Found::Differs(vec![Difference {
        of: "stream DTMA_DLQ".to_owned(),
        field: "max_age".to_owned(),
        have: "3600s".to_owned(),
        want: "604800s".to_owned(),
    }]);
    let nats = Nats::Seen(Box::new(Seen {
        inspection: Inspection {
            version: "2.14.0".to_owned(),
            things: vec![
                thing("stream POLLS", Found::Missing),
                thing("bucket connections", Found::Missing),
                thing("stream DTMA_DLQ", differs.clone()),
                thing("consumer dtma-poller of POLLS", Found::Missing),
                thing("consumer status-mapper of DTMA_RAW", differs),
            ],
        },
        ahead: Some(-2_345),
        backlogs: vec![(
            &streams::MAPPER,
            Backlog {
                pending: 12_345,
                ack_pending: 1,
            },
        )],
        letters: vec![("DTMA_RAW".to_owned(), 3), ("DTMA_COMMANDS".to_owned(), 1)],
        scheduled: Some(HashSet::from([ToolboxId(id(8)), ToolboxId(id(3))])),
        entries: Some(vec![entry(1, true), entry(2, true), entry(3, false)]),
    }));
    let silent = |n: usize| Unresponsive {
        name: format!("toolbox-{n}"),
        problem: if n == 1 {
            String::new()
        } else {
            "refused".to_owned()
        },
    };
    let rows = Rows {
        oldest_unpublished: Some(at("2026-11-22T11:50:00Z")),
        late: LateCommands {
            undispatched: 1,
            overdue: 2,
        },
        registry: Registry {
            toolboxes: vec![toolbox(1), toolbox(4)],
            unusable: vec![
                Unusable {
                    toolbox: ToolboxId(id(5)),
                    instance: None,
                    why: "it belongs to no account",
                },
                Unusable {
                    toolbox: ToolboxId(id(5)),
                    instance: Some(domain::ServerId(id(6))),
                    why: "its name can be no container's",
                },
            ],
        },
        unresponsive: (1..=7).map(silent).collect(),
    };
    let migrations = Migrations {
        applied: 3,
        missing: vec!["6 commands".to_owned()],
        changed: vec!["2 labels".to_owned()],
        unfinished: Some(5),
        newer: 1,
    };
    let base = Base::Seen(Box::new(base::Seen {
        version: "14.9".to_owned(),
        ahead: 12_000,
        migrations,
        rows: Ok(rows),
    }));
    let services = Services {
        api: Some(Err(Failure::new(
            Exit::NotPermitted,
            "unauthorised: the token has expired",
        ))),
        ready: vec![("dtma-poller".to_owned(), Err("nats: not connected".to_owned()))],
        ..well()
    };
    let probes = [
        probe("toolbox-1", Err("no connection")),
        probe("toolbox-2", Ok(())),
    ];
    everything(&nats, &base, &services, Some(&probes))
}

#[test]
fn everything_is_wrong() {
    let findings = when_everything_is_wrong();
    assert_eq!(exit(&findings), Exit::Failed);
    insta::assert_snapshot!("everything_is_wrong", report(&findings, look(None)));
    insta::assert_snapshot!("everything_is_wrong_json", crate::show::json(&findings[..3]));
    // Whatever is wrong has advice, and nothing else has.
    for finding in &findings {
        let wrong = matches!(finding.level, Level::Warning | Level::Error);
        assert_eq!(finding.runbook.is_some(), wrong, "{}", finding.what);
    }
}

fn other_cases() -> [Vec<Finding>; 3] {
    let old = super::nats(&Nats::TooOld(
        "nats-server 2.9.10 is too old: 2.14.0 or newer is needed".to_owned(),
    ));
    let fresh = database(
        &base(
            Err("no table".to_owned()),
            Migrations {
                missing: vec!["1 owner tables".to_owned()],
                ..Migrations::default()
            },
        ),
        at("2026-11-22T12:00:00Z"),
    );
    let broken = database(
        &base(
            Err("permission denied".to_owned()),
            Migrations { newer: 2, ..whole() },
        ),
        at("2026-11-22T12:00:00Z"),
    );
    [old, fresh, broken]
}

#[test]
fn other_ends() {
    let text: Vec<String> = other_cases()
        .iter()
        .map(|findings| report(findings, look(None)))
        .collect();
    insta::assert_snapshot!(text.join("\n"));
}

#[test]
fn every_advice_is_given_and_the_runbook_has_no_other() {
    let cases = [
        when_all_is_well(),
        when_nothing_answers(),
        when_everything_is_wrong(),
    ];
    let given: HashSet<String> = cases
        .into_iter()
        .chain(other_cases())
        .flatten()
        .filter_map(|finding| finding.runbook)
        .collect();
    let known: HashSet<String> = runbook::ALL
        .iter()
        .map(|advice| format!("runbook#{}", advice.slug))
        .collect();
    assert_eq!(given, known);
}
