//! Toolboxes: the list, and one with its servers.

use wire::api::{Toolbox, ToolboxLabel};

use crate::show::pairs::Pairs;
use crate::show::server::{self, Toolboxes};
use crate::show::table::{Cell, Column, render};
use crate::show::when::{instant, since, span};
use crate::show::{Look, Tint};

fn tint(status: ToolboxLabel) -> Tint {
    match status {
        ToolboxLabel::Active => Tint::Good,
        ToolboxLabel::Unresponsive => Tint::Bad,
        ToolboxLabel::Unseen => Tint::Dim,
    }
}

fn address(toolbox: &Toolbox) -> &str {
    let given = toolbox.base_url.as_deref();
    given.or(toolbox.public_ip_address.as_deref()).unwrap_or("")
}

fn problem(toolbox: &Toolbox) -> &str {
    toolbox
        .problem
        .as_ref()
        .map_or("", |problem| problem.message.as_str())
}

/// The list.
pub(crate) fn list(toolboxes: &[Toolbox], wide: bool, look: Look) -> String {
    let mut columns = vec![
        Column::elastic("TOOLBOX"),
        Column::fixed("STATUS"),
        Column::fixed("SEEN"),
        Column::fixed("AGENT").rank(2),
        Column::elastic("ADDRESS").rank(1),
        Column::elastic("PROBLEM"),
    ];
    if wide {
        columns.extend([
            Column::fixed("TOKEN"),
            Column::fixed("TOOLBOX-ID"),
            Column::fixed("ACCOUNT"),
        ]);
    }
    let row = |toolbox: &Toolbox| {
        let mut cells = vec![
            Cell::new(&toolbox.name),
            Cell::tinted(toolbox.status.as_str(), Some(tint(toolbox.status))),
            Cell::new(toolbox.age.map_or_else(|| "never".to_owned(), span)),
            Cell::new(toolbox.agent_version.as_deref().unwrap_or("")),
            Cell::new(address(toolbox)),
            Cell::new(problem(toolbox)),
        ];
        if wide {
            cells.extend([
                Cell::new(if toolbox.has_token { "own" } else { "common" }),
                Cell::new(toolbox.toolbox_id.to_string()),
                Cell::new(toolbox.account_id.to_string()),
            ]);
        }
        cells
    };
    let rows: Vec<Vec<Cell>> = toolboxes.iter().map(row).collect();
    let look = Look {
        columns: look.columns.filter(|_| !wide),
        ..look
    };
    render(&columns, &rows, look)
}

/// One toolbox in full, and its servers below.
pub(crate) fn details(toolbox: &Toolbox, look: Look) -> String {
    let mut pairs = Pairs::default();
    pairs
        .add("Name", &toolbox.name)
        .tinted("Status", toolbox.status.as_str(), Some(tint(toolbox.status)));
    if let Some(problem) = &toolbox.problem {
        let age = since(look.now, problem.at);
        pairs.add(
            "Problem",
            format!("{} ({}, for {age})", problem.message, problem.code),
        );
    }
    pairs
        .add(
            "Last heard of",
            toolbox.last_heartbeat.map_or_else(
                || "never".to_owned(),
                |at| format!("{} ago ({})", since(look.now, at), instant(at)),
            ),
        )
        .maybe("Agent", toolbox.agent_version.as_deref())
        .maybe("Base URL", toolbox.base_url.as_deref())
        .maybe("IP address", toolbox.public_ip_address.as_deref())
        .add(
            "Token",
            if toolbox.has_token {
                "its own, never shown"
            } else {
                "none of its own"
            },
        )
        .add("Toolbox ID", toolbox.toolbox_id.to_string())
        .add("Account", toolbox.account_id.to_string());
    let mut out = pairs.render(look);
    if let Some(servers) = &toolbox.servers {
        out.push('\n');
        if servers.is_empty() {
            out.push_str("It has no servers.\n");
        } else {
            let names = Toolboxes::from([(toolbox.toolbox_id, toolbox.name.clone())]);
            let mut servers = servers.clone();
            server::sort(&mut servers, &names, server::Sort::Trouble);
            out.push_str(&server::list(&servers, &names, false, look));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::testing::{at, error, id, look, servers};

    fn toolboxes() -> Vec<Toolbox> {
        let active = Toolbox {
            toolbox_id: id(101),
            account_id: id(900),
            name: "toolbox-00001".to_owned(),
            status: ToolboxLabel::Active,
            problem: None,
            agent_version: Some("1.4.2".to_owned()),
            last_heartbeat: Some(at("2026-11-22T11:59:48Z")),
            age: Some(12),
            base_url: Some("http://10.0.0.7:30000".to_owned()),
            public_ip_address: None,
            has_token: true,
            servers: None,
            stale: false,
        };
        vec![
            Toolbox {
                toolbox_id: id(102),
                name: "toolbox-00002".to_owned(),
                status: ToolboxLabel::Unresponsive,
                problem: Some(error("agent_unreachable", "connection refused")),
                last_heartbeat: Some(at("2026-11-22T11:50:00Z")),
                age: Some(600),
                base_url: None,
                public_ip_address: Some("10.0.0.8".to_owned()),
                has_token: false,
                ..active.clone()
            },
            Toolbox {
                toolbox_id: id(103),
                name: "toolbox-00003".to_owned(),
                status: ToolboxLabel::Unseen,
                agent_version: None,
                last_heartbeat: None,
                age: None,
                base_url: None,
                ..active.clone()
            },
            active,
        ]
    }

    #[test]
    fn the_list() {
        let all = toolboxes();
        insta::assert_snapshot!("toolboxes", list(&all, false, look(Some(100))));
        insta::assert_snapshot!("toolboxes_narrow", list(&all, false, look(Some(50))));
        insta::assert_snapshot!("toolboxes_wide", list(&all, true, look(Some(50))));
        insta::assert_snapshot!("toolboxes_json", crate::show::json(&all[..1].to_vec()));
    }

    #[test]
    fn one_in_full() {
        let mut all = toolboxes();
        all[0].servers = Some(vec![]);
        all[2].servers = Some(servers());
        insta::assert_snapshot!("toolbox_unresponsive", details(&all[0], look(Some(90))));
        insta::assert_snapshot!("toolbox_unseen", details(&all[1], look(Some(90))));
        insta::assert_snapshot!("toolbox_active", details(&all[2], look(Some(90))));
    }
}
