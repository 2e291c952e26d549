//! Agents' connections to servers: who else sees a server, and whether the agent can use it.

use access::{Connection as Known, Viewer, may_command};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use domain::{AccountId, ConnectionId, ServerId};
use store::entries::{self, ConnectionEntry};
use store::reading::{self, ConnectionRow};
use wire::api::{
    CommandKind, Connection, ConnectionChange, ConnectionLabel, ConnectionPage, ConnectionStatus,
    HealthLabel, NewConnection, StateLabel,
};

use crate::answer::{json, ok};
use crate::app::App;
use crate::ask::Ask;
use crate::base::Trouble;
use crate::caller::Caller;
use crate::clock;
use crate::entering::{self, About, taken};
use crate::params::{Id, Params};
use crate::refusal::{Refusal, Result};
use crate::repeat;
use crate::routes::toolboxes::Page;

/// List connections
///
/// Those of the caller's agents and those to his servers, in the order of their ids; all, if he sees everything.
#[utoipa::path(get, path = "/v1/connections", operation_id = "listConnections", tag = "connections", params(Page),
    responses((status = 200, description = "The page", body = ConnectionPage)))]
pub(crate) async fn list_connections(
    State(app): State<App>,
    caller: Caller,
    Params(page): Params<Page>,
) -> Result<Response> {
    let after = page.cursor.map(ConnectionId);
    let limit = u32::try_from(page.limit + 1).unwrap_or(u32::MAX);
    let asking = reading::connections_of(app.base.database().pool(), caller.account(), after, limit);
    let mut items = match (app.base.read(asking).await, caller.viewer()) {
        (Ok(rows), _) => rows.iter().map(of_row).collect::<Vec<_>>(),
        // Of these, all are known; of those to his servers not.
        (Err(Trouble::Away), Viewer::Account(account)) => {
            app.stale(true);
            let known = app.fleet.connections().of_account(account);
            known
                .iter()
                .filter(|known| after.is_none_or(|after| known.id > after))
                .take(page.limit + 1)
                .map(of_known)
                .collect()
        }
        (Err(trouble), _) => return Err(trouble.into()),
    };
    let more = items.len() > page.limit;
    items.truncate(page.limit);
    let next = items
        .last()
        .filter(|_| more)
        .map(|last| last.connection_id.to_string());
    ok(&ConnectionPage { items, next })
}

fn of_row(row: &ConnectionRow) -> Connection {
    Connection {
        connection_id: row.id,
        agent_id: row.agent,
        account_id: row.account.map(|account| account.0),
        server_id: row.server.0,
        active: row.active,
    }
}

fn of_known(known: &Known) -> Connection {
    Connection {
        connection_id: known.id.0,
        agent_id: known.agent,
        account_id: known.account.map(|account| account.0),
        server_id: known.server.0,
        active: known.active,
    }
}

/// A connection that the caller may see: of his agents, or to his servers. And whether it is known only from memory.
async fn find(app: &App, caller: &Caller, id: ConnectionId) -> Result<(Connection, bool)> {
    let asking = reading::connection(app.base.database().pool(), id);
    let (found, stale) = match app.base.read(asking).await {
        Ok(row) => (row.as_ref().map(of_row), false),
        Err(Trouble::Away) => {
            let known = app.fleet.connections().get(id).ok_or(Trouble::Away)?;
            (Some(of_known(&known)), true)
        }
        Err(refused) => return Err(refused.into()),
    };
    let none = || Refusal::not_found("connection");
    let Some(connection) = found else {
        return Err(none());
    };
    let Viewer::Account(account) = caller.viewer() else {
        return Ok((connection, stale));
    };
    if connection.account_id == Some(account.0) {
        return Ok((connection, stale));
    }
    match owner(app, ServerId(connection.server_id)).await? {
        Some(owner) if owner == account => Ok((connection, stale)),
        // While the database is away this might be a lie.
        None if stale => Err(Trouble::Away.into()),
        _ => Err(none()),
    }
}

/// Whose a server is.
async fn owner(app: &App, id: ServerId) -> Result<Option<AccountId>> {
    if let Some(event) = app.fleet.server(id) {
        return Ok(Some(AccountId(event.account_id)));
    }
    let found = app.rows.find(&app.base, &[id]).await?;
    Ok(found.rows.get(&id).map(|row| row.server.account))
}

