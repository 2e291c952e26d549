//! Commands for agents, and what became of them.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use domain::{Action, CommandId, ServerId};
use store::commands::{self, Filter};
use utoipa::IntoParams;
use uuid::Uuid;
use wire::api::{Accepted, CommandOutcomeLabel, CommandPage, CommandRecord};

use crate::accept::{self, Wish};
use crate::answer::ok;
use crate::app::App;
use crate::ask::Ask;
use crate::caller::Caller;
use crate::params::{FromQuery, Id, Params, Query};
use crate::records;
use crate::refusal::{Refusal, Result};

/// How long to wait.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Waiting {
    /// How long to wait for the outcome, at most as long as the service allows (a minute, unless configured); not given:
    /// not at all.
    #[param(value_type = Option<String>, pattern = "^([1-9][0-9]{0,3}ms|([1-9]|[1-5][0-9]|60)s)$", example = "30s")]
    pub(crate) wait: Duration,
}

impl FromQuery for Waiting {
    fn take(query: &mut Query, app: &App) -> Result<Self> {
        Ok(Self {
            wait: query.wait(app)?,
        })
    }
}

/// How to start.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Starting {
    /// Have the server watched from now on, too.
    #[param(value_type = Option<bool>)]
    monitor: bool,
    /// How long to wait for the outcome, at most as long as the service allows (a minute, unless configured); not given:
    /// not at all.
    #[param(value_type = Option<String>, pattern = "^([1-9][0-9]{0,3}ms|([1-9]|[1-5][0-9]|60)s)$", example = "30s")]
    wait: Duration,
}

impl FromQuery for Starting {
    fn take(query: &mut Query, app: &App) -> Result<Self> {
        Ok(Self {
            monitor: query.flag("monitor")?.unwrap_or(false),
            wait: query.wait(app)?,
        })
    }
}

/// Start a server
#[utoipa::path(post, path = "/v1/servers/{serverId}/start", operation_id = "startServer", tag = "commands",
    params(("serverId" = Uuid, Path, description = "Which server"), Starting),
    responses((status = 200, description = "It was waited for, and this came of it", body = Accepted),
        (status = 202, description = "Accepted and announced", body = Accepted)))]
pub(crate) async fn start_server(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    Params(starting): Params<Starting>,
    ask: Ask,
) -> Result<Response> {
    let wish = Wish {
        server: ServerId(id),
        action: Action::Start,
        monitor: starting.monitor,
        wait: starting.wait,
    };
    accept::agent_command(&app, &caller, &ask, wish).await
}

/// Stop a server
#[utoipa::path(post, path = "/v1/servers/{serverId}/stop", operation_id = "stopServer", tag = "commands",
    params(("serverId" = Uuid, Path, description = "Which server"), Waiting),
    responses((status = 200, description = "It was waited for, and this came of it", body = Accepted),
        (status = 202, description = "Accepted and announced", body = Accepted)))]
pub(crate) async fn stop_server(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    Params(waiting): Params<Waiting>,
    ask: Ask,
) -> Result<Response> {
    let wish = plain(id, Action::Stop, waiting);
    accept::agent_command(&app, &caller, &ask, wish).await
}

/// Restart a server
///
/// Stops it and starts it again.
#[utoipa::path(post, path = "/v1/servers/{serverId}/restart", operation_id = "restartServer", tag = "commands",
    params(("serverId" = Uuid, Path, description = "Which server"), Waiting),
    responses((status = 200, description = "It was waited for, and this came of it", body = Accepted),
        (status = 202, description = "Accepted and announced", body = Accepted)))]
pub(crate) async fn restart_server(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    Params(waiting): Params<Waiting>,
    ask: Ask,
) -> Result<Response> {
    let wish = plain(id, Action::Restart, waiting);
    accept::agent_command(&app, &caller, &ask, wish).await
}

/// Delete a server
///
/// Has its container removed; when that is gone, the server is. To forget a server and leave its container alone,
/// unregister it.
#[utoipa::path(post, path = "/v1/servers/{serverId}/delete", operation_id = "deleteServer", tag = "commands",
    params(("serverId" = Uuid, Path, description = "Which server"), Waiting),
    responses((status = 200, description = "It was waited for, and this came of it", body = Accepted),
        (status = 202, description = "Accepted and announced", body = Accepted)))]
pub(crate) async fn delete_server(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    Params(waiting): Params<Waiting>,
    ask: Ask,
) -> Result<Response> {
    let wish = plain(id, Action::Delete, waiting);
    accept::agent_command(&app, &caller, &ask, wish).await
}

fn plain(id: Uuid, action: Action, Waiting { wait }: Waiting) -> Wish {
    Wish {
        server: ServerId(id),
        action,
        monitor: false,
        wait,
    }
}

/// Which records to list.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListCommands {
    /// Only those of this server.
    #[param(rename = "serverId")]
    server: Option<Uuid>,
    /// Most entries of the page.
    #[param(minimum = 1, maximum = 500, default = 100, value_type = Option<u16>)]
    limit: usize,
    /// What the page before gave as `next`.
    cursor: Option<Uuid>,
}

impl FromQuery for ListCommands {
    fn take(query: &mut Query, app: &App) -> Result<Self> {
        Ok(Self {
            server: query.id("serverId")?,
            limit: query.limit(app)?,
            cursor: query.id("cursor")?,
        })
    }
}

/// List commands
///
/// What was asked for of the caller's servers and toolboxes, newest first: who, what, when, and what came of it.
#[utoipa::path(get, path = "/v1/commands", operation_id = "listCommands", tag = "commands", params(ListCommands),
    responses((status = 200, description = "The page", body = CommandPage)))]
pub(crate) async fn list_commands(
    State(app): State<App>,
    caller: Caller,
    Params(which): Params<ListCommands>,
) -> Result<Response> {
    let filter = Filter {
        account: caller.account(),
        server: which.server.map(ServerId),
        before: which.cursor.map(CommandId),
    };
    let limit = u32::try_from(which.limit + 1).unwrap_or(u32::MAX);
    let asking = commands::list(app.base.database().pool(), filter, limit);
    let mut found = app.base.read(asking).await?;
    let more = found.len() > which.limit;
    found.truncate(which.limit);
    let next = found.last().filter(|_| more).map(|last| last.id.to_string());
    let items = found.into_iter().filter_map(records::shown).collect();
    ok(&CommandPage { items, next })
}

/// Get a command
///
/// With `wait`, answers when it is finished or the time is over.
#[utoipa::path(get, path = "/v1/commands/{commandId}", operation_id = "getCommand", tag = "commands",
    params(("commandId" = Uuid, Path, description = "Which command"), Waiting),
    responses((status = 200, description = "The record", body = CommandRecord)))]
pub(crate) async fn get_command(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    Params(Waiting { wait }): Params<Waiting>,
) -> Result<Response> {
    let id = CommandId(id);
    let asking = commands::get(app.base.database().pool(), id);
    let record = app.base.read(asking).await?;
    let record = record
        .filter(|record| {
            caller
                .account()
                .is_none_or(|account| record.account == Some(account))
        })
        .and_then(records::shown)
        .ok_or_else(|| Refusal::not_found("command"))?;
    if record.outcome == CommandOutcomeLabel::UnderWay
        && !wait.is_zero()
        && let Some(finished) = accept::finished(&app, id, wait).await
    {
        return ok(&finished);
    }
    ok(&record)
}
