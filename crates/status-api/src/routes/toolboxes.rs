//! Questions about toolboxes.

use access::may_command;
use axum::extract::State;
use axum::response::Response;
use domain::{AccountId, AgentStatus, ToolboxId};
use jiff::Timestamp;
use store::reading::{self, ToolboxReading};
use utoipa::IntoParams;
use uuid::Uuid;
use wire::ToolboxEvent;
use wire::api::{Toolbox, ToolboxLabel, ToolboxPage};

use crate::answer::ok;
use crate::app::App;
use crate::base::Trouble;
use crate::caller::Caller;
use crate::clock;
use crate::params::{FromQuery, Id, Params, Query};
use crate::refusal::{Refusal, Result};
use crate::view;

/// Which page.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// Most entries of the page.
    #[param(minimum = 1, maximum = 500, default = 100, value_type = Option<u16>)]
    pub(crate) limit: usize,
    /// What the page before gave as `next`.
    pub(crate) cursor: Option<Uuid>,
}

impl FromQuery for Page {
    fn take(query: &mut Query, app: &App) -> Result<Self> {
        Ok(Self {
            limit: query.limit(app)?,
            cursor: query.id("cursor")?,
        })
    }
}

/// List toolboxes
///
/// Those of the caller, in the order of their ids; everybody's, if he sees everything.
#[utoipa::path(get, path = "/v1/toolboxes", operation_id = "listToolboxes", tag = "toolboxes", params(Page),
    responses((status = 200, description = "The page", body = ToolboxPage)))]
pub(crate) async fn list_toolboxes(
    State(app): State<App>,
    caller: Caller,
    Params(page): Params<Page>,
) -> Result<Response> {
    let after = page.cursor.map(ToolboxId);
    let now = clock::now();
    let limit = u32::try_from(page.limit + 1).unwrap_or(u32::MAX);
    let read = app
        .base
        .read(async {
            let mut connection = app.base.database().pool().acquire().await?;
            reading::toolboxes(&mut connection, caller.account(), after, limit).await
        })
        .await;
    let (mut items, stale) = match read {
        Ok(rows) => (rows.iter().map(|row| of_row(row, now)).collect::<Vec<_>>(), false),
        Err(Trouble::Away) => {
            let known = app.fleet.toolboxes(caller.viewer(), after, page.limit + 1);
            let items = known.iter().map(|event| of_event(event, now)).collect();
            (items, true)
        }
        Err(refused) => return Err(refused.into()),
    };
    let more = items.len() > page.limit;
    items.truncate(page.limit);
    let next = items
        .last()
        .filter(|_| more)
        .map(|last| last.toolbox_id.to_string());
    let stale = app.stale(stale);
    ok(&ToolboxPage { items, next, stale })
}

/// Get a toolbox
///
/// With its servers.
#[utoipa::path(get, path = "/v1/toolboxes/{toolboxId}", operation_id = "getToolbox", tag = "toolboxes",
    params(("toolboxId" = Uuid, Path, description = "Which toolbox")),
    responses((status = 200, description = "The toolbox", body = Toolbox)))]
pub(crate) async fn get_toolbox(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    _: Params<()>,
) -> Result<Response> {
    let id = ToolboxId(id);
    let now = clock::now();
    let read = app
        .base
        .read(async {
            let mut connection = app.base.database().pool().acquire().await?;
            let Some(toolbox) = reading::toolbox(&mut connection, id).await? else {
                return Ok(None);
            };
            let servers = reading::servers_on(&mut connection, id).await?;
            Ok(Some((toolbox, servers)))
        })
        .await;
    match read {
        Ok(found) => {
            let (row, servers) = found
                .filter(|(row, _)| may_command(caller.viewer(), row.toolbox.account))
                .ok_or_else(|| Refusal::not_found("toolbox"))?;
            let rows = app.rows.take(servers);
            let shown = rows.iter().filter_map(|row| {
                let event = app.fleet.server(row.server.id);
                app.shown(event.as_deref(), Some(row), false)
            });
            let mut toolbox = of_row(&row, now);
            toolbox.servers = Some(shown.collect());
            ok(&toolbox)
        }
        Err(Trouble::Away) => {
            let event = app
                .fleet
                .toolbox(id)
                .filter(|event| may_command(caller.viewer(), AccountId(event.account_id)))
                .ok_or(Trouble::Away)?;
            let owner = access::Viewer::Account(AccountId(event.account_id));
            let here = |server: &wire::ServerStatus| {
                server.toolbox_id == id.0 && server.account_id == event.account_id
            };
            let servers = app.fleet.visible(owner, None, usize::MAX, here);
            let shown = servers.iter().filter_map(|event| {
                let row = app.rows.last(domain::ServerId(event.server_id));
                app.shown(Some(event), row.as_deref(), true)
            });
            let mut toolbox = of_event(&event, now);
            toolbox.servers = Some(shown.collect());
            app.stale(true);
            ok(&toolbox)
        }
        Err(refused) => Err(refused.into()),
    }
}

/// A toolbox that the caller may command.
///
/// # Errors
/// 404 for another's as for none: a toolbox is its owner's alone. 503 while the database is away.
pub(crate) async fn find(app: &App, caller: &Caller, id: ToolboxId) -> Result<ToolboxReading> {
    let read = app
        .base
        .read(async {
            let mut connection = app.base.database().pool().acquire().await?;
            reading::toolbox(&mut connection, id).await
        })
        .await?;
    read.filter(|row| may_command(caller.viewer(), row.toolbox.account))
        .ok_or_else(|| Refusal::not_found("toolbox"))
}

/// A row as it is shown.
pub(crate) fn of_row(row: &ToolboxReading, now: Timestamp) -> Toolbox {
    let toolbox = &row.toolbox;
    Toolbox {
        toolbox_id: toolbox.id.0,
        account_id: toolbox.account.0,
        name: toolbox.name.clone(),
        status: toolbox.status.into(),
        problem: toolbox.problem.as_ref().map(wire::LastError::from),
        agent_version: toolbox.agent_version.clone(),
        last_heartbeat: toolbox.heard_at,
        age: toolbox.heard_at.map(|at| view::seconds(at, now)),
        base_url: row.base_url.clone(),
        public_ip_address: row.public_ip.clone(),
        has_token: row.has_token,
        servers: None,
        stale: false,
    }
}

/// What was announced of a toolbox, as it is shown while its row cannot be read.
fn of_event(event: &ToolboxEvent, now: Timestamp) -> Toolbox {
    Toolbox {
        toolbox_id: event.toolbox_id,
        account_id: event.account_id,
        name: event.name.clone(),
        status: event
            .status
            .parse()
            .unwrap_or(ToolboxLabel::from(AgentStatus::Unseen)),
        problem: event.problem.clone(),
        agent_version: event.agent_version.clone(),
        last_heartbeat: event.last_heartbeat,
        age: event.last_heartbeat.map(|at| view::seconds(at, now)),
        base_url: None,
        public_ip_address: None,
        has_token: false,
        servers: None,
        stale: true,
    }
}
