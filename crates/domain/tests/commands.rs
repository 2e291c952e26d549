//! What is asked of a server, what an operator says of it, and what nobody watches.

#![allow(clippy::panic, reason = "a test may panic")]

mod common;

use std::time::Duration;

use common::*;
use domain::{
    Action, Cause, Change, Circumstances, Command, CommandEnd, CommandId, Desired, Execution, Health,
    McpState, Override, ReasonCode, Server, StatusOnToolbox,
};
use uuid::Uuid;

const ID: CommandId = CommandId(Uuid::from_u128(7));

fn command(action: Action, requested: i64) -> Command {
    Command {
        id: ID,
        action,
        requested_at: at(requested),
        deadline: at(requested + 60),
        executed_at: None,
        ended: None,
        closed: false,
    }
}

/// One server that was last observed as `word` at 0, and of which `action` is asked at 10.
fn asked(word: &str, action: Action) -> World {
    let mut world = World::with(vec![server(1)]);
    world.fold(&[whole(0, vec![item(1, word)])]);
    world.servers[0].desired = Some(match action {
        Action::Start | Action::Restart => Desired::Running,
        Action::Stop | Action::Delete => Desired::Stopped,
    });
    world.servers[0].command = Some(command(action, 10));
    world
}

fn around(world: &World) -> Circumstances<'_> {
    Circumstances {
        agent_heard_at: world.toolbox.heard_at,
        whole_as_of: world.toolbox.whole_order.map(|order| order.as_of),
        ..Circumstances::default()
    }
}

/// Sweeps at `seconds`; what was announced of the server, if anything: state, health, code, label and cause.
type Told = Option<(McpState, Health, Option<ReasonCode>, StatusOnToolbox, Cause)>;

fn sweep(world: &mut World, seconds: i64) -> Told {
    let swept = world.servers[0].sweep(around(world), at(seconds), &world.thresholds);
    keep(world, swept)
}

fn outcome(world: &mut World, execution: Execution, seconds: i64) -> Told {
    let told = world.servers[0].executed(
        ID,
        &execution,
        at(seconds),
        around(world),
        at(seconds),
        &world.thresholds,
    );
    assert!(told.is_some(), "the command is under way");
    keep(world, told)
}

fn keep(world: &mut World, decided: Option<(Server, Option<Change>)>) -> Told {
    let (after, change) = decided?;
    world.servers[0] = after;
    match change? {
        Change::Server(change) => Some((
            change.after.state,
            change.after.health,
            code(&change.after),
            change.after.label.clone(),
            change.cause,
        )),
        other => panic!("{other:?}"),
    }
}

fn end(world: &World) -> Option<CommandEnd> {
    let command = world.server(1).command.as_ref()?;
    command.ended.as_ref().map(|ended| ended.end)
}

const UNKNOWN: Health = Health::Unknown;

#[test]
fn what_is_asked_shows_at_once_and_ends_with_the_report_that_shows_its_effect() {
    use StatusOnToolbox as Label;
    for (before, action, state, label, after, then) in [
        (
            "exited",
            Action::Start,
            McpState::Starting,
            Label::Starting,
            "running",
            McpState::Running,
        ),
        (
            "running",
            Action::Stop,
            McpState::Stopping,
            Label::Stopping,
            "exited",
            McpState::Stopped,
        ),
        (
            "running",
            Action::Restart,
            McpState::Starting,
            Label::Starting,
            "running",
            McpState::Running,
        ),
    ] {
        let mut world = asked(before, action);
        assert_eq!(
            sweep(&mut world, 10),
            Some((state, UNKNOWN, None, label, Cause::Command)),
            "{action}"
        );
        assert_eq!(sweep(&mut world, 11), None, "it is said once");
        // Reports from before the agent did it change nothing of what is seen, whatever they say.
        for word in [before, after] {
            let seconds = if word == before { 12 } else { 13 };
            let fold = world.fold(&[whole(seconds, vec![item(1, word)])]);
            assert_eq!(fold.changes, vec![], "{action} {word}");
        }
        assert_eq!(outcome(&mut world, Execution::Done, 14), None, "{action}");
        assert_eq!(end(&world), None);
        let fold = world.fold(&[whole(15, vec![item(1, after)])]);
        assert_eq!(fold.changes.len(), 1, "{action}");
        assert_eq!(world.server(1).state, then, "{action}");
        assert_eq!(end(&world), Some(CommandEnd::Succeeded));
        assert!(world.server(1).command.as_ref().unwrap().closed);
    }
}

