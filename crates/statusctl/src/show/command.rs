//! What was asked for, and what came of it.

use wire::api::{Accepted, CommandKind, CommandOutcomeLabel, CommandRecord};

use crate::exit::Exit;
use crate::show::pairs::Pairs;
use crate::show::trouble::tint;
use crate::show::when::{instant, seconds, since, span};
use crate::show::{Look, Tint, clean};

fn outcome_tint(outcome: CommandOutcomeLabel) -> Tint {
    match outcome {
        CommandOutcomeLabel::Succeeded => Tint::Good,
        CommandOutcomeLabel::UnderWay => Tint::Moving,
        CommandOutcomeLabel::Withdrawn => Tint::Warning,
        CommandOutcomeLabel::Failed | CommandOutcomeLabel::Expired => Tint::Bad,
    }
}

/// How a command's outcome ends statusctl. One that is still under way is no failure only to who did not wait for it.
pub(crate) fn exit(outcome: CommandOutcomeLabel, waited: bool) -> Exit {
    match outcome {
        CommandOutcomeLabel::Succeeded => Exit::Done,
        CommandOutcomeLabel::UnderWay if !waited => Exit::Done,
        _ => Exit::Failed,
    }
}

/// One line of what came of it, and of what the server is now: `mcp-github: start succeeded in 3s; running, healthy`.
pub(crate) fn line(name: &str, accepted: &Accepted, look: Look) -> String {
    let command = &accepted.command;
    let kind = verb(command.kind);
    let outcome = match command.outcome {
        CommandOutcomeLabel::Succeeded => match command.finished_at {
            Some(at) if seconds(at, command.requested_at) > 0 => {
                format!("succeeded in {}", span(seconds(at, command.requested_at)))
            }
            _ => "succeeded".to_owned(),
        },
        CommandOutcomeLabel::Failed => "failed".to_owned(),
        CommandOutcomeLabel::Expired => "expired".to_owned(),
        CommandOutcomeLabel::Withdrawn => "was withdrawn".to_owned(),
        CommandOutcomeLabel::UnderWay => format!("is under way (command {})", command.command_id),
    };
    let outcome = look.paint(&outcome, Some(outcome_tint(command.outcome)));
    let message = command
        .message
        .as_ref()
        .map_or_else(String::new, |message| format!(": {}", clean(message)));
    let status = accepted.status.as_ref().map_or_else(String::new, |server| {
        let (state, health) = (server.state.as_str(), server.health.as_str());
        let shown = if health == "unknown" {
            state.to_owned()
        } else {
            format!("{state}, {health}")
        };
        let watched = if server.monitored { "" } else { ", not monitored" };
        format!("; {}{watched}", look.paint(&shown, Some(tint(state, health))))
    });
    format!("{}: {kind} {outcome}{message}{status}\n", clean(name))
}

fn verb(kind: CommandKind) -> &'static str {
    match kind {
        CommandKind::ClearOverride => "clearing the override",
        other => other.as_str(),
    }
}

/// What is kept of one command.
pub(crate) fn details(command: &CommandRecord, look: Look) -> String {
    let mut pairs = Pairs::default();
    pairs
        .add("Command", command.command_id.to_string())
        .add("Kind", verb(command.kind))
        .tinted(
            "Outcome",
            command.outcome.as_str().replace('_', " "),
            Some(outcome_tint(command.outcome)),
        )
        .maybe("Message", command.message.as_deref())
        .maybe("Server ID", command.server_id.map(|id| id.to_string()))
        .maybe("Toolbox ID", command.toolbox_id.map(|id| id.to_string()))
        .maybe("Account", command.account_id.map(|id| id.to_string()))
        .add("Asked for by", &command.requested_by)
        .add(
            "Asked for",
            format!(
                "{} ago ({})",
                since(look.now, command.requested_at),
                instant(command.requested_at)
            ),
        );
    if command.outcome == CommandOutcomeLabel::UnderWay {
        pairs.maybe(
            "Deadline",
            command.deadline.map(|at| match seconds(at, look.now) {
                0 => format!("passed ({})", instant(at)),
                left => format!("in {} ({})", span(left), instant(at)),
            }),
        );
    }
    pairs.maybe(
        "Finished",
        command.finished_at.map(|at| {
            let took = span(seconds(at, command.requested_at));
            format!("{} ago, after {took} ({})", since(look.now, at), instant(at))
        }),
    );
    pairs.render(look)
}

