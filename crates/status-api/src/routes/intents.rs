//! Whether a server is watched, and what an operator says of it.

use access::may_command;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use domain::{Override, ServerId, ToolboxId};
use jiff::SignedDuration;
use store::commands::{self, Acceptance, NewCommand};
use store::{Transaction, intent, reading};
use wire::api::{Accepted, CommandKind, HealthLabel, OverrideRequest};

use crate::accept::{self, SETTLING};
use crate::answer::{json, respond};
use crate::app::App;
use crate::ask::Ask;
use crate::caller::Caller;
use crate::clock;
use crate::params::{Id, Params};
use crate::refusal::{Refusal, Result};
use crate::{records, repeat};

/// Watch a server
#[utoipa::path(post, path = "/v1/servers/{serverId}/monitor", operation_id = "monitorServer", tag = "commands",
    params(("serverId" = Uuid, Path, description = "Which server")),
    responses((status = 200, description = "It is watched", body = Accepted)))]
pub(crate) async fn monitor_server(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    _: Params<()>,
    ask: Ask,
) -> Result<Response> {
    intend(&app, &caller, &ask, ServerId(id), Intent::Monitored(true)).await
}

/// No longer watch a server
///
/// Its status then says that nobody watches it. When nothing on its toolbox is watched any more, that is no longer polled.
#[utoipa::path(post, path = "/v1/servers/{serverId}/unmonitor", operation_id = "unmonitorServer", tag = "commands",
    params(("serverId" = Uuid, Path, description = "Which server")),
    responses((status = 200, description = "It is not watched any more", body = Accepted)))]
pub(crate) async fn unmonitor_server(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    _: Params<()>,
    ask: Ask,
) -> Result<Response> {
    intend(&app, &caller, &ask, ServerId(id), Intent::Monitored(false)).await
}

/// Say what a server's status is
///
/// An operator's word in place of what is observed, for a while, visible as such. Admins and services only.
#[utoipa::path(put, path = "/v1/servers/{serverId}/override", operation_id = "overrideServer", tag = "commands",
    params(("serverId" = Uuid, Path, description = "Which server")), request_body = OverrideRequest,
    responses((status = 200, description = "It is shown so", body = Accepted)))]
pub(crate) async fn override_server(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    _: Params<()>,
    ask: Ask,
) -> Result<Response> {
    operators_only(&app, &caller, ServerId(id)).await?;
    let word = word(&ask.read()?)?;
    intend(&app, &caller, &ask, ServerId(id), Intent::Override(Some(word))).await
}

/// Show again what is observed
///
/// Takes an operator's word away before its time. Admins and services only.
#[utoipa::path(delete, path = "/v1/servers/{serverId}/override", operation_id = "clearOverride", tag = "commands",
    params(("serverId" = Uuid, Path, description = "Which server")),
    responses((status = 200, description = "What is observed is shown", body = Accepted)))]
pub(crate) async fn clear_override(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    _: Params<()>,
    ask: Ask,
) -> Result<Response> {
    operators_only(&app, &caller, ServerId(id)).await?;
    intend(&app, &caller, &ask, ServerId(id), Intent::Override(None)).await
}

async fn operators_only(app: &App, caller: &Caller, id: ServerId) -> Result<()> {
    if caller.is_operator() {
        return Ok(());
    }
    app.see(caller.viewer(), id).await?;
    Err(Refusal::forbidden(
        "only admins and services say what a status is",
    ))
}

fn word(request: &OverrideRequest) -> Result<Override> {
    let length = request.message.chars().count();
    if !(1..=300).contains(&length)
        || request.message.trim().is_empty()
        || request.message.chars().any(char::is_control)
    {
        return Err(Refusal::field(
            "message",
            "1 to 300 characters without control characters",
        ));
    }
    if !(10..=604_800).contains(&request.expires_in) {
        return Err(Refusal::field(
            "expiresIn",
            "a number of seconds from 10 to 604800",
        ));
    }
    let until = clock::now()
        .checked_add(SignedDuration::from_secs(request.expires_in.into()))
        .map_err(|_| Refusal::internal())?;
    Ok(Override {
        state: request.state.into(),
        health: request.health.unwrap_or(HealthLabel::Unknown).into(),
        message: request.message.clone(),
        until,
    })
}

