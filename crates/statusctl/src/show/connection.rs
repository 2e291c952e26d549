//! Which agent is connected to which server.

use wire::api::{Connection, ConnectionLabel, ConnectionStatus};

use crate::show::pairs::Pairs;
use crate::show::table::{Cell, Column, render};
use crate::show::trouble::{health_tint, tint};
use crate::show::when::{instant, since, span};
use crate::show::{Look, Tint};

const COLUMNS: [Column; 5] = [
    Column::fixed("CONNECTION-ID"),
    Column::fixed("ACTIVE"),
    Column::fixed("SERVER-ID"),
    Column::fixed("AGENT-ID").rank(1),
    Column::fixed("ACCOUNT").rank(2),
];

/// The list.
pub(crate) fn list(connections: &[Connection], look: Look) -> String {
    let row = |connection: &Connection| {
        let active = connection.active;
        vec![
            Cell::new(connection.connection_id.to_string()),
            Cell::tinted(
                if active { "yes" } else { "no" },
                Some(if active { Tint::Good } else { Tint::Dim }),
            ),
            Cell::new(connection.server_id.to_string()),
            Cell::new(connection.agent_id.to_string()),
            Cell::new(
                connection
                    .account_id
                    .map_or_else(String::new, |id| id.to_string()),
            ),
        ]
    };
    let rows: Vec<Vec<Cell>> = connections.iter().map(row).collect();
    render(&COLUMNS, &rows, look)
}

/// Whether the agent can use the server.
pub(crate) fn status(status: &ConnectionStatus, look: Look) -> String {
    let (word, shown) = match status.status {
        ConnectionLabel::Connected => ("connected", Tint::Good),
        ConnectionLabel::Disconnected => ("disconnected", Tint::Bad),
    };
    let (state, health) = (status.server_status.as_str(), status.health.as_str());
    let mut pairs = Pairs::default();
    pairs
        .tinted("Status", word, Some(shown))
        .maybe("Why", status.reason.as_deref())
        .tinted("Server", state, Some(tint(state, health)))
        .tinted("Health", health, Some(health_tint(health)))
        .maybe("Uptime", status.uptime.map(span))
        .add(
            "Last checked",
            status.last_checked.map_or_else(
                || "never".to_owned(),
                |at| format!("{} ago ({})", since(look.now, at), instant(at)),
            ),
        )
        .add("Server ID", status.server_id.to_string())
        .add("Agent ID", status.agent_id.to_string())
        .add("Connection", status.connection_id.to_string());
    pairs.render(look)
}

#[cfg(test)]
mod tests {
    use wire::api::{HealthLabel, StateLabel};

    use super::*;
    use crate::show::testing::{at, id, look};

    #[test]
    fn the_list() {
        let connection = |n, active: bool| Connection {
            connection_id: id(n),
            agent_id: id(700),
            account_id: active.then(|| id(901)),
            server_id: id(1),
            active,
        };
        let all = [connection(600, true), connection(601, false)];
        insta::assert_snapshot!("connections", list(&all, look(None)));
        insta::assert_snapshot!("connections_narrow", list(&all, look(Some(90))));
        insta::assert_snapshot!("connections_json", crate::show::json(&all.to_vec()));
    }

    #[test]
    fn connected_or_why_not() {
        let connected = ConnectionStatus {
            connection_id: id(600),
            agent_id: id(700),
            server_id: id(1),
            status: ConnectionLabel::Connected,
            reason: None,
            server_status: StateLabel::Running,
            health: HealthLabel::Healthy,
            last_checked: Some(at("2026-11-22T11:59:50Z")),
            uptime: Some(187_200),
            stale: false,
        };
        insta::assert_snapshot!("connection_connected", status(&connected, look(None)));
        let not = ConnectionStatus {
            status: ConnectionLabel::Disconnected,
            reason: Some("the server is stopped".to_owned()),
            server_status: StateLabel::Stopped,
            health: HealthLabel::Unknown,
            last_checked: None,
            uptime: None,
            ..connected
        };
        insta::assert_snapshot!("connection_disconnected", status(&not, look(None)));
    }
}
