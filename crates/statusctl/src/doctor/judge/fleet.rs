//! Whether the registry, the services and the agents are in order.

use std::collections::HashSet;

use domain::ToolboxId;

use crate::doctor::agents::Probe;
use crate::doctor::base::{Base, Unresponsive};
use crate::doctor::finding::Finding;
use crate::doctor::judge::listed;
use crate::doctor::nats::Nats;
use crate::doctor::runbook;
use crate::doctor::services::Services;
use crate::exit::Exit;
use crate::show::counted;

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
