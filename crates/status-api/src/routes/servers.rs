//! Questions about servers.

use std::collections::BTreeSet;

use access::Viewer;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use domain::{AccountId, ServerId};
use store::reading::{self, HistoryRow};
use utoipa::IntoParams;
use uuid::Uuid;
use wire::StatusEvent;
use wire::api::{HealthLabel, History, HistoryEntry, Server, ServerPage, StateLabel};

use crate::answer::ok;
use crate::app::App;
use crate::base::Trouble;
use crate::caller::Caller;
use crate::clock;
use crate::params::{FromQuery, Id, Params, Query};
use crate::refusal::Result;
use crate::view;

/// Which servers to list.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListServers {
    /// Only those in this state.
    state: Option<StateLabel>,
    /// Only those of this health.
    health: Option<HealthLabel>,
    /// Only those on this toolbox.
    #[param(rename = "toolboxId")]
    toolbox: Option<Uuid>,
    /// Only those whose name has this in it, in either case.
    #[param(max_length = 255)]
    name: Option<String>,
    /// Only those that are watched, or that are not.
    monitored: Option<bool>,
    /// Most entries of the page.
    #[param(minimum = 1, maximum = 500, default = 100, value_type = Option<u16>)]
    limit: usize,
    /// What the page before gave as `next`.
    cursor: Option<Uuid>,
}

impl FromQuery for ListServers {
    fn take(query: &mut Query, app: &App) -> Result<Self> {
        let name = query.read("name", "at most 255 characters", |text| {
            (text.chars().count() <= 255).then(|| text.to_lowercase())
        })?;
        Ok(Self {
            state: query.read(
                "state",
                "running, stopped, starting, stopping, error or unknown",
                |text| text.parse().ok(),
            )?,
            health: query.read("health", "healthy, degraded, unhealthy or unknown", |text| {
                text.parse().ok()
            })?,
            toolbox: query.id("toolboxId")?,
            name,
            monitored: query.flag("monitored")?,
            limit: query.limit(app)?,
            cursor: query.id("cursor")?,
        })
    }
}

impl ListServers {
    fn fits(&self, server: &Server) -> bool {
        self.toolbox.is_none_or(|toolbox| server.toolbox_id == toolbox)
            && self.state.is_none_or(|state| server.state == state)
            && self.health.is_none_or(|health| server.health == health)
            && self
                .monitored
                .is_none_or(|monitored| server.monitored == monitored)
            && self.names(&server.name)
    }

    fn names(&self, name: &str) -> bool {
        self.name
            .as_ref()
            .is_none_or(|part| name.to_lowercase().contains(part))
    }
}

/// List servers
///
/// All servers that the caller may see, in the order of their ids. A page may have fewer entries than asked for; the last
/// one has no `next`.
#[utoipa::path(get, path = "/v1/servers", operation_id = "listServers", tag = "servers", params(ListServers),
    responses((status = 200, description = "The page", body = ServerPage)))]
pub(crate) async fn list_servers(
    State(app): State<App>,
    caller: Caller,
    Params(which): Params<ListServers>,
) -> Result<Response> {
    let viewer = caller.viewer();
    let after = which.cursor.map(ServerId);
    let most = which.limit + 1;
    // By events first: of many servers few rows are read.
    let events = app.fleet.visible(viewer, after, most, |event| {
        let (state, health) = view::labels(event);
        which.toolbox.is_none_or(|toolbox| event.toolbox_id == toolbox)
            && which.state.is_none_or(|wanted| wanted == state)
            && which.health.is_none_or(|wanted| wanted == health)
            && which.monitored.is_none_or(|wanted| wanted == event.monitored)
            && which.names(&event.name)
    });
    let mut ids: BTreeSet<ServerId> = events.iter().map(|event| ServerId(event.server_id)).collect();
    // Beyond the last of a full page there may be more of either kind.
    let mut stale = false;
    match unannounced(&app, &caller, after, most).await {
        Ok(more) => ids.extend(more),
        Err(Trouble::Away) => stale = true,
        Err(refused) => return Err(refused.into()),
    }
    let mut ids: Vec<ServerId> = ids.into_iter().collect();
    let more = ids.len() > which.limit;
    ids.truncate(which.limit);
    let next = ids.last().filter(|_| more).map(|last| last.0.to_string());
    let found = app.rows.find(&app.base, &ids).await?;
    stale |= found.stale;
    let behind = app.is_behind();
    let now = clock::now();
    let items = ids.iter().filter_map(|id| {
        let row = found.rows.get(id).map(|row| &**row);
        if row.is_none() && !found.stale {
            // Deleted, and not announced yet.
            return None;
        }
        let event = app.fleet.server(*id);
        view::server(event.as_deref(), row, now, stale || behind)
            .filter(|server| app.may_see(viewer, AccountId(server.account_id), *id))
            .filter(|server| which.fits(server))
    });
    let page = ServerPage {
        items: items.collect(),
        next,
        stale: app.stale(stale || behind),
    };
    ok(&page)
}

