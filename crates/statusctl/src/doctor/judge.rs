//! From what was seen to what is wrong with it. Pure.

use std::collections::HashSet;

use bus::{Found, Inspected};
use domain::ToolboxId;
use jiff::Timestamp;

use crate::doctor::agents::Probe;
use crate::doctor::base::{Base, Rows, Unresponsive};
use crate::doctor::finding::Finding;
use crate::doctor::nats::{Nats, Seen};
use crate::doctor::runbook::{self, Advice};
use crate::doctor::services::Services;
use crate::exit::Exit;
use crate::show::counted;
use crate::show::when::{seconds, span};

/// Clocks this far apart show in ages; in milliseconds.
const APART: u64 = 1_000;
/// This far, tokens and deadlines go wrong.
const FAR_APART: u64 = 10_000;
/// More messages than a service takes in a blink.
const BEHIND: u64 = 1_000;
/// A change unpublished for longer, in seconds, waits for somebody.
const UNPUBLISHED: u64 = 30;
/// Names listed in a finding.
const LISTED: usize = 5;
/// The oldest PostgreSQL.
const MIN_POSTGRES: u32 = 15;

/// `a, b, c and 7 more`.
fn listed(names: &[String]) -> String {
    let mut text = names.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > LISTED {
        text.push_str(&format!(" and {} more", names.len() - LISTED));
    }
    text
}

/// NATS: whether it answers, what is on it, and who is behind.
pub(crate) fn nats(nats: &Nats) -> Vec<Finding> {
    const CHECK: &str = "NATS";
    let seen = match nats {
        Nats::Unknown => {
            return vec![Finding::skipped(
                CHECK,
                "no address: give --nats-url or NATS_URL, or a profile that has one",
            )];
        }
        Nats::Away(why) => return vec![Finding::error(CHECK, why, runbook::NATS_UNREACHABLE)],
        Nats::TooOld(why) => return vec![Finding::error(CHECK, why, runbook::NATS_TOO_OLD)],
        Nats::Seen(seen) => seen,
    };
    let version = format!("nats-server {}", seen.inspection.version);
    let mut findings = vec![Finding::ok(CHECK, version)];
    let things = &seen.inspection.things;
    let (consumers, streams): (Vec<&Inspected>, Vec<&Inspected>) =
        things.iter().partition(|thing| thing.of.starts_with("consumer "));
    findings.extend(inspected(
        "streams",
        &streams,
        runbook::STREAM_MISSING,
        runbook::STREAM_DIFFERS,
    ));
    findings.extend(inspected(
        "consumers",
        &consumers,
        runbook::CONSUMER_MISSING,
        runbook::CONSUMER_DIFFERS,
    ));
    findings.push(lag(seen));
    let letters: u64 = seen.letters.iter().map(|(_, count)| count).sum();
    findings.push(match letters {
        0 => Finding::ok("dead letters", "none"),
        _ => {
            let each: Vec<String> = seen
                .letters
                .iter()
                .map(|(stream, count)| format!("{count} of {stream}"))
                .collect();
            Finding::warning("dead letters", listed(&each), runbook::DEAD_LETTERS)
        }
    });
    findings.extend(seen.ahead.map(|ahead| clock("clock of NATS", ahead)));
    findings
}

fn inspected(check: &'static str, things: &[&Inspected], missing: Advice, differs: Advice) -> Vec<Finding> {
    let gone: Vec<String> = things
        .iter()
        .filter(|thing| thing.found == Found::Missing)
        .map(|thing| thing.of.clone())
        .collect();
    let mut findings = Vec::new();
    if !gone.is_empty() {
        findings.push(Finding::error(
            check,
            format!("missing: {}", gone.join(", ")),
            missing,
        ));
    }
    for thing in things {
        if let Found::Differs(differences) = &thing.found {
            let each: Vec<String> = differences
                .iter()
                .map(|one| format!("{} is {} and must be {}", one.field, one.have, one.want))
                .collect();
            findings.push(Finding::error(
                check,
                format!("{}: {}", thing.of, each.join("; ")),
                differs,
            ));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok(check, format!("{}, as they must be", things.len())));
    }
    findings
}

