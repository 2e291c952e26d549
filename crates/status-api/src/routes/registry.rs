//! Servers, entered and changed.

use access::may_command;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use domain::{ServerId, ToolboxId};
use store::Transaction;
use store::entries;
use store::reading::{self, ServerReading};
use wire::api::{CommandKind, NewServer, Server, ServerChange};

use crate::accept::SETTLING;
use crate::answer::json;
use crate::app::App;
use crate::ask::Ask;
use crate::caller::Caller;
use crate::clock;
use crate::entering::{self, About, taken};
use crate::params::{Id, Params};
use crate::refusal::{Refusal, Result};
use crate::repeat;
use crate::routes::toolbox_registry;

/// Register a server
///
/// Its container need not be there yet.
#[utoipa::path(post, path = "/v1/servers", operation_id = "createServer", tag = "servers",
    request_body = NewServer,
    responses((status = 201, description = "It is registered", body = Server,
        headers(("Location" = String, description = "Where it is")))))]
pub(crate) async fn create_server(
    State(app): State<App>,
    caller: Caller,
    _: Params<()>,
    ask: Ask,
) -> Result<Response> {
    let new: NewServer = ask.read()?;
    let name = entering::instance_name(&new.name)?;
    if let Some(again) = repeat::find(&app, &caller, &ask).await? {
        return Ok(again);
    }
    let id = ServerId(new.server_id.unwrap_or_else(clock::new_id));
    let toolbox = ToolboxId(new.toolbox_id);
    let base = &app.base;
    let mut transaction = base.begin().await?;
    let home = toolbox_registry::own(&app, &caller, &mut transaction, toolbox)
        .await
        .map_err(|refusal| refusal.naming("toolboxId"))?;
    if base.write(entries::has_server(&mut *transaction, id)).await? {
        return Err(taken("serverId", "there is a server of this id"));
    }
    if base
        .write(entries::name_is_taken(&mut *transaction, id, toolbox, &name))
        .await?
    {
        return Err(taken("name", "another server of the toolbox has this name"));
    }
    let monitored = new.monitored.unwrap_or(true);
    base.write(entries::add_server(
        &mut *transaction,
        id,
        toolbox,
        &name,
        monitored,
    ))
    .await
    .map_err(entering::collided)?;
    let row = row(&app, &mut transaction, id).await?;
    let mut answer = json(StatusCode::CREATED, &show(&app, &row)?)?;
    answer.location = Some(format!("/v1/servers/{id}"));
    let about = About {
        kind: CommandKind::Register,
        server: Some(id),
        toolbox: Some(toolbox),
        account: Some(home.account),
        message: format!("server {name} on {}", home.name),
    };
    entering::finish(&app, &caller, &ask, transaction, about, answer).await
}

async fn row(app: &App, transaction: &mut Transaction, id: ServerId) -> Result<ServerReading> {
    let reading = reading::servers(&mut *transaction, std::slice::from_ref(&id));
    app.base
        .write(reading)
        .await?
        .pop()
        .ok_or_else(|| Refusal::not_found("server"))
}

fn show(app: &App, row: &ServerReading) -> Result<Server> {
    app.shown(app.fleet.server(row.server.id).as_deref(), Some(row), false)
        .ok_or_else(Refusal::internal)
}

async fn own(
    app: &App,
    caller: &Caller,
    transaction: &mut Transaction,
    id: ServerId,
) -> Result<ServerReading> {
    let found = row(app, transaction, id).await?;
    if may_command(caller.viewer(), found.server.account) {
        Ok(found)
    } else {
        Err(Refusal::not_found("server"))
    }
}

/// Change a server
#[utoipa::path(patch, path = "/v1/servers/{serverId}", operation_id = "changeServer", tag = "servers",
    params(("serverId" = Uuid, Path, description = "Which server")), request_body = ServerChange,
    responses((status = 200, description = "The server as it is now", body = Server)))]
pub(crate) async fn change_server(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    _: Params<()>,
    ask: Ask,
) -> Result<Response> {
    let id = ServerId(id);
    let change: ServerChange = ask.read()?;
    let name = change.name.as_deref().map(entering::instance_name).transpose()?;
    app.command(caller.viewer(), id).await?;
    if let Some(again) = repeat::find(&app, &caller, &ask).await? {
        return Ok(again);
    }
    let base = &app.base;
    let mut transaction = base.begin().await?;
    let before = own(&app, &caller, &mut transaction, id).await?.server;
    if let Some(name) = &name {
        if base
            .write(entries::name_is_taken(
                &mut *transaction,
                id,
                before.toolbox,
                name,
            ))
            .await?
        {
            return Err(taken("name", "another server of the toolbox has this name"));
        }
        let renaming = entries::rename_server(&mut *transaction, id, name);
        if !base.write(renaming).await.map_err(entering::collided)? {
            return Err(Refusal::not_found("server"));
        }
    }
    let after = row(&app, &mut transaction, id).await?;
    let answer = json(StatusCode::OK, &show(&app, &after)?)?;
    let about = About {
        kind: CommandKind::Change,
        server: Some(id),
        toolbox: Some(before.toolbox),
        account: Some(before.account),
        message: format!("server {} is called {}", before.name, after.server.name),
    };
    let answer = entering::finish(&app, &caller, &ask, transaction, about, answer).await;
    app.rows.forget_age(id);
    answer
}

/// Unregister a server
///
/// Forgets it, and leaves its container alone.
#[utoipa::path(delete, path = "/v1/servers/{serverId}", operation_id = "unregisterServer", tag = "servers",
    params(("serverId" = Uuid, Path, description = "Which server")),
    responses((status = 204, description = "It is forgotten")))]
pub(crate) async fn unregister_server(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    _: Params<()>,
    ask: Ask,
) -> Result<Response> {
    let id = ServerId(id);
    // Before the server is looked for: after the first request it is gone.
    if let Some(again) = repeat::find(&app, &caller, &ask).await? {
        return Ok(again);
    }
    app.command(caller.viewer(), id).await?;
    let base = &app.base;
    let mut transaction = base.begin().await?;
    let before = own(&app, &caller, &mut transaction, id).await?.server;
    let removing = entries::remove_server(&mut *transaction, id);
    if !base.write(removing).await.map_err(entering::collided)? {
        return Err(Refusal::not_found("server"));
    }
    let about = About {
        kind: CommandKind::Unregister,
        server: Some(id),
        toolbox: Some(before.toolbox),
        account: Some(before.account),
        message: format!("server {}", before.name),
    };
    let answer = entering::finish(&app, &caller, &ask, transaction, about, entering::nothing()).await;
    app.rows.forget_age(id);
    app.wake(before.toolbox, SETTLING).await;
    answer
}
