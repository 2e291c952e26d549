//! The table of all servers: pure, so that what a person sees is tested as text.

use std::collections::HashMap;
use std::fmt::Write as _;

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};
use jiff::Timestamp;
use uuid::Uuid;
use wire::{ServerStatus, StatusEvent, ToolboxEvent};

/// The newest of everything heard.
#[derive(Debug, Default)]
pub(crate) struct Board {
    servers: HashMap<Uuid, StatusEvent>,
    toolboxes: HashMap<Uuid, ToolboxEvent>,
    changes: u64,
}

impl Board {
    /// Takes an event unless a newer one is known; whether it was taken.
    pub(crate) fn take_server(&mut self, event: StatusEvent) -> bool {
        let id = event.server_id();
        if self
            .servers
            .get(&id)
            .is_some_and(|known| known.version() >= event.version())
        {
            return false;
        }
        self.servers.insert(id, event);
        self.changes += 1;
        true
    }

    /// As [`Board::take_server`], for toolboxes.
    pub(crate) fn take_toolbox(&mut self, event: ToolboxEvent) -> bool {
        if self
            .toolboxes
            .get(&event.toolbox_id)
            .is_some_and(|known| known.version >= event.version)
        {
            return false;
        }
        self.toolboxes.insert(event.toolbox_id, event);
        self.changes += 1;
        true
    }

    /// The screen: a summary, the servers with trouble first and as many as fit, and what was left out.
    pub(crate) fn render(&self, now: Timestamp, columns: u16, rows: u16, connected: bool) -> String {
        let mut servers: Vec<&ServerStatus> = self
            .servers
            .values()
            .filter_map(|event| match event {
                StatusEvent::Status(status) => Some(status),
                StatusEvent::Deleted(_) => None,
            })
            .collect();
        servers.sort_by(|a, b| {
            (trouble(a), self.toolbox(a), &a.name, a.server_id).cmp(&(
                trouble(b),
                self.toolbox(b),
                &b.name,
                b.server_id,
            ))
        });

        let mut out = String::new();
        let _ = writeln!(out, "{}", self.summary(&servers, columns, connected));
        // The summary, the head with its line, and the last line that says what did not fit.
        let fit = usize::from(rows).saturating_sub(5).max(1);
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(columns);
        let head = [
            "SERVER", "TOOLBOX", "STATE", "HEALTH", "UPTIME", "SINCE", "REASON",
        ];
        table.set_header(head.map(|text| Cell::new(text).add_attribute(Attribute::Bold)));
        for status in servers.iter().take(fit) {
            table.add_row(self.row(status, now));
        }
        for row in table.row_iter_mut() {
            row.max_height(1);
        }
        let _ = writeln!(out, "{table}");
        if servers.len() > fit {
            let _ = writeln!(out, "… and {} more", servers.len() - fit);
        }
        out
    }

    fn summary(&self, servers: &[&ServerStatus], columns: u16, connected: bool) -> String {
        let count = |state: &str| servers.iter().filter(|status| status.state == state).count();
        let unresponsive = self
            .toolboxes
            .values()
            .filter(|toolbox| toolbox.status == "unresponsive")
            .count();
        // What matters most comes first: the line is cut where the terminal ends.
        let mut text = String::new();
        if !connected {
            text.push_str("NATS AWAY, this is old · ");
        }
        text.push_str(&counted(servers.len(), "server", "s"));
        for state in ["running", "stopped", "starting", "stopping", "error", "unknown"] {
            if count(state) > 0 {
                let _ = write!(text, " · {} {state}", count(state));
            }
        }
        if unresponsive > 0 {
            let _ = write!(text, " · {}", counted(unresponsive, "unresponsive toolbox", "es"));
        }
        let _ = write!(text, " · {} events", self.changes);
        text.chars().take(usize::from(columns)).collect()
    }

    fn row(&self, status: &ServerStatus, now: Timestamp) -> Vec<Cell> {
        let uptime = (status.state == "running")
            .then_some(status.last_started)
            .flatten();
        let since = |at: Option<Timestamp>| at.map_or_else(String::new, |at| span(now, at));
        vec![
            Cell::new(&status.name),
            Cell::new(self.toolbox(status)),
            Cell::new(&status.state).fg(color(&status.state, &status.health)),
            Cell::new(&status.health),
            Cell::new(since(uptime)),
            Cell::new(since(Some(status.changed_at))),
            Cell::new(
                status
                    .last_error
                    .as_ref()
                    .map_or("", |error| error.message.as_str()),
            ),
        ]
    }

    fn toolbox(&self, status: &ServerStatus) -> String {
        match self.toolboxes.get(&status.toolbox_id) {
            Some(toolbox) => toolbox.name.clone(),
            None => status.toolbox_id.to_string().chars().take(8).collect(),
        }
    }
}

fn counted(count: usize, what: &str, plural: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { plural })
}