enum Intent {
    Monitored(bool),
    Override(Option<Override>),
}

impl Intent {
    fn kind(&self) -> CommandKind {
        match self {
            Self::Monitored(true) => CommandKind::Monitor,
            Self::Monitored(false) => CommandKind::Unmonitor,
            Self::Override(Some(_)) => CommandKind::Override,
            Self::Override(None) => CommandKind::ClearOverride,
        }
    }

    fn message(&self) -> Option<String> {
        match self {
            Self::Override(Some(word)) => Some(format!(
                "{}, {} until {:.0}: {}",
                word.state, word.health, word.until, word.message
            )),
            _ => None,
        }
    }

    /// `false`: there is no such server.
    async fn write(&self, app: &App, transaction: &mut Transaction, id: ServerId) -> Result<bool> {
        Ok(match self {
            Self::Monitored(is) => {
                let writing = intent::set_monitored(&mut **transaction, id, *is);
                app.base.write(writing).await?.is_some()
            }
            Self::Override(word) => {
                let writing = intent::set_override(&mut **transaction, id, word.as_ref());
                app.base.write(writing).await?
            }
        })
    }
}

/// Writes an intent with its record, has it announced, and answers with what is then shown.
async fn intend(app: &App, caller: &Caller, ask: &Ask, id: ServerId, intent: Intent) -> Result<Response> {
    app.command(caller.viewer(), id).await?;
    if let Some(again) = repeat::find(app, caller, ask).await? {
        return Ok(again);
    }
    let kind = intent.kind();
    let Some((command, toolbox)) = write(app, caller, ask, id, &intent).await? else {
        return repeat::found(app, caller, ask).await;
    };
    // What nobody hears is found within seconds.
    app.wake(toolbox, SETTLING).await;
    app.metrics.command(kind.as_str(), "done");
    tracing::info!(command = %command.id, server = %id, kind = kind.as_str(), "intent noted");
    let accepted = Accepted {
        command: records::of(kind, &command),
        status: app.shown_now(id).await,
    };
    let answer = json(StatusCode::OK, &accepted)?;
    repeat::keep(app, ask, command.id, &answer).await;
    Ok(respond(answer))
}

async fn write(
    app: &App,
    caller: &Caller,
    ask: &Ask,
    id: ServerId,
    intent: &Intent,
) -> Result<Option<(NewCommand, ToolboxId)>> {
    let mut transaction = app.base.begin().await?;
    if !intent.write(app, &mut transaction, id).await? {
        return Err(Refusal::not_found("server"));
    }
    let reading = reading::servers(&mut transaction, std::slice::from_ref(&id));
    let Some(server) = app.base.write(reading).await?.pop().map(|row| row.server) else {
        return Err(Refusal::not_found("server"));
    };
    // What memory said may be a second old.
    if !may_command(caller.viewer(), server.account) {
        return Err(Refusal::not_found("server"));
    }
    let of = (Some(id), Some(server.toolbox), Some(server.account));
    let command = accept::done(caller, ask, intent.kind(), of, intent.message());
    match app.base.write(commands::accept(&mut transaction, &command)).await {
        Ok(Acceptance::Accepted) => {}
        Ok(Acceptance::Repeated) => return Ok(None),
        Ok(Acceptance::Busy(other)) => return Err(accept::busy(&other)),
        Err(trouble) => return Err(accept::overtaken(trouble)),
    }
    app.base.commit(transaction).await?;
    Ok(Some((command, server.toolbox)))
}
