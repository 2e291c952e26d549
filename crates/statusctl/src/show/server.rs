//! Servers: the list, and one in full.

use std::collections::HashMap;

use domain::ReasonCode;
use uuid::Uuid;
use wire::api::Server;

use crate::show::pairs::Pairs;
use crate::show::table::{Cell, Column, render};
use crate::show::trouble::{health_tint, tint, trouble};
use crate::show::when::{instant, since, span};
use crate::show::{Look, Tint};

/// Names of toolboxes; one that the caller does not own has none.
pub(crate) type Toolboxes = HashMap<Uuid, String>;

/// In what order servers are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Sort {
    /// Those in trouble first
    Trouble,
    /// By toolbox and name
    Name,
    /// Those of which the least is known for the longest time first
    Age,
}

/// A toolbox by its name, else by the beginning of its id: what the caller may not name.
pub(crate) fn toolbox_name(toolboxes: &Toolboxes, id: Uuid) -> String {
    match toolboxes.get(&id) {
        Some(name) if !name.is_empty() => name.clone(),
        _ => id.to_string().chars().take(8).collect(),
    }
}

/// Puts servers into the order asked for.
pub(crate) fn sort(servers: &mut [Server], toolboxes: &Toolboxes, by: Sort) {
    servers.sort_by_cached_key(|server| {
        let rank = match by {
            Sort::Trouble => u64::from(trouble(
                server.state.as_str(),
                server.health.as_str(),
                server.last_error.is_some(),
            )),
            Sort::Name => 0,
            // Never observed is older than anything.
            Sort::Age => u64::MAX - server.age.unwrap_or(u64::MAX),
        };
        let toolbox = toolbox_name(toolboxes, server.toolbox_id);
        (rank, toolbox, server.name.clone(), server.server_id)
    });
}

/// Why it is as it is, in a few words: an error, a command, an override, or that nobody watches.
pub(crate) fn why(server: &Server) -> String {
    let error = server.last_error.as_ref();
    let command = server.command.as_ref().map(|command| command.action.as_str());
    reasons(
        error.map(|error| (error.code.as_str(), error.message.as_str())),
        command,
        server.r#override.is_some(),
        server.monitored,
    )
}