/// Worst first.
fn trouble(status: &ServerStatus) -> u8 {
    match (status.state.as_str(), status.health.as_str()) {
        ("error", _) => 0,
        (_, "unhealthy") => 1,
        ("unknown", _) => 2,
        (_, "degraded") => 3,
        ("starting" | "stopping", _) => 4,
        ("stopped", _) if status.last_error.is_some() => 5,
        ("stopped", _) => 7,
        _ => 6,
    }
}

fn color(state: &str, health: &str) -> Color {
    match (state, health) {
        ("running", "healthy") => Color::Green,
        ("running", "degraded") => Color::Yellow,
        ("running", "unhealthy") | ("error", _) => Color::Red,
        ("starting" | "stopping", _) => Color::Blue,
        _ => Color::Grey,
    }
}

/// `3d 4h`, `2h 5m`, `7m 3s`, `12s`: the two largest units.
fn span(now: Timestamp, then: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs().max(0);
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let first = parts.iter().position(|(count, _)| *count > 0).unwrap_or(3);
    let shown = parts[first..]
        .iter()
        .take(2)
        .enumerate()
        .filter(|(place, (count, _))| *place == 0 || *count > 0);
    shown
        .map(|(_, (count, unit))| format!("{count}{unit}"))
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(n: u128, version: u64, state: &str, health: &str, error: Option<&str>) -> StatusEvent {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        StatusEvent::Status(ServerStatus {
            server_id: Uuid::from_u128(n),
            toolbox_id: Uuid::from_u128(n % 2),
            account_id: Uuid::from_u128(9),
            name: format!("mcp-{n}"),
            version,
            state: state.to_owned(),
            health: health.to_owned(),
            uptime: None,
            last_started: Some(at("2026-11-20T08:00:00Z")),
            last_error: error.map(|message| wire::LastError {
                code: "exit_code".to_owned(),
                message: message.to_owned(),
                at: at("2026-11-22T11:59:00Z"),
            }),
            status_on_toolbox: state.to_owned(),
            container_id: None,
            as_of: Some(at("2026-11-22T11:59:50Z")),
            changed_at: at("2026-11-22T11:58:57Z"),
            previous: None,
            cause: None,
        })
    }

    fn board() -> Board {
        let mut board = Board::default();
        for event in [
            event(1, 1, "running", "healthy", None),
            event(2, 3, "stopped", "unknown", Some("exit code 137 (out of memory)")),
            event(3, 2, "error", "unhealthy", Some("not started within 10m")),
            event(
                4,
                2,
                "running",
                "degraded",
                Some("nothing heard since 2026-11-22T11:56:00Z"),
            ),
            event(5, 1, "stopped", "unknown", None),
        ] {
            assert!(board.take_server(event));
        }
        board.take_toolbox(ToolboxEvent {
            toolbox_id: Uuid::from_u128(0),
            account_id: Uuid::from_u128(9),
            name: "toolbox-00001".to_owned(),
            version: 1,
            status: "unresponsive".to_owned(),
            problem: None,
            agent_version: None,
            last_heartbeat: None,
            changed_at: "2026-11-22T11:58:57Z".parse().unwrap(),
        });
        board
    }

    fn screen(board: &Board, columns: u16, rows: u16, connected: bool) -> String {
        let text = board.render("2026-11-22T12:00:00Z".parse().unwrap(), columns, rows, connected);
        // Trailing blanks fill the columns; nobody sees them.
        text.lines()
            .map(|line| format!("{}\n", line.trim_end()))
            .collect()
    }

    #[test]
    fn trouble_comes_first() {
        insta::assert_snapshot!(screen(&board(), 110, 30, true));
    }

    #[test]
    fn a_small_terminal_says_what_it_leaves_out() {
        insta::assert_snapshot!(screen(&board(), 72, 8, false));
    }

    #[test]
    fn older_events_and_the_deleted_do_not_show() {
        let mut board = board();
        assert!(!board.take_server(event(3, 2, "running", "healthy", None)));
        assert!(!board.take_server(event(3, 1, "running", "healthy", None)));
        assert!(board.take_server(StatusEvent::Deleted(wire::Tombstone {
            server_id: Uuid::from_u128(3),
            toolbox_id: Uuid::from_u128(1),
            account_id: Uuid::from_u128(9),
            version: 3,
            changed_at: "2026-11-22T12:00:00Z".parse().unwrap(),
        })));
        assert!(
            !board.take_server(event(3, 2, "running", "healthy", None)),
            "the dead do not come back"
        );
        assert!(!screen(&board, 110, 30, true).contains("mcp-3"));
    }

    #[test]
    fn spans_have_two_units() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        for (then, text) in [
            ("2026-11-22T12:00:00Z", "0s"),
            ("2026-11-22T12:00:09Z", "0s"),
            ("2026-11-22T11:59:48Z", "12s"),
            ("2026-11-22T11:52:57Z", "7m 3s"),
            ("2026-11-22T10:00:00Z", "2h"),
            ("2026-11-19T08:00:00Z", "3d 4h"),
        ] {
            assert_eq!(span(now, then.parse().unwrap()), text, "{then}");
        }
    }
}