#[test]
fn a_report_that_came_before_the_outcome_counts_as_soon_as_the_outcome_is_known() {
    let mut world = asked("exited", Action::Start);
    sweep(&mut world, 10);
    // The poll began at 13, after the agent had done it at 12; its report was quicker than the outcome.
    world.fold(&[whole(13, vec![item(1, "running")])]);
    assert_eq!(world.server(1).state, McpState::Starting);
    let server = world.servers[0].executed(
        ID,
        &Execution::Done,
        at(12),
        around(&world),
        at(14),
        &world.thresholds,
    );
    let told = keep(&mut world, server);
    assert_eq!(
        told,
        Some((
            McpState::Running,
            Health::Healthy,
            None,
            StatusOnToolbox::Running,
            Cause::Command
        ))
    );
    assert_eq!(end(&world), Some(CommandEnd::Succeeded));
}

#[test]
fn a_heartbeat_that_is_held_back_from_the_row_still_shows_the_effect() {
    let mut world = asked("running", Action::Restart);
    sweep(&mut world, 10);
    // Nothing of the server's row changes with this list, so only the toolbox's row has it.
    let fold = world.fold(&[whole(13, vec![item(1, "running")])]);
    assert_eq!(fold.write, vec![]);
    let server = world.servers[0].executed(
        ID,
        &Execution::Done,
        at(12),
        around(&world),
        at(14),
        &world.thresholds,
    );
    assert!(keep(&mut world, server).is_some());
    assert_eq!(end(&world), Some(CommandEnd::Succeeded));
}

#[test]
fn what_an_agent_refuses_is_an_error_for_a_while_and_then_what_is_observed() {
    for (before, action, label) in [
        ("exited", Action::Start, StatusOnToolbox::ErrorStarting),
        ("running", Action::Stop, StatusOnToolbox::ErrorStopping),
        ("running", Action::Restart, StatusOnToolbox::ErrorStarting),
        ("running", Action::Delete, StatusOnToolbox::ErrorStopping),
    ] {
        let mut world = asked(before, action);
        sweep(&mut world, 10);
        let refused = Execution::Refused("404: the agent does not manage it; token=abc".to_owned());
        assert_eq!(
            outcome(&mut world, refused, 12),
            Some((
                McpState::Error,
                Health::Unhealthy,
                Some(ReasonCode::CommandFailed),
                label,
                Cause::Command
            )),
            "{action}"
        );
        let error = world.server(1).last_error.clone().unwrap().reason.message;
        assert!(
            error.starts_with(&format!("{action} failed: 404")) && !error.contains("abc"),
            "{error}"
        );
        // Reports that find nothing new do not wipe it away.
        world.fold(&[whole(20, vec![item(1, before)])]);
        assert_eq!(world.server(1).state, McpState::Error, "{action}");
        world.fold(&[whole(300, vec![item(1, before)])]);
        assert_eq!(sweep(&mut world, 312), None);
        let (state, health, reason, _, cause) = sweep(&mut world, 313).unwrap();
        let expected = if before == "running" {
            McpState::Running
        } else {
            McpState::Stopped
        };
        assert_eq!(
            (state, reason, cause),
            (expected, None, Cause::Command),
            "{action}"
        );
        assert_eq!(health == Health::Healthy, before == "running");
        assert!(world.server(1).command.as_ref().unwrap().closed);
    }
}

#[test]
fn something_new_ends_the_error_of_a_command_before_its_time() {
    let mut world = asked("running", Action::Stop);
    sweep(&mut world, 10);
    outcome(&mut world, Execution::Refused("no".to_owned()), 12);
    let fold = world.fold(&[whole(20, vec![item(1, "exited")])]);
    assert_eq!(fold.changes.len(), 1);
    assert_eq!(
        (world.server(1).state, code(world.server(1))),
        (McpState::Stopped, None)
    );
}

#[test]
fn a_command_that_nobody_carried_out_ends_visibly() {
    let mut world = asked("exited", Action::Start);
    sweep(&mut world, 10);
    assert_eq!(sweep(&mut world, 70), None, "the deadline itself is in time");
    let (state, _, reason, ..) = sweep(&mut world, 71).unwrap();
    assert_eq!(
        (state, reason),
        (McpState::Error, Some(ReasonCode::CommandFailed))
    );
    assert_eq!(
        world.server(1).last_error.as_ref().unwrap().reason.message,
        "start failed: nobody carried it out within 1m"
    );
    assert_eq!(end(&world), Some(CommandEnd::Expired));
    // Too late, whatever the agent says now.
    let late = world.server(1).executed(
        ID,
        &Execution::Done,
        at(72),
        around(&world),
        at(72),
        &world.thresholds,
    );
    assert_eq!(late, None);
}

#[test]
fn a_start_that_is_still_on_its_way_at_its_deadline_is_left_to_the_reports() {
    let mut world = asked("exited", Action::Start);
    sweep(&mut world, 10);
    outcome(&mut world, Execution::Done, 12);
    world.fold(&[whole(20, vec![item(1, "created")])]);
    assert_eq!(sweep(&mut world, 71), None, "it was starting and still is");
    assert_eq!(end(&world), Some(CommandEnd::Expired));
    assert_eq!(world.server(1).state, McpState::Starting);
    world.fold(&[whole(80, vec![item(1, "running")])]);
    assert_eq!(world.server(1).state, McpState::Running);
}

