//! The table of all servers: pure, so that what a person sees is tested as text.

use std::collections::HashMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use uuid::Uuid;
use wire::api::{Server, Toolbox};
use wire::{StatusEvent, ToolboxEvent};

use crate::ctl::servers::Filters;
use crate::show::table::{Cell, Column, cut, render};
use crate::show::trouble::{health_tint, tint, trouble};
use crate::show::when::{since, span};
use crate::show::{Look, counted};
use crate::watch::seen::Seen;

/// The names of toolboxes, as they become known.
#[derive(Debug, Default)]
pub(crate) struct Names(HashMap<Uuid, String>);

impl Names {
    pub(crate) fn put(&mut self, id: Uuid, name: &str) {
        self.0.insert(id, name.to_owned());
    }

    fn name(&self, id: Uuid) -> String {
        crate::show::server::toolbox_name(&self.0, id)
    }

    /// Whether the filter lets servers of this toolbox through: by its name, its id, or the beginning of its id.
    pub(crate) fn take(&self, filters: &Filters, toolbox: Uuid) -> bool {
        let Some(wanted) = &filters.toolbox else {
            return true;
        };
        self.0.get(&toolbox).is_some_and(|name| name == wanted)
            || wanted.len() >= 4 && toolbox.to_string().starts_with(&wanted.to_lowercase())
    }
}

/// The newest of everything heard.
#[derive(Debug, Default)]
pub(crate) struct Board {
    filters: Filters,
    servers: HashMap<Uuid, (u64, Option<Seen>)>,
    names: Names,
    /// Version and status of each toolbox.
    toolboxes: HashMap<Uuid, (u64, String)>,
    /// Events so far; `None`: it is asked for and not told.
    events: Option<u64>,
}

impl Board {
    pub(crate) fn new(filters: Filters) -> Self {
        Self {
            filters,
            ..Self::default()
        }
    }

    /// Takes an event unless a newer one is known; whether it was taken.
    pub(crate) fn take_server(&mut self, event: StatusEvent) -> bool {
        let (id, version) = (event.server_id(), event.version());
        if self.servers.get(&id).is_some_and(|(known, _)| *known >= version) {
            return false;
        }
        // A deletion is remembered: what is older may still come.
        let seen = match &event {
            StatusEvent::Status(status) => Some(Seen::from(status)),
            StatusEvent::Deleted(_) => None,
        };
        self.servers.insert(id, (version, seen));
        *self.events.get_or_insert(0) += 1;
        true
    }

    /// As [`Board::take_server`], for toolboxes.
    pub(crate) fn take_toolbox(&mut self, event: ToolboxEvent) -> bool {
        let known = self.toolboxes.get(&event.toolbox_id);
        if known.is_some_and(|(known, _)| *known >= event.version) {
            return false;
        }
        self.names.put(event.toolbox_id, &event.name);
        self.toolboxes
            .insert(event.toolbox_id, (event.version, event.status));
        *self.events.get_or_insert(0) += 1;
        true
    }

    /// Takes the whole of what there is.
    pub(crate) fn replace(&mut self, servers: Vec<Server>, toolboxes: &[Toolbox]) {
        self.events = None;
        self.servers = servers
            .iter()
            .map(|server| (server.server_id, (server.version, Some(Seen::from(server)))))
            .collect();
        self.toolboxes.clear();
        for toolbox in toolboxes {
            self.names.put(toolbox.toolbox_id, &toolbox.name);
            let status = toolbox.status.as_str().to_owned();
            self.toolboxes.insert(toolbox.toolbox_id, (0, status));
        }
    }

    /// The screen: a summary, the servers with trouble first and as many as fit, and what was left out. `away`: who
    /// cannot be heard at present.
    pub(crate) fn render(&self, look: Look, rows: u16, away: Option<&str>) -> String {
        let mut servers: Vec<&Seen> = self
            .servers
            .values()
            .filter_map(|(_, seen)| seen.as_ref())
            .filter(|seen| {
                self.filters.take(&seen.state, &seen.health, &seen.name)
                    && self.names.take(&self.filters, seen.toolbox)
            })
            .collect();
        servers.sort_by_cached_key(|seen| {
            let rank = trouble(&seen.state, &seen.health, seen.explained);
            (rank, self.names.name(seen.toolbox), seen.name.clone(), seen.id)
        });

        let mut out = String::new();
        let summary = self.summary(&servers, away);
        let _ = writeln!(out, "{}\n", cut(&summary, look.columns.unwrap_or(usize::MAX)));
        // The summary with a blank line, the head, the last line that says what did not fit, and the cursor's.
        let fit = usize::from(rows).saturating_sub(5).max(1);
        let asked = self.events.is_none() && !self.servers.is_empty();
        let mut columns = vec![
            Column::elastic("SERVER"),
            Column::elastic("TOOLBOX").rank(1),
            Column::fixed("STATE"),
            Column::fixed("HEALTH"),
            Column::fixed("UPTIME").rank(3),
            Column::fixed("SINCE").rank(2),
        ];
        if asked {
            columns.push(Column::fixed("SEEN").rank(4));
        }
        columns.push(Column::elastic("WHY"));
        let row = |seen: &&Seen| self.row(seen, asked, look.now);
        let rows: Vec<Vec<Cell>> = servers.iter().take(fit).map(row).collect();
        out.push_str(&render(&columns, &rows, look));
        if servers.len() > fit {
            let _ = writeln!(out, "… and {} more", servers.len() - fit);
        }
        out
    }