/// The same of its parts. What the error itself says is not said again.
pub(crate) fn reasons(
    error: Option<(&str, &str)>,
    command: Option<&str>,
    overridden: bool,
    monitored: bool,
) -> String {
    let code = error.map(|(code, _)| code);
    let says = |reason: ReasonCode| code == Some(reason.as_str());
    let message = error.map(|(_, message)| message.to_owned());
    let command = command.map(|action| format!("{action} under way"));
    let word = overridden && !says(ReasonCode::OperatorOverride);
    let unwatched = !monitored && !says(ReasonCode::NotMonitored);
    let all = [
        message,
        command,
        word.then(|| "an operator's word".to_owned()),
        unwatched.then(|| "not monitored".to_owned()),
    ];
    all.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// The list.
pub(crate) fn list(servers: &[Server], toolboxes: &Toolboxes, wide: bool, look: Look) -> String {
    let mut columns = vec![
        Column::elastic("SERVER"),
        Column::elastic("TOOLBOX").rank(1),
        Column::fixed("STATE"),
        Column::fixed("HEALTH"),
        Column::fixed("UPTIME").rank(3),
        Column::fixed("SINCE").rank(4),
        Column::fixed("SEEN").rank(2),
        Column::elastic("WHY"),
    ];
    if wide {
        columns.extend([
            Column::fixed("ON-TOOLBOX"),
            Column::elastic("CONTAINER"),
            Column::fixed("SERVER-ID"),
            Column::fixed("ACCOUNT"),
        ]);
    }
    let row = |server: &Server| {
        let (state, health) = (server.state.as_str(), server.health.as_str());
        let mut cells = vec![
            Cell::new(&server.name),
            Cell::new(toolbox_name(toolboxes, server.toolbox_id)),
            Cell::tinted(state, Some(tint(state, health))),
            Cell::tinted(health, Some(health_tint(health))),
            Cell::new(server.uptime.map_or_else(String::new, span)),
            Cell::new(
                server
                    .changed_at
                    .map_or_else(String::new, |at| since(look.now, at)),
            ),
            Cell::new(server.age.map_or_else(|| "never".to_owned(), span)),
            Cell::new(why(server)),
        ];
        if wide {
            cells.extend([
                Cell::new(&server.status_on_toolbox),
                Cell::new(server.container_id.as_deref().unwrap_or("")),
                Cell::new(server.server_id.to_string()),
                Cell::new(server.account_id.to_string()),
            ]);
        }
        cells
    };
    let rows: Vec<Vec<Cell>> = servers.iter().map(row).collect();
    // Whoever asks for everything gets everything.
    let look = Look {
        columns: look.columns.filter(|_| !wide),
        ..look
    };
    render(&columns, &rows, look)
}

/// `TOOLBOX/NAME` of each, one a line: what every command takes as SERVER.
pub(crate) fn names(servers: &[Server], toolboxes: &Toolboxes) -> String {
    servers
        .iter()
        .map(|server| {
            format!(
                "{}/{}\n",
                crate::show::clean(&toolbox_name(toolboxes, server.toolbox_id)),
                crate::show::clean(&server.name)
            )
        })
        .collect()
}

/// One server in full.
pub(crate) fn details(server: &Server, toolbox: Option<&str>, look: Look) -> String {
    let (state, health) = (server.state.as_str(), server.health.as_str());
    let mut pairs = Pairs::default();
    pairs
        .add("Name", &server.name)
        .add(
            "Toolbox",
            toolbox.map_or_else(
                || server.toolbox_id.to_string(),
                |name| format!("{name} ({})", server.toolbox_id),
            ),
        )
        .tinted("State", state, Some(tint(state, health)))
        .tinted("Health", health, Some(health_tint(health)));
    match (server.uptime, server.last_started) {
        (Some(uptime), Some(started)) => {
            pairs.add("Uptime", format!("{}, since {}", span(uptime), instant(started)));
        }
        (Some(uptime), None) => {
            pairs.add("Uptime", span(uptime));
        }
        (None, Some(started)) => {
            pairs.add("Last started", ago(started, look));
        }
        (None, None) => {}
    }
    if let Some(error) = &server.last_error {
        let age = since(look.now, error.at);
        pairs.add("Why", format!("{} ({}, for {age})", error.message, error.code));
    }
    match server.as_of {
        Some(at) => pairs.add("As of", ago(at, look)),
        None => pairs.add("As of", "never observed"),
    };
    pairs.maybe("Changed", server.changed_at.map(|at| ago(at, look)));
    if server.monitored {
        pairs.add("Monitored", "yes");
    } else {
        pairs.tinted("Monitored", "no: nobody watches it", Some(Tint::Warning));
    }
    if let Some(command) = &server.command {
        let left = crate::show::when::seconds(command.deadline, look.now);
        pairs.tinted(
            "Command",
            format!(
                "{} asked for {} ago, {} left ({})",
                command.action.as_str(),
                since(look.now, command.requested_at),
                span(left),
                command.command_id
            ),
            Some(Tint::Moving),
        );
    }
    if let Some(word) = &server.r#override {
        let left = span(crate::show::when::seconds(word.until, look.now));
        pairs.tinted(
            "Override",
            format!(
                "an operator's word and not observed, until {} ({left} left)",
                instant(word.until)
            ),
            Some(Tint::Warning),
        );
    }
    pairs
        .maybe("Container", server.container_id.as_deref())
        .add("On toolbox", &server.status_on_toolbox)
        .add("Server ID", server.server_id.to_string())
        .add("Account", server.account_id.to_string())
        .add("Version", server.version.to_string());
    pairs.render(look)
}

fn ago(at: jiff::Timestamp, look: Look) -> String {
    format!("{} ago ({})", since(look.now, at), instant(at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::testing::{look, servers, toolboxes};

    #[test]
    fn the_list() {
        let mut all = servers();
        sort(&mut all, &toolboxes(), Sort::Trouble);
        let shown = |columns, wide| list(&all, &toolboxes(), wide, look(columns));
        insta::assert_snapshot!("list", shown(Some(120), false));
        insta::assert_snapshot!("list_narrow", shown(Some(60), false));
        insta::assert_snapshot!("list_piped", shown(None, false));
        insta::assert_snapshot!("list_wide", shown(Some(80), true));
        insta::assert_snapshot!("list_names", names(&all, &toolboxes()));
        insta::assert_snapshot!("list_json", crate::show::json(&all[..2].to_vec()));
    }

    #[test]
    fn orders() {
        let order = |by| {
            let mut all = servers();
            sort(&mut all, &toolboxes(), by);
            let names: Vec<String> = all.into_iter().map(|server| server.name).collect();
            names.join(" ")
        };
        let orders = [Sort::Trouble, Sort::Name, Sort::Age].map(|by| format!("{by:?}: {}", order(by)));
        insta::assert_snapshot!(orders.join("\n"));
    }

    #[test]
    fn nobody_has_a_server_yet() {
        insta::assert_snapshot!(list(&[], &toolboxes(), false, look(Some(80))));
    }

    #[test]
    fn one_in_full() {
        let all = servers();
        for server in &all {
            let toolbox = toolboxes().get(&server.toolbox_id).cloned();
            let text = details(server, toolbox.as_deref(), look(Some(80)));
            insta::assert_snapshot!(format!("get_{}", server.name), text);
        }
    }
}
