//! From what was seen to what is wrong with it. Pure.

mod fleet;

use bus::{Found, Inspected};
use jiff::Timestamp;

use crate::doctor::base::{Base, Rows};
use crate::doctor::finding::Finding;
use crate::doctor::nats::{Nats, Seen};
use crate::doctor::runbook::{self, Advice};
use crate::show::counted;
use crate::show::when::{seconds, span};

pub(crate) use fleet::{agents, registry, services};

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

#[cfg(test)]
mod tests;