    fn summary(&self, servers: &[&Seen], away: Option<&str>) -> String {
        let count = |state: &str| servers.iter().filter(|seen| seen.state == state).count();
        let unresponsive = self
            .toolboxes
            .values()
            .filter(|(_, status)| status == "unresponsive")
            .count();
        // What matters most comes first: the line is cut where the terminal ends.
        let mut text = String::new();
        if let Some(away) = away {
            let _ = write!(text, "{away} AWAY, this is old · ");
        }
        text.push_str(&counted(servers.len() as u64, "server", "s"));
        for state in ["running", "stopped", "starting", "stopping", "error", "unknown"] {
            if count(state) > 0 {
                let _ = write!(text, " · {} {state}", count(state));
            }
        }
        if unresponsive > 0 {
            let _ = write!(
                text,
                " · {}",
                counted(unresponsive as u64, "unresponsive toolbox", "es")
            );
        }
        if let Some(events) = self.events {
            let _ = write!(text, " · {}", counted(events, "event", "s"));
        }
        text
    }

    fn row(&self, seen: &Seen, asked: bool, now: Timestamp) -> Vec<Cell> {
        let ago = |at: Option<Timestamp>| at.map_or_else(String::new, |at| since(now, at));
        let mut cells = vec![
            Cell::new(&seen.name),
            Cell::new(self.names.name(seen.toolbox)),
            Cell::tinted(&seen.state, Some(tint(&seen.state, &seen.health))),
            Cell::tinted(&seen.health, Some(health_tint(&seen.health))),
            Cell::new(ago(seen.started)),
            Cell::new(ago(seen.changed)),
        ];
        if asked {
            cells.push(Cell::new(seen.age.map_or_else(|| "never".to_owned(), span)));
        }
        cells.push(Cell::new(&seen.why));
        cells
    }
}

#[cfg(test)]
mod tests {
    use wire::ServerStatus;

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
            monitored: true,
            command: None,
            override_until: None,
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

    fn screen(board: &Board, columns: usize, rows: u16, away: Option<&str>) -> String {
        board.render(crate::show::testing::look(Some(columns)), rows, away)
    }

    #[test]
    fn trouble_comes_first() {
        insta::assert_snapshot!(screen(&board(), 110, 30, None));
    }

    #[test]
    fn a_small_terminal_says_what_it_leaves_out() {
        insta::assert_snapshot!(screen(&board(), 72, 8, Some("NATS")));
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
        assert!(!screen(&board, 110, 30, None).contains("mcp-3"));
    }

    #[test]
    fn filters_let_through_what_was_asked_for() {
        let filtered = |filters: Filters| {
            let mut filtered = board();
            filtered.filters = filters;
            let text = screen(&filtered, 110, 30, None);
            let rows = text.lines().skip(3).filter_map(|line| line.split(' ').next());
            rows.map(str::to_owned).collect::<Vec<_>>().join(" ")
        };
        let none = Filters::default;
        use crate::ctl::servers::{Health, State};
        let cases = [
            Filters {
                state: vec![State::Error, State::Stopped],
                ..none()
            },
            Filters {
                health: vec![Health::Degraded],
                ..none()
            },
            Filters {
                toolbox: Some("toolbox-00001".to_owned()),
                ..none()
            },
            Filters {
                toolbox: Some("0000".to_owned()),
                ..none()
            },
            Filters {
                toolbox: Some("nothing".to_owned()),
                ..none()
            },
            Filters {
                name: Some("P-4".to_owned()),
                ..none()
            },
        ];
        let lines: Vec<String> = cases.into_iter().map(filtered).collect();
        assert_eq!(
            lines,
            [
                "mcp-3 mcp-2 mcp-5",
                "mcp-4",
                "mcp-4 mcp-2",
                "mcp-3 mcp-4 mcp-2 mcp-1 mcp-5",
                "",
                "mcp-4"
            ]
        );
    }

    #[test]
    fn asked_for_it_shows_how_old_the_knowledge_is_and_forgets_what_is_gone() {
        let mut board = Board::default();
        board.replace(crate::show::testing::servers(), &[]);
        insta::assert_snapshot!(screen(&board, 110, 30, Some("API")));
        board.replace(crate::show::testing::servers().split_off(6), &[]);
        assert_eq!(screen(&board, 110, 30, None).lines().count(), 4);
    }
}
