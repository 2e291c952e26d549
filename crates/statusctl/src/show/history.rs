//! How a server came to where it is.

use wire::api::HistoryEntry;

use crate::show::Look;
use crate::show::table::{Cell, Column, render};
use crate::show::trouble::{health_tint, tint};
use crate::show::when::{instant, span};

const COLUMNS: [Column; 6] = [
    Column::fixed("WHEN"),
    Column::fixed("DURATION"),
    Column::fixed("STATE"),
    Column::fixed("HEALTH"),
    Column::fixed("CAUSE").rank(1),
    Column::elastic("WHY"),
];

/// The changes, newest first.
pub(crate) fn table(entries: &[HistoryEntry], look: Look) -> String {
    let row = |entry: &HistoryEntry| {
        let state = entry.state.map_or("deleted", |state| state.as_str());
        let health = entry.health.map_or("", |health| health.as_str());
        vec![
            Cell::new(instant(entry.at)),
            Cell::new(span(entry.duration)),
            Cell::tinted(state, Some(tint(state, health))),
            Cell::tinted(health, Some(health_tint(health))),
            Cell::new(entry.cause.as_deref().unwrap_or("")),
            Cell::new(
                entry
                    .last_error
                    .as_ref()
                    .map_or("", |error| error.message.as_str()),
            ),
        ]
    };
    let rows: Vec<Vec<Cell>> = entries.iter().map(row).collect();
    render(&COLUMNS, &rows, look)
}

#[cfg(test)]
mod tests {
    use wire::api::{HealthLabel, StateLabel};

    use super::*;
    use crate::show::testing::{at, error, look};

    #[test]
    fn changes_newest_first() {
        let entry = |version, when: &str, duration, state, health, cause: &str| HistoryEntry {
            version,
            at: at(when),
            duration,
            state,
            health,
            last_error: None,
            cause: Some(cause.to_owned()),
            as_of: None,
        };
        let entries = [
            entry(4, "2026-11-22T11:59:00Z", 60, None, None, "registry"),
            HistoryEntry {
                last_error: Some(error("exit_code", "exit code 1")),
                ..entry(
                    3,
                    "2026-11-22T11:00:00Z",
                    3540,
                    Some(StateLabel::Stopped),
                    Some(HealthLabel::Unknown),
                    "report",
                )
            },
            entry(
                2,
                "2026-11-20T11:00:00Z",
                172_800,
                Some(StateLabel::Running),
                Some(HealthLabel::Healthy),
                "command",
            ),
        ];
        insta::assert_snapshot!("history", table(&entries, look(Some(100))));
        insta::assert_snapshot!("history_narrow", table(&entries, look(Some(62))));
        insta::assert_snapshot!("history_none", table(&[], look(Some(100))));
        insta::assert_snapshot!("history_json", crate::show::json(&entries[1]));
    }
}