fn lag(seen: &Seen) -> Finding {
    const CHECK: &str = "backlog";
    let behind: Vec<String> = seen
        .backlogs
        .iter()
        .filter(|(_, backlog)| backlog.pending > BEHIND)
        .map(|(spec, backlog)| {
            format!(
                "{} has {} of {} to take",
                spec.name, backlog.pending, spec.stream.name
            )
        })
        .collect();
    if !behind.is_empty() {
        return Finding::warning(CHECK, behind.join(", "), runbook::CONSUMER_BEHIND);
    }
    let waiting: u64 = seen.backlogs.iter().map(|(_, backlog)| backlog.pending).sum();
    Finding::ok(CHECK, counted(waiting, "message", "s") + " to take")
}

fn clock(check: &'static str, ahead: i64) -> Finding {
    let apart = ahead.unsigned_abs();
    if apart < APART {
        return Finding::ok(check, "with this machine's");
    }
    let direction = if ahead > 0 { "ahead of" } else { "behind" };
    let text = format!(
        "{}.{} s {direction} this machine's",
        apart / 1_000,
        apart % 1_000 / 100
    );
    if apart < FAR_APART {
        Finding::warning(check, text, runbook::CLOCKS_APART)
    } else {
        Finding::error(check, text, runbook::CLOCKS_APART)
    }
}

/// The database: whether it answers, its schema, and what waits in it.
pub(crate) fn database(base: &Base, now: Timestamp) -> Vec<Finding> {
    const CHECK: &str = "PostgreSQL";
    let seen = match base {
        Base::Unknown => {
            return vec![Finding::skipped(
                CHECK,
                "no address: give DATABASE_URL, or a profile that has one",
            )];
        }
        Base::Away(why) => return vec![Finding::error(CHECK, why, runbook::DATABASE_UNREACHABLE)],
        Base::Seen(seen) => seen,
    };
    let major = seen.version.split(|letter: char| !letter.is_ascii_digit()).next();
    let old = major
        .and_then(|major| major.parse().ok())
        .is_some_and(|major: u32| major < MIN_POSTGRES);
    let mut findings = vec![if old {
        let text = format!("{} is too old: {MIN_POSTGRES} or newer is needed", seen.version);
        Finding::error(CHECK, text, runbook::DATABASE_TOO_OLD)
    } else {
        Finding::ok(CHECK, &seen.version)
    }];
    findings.extend(migrations(&seen.migrations));
    findings.push(clock("clock of PostgreSQL", seen.ahead));
    match &seen.rows {
        Ok(rows) => findings.extend(waiting(rows, now)),
        Err(why) if seen.migrations.missing.is_empty() => {
            findings.push(Finding::error("tables", why, runbook::DATABASE_UNREACHABLE));
        }
        Err(_) => findings.push(Finding::skipped("tables", "the schema is not there yet")),
    }
    findings
}

fn migrations(found: &store::inspect::Migrations) -> Vec<Finding> {
    const CHECK: &str = "migrations";
    let mut findings = Vec::new();
    if let Some(version) = found.unfinished {
        let text = format!("{version} began and did not end");
        findings.push(Finding::error(CHECK, text, runbook::MIGRATION_UNFINISHED));
    }
    if !found.changed.is_empty() {
        let text = format!("run in another wording: {}", listed(&found.changed));
        findings.push(Finding::error(CHECK, text, runbook::MIGRATIONS_CHANGED));
    }
    if !found.missing.is_empty() {
        let text = format!("not run: {}", listed(&found.missing));
        findings.push(Finding::error(CHECK, text, runbook::MIGRATIONS_MISSING));
    }
    if findings.is_empty() {
        let newer = match found.newer {
            0 => String::new(),
            newer => format!(", and {newer} of a newer version"),
        };
        findings.push(Finding::ok(CHECK, format!("all {} run{newer}", found.applied)));
    }
    findings
}