/// A connection that the caller may change: to a server of his, since it is the server that it shows.
async fn own(app: &App, caller: &Caller, id: ConnectionId) -> Result<(Connection, Option<AccountId>)> {
    let (connection, stale) = find(app, caller, id).await?;
    if stale {
        return Err(Trouble::Away.into());
    }
    let owner = owner(app, ServerId(connection.server_id)).await?;
    match owner {
        Some(owner) if may_command(caller.viewer(), owner) => Ok((connection, Some(owner))),
        None if caller.viewer() == Viewer::All => Ok((connection, None)),
        _ => Err(Refusal::forbidden(
            "connections are changed by the owner of their server",
        )),
    }
}

/// Get a connection
#[utoipa::path(get, path = "/v1/connections/{connectionId}", operation_id = "getConnection", tag = "connections",
    params(("connectionId" = Uuid, Path, description = "Which connection")),
    responses((status = 200, description = "The connection", body = Connection)))]
pub(crate) async fn get_connection(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    _: Params<()>,
) -> Result<Response> {
    let (connection, stale) = find(&app, &caller, ConnectionId(id)).await?;
    app.stale(stale);
    ok(&connection)
}

/// Get a connection's status
///
/// Connected means that the server is running and the connection in force; if not, the reason says why.
#[utoipa::path(get, path = "/v1/connections/{connectionId}/status", operation_id = "getConnectionStatus",
    tag = "connections", params(("connectionId" = Uuid, Path, description = "Which connection")),
    responses((status = 200, description = "Its status", body = ConnectionStatus)))]
pub(crate) async fn get_connection_status(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    _: Params<()>,
) -> Result<Response> {
    let (connection, stale) = find(&app, &caller, ConnectionId(id)).await?;
    // A connection that is in force shows its server, by itself: the mirror of connections may be seconds behind its row.
    // One that is not shows nothing of the server, its status included.
    let viewer = if connection.active {
        Viewer::All
    } else {
        caller.viewer()
    };
    let server = match app.see(viewer, ServerId(connection.server_id)).await {
        Ok(server) => Some(server),
        Err(refusal) if refusal.status() == StatusCode::NOT_FOUND => None,
        Err(refusal) => return Err(refusal),
    };
    let state = server.as_ref().map_or(StateLabel::Unknown, |server| server.state);
    let reason = if !connection.active {
        Some("the connection is not active".to_owned())
    } else {
        match &server {
            None => Some("there is no such server".to_owned()),
            Some(server) if state != StateLabel::Running => Some(match &server.last_error {
                Some(error) => format!("the server is {state}: {}", error.message),
                None => format!("the server is {state}"),
            }),
            Some(_) => None,
        }
    };
    let status = if reason.is_none() {
        ConnectionLabel::Connected
    } else {
        ConnectionLabel::Disconnected
    };
    ok(&ConnectionStatus {
        connection_id: connection.connection_id,
        agent_id: connection.agent_id,
        server_id: connection.server_id,
        status,
        reason,
        server_status: state,
        health: server
            .as_ref()
            .map_or(HealthLabel::Unknown, |server| server.health),
        last_checked: server.as_ref().and_then(|server| server.as_of),
        uptime: server.as_ref().and_then(|server| server.uptime),
        stale: stale || server.as_ref().is_some_and(|server| server.stale),
    })
}

/// Register a connection
///
/// Lets the agent's owner see the server. By the server's owner, admins and services.
#[utoipa::path(post, path = "/v1/connections", operation_id = "createConnection", tag = "connections",
    request_body = NewConnection,
    responses((status = 201, description = "It is registered", body = Connection,
        headers(("Location" = String, description = "Where it is")))))]