/// Servers that no event tells of.
async fn unannounced(
    app: &App,
    caller: &Caller,
    after: Option<ServerId>,
    most: usize,
) -> std::result::Result<Vec<ServerId>, Trouble> {
    let granted = granted(app, caller.viewer());
    let limit = u32::try_from(most).unwrap_or(u32::MAX);
    let asking = reading::unannounced(
        app.base.database().pool(),
        caller.account(),
        &granted,
        after,
        limit,
    );
    app.base.read(asking).await
}

/// The servers that a viewer sees by connections.
pub(crate) fn granted(app: &App, viewer: Viewer) -> Vec<ServerId> {
    match viewer {
        Viewer::All => Vec::new(),
        Viewer::Account(account) => app.fleet.connections().servers_of(account).into_iter().collect(),
    }
}

/// Get a server's status
///
/// With `If-None-Match`, answers 304 while nothing but the time has changed.
#[utoipa::path(get, path = "/v1/servers/{serverId}", operation_id = "getServer", tag = "servers",
    params(("serverId" = Uuid, Path, description = "Which server")),
    responses((status = 200, description = "Its status", body = Server,
            headers(("ETag" = String, description = "Changes with everything but what merely passes with time"))),
        (status = 304, description = "It is as it was")))]
pub(crate) async fn get_server(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    _: Params<()>,
    headers: HeaderMap,
) -> Result<Response> {
    let server = app.see(caller.viewer(), ServerId(id)).await?;
    let etag = view::etag(&server);
    let unchanged = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .any(|value| value.to_str().is_ok_and(|value| view::matches(value, &etag)));
    let mut response = if unchanged {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ok(&server)?
    };
    if let Ok(value) = HeaderValue::try_from(etag) {
        response.headers_mut().insert(header::ETAG, value);
    }
    Ok(response)
}

/// Which part of a history.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Part {
    /// Most entries of the page.
    #[param(minimum = 1, maximum = 500, default = 100, value_type = Option<u16>)]
    limit: usize,
    /// What the page before gave as `next`.
    #[param(pattern = "^[0-9]{1,18}$", value_type = Option<String>)]
    cursor: Option<u64>,
}

impl FromQuery for Part {
    fn take(query: &mut Query, app: &App) -> Result<Self> {
        let cursor = query.read("cursor", "what a page gave as next", |text| {
            let digits = (1..=18).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_| digits)
        })?;
        Ok(Self {
            limit: query.limit(app)?,
            cursor,
        })
    }
}

/// Get a server's history
///
/// Its changes, newest first, with how long each lasted. While the database is away only the newest is known.
#[utoipa::path(get, path = "/v1/servers/{serverId}/history", operation_id = "getServerHistory", tag = "servers",
    params(("serverId" = Uuid, Path, description = "Which server"), Part),
    responses((status = 200, description = "Its changes", body = History)))]
pub(crate) async fn get_server_history(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    Params(part): Params<Part>,
) -> Result<Response> {
    let id = ServerId(id);
    let server = app.see(caller.viewer(), id).await?;
    let now = clock::now();
    let limit = u32::try_from(part.limit + 1).unwrap_or(u32::MAX);
    let owner = AccountId(server.account_id);
    let asking = reading::history(app.base.database().pool(), id, owner, part.cursor, limit);
    let history = match app.base.read(asking).await {
        Ok(mut rows) => {
            let more = rows.len() > part.limit;
            rows.truncate(part.limit);
            let next = rows.last().filter(|_| more).map(|row| row.version.to_string());
            History {
                items: rows.iter().map(|row| entry(row, now)).collect(),
                next,
                stale: false,
            }
        }
        Err(Trouble::Away) => {
            app.stale(true);
            History {
                items: last_known(&app, id, part.cursor, now).into_iter().collect(),
                next: None,
                stale: true,
            }
        }
        Err(refused) => return Err(refused.into()),
    };
    ok(&history)
}

fn entry(row: &HistoryRow, now: jiff::Timestamp) -> HistoryEntry {
    let event = StatusEvent::decode(row.event.as_bytes()).ok();
    let status = match event {
        Some(StatusEvent::Status(status)) => Some(status),
        _ => None,
    };
    let labels = status.as_ref().map(view::labels);
    HistoryEntry {
        version: row.version,
        at: row.at,
        duration: view::seconds(row.at, row.until.unwrap_or(now)),
        state: labels.map(|(state, _)| state),
        health: labels.map(|(_, health)| health),
        cause: status.as_ref().and_then(|status| status.cause.clone()),
        as_of: status.as_ref().and_then(|status| status.as_of),
        last_error: status.and_then(|status| status.last_error),
    }
}

/// The newest change, from memory.
fn last_known(app: &App, id: ServerId, before: Option<u64>, now: jiff::Timestamp) -> Option<HistoryEntry> {
    let event = app.fleet.server(id)?;
    if before.is_some_and(|before| event.version >= before) {
        return None;
    }
    let (state, health) = view::labels(&event);
    Some(HistoryEntry {
        version: event.version,
        at: event.changed_at,
        duration: view::seconds(event.changed_at, now),
        state: Some(state),
        health: Some(health),
        last_error: event.last_error.clone(),
        cause: event.cause.clone(),
        as_of: event.as_of,
    })
}