fn waiting(rows: &Rows, now: Timestamp) -> Vec<Finding> {
    let age = rows.oldest_unpublished.map(|at| seconds(now, at));
    let outbox = match age {
        Some(age) if age > UNPUBLISHED => {
            let text = format!("a change has been unpublished for {}", span(age));
            Finding::warning("outbox", text, runbook::OUTBOX_BEHIND)
        }
        _ => Finding::ok("outbox", "everything is published"),
    };
    let mut findings = vec![outbox];
    let late = rows.late;
    if late.undispatched > 0 {
        let text = counted(late.undispatched, "command", "s") + " that no poller was told of";
        findings.push(Finding::warning("commands", text, runbook::COMMANDS_WAITING));
    }
    if late.overdue > 0 {
        let text = counted(late.overdue, "command", "s") + " past the deadline and not ended";
        findings.push(Finding::warning("commands", text, runbook::COMMANDS_OVERDUE));
    }
    if late.undispatched + late.overdue == 0 {
        findings.push(Finding::ok("commands", "none is late"));
    }
    findings
}

/// Whether the tables, the pollers' bucket and the timetable say the same.
pub(crate) fn registry(nats: &Nats, base: &Base) -> Vec<Finding> {
    let rows = match base {
        Base::Seen(seen) => seen.rows.as_ref().ok(),
        _ => None,
    };
    let (entries, scheduled) = match nats {
        Nats::Seen(seen) => (seen.entries.as_ref(), seen.scheduled.as_ref()),
        _ => (None, None),
    };
    let mut findings = Vec::new();
    if let Some(rows) = rows.filter(|rows| !rows.registry.unusable.is_empty()) {
        let each: Vec<String> = rows
            .registry
            .unusable
            .iter()
            .map(|row| {
                let (kind, id) = match row.instance {
                    Some(instance) => ("instance", instance.0),
                    None => ("toolbox", row.toolbox.0),
                };
                format!("{kind} {id}: {}", row.why)
            })
            .collect();
        findings.push(Finding::warning(
            "registry",
            listed(&each),
            runbook::REGISTRY_UNUSABLE,
        ));
    }
    if let (Some(rows), Some(entries)) = (rows, entries) {
        let tables: HashSet<ToolboxId> = rows.registry.toolboxes.iter().map(|one| one.id).collect();
        let mirror: HashSet<ToolboxId> = entries.iter().map(|entry| ToolboxId(entry.toolbox_id)).collect();
        let (missing, left) = (
            tables.difference(&mirror).count(),
            mirror.difference(&tables).count(),
        );
        findings.push(if missing + left > 0 {
            let text = format!(
                "pollers do not know {missing} toolboxes of the tables, and know {left} that are gone"
            );
            Finding::warning("registry", text, runbook::BUCKET_BEHIND)
        } else {
            let count = counted(tables.len() as u64, "toolbox", "es");
            Finding::ok(
                "registry",
                format!("pollers know {count}, as the tables have them"),
            )
        });
    }
    if let (Some(entries), Some(scheduled)) = (entries, scheduled) {
        let wanted: HashSet<ToolboxId> = entries
            .iter()
            .filter(|entry| {
                let needs = |one: &wire::InstanceEntry| one.monitored || one.commanded;
                let wanted = entry.instances.is_empty() || entry.instances.iter().any(needs);
                entry.base_url.is_some() && wanted
            })
            .map(|entry| ToolboxId(entry.toolbox_id))
            .collect();
        let (missing, left) = (
            wanted.difference(scheduled).count() as u64,
            scheduled.difference(&wanted).count() as u64,
        );
        if missing > 0 {
            let text = counted(missing, "watched toolbox", "es") + " without a schedule: nobody polls them";
            findings.push(Finding::error("schedules", text, runbook::SCHEDULE_MISSING));
        }
        if left > 0 {
            let text = counted(left, "schedule", "s") + " of toolboxes that nobody has watched";
            findings.push(Finding::warning("schedules", text, runbook::SCHEDULE_LEFT_OVER));
        }
        if missing + left == 0 {
            let count = counted(wanted.len() as u64, "watched toolbox", "es");
            findings.push(Finding::ok("schedules", format!("one for each of {count}")));
        }
    } else {
        findings.push(Finding::skipped(
            "schedules",
            "they can be compared only with NATS at hand",
        ));
    }
    findings
}

