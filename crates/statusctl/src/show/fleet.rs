//! All of it in a few lines.

use wire::api::{Counts, Fleet};

use crate::show::pairs::Pairs;
use crate::show::when::span;
use crate::show::{Look, Tint, counted};

const STATES: [&str; 6] = ["running", "stopped", "starting", "stopping", "error", "unknown"];
const HEALTH: [&str; 4] = ["healthy", "degraded", "unhealthy", "unknown"];
const AGENTS: [&str; 3] = ["active", "unresponsive", "unseen"];

/// `3 running, 1 error`, in the order of `known`, labels of a newer service after them.
fn counts(counts: &Counts, known: &[&str]) -> String {
    let newer = counts
        .keys()
        .map(String::as_str)
        .filter(|label| !known.contains(label));
    let shown: Vec<String> = known
        .iter()
        .copied()
        .chain(newer)
        .filter_map(|label| {
            let count = counts.get(label).copied().filter(|count| *count > 0)?;
            Some(format!("{count} {label}"))
        })
        .collect();
    if shown.is_empty() {
        "none".to_owned()
    } else {
        shown.join(", ")
    }
}

/// The summary. `oldest` is the name of the server of which the least is known for the longest time.
pub(crate) fn summary(fleet: &Fleet, oldest: Option<&str>, look: Look) -> String {
    let mut pairs = Pairs::default();
    pairs
        .add("Servers", fleet.servers.to_string())
        .add("States", counts(&fleet.states, &STATES))
        .add("Health", counts(&fleet.health, &HEALTH))
        .add("Toolboxes", counts(&fleet.toolboxes, &AGENTS));
    if fleet.unmonitored > 0 {
        pairs.tinted(
            "Not monitored",
            counted(fleet.unmonitored, "server", "s"),
            Some(Tint::Warning),
        );
    }
    if let Some(knowledge) = &fleet.oldest_knowledge {
        let id = knowledge.server_id.to_string();
        let name = oldest.map_or_else(|| id.clone(), |name| format!("{name} ({id})"));
        pairs.add(
            "Oldest knowledge",
            format!("{} ago, of {name}", span(knowledge.age)),
        );
    }
    if let Some(lag) = &fleet.lag {
        let unpublished = match lag.oldest_unpublished {
            0 => "all changes published".to_owned(),
            age => format!("a change unpublished for {}", span(age)),
        };
        let behind = lag.pending_reports > 0 || lag.oldest_unpublished > 0;
        let reports = counted(lag.pending_reports, "report", "s");
        pairs.tinted(
            "Lag",
            format!("{reports} waiting, {unpublished}"),
            behind.then_some(Tint::Warning),
        );
    }
    pairs.render(look)
}

#[cfg(test)]
mod tests {
    use wire::api::{Lag, OldestKnowledge};

    use super::*;
    use crate::show::testing::{at, id, look};

    fn of(list: &[(&str, u64)]) -> Counts {
        list.iter()
            .map(|(label, count)| ((*label).to_owned(), *count))
            .collect()
    }

    #[test]
    fn a_fleet() {
        let fleet = Fleet {
            servers: 60,
            states: of(&[("error", 2), ("running", 57), ("paused", 1), ("stopped", 0)]),
            health: of(&[("healthy", 57), ("unhealthy", 2), ("unknown", 1)]),
            unmonitored: 1,
            toolboxes: of(&[("active", 19), ("unresponsive", 1)]),
            oldest_knowledge: Some(OldestKnowledge {
                server_id: id(4),
                as_of: at("2026-11-22T11:56:00Z"),
                age: 240,
            }),
            lag: Some(Lag {
                pending_reports: 1,
                oldest_unpublished: 3,
            }),
            stale: false,
        };
        insta::assert_snapshot!(
            "fleet",
            summary(&fleet, Some("toolbox-00001/mcp-search"), look(None))
        );
        insta::assert_snapshot!("fleet_json", crate::show::json(&fleet));
        let empty = Fleet {
            servers: 0,
            states: Counts::new(),
            health: Counts::new(),
            unmonitored: 0,
            toolboxes: Counts::new(),
            oldest_knowledge: None,
            lag: None,
            stale: false,
        };
        insta::assert_snapshot!("fleet_empty", summary(&empty, None, look(None)));
    }
}