#[cfg(test)]
mod tests {
    use wire::api::{HealthLabel, Server, StateLabel};

    use super::*;
    use crate::show::testing::{at, id, look, server};

    fn record(kind: CommandKind, outcome: CommandOutcomeLabel, message: Option<&str>) -> CommandRecord {
        CommandRecord {
            command_id: id(500),
            kind,
            server_id: Some(id(1)),
            toolbox_id: Some(id(101)),
            account_id: Some(id(900)),
            requested_by: "service_role".to_owned(),
            requested_at: at("2026-11-22T11:59:50Z"),
            deadline: Some(at("2026-11-22T12:00:50Z")),
            outcome,
            message: message.map(str::to_owned),
            finished_at: (outcome != CommandOutcomeLabel::UnderWay).then(|| at("2026-11-22T11:59:53Z")),
        }
    }

    #[test]
    fn outcomes_are_a_line_each() {
        use CommandKind::{ClearOverride, Delete, Refresh, Start, Stop, Unmonitor};
        use CommandOutcomeLabel::{Expired, Failed, Succeeded, UnderWay, Withdrawn};
        let running = server(1, "a", StateLabel::Running, HealthLabel::Healthy);
        let error = server(1, "a", StateLabel::Error, HealthLabel::Unhealthy);
        let starting = server(1, "a", StateLabel::Starting, HealthLabel::Unknown);
        let unwatched = Server {
            monitored: false,
            ..running.clone()
        };
        let instant = CommandRecord {
            finished_at: Some(at("2026-11-22T11:59:50Z")),
            ..record(Unmonitor, Succeeded, None)
        };
        let cases = [
            (record(Start, Succeeded, None), Some(running.clone())),
            (
                record(Stop, Failed, Some("the agent has forgotten\nthe container")),
                Some(error),
            ),
            (record(Start, Expired, Some("nobody executed it")), None),
            (record(Start, Withdrawn, Some("the bus was away")), None),
            (record(Start, UnderWay, None), Some(starting)),
            (record(Delete, Succeeded, None), None),
            (record(Refresh, Succeeded, None), Some(running.clone())),
            (record(ClearOverride, Succeeded, None), Some(running)),
            (instant, Some(unwatched)),
        ];
        let lines: String = cases
            .into_iter()
            .map(|(command, status)| {
                line(
                    "toolbox-00001/mcp-github",
                    &Accepted { command, status },
                    look(None),
                )
            })
            .collect();
        insta::assert_snapshot!(lines);
    }

    #[test]
    fn one_in_full() {
        use CommandOutcomeLabel::{Failed, UnderWay};
        let failed = record(CommandKind::Start, Failed, Some("image not found"));
        insta::assert_snapshot!("command_failed", details(&failed, look(None)));
        let going = record(CommandKind::Stop, UnderWay, None);
        insta::assert_snapshot!("command_under_way", details(&going, look(None)));
        insta::assert_snapshot!("command_json", crate::show::json(&failed));
        // What `start` and the like print of each server.
        let running = server(1, "mcp-github", StateLabel::Running, HealthLabel::Healthy);
        let accepted = Accepted {
            command: record(CommandKind::Start, CommandOutcomeLabel::Succeeded, None),
            status: Some(running),
        };
        insta::assert_snapshot!("commands_json", crate::show::json(&[accepted]));
    }

    #[test]
    fn only_what_had_its_effect_is_done() {
        use CommandOutcomeLabel::{Succeeded, UnderWay};
        for outcome in CommandOutcomeLabel::ALL {
            assert_eq!(exit(outcome, true) == Exit::Done, outcome == Succeeded);
            let accepted = matches!(outcome, Succeeded | UnderWay);
            assert_eq!(exit(outcome, false) == Exit::Done, accepted);
        }
    }
}
