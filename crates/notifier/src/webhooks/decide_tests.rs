//! Who is told of what, as tables.

use uuid::Uuid;
use wire::{
    CommandAction, CommandUnderWay, LastError, Tombstone, WebhookFilters, WebhookKind::*, WebhookTemplate,
};

use super::*;

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

pub(super) fn was(state: &str, health: &str) -> Option<Previous> {
    Some(Previous {
        state: state.to_owned(),
        health: health.to_owned(),
    })
}

pub(crate) fn status(state: &str, health: &str, before: Option<Previous>) -> ServerStatus {
    ServerStatus {
        server_id: Uuid::from_u128(3),
        toolbox_id: Uuid::from_u128(2),
        account_id: Uuid::from_u128(1),
        name: "mcp-github".to_owned(),
        version: 7,
        state: state.to_owned(),
        health: health.to_owned(),
        uptime: None,
        last_started: None,
        last_error: None,
        status_on_toolbox: state.to_owned(),
        container_id: None,
        as_of: None,
        changed_at: at(0),
        previous: before,
        cause: Some("report".to_owned()),
        monitored: true,
        command: None,
        override_until: None,
    }
}

fn entry() -> WebhookEntry {
    WebhookEntry {
        webhook_id: Uuid::from_u128(9),
        account_id: Uuid::from_u128(1),
        url: "https://hooks.example".to_owned(),
        enabled: true,
        secrets: Vec::new(),
        filters: WebhookFilters::default(),
        template: WebhookTemplate::Standard,
        options: WebhookOptions::default(),
        created_at: at(-100),
    }
}

fn event(status: ServerStatus) -> StatusEvent {
    StatusEvent::Status(status)
}

fn error() -> LastError {
    LastError {
        code: "exit_code".to_owned(),
        message: "exit code 1".to_owned(),
        at: at(0),
    }
}

#[test]
fn what_kind_of_change_it_is() {
    for (state, health, before, settled, expected) in [
        ("running", "healthy", None, None, vec![State, Health]),
        ("error", "unhealthy", None, None, vec![State, Health, Error]),
        (
            "error",
            "unhealthy",
            was("running", "healthy"),
            was("running", "healthy"),
            vec![State, Health, Error],
        ),
        (
            "running",
            "degraded",
            was("running", "healthy"),
            was("running", "healthy"),
            vec![Health],
        ),
        (
            "running",
            "unhealthy",
            was("running", "degraded"),
            was("running", "degraded"),
            vec![Health, Error],
        ),
        (
            "running",
            "healthy",
            was("running", "unhealthy"),
            was("running", "unhealthy"),
            vec![Health, Recovery],
        ),
        (
            "running",
            "unhealthy",
            was("error", "unhealthy"),
            was("error", "unhealthy"),
            vec![State],
        ),
        (
            "running",
            "healthy",
            was("error", "unhealthy"),
            was("error", "unhealthy"),
            vec![State, Health, Recovery],
        ),
        // It recovered by way of starting.
        (
            "starting",
            "unknown",
            was("error", "unhealthy"),
            was("error", "unhealthy"),
            vec![State, Health],
        ),
        (
            "running",
            "healthy",
            was("starting", "unknown"),
            was("error", "unhealthy"),
            vec![State, Health, Recovery],
        ),
        (
            "running",
            "healthy",
            was("starting", "unknown"),
            was("stopped", "unknown"),
            vec![State, Health],
        ),
        (
            "stopped",
            "unknown",
            was("error", "unhealthy"),
            was("error", "unhealthy"),
            vec![State, Health],
        ),
        (
            "unknown",
            "unknown",
            was("running", "unhealthy"),
            was("running", "unhealthy"),
            vec![State, Health],
        ),
        // Another container, nothing else.
        (
            "running",
            "healthy",
            was("running", "healthy"),
            was("running", "healthy"),
            vec![],
        ),
    ] {
        let now = status(state, health, before.clone());
        assert_eq!(
            kinds(&now, before.as_ref(), settled.as_ref()),
            expected,
            "{before:?} → {state}, {health}"
        );
    }
    let mut again = status("error", "unhealthy", was("error", "unhealthy"));
    again.last_error = Some(error());
    assert_eq!(kinds(&again, again.previous.as_ref(), None), [Error]);
}

