//! Answers to show, for tests.

use jiff::Timestamp;
use uuid::Uuid;
use wire::api::{HealthLabel, Override, Server, StateLabel};
use wire::{CommandAction, CommandUnderWay, LastError};

use crate::show::Look;
use crate::show::server::Toolboxes;

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn look(columns: Option<usize>) -> Look {
    Look {
        columns,
        color: false,
        now: at("2026-11-22T12:00:00Z"),
    }
}

pub(crate) fn id(n: u128) -> Uuid {
    Uuid::from_u128(0x1111_0000_0000_4000_8000_0000_0000_0000 + n)
}

pub(crate) fn error(code: &str, message: &str) -> LastError {
    LastError {
        code: code.to_owned(),
        message: message.to_owned(),
        at: at("2026-11-22T11:58:00Z"),
    }
}

pub(crate) fn server(n: u128, name: &str, state: StateLabel, health: HealthLabel) -> Server {
    Server {
        server_id: id(n),
        toolbox_id: id(100 + n % 2),
        account_id: id(900),
        name: name.to_owned(),
        state,
        health,
        uptime: None,
        last_started: None,
        last_error: None,
        status_on_toolbox: state.as_str().to_owned(),
        container_id: Some("9f86d081884c".to_owned()),
        monitored: true,
        command: None,
        r#override: None,
        as_of: Some(at("2026-11-22T11:59:50Z")),
        age: Some(10),
        changed_at: Some(at("2026-11-22T11:58:57Z")),
        version: 7,
        stale: false,
    }
}

/// One of each kind.
pub(crate) fn servers() -> Vec<Server> {
    use HealthLabel::{Degraded, Healthy, Unhealthy, Unknown};
    use StateLabel as State;
    let running = |n, name, health| Server {
        uptime: Some(187_200),
        last_started: Some(at("2026-11-20T08:00:00Z")),
        ..server(n, name, State::Running, health)
    };
    vec![
        running(1, "mcp-github", Healthy),
        Server {
            last_error: Some(error("oom_killed", "exit code 137 (out of memory)")),
            last_started: Some(at("2026-11-20T08:00:00Z")),
            ..server(2, "mcp-postgres", State::Stopped, Unknown)
        },
        Server {
            last_error: Some(error("start_timeout", "not started within 10m")),
            container_id: None,
            ..server(3, "mcp-files", State::Error, Unhealthy)
        },
        Server {
            as_of: Some(at("2026-11-22T11:56:00Z")),
            age: Some(240),
            last_error: Some(error("not_reported", "nothing heard since 2026-11-22T11:56:00Z")),
            ..running(4, "mcp-search", Degraded)
        },
        Server {
            command: Some(CommandUnderWay {
                command_id: id(500),
                action: CommandAction::Start,
                requested_at: at("2026-11-22T11:59:55Z"),
                deadline: at("2026-11-22T12:00:55Z"),
            }),
            status_on_toolbox: "starting_on_toolbox".to_owned(),
            ..server(5, "mcp-slack", State::Starting, Unknown)
        },
        Server {
            r#override: Some(Override {
                until: at("2026-11-22T14:00:00Z"),
            }),
            last_error: Some(error(
                "operator_override",
                "set by an operator until 2026-11-22T14:00:00Z: moved",
            )),
            ..server(6, "mcp-mail", State::Stopped, Unknown)
        },
        Server {
            as_of: None,
            age: None,
            changed_at: None,
            container_id: None,
            monitored: false,
            status_on_toolbox: "pending_install".to_owned(),
            version: 0,
            ..server(7, "mcp-new", State::Unknown, Unknown)
        },
    ]
}

/// The caller owns one of the two.
pub(crate) fn toolboxes() -> Toolboxes {
    Toolboxes::from([(id(101), "toolbox-00001".to_owned())])
}