#[test]
fn a_container_that_ends_again_after_its_start_shows_how_it_ended() {
    let mut world = asked("exited", Action::Start);
    sweep(&mut world, 10);
    outcome(&mut world, Execution::Done, 12);
    // It was seen to run in between, so this end is a new one.
    world.fold(&[whole(11, vec![item(1, "running")])]);
    let fold = world.fold(&[whole(14, vec![with_text(1, "exited", "Exited (3) 1 second ago")])]);
    assert_eq!(fold.changes.len(), 1);
    assert_eq!(
        (world.server(1).state, code(world.server(1))),
        (McpState::Stopped, Some(ReasonCode::ExitCode))
    );
    let ended = world.server(1).command.clone().unwrap().ended.unwrap();
    assert_eq!(ended.end, CommandEnd::Failed);
    assert_eq!(
        ended.message.as_deref(),
        Some("the container was started and has ended again: exit code 3")
    );

    // One that was down before may be shown by an agent that answers from an old list: it is given a moment.
    let mut world = asked("exited", Action::Start);
    sweep(&mut world, 10);
    outcome(&mut world, Execution::Done, 12);
    world.fold(&[whole(14, vec![item(1, "exited")])]);
    assert_eq!(end(&world), None);
    world.fold(&[whole(28, vec![item(1, "exited")])]);
    assert_eq!(end(&world), Some(CommandEnd::Failed));
    assert_eq!(world.server(1).state, McpState::Stopped);
}

#[test]
fn a_deleted_container_ends_the_row_also_where_lists_are_never_whole() {
    for (list, executed) in [
        (
            whole as fn(i64, Vec<domain::ContainerReport>) -> domain::Report,
            false,
        ),
        (partial, true),
    ] {
        let mut world = asked("running", Action::Delete);
        let told = sweep(&mut world, 10).unwrap();
        assert_eq!(
            (told.0, told.3),
            (McpState::Stopping, StatusOnToolbox::PendingDelete)
        );
        // A partial list proves nothing before the agent said that it is done.
        let fold = world.fold(&[partial(11, vec![])]);
        assert_eq!(fold.remove, vec![]);
        if executed {
            outcome(&mut world, Execution::Done, 12);
        }
        let fold = world.fold(&[list(13, vec![])]);
        assert_eq!(fold.remove, vec![server_id(1)]);
        assert!(matches!(fold.changes.last(), Some(Change::Removed { .. })));
    }
}

#[test]
fn an_operator_s_word_stands_until_its_time_whatever_is_observed() {
    let mut world = World::with(vec![server(1)]);
    world.fold(&[whole(0, vec![item(1, "running")])]);
    world.servers[0].overridden = Some(Override {
        state: McpState::Error,
        health: Health::Unhealthy,
        message: "the disk is being replaced".to_owned(),
        until: at(100),
    });
    let told = sweep(&mut world, 1).unwrap();
    assert_eq!(
        (told.0, told.1, told.2, told.4),
        (
            McpState::Error,
            Health::Unhealthy,
            Some(ReasonCode::OperatorOverride),
            Cause::Operator
        )
    );
    let fold = world.fold(&[whole(50, vec![item(1, "exited")])]);
    assert_eq!(fold.changes, vec![]);
    assert_eq!(sweep(&mut world, 99), None);
    let told = sweep(&mut world, 100).unwrap();
    assert_eq!(
        (told.0, told.2, told.4),
        (McpState::Stopped, None, Cause::Operator)
    );
}

#[test]
fn what_nobody_watches_is_not_called_well_and_says_why() {
    let mut world = World::with(vec![server(1), server(2)]);
    world.thresholds.unknown_after = Duration::from_secs(900);
    world.fold(&[whole(
        0,
        vec![
            item(1, "running"),
            with_text(2, "exited", "Exited (3) 1 second ago"),
        ],
    )]);
    world.servers[0].monitored = false;
    let told = sweep(&mut world, 1).unwrap();
    assert_eq!(
        (told.0, told.1, told.2, told.4),
        (
            McpState::Running,
            UNKNOWN,
            Some(ReasonCode::NotMonitored),
            Cause::Operator
        )
    );
    assert_eq!(sweep(&mut world, 800), None, "silence is what was asked for");
    let told = sweep(&mut world, 901).unwrap();
    assert_eq!(
        (told.0, told.1, told.2),
        (McpState::Unknown, UNKNOWN, Some(ReasonCode::NotMonitored))
    );
    world.servers[0].monitored = true;
    world.fold(&[whole(902, vec![item(1, "running")])]);
    assert_eq!(world.server(1).health, Health::Healthy);

    world.servers[1].monitored = false;
    let (after, _) = world
        .server(2)
        .sweep(around(&world), at(903), &world.thresholds)
        .unwrap();
    assert!(
        after
            .last_error
            .unwrap()
            .reason
            .message
            .starts_with("it is not being monitored")
    );
}