/// Whether the services are well.
pub(crate) fn services(services: &Services) -> Vec<Finding> {
    const CHECK: &str = "status-api";
    let mut findings = vec![match &services.api {
        None => Finding::skipped(
            CHECK,
            "no address: give --api-url or STATUS_API_URL, or a profile",
        ),
        Some(Ok(())) => Finding::ok(CHECK, format!("{} answers", services.place)),
        Some(Err(failure)) if failure.exit == Exit::NotPermitted => {
            Finding::error(CHECK, &failure.text, runbook::API_REFUSES)
        }
        Some(Err(failure)) => Finding::error(CHECK, &failure.text, runbook::API_UNREACHABLE),
    }];
    let unwell: Vec<String> = services
        .ready
        .iter()
        .filter_map(|(name, ready)| ready.as_ref().err().map(|why| format!("{name}: {why}")))
        .collect();
    if !unwell.is_empty() {
        findings.push(Finding::error(
            "services",
            unwell.join("; "),
            runbook::SERVICE_NOT_READY,
        ));
    } else if services.ready.is_empty() {
        findings.push(Finding::skipped(
            "services",
            "their own addresses are known only of a `statusctl up`",
        ));
    } else {
        let names: Vec<&str> = services.ready.iter().map(|(name, _)| name.as_str()).collect();
        findings.push(Finding::ok("services", format!("{} are ready", names.join(", "))));
    }
    findings
}

/// Whether agents answer: as the system last found, and as this machine finds now.
pub(crate) fn agents(base: &Base, services: &Services, probes: Option<&[Probe]>) -> Vec<Finding> {
    const CHECK: &str = "agents";
    let from_tables = match base {
        Base::Seen(seen) => seen.rows.as_ref().ok().map(|rows| &rows.unresponsive),
        _ => None,
    };
    let mut findings = vec![match from_tables.or(services.unresponsive.as_ref()) {
        None => Finding::skipped(CHECK, "known only with PostgreSQL or status-api at hand"),
        Some(silent) if silent.is_empty() => Finding::ok(CHECK, "none is unresponsive"),
        Some(silent) => {
            let each: Vec<String> = silent.iter().map(worded).collect();
            let text = format!("{} unresponsive: {}", silent.len(), listed(&each));
            Finding::warning(CHECK, text, runbook::AGENT_UNRESPONSIVE)
        }
    }];
    if let Some(probes) = probes {
        let failed: Vec<String> = probes
            .iter()
            .filter_map(|probe| {
                probe
                    .outcome
                    .as_ref()
                    .err()
                    .map(|why| format!("{} ({why})", probe.name))
            })
            .collect();
        findings.push(if probes.is_empty() {
            Finding::skipped("probes", "no agent's address is known: they are read from NATS")
        } else if failed.is_empty() {
            Finding::ok("probes", format!("all {} answer from here", probes.len()))
        } else {
            let text = format!(
                "{} of {} do not answer from here: {}",
                failed.len(),
                probes.len(),
                listed(&failed)
            );
            Finding::warning("probes", text, runbook::AGENT_PROBE_FAILED)
        });
    }
    findings
}

fn worded(silent: &Unresponsive) -> String {
    if silent.problem.is_empty() {
        silent.name.clone()
    } else {
        format!("{} ({})", silent.name, silent.problem)
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