pub(crate) async fn create_connection(
    State(app): State<App>,
    caller: Caller,
    _: Params<()>,
    ask: Ask,
) -> Result<Response> {
    let new: NewConnection = ask.read()?;
    let account = match (new.account_id, caller.0.account) {
        (Some(account), _) => AccountId(account),
        (None, Some(own)) => own,
        (None, None) => {
            let expected = "the account of the agent: the token names none";
            return Err(Refusal::field("accountId", expected));
        }
    };
    let server = app
        .command(caller.viewer(), ServerId(new.server_id))
        .await
        .map_err(|refusal| refusal.naming("serverId"))?;
    if let Some(again) = repeat::find(&app, &caller, &ask).await? {
        return Ok(again);
    }
    let entry = ConnectionEntry {
        id: ConnectionId(new.connection_id.unwrap_or_else(clock::new_id)),
        agent: new.agent_id,
        account,
        server: ServerId(new.server_id),
        active: new.active.unwrap_or(true),
    };
    let base = &app.base;
    let mut transaction = base.begin().await?;
    if base
        .write(entries::has_connection(&mut *transaction, entry.id))
        .await?
    {
        return Err(taken("connectionId", "there is a connection of this id"));
    }
    base.write(entries::add_connection(&mut *transaction, &entry))
        .await
        .map_err(entering::collided)?;
    let shown = Connection {
        connection_id: entry.id.0,
        agent_id: entry.agent,
        account_id: Some(account.0),
        server_id: entry.server.0,
        active: entry.active,
    };
    let mut answer = json(StatusCode::CREATED, &shown)?;
    answer.location = Some(format!("/v1/connections/{}", entry.id));
    let about = About {
        kind: CommandKind::Register,
        server: Some(entry.server),
        toolbox: Some(domain::ToolboxId(server.toolbox_id)),
        account: Some(AccountId(server.account_id)),
        message: format!("connection {} of agent {}", entry.id, entry.agent),
    };
    entering::finish(&app, &caller, &ask, transaction, about, answer).await
}

/// Change a connection
///
/// Puts it in force or out of it.
#[utoipa::path(patch, path = "/v1/connections/{connectionId}", operation_id = "changeConnection", tag = "connections",
    params(("connectionId" = Uuid, Path, description = "Which connection")), request_body = ConnectionChange,
    responses((status = 200, description = "The connection as it is now", body = Connection)))]
pub(crate) async fn change_connection(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    _: Params<()>,
    ask: Ask,
) -> Result<Response> {
    let id = ConnectionId(id);
    let change: ConnectionChange = ask.read()?;
    let (before, owner) = own(&app, &caller, id).await?;
    if let Some(again) = repeat::find(&app, &caller, &ask).await? {
        return Ok(again);
    }
    let mut transaction = app.base.begin().await?;
    let changing = entries::set_connection_active(&mut *transaction, id, change.active);
    if !app.base.write(changing).await.map_err(entering::collided)? {
        return Err(Refusal::not_found("connection"));
    }
    let answer = json(
        StatusCode::OK,
        &Connection {
            active: change.active,
            ..before.clone()
        },
    )?;
    let how = if change.active { "in force" } else { "out of force" };
    let about = about(
        CommandKind::Change,
        &before,
        owner,
        format!("connection {id} {how}"),
    );
    entering::finish(&app, &caller, &ask, transaction, about, answer).await
}

/// Delete a connection
#[utoipa::path(delete, path = "/v1/connections/{connectionId}", operation_id = "deleteConnection", tag = "connections",
    params(("connectionId" = Uuid, Path, description = "Which connection")),
    responses((status = 204, description = "It is forgotten")))]
pub(crate) async fn delete_connection(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    _: Params<()>,
    ask: Ask,
) -> Result<Response> {
    let id = ConnectionId(id);
    // Before it is looked for: after the first request it is gone.
    if let Some(again) = repeat::find(&app, &caller, &ask).await? {
        return Ok(again);
    }
    let (before, owner) = own(&app, &caller, id).await?;
    let mut transaction = app.base.begin().await?;
    let removing = entries::remove_connection(&mut *transaction, id);
    if !app.base.write(removing).await.map_err(entering::collided)? {
        return Err(Refusal::not_found("connection"));
    }
    let about = about(
        CommandKind::Unregister,
        &before,
        owner,
        format!("connection {id}"),
    );
    entering::finish(&app, &caller, &ask, transaction, about, entering::nothing()).await
}

fn about(kind: CommandKind, of: &Connection, owner: Option<AccountId>, message: String) -> About {
    About {
        kind,
        server: Some(ServerId(of.server_id)),
        toolbox: None,
        // One to a server that is gone is recorded with its agent's owner.
        account: owner.or(of.account_id.map(AccountId)),
        message,
    }
}