#[test]
fn who_is_told() {
    let crashed = || status("error", "unhealthy", was("running", "healthy"));
    type Case = (
        &'static str,
        fn(&mut WebhookEntry),
        fn(&mut ServerStatus),
        Result<(), Why>,
    );
    let cases: [Case; 14] = [
        ("everything", |_| {}, |_| {}, Ok(())),
        (
            "switched off",
            |it| it.enabled = false,
            |_| {},
            Err(Why::Disabled),
        ),
        (
            "another's server",
            |_| {},
            |it| it.account_id = Uuid::from_u128(77),
            Err(Why::Another),
        ),
        (
            "before its time",
            |it| it.created_at = at(1),
            |_| {},
            Err(Why::Stale),
        ),
        (
            "long ago",
            |it| it.created_at = at(-200_000),
            |it| it.changed_at = at(-100_000),
            Err(Why::Stale),
        ),
        ("how things stand", |_| {}, |it| it.cause = None, Err(Why::Stale)),
        (
            "this server",
            |it| it.filters.servers = vec![Uuid::from_u128(3)],
            |_| {},
            Ok(()),
        ),
        (
            "another server",
            |it| it.filters.servers = vec![Uuid::from_u128(4)],
            |_| {},
            Err(Why::Filtered),
        ),
        (
            "this toolbox",
            |it| it.filters.toolboxes = vec![Uuid::from_u128(2)],
            |_| {},
            Ok(()),
        ),
        (
            "either list",
            |it| {
                it.filters.servers = vec![Uuid::from_u128(4)];
                it.filters.toolboxes = vec![Uuid::from_u128(2)];
            },
            |_| {},
            Ok(()),
        ),
        ("errors", |it| it.filters.kinds = vec![Error], |_| {}, Ok(())),
        (
            "recoveries",
            |it| it.filters.kinds = vec![Recovery],
            |_| {},
            Err(Why::Filtered),
        ),
        (
            "health or deletion",
            |it| it.filters.kinds = vec![Health, Deleted],
            |_| {},
            Ok(()),
        ),
        (
            "deletion",
            |it| it.filters.kinds = vec![Deleted],
            |_| {},
            Err(Why::Filtered),
        ),
    ];
    for (what, change, shape, expected) in cases {
        let (mut entry, mut status) = (entry(), crashed());
        change(&mut entry);
        shape(&mut status);
        assert_eq!(
            concerns(&entry, &event(status), &Past::default(), at(0)),
            expected,
            "{what}"
        );
    }
    let gone = StatusEvent::Deleted(Tombstone {
        server_id: Uuid::from_u128(3),
        toolbox_id: Uuid::from_u128(2),
        account_id: Uuid::from_u128(1),
        version: 8,
        changed_at: at(0),
    });
    let mut entry = entry();
    assert_eq!(concerns(&entry, &gone, &Past::default(), at(0)), Ok(()));
    entry.filters.kinds = vec![State, Health, Error, Recovery];
    assert_eq!(
        concerns(&entry, &gone, &Past::default(), at(0)),
        Err(Why::Filtered)
    );
}

#[test]
fn what_a_command_brings_about() {
    let under_way = || {
        Some(CommandUnderWay {
            command_id: Uuid::nil(),
            action: CommandAction::Restart,
            requested_at: at(0),
            deadline: at(100),
        })
    };
    let commanded = Past {
        settled: was("running", "healthy"),
        commanded: true,
    };
    let by = |cause: &str, status: ServerStatus| ServerStatus {
        cause: Some(cause.to_owned()),
        ..status
    };
    let running = || was("running", "healthy");
    for (what, status, past, own) in [
        (
            "crash",
            status("error", "unhealthy", running()),
            Past::default(),
            false,
        ),
        (
            "it begins",
            ServerStatus {
                command: under_way(),
                ..by("command", status("stopping", "unknown", running()))
            },
            Past::default(),
            true,
        ),
        (
            "a report meanwhile",
            ServerStatus {
                command: under_way(),
                ..status("starting", "unknown", was("stopping", "unknown"))
            },
            commanded.clone(),
            true,
        ),
        (
            "it ends",
            status("running", "healthy", was("starting", "unknown")),
            commanded.clone(),
            true,
        ),
        (
            "it ends in an error",
            status("error", "unhealthy", was("starting", "unknown")),
            commanded.clone(),
            false,
        ),
        (
            "it failed",
            by(
                "command",
                status("error", "unhealthy", was("starting", "unknown")),
            ),
            commanded,
            false,
        ),
        (
            "it started by itself",
            status("running", "healthy", was("starting", "unknown")),
            Past {
                settled: running(),
                commanded: false,
            },
            false,
        ),
    ] {
        let mut entry = entry();
        entry.options.not_during_own_commands = true;
        let expected = if own { Err(Why::Own) } else { Ok(()) };
        assert_eq!(
            concerns(&entry, &event(status.clone()), &past, at(0)),
            expected,
            "{what}"
        );
        entry.options.not_during_own_commands = false;
        assert_eq!(
            concerns(&entry, &event(status), &past, at(0)),
            Ok(()),
            "{what}, asked for all"
        );
    }
}
