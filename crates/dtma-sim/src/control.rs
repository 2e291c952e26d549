//! The routers: the scripting API below `/control`, and the agents on the shared and on their own ports.

use std::sync::Arc;

use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::action::ContainerAction;
use crate::agent::{self, Reply};
use crate::error::SimError;
use crate::fields::{BadField, Fields};
use crate::heartbeat;
use crate::misbehaviour::{Misbehaviour, Order};
use crate::net::Peer;
use crate::registry;
use crate::sim::Shared;
use crate::stats::{StatsReport, ToolboxStats};
use crate::toolbox::{ContainerView, Payload, Toolbox, ToolboxInfo};

/// Largest body of a control request or payload file, in bytes.
pub(crate) const MAX_BODY: usize = 16 * 1024 * 1024;

type Api = State<Arc<Shared>>;
type Answer<T> = Result<Json<T>, SimError>;

impl IntoResponse for SimError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::UnknownToolbox(_) | Self::UnknownContainer { .. } | Self::UnknownAction(_) => {
                StatusCode::NOT_FOUND
            }
            Self::Refused(_) | Self::NoHeartbeatUrl => StatusCode::CONFLICT,
            Self::BadField(_) => StatusCode::BAD_REQUEST,
            Self::HeartbeatUnanswered(_) => StatusCode::BAD_GATEWAY,
        };
        (status, Json(json!({ "error": self.to_string() }))).into_response()
    }
}

/// A toolbox with everything a script may ask about it.
#[derive(Serialize)]
struct Detail {
    #[serde(flatten)]
    info: ToolboxInfo,
    containers: Vec<ContainerView>,
    misbehaviour: Vec<Order>,
    payloads: Vec<String>,
    stats: ToolboxStats,
}

/// Control API and agents, for the shared port.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let control = Router::new()
        .route("/fleet", get(fleet))
        .route("/stats", get(stats).delete(reset_stats))
        .route("/misbehave", post(misbehave_all))
        .route("/clear", post(clear_all))
        .route("/toolboxes/{toolbox}", get(detail))
        .route("/toolboxes/{toolbox}/stats", get(toolbox_stats))
        .route("/toolboxes/{toolbox}/misbehave", post(misbehave))
        .route("/toolboxes/{toolbox}/clear", post(clear))
        .route("/toolboxes/{toolbox}/heartbeat-now", post(heartbeat_now))
        .route("/toolboxes/{toolbox}/serve-payload", post(serve_payload))
        .route("/toolboxes/{toolbox}/restart-agent", post(restart_agent))
        .route("/toolboxes/{toolbox}/containers/{container}", get(container))
        .route("/toolboxes/{toolbox}/containers/{container}/{action}", post(act))
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(MAX_BODY));
    Router::new()
        .nest("/control", control)
        .fallback(agent_below_prefix)
        .with_state(shared)
}

/// Agents alone, each at the root of its own port.
pub(crate) fn agents_only(shared: Arc<Shared>) -> Router {
    Router::new().fallback(agent_at_root).with_state(shared)
}

async fn agent_below_prefix(
    State(shared): Api,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
) -> Response {
    let path = request.uri().path().to_owned();
    let split = path.strip_prefix("/t/").map(|rest| match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/"),
    });
    let found = split.and_then(|(id, below)| Some((shared.fleet.index_of(id.parse().ok()?)?, below)));
    match found {
        Some((index, below)) => agent::answer(&shared, index, below, &peer.wire, request).await,
        None => Reply::error(
            StatusCode::NOT_FOUND,
            "there is no agent at this path; they are at /t/{toolbox id}/…",
        )
        .into_response(&shared, false),
    }
}

async fn agent_at_root(
    State(shared): Api,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
) -> Response {
    let path = request.uri().path().to_owned();
    // The port belongs to a toolbox: the listener of this router has no other ports.
    let index = peer.toolbox.unwrap_or(usize::MAX);
    agent::answer(&shared, index, &path, &peer.wire, request).await
}

async fn nothing_here() -> Response {
    (
        StatusCode::NOT_FOUND,
        Json(json!({ "error": "there is no such control path" })),
    )
        .into_response()
}

async fn wrong_method() -> Response {
    let error = json!({ "error": "this control path takes another method" });
    (StatusCode::METHOD_NOT_ALLOWED, Json(error)).into_response()
}

async fn fleet(State(shared): Api) -> Response {
    Json(registry::listing(&shared)).into_response()
}

async fn stats(State(shared): Api) -> Json<StatsReport> {
    Json(shared.stats())
}

async fn reset_stats(State(shared): Api) -> StatusCode {
    shared
        .fleet
        .toolboxes
        .iter()
        .for_each(|toolbox| toolbox.lock().stats.reset());
    StatusCode::NO_CONTENT
}

async fn detail(State(shared): Api, Path(key): Path<String>) -> Answer<Detail> {
    let toolbox = shared.fleet.find(&key)?;
    let (info, containers) = (toolbox.info(), toolbox.views(shared.clock.now()));
    let state = toolbox.lock();
    Ok(Json(Detail {
        info,
        containers,
        misbehaviour: state.faults.orders(),
        payloads: state.payloads.keys().cloned().collect(),
        stats: state.stats.clone(),
    }))
}

async fn toolbox_stats(State(shared): Api, Path(key): Path<String>) -> Answer<ToolboxStats> {
    Ok(Json(shared.fleet.find(&key)?.lock().stats.clone()))
}

async fn container(
    State(shared): Api,
    Path((key, container)): Path<(String, String)>,
) -> Answer<ContainerView> {
    shared
        .fleet
        .find(&key)?
        .view_of(&container, shared.clock.now())
        .map(Json)
}

async fn act(
    State(shared): Api,
    Path((key, container, action)): Path<(String, String, String)>,
    body: Bytes,
) -> Answer<ContainerView> {
    let toolbox = shared.fleet.find(&key)?;
    let parsed = ContainerAction::parse(&action, Fields::parse(&body)?);
    let action = parsed.ok_or(SimError::UnknownAction(action))??;
    toolbox.act(&container, &action, shared.clock.now()).map(Json)
}

async fn misbehave(State(shared): Api, Path(key): Path<String>, body: Bytes) -> Answer<Value> {
    let toolbox = shared.fleet.find(&key)?;
    let mut fields = Fields::parse(&body)?;
    let order = Order::read(&mut fields)?;
    fields.finish()?;
    let mut state = toolbox.lock();
    state.faults.set(order);
    Ok(Json(json!({ "misbehaviour": state.faults.orders() })))
}

async fn clear(State(shared): Api, Path(key): Path<String>, body: Bytes) -> Answer<Value> {
    let toolbox = shared.fleet.find(&key)?;
    let mut fields = Fields::parse(&body)?;
    let kind = read_kind(&mut fields)?;
    fields.finish()?;
    toolbox.clear(kind.as_deref());
    Ok(Json(json!({ "misbehaviour": toolbox.lock().faults.orders() })))
}

/// Many at once: the toolboxes named, or all.
async fn misbehave_all(State(shared): Api, body: Bytes) -> Answer<Value> {
    let mut fields = Fields::parse(&body)?;
    let order = Order::read(&mut fields)?;
    let chosen = read_toolboxes(&shared, &mut fields)?;
    fields.finish()?;
    for index in &chosen {
        shared.fleet.toolboxes[*index].lock().faults.set(order.clone());
    }
    Ok(Json(json!({ "toolboxes": chosen.len() })))
}

async fn clear_all(State(shared): Api, body: Bytes) -> Answer<Value> {
    let mut fields = Fields::parse(&body)?;
    let kind = read_kind(&mut fields)?;
    let chosen = read_toolboxes(&shared, &mut fields)?;
    fields.finish()?;
    for index in &chosen {
        shared.fleet.toolboxes[*index].clear(kind.as_deref());
    }
    Ok(Json(json!({ "toolboxes": chosen.len() })))
}

async fn heartbeat_now(State(shared): Api, Path(key): Path<String>) -> Answer<Value> {
    let toolbox = shared.fleet.find(&key)?;
    let code = heartbeat::post_now(&shared, toolbox, None).await?;
    Ok(Json(json!({ "answer": code })))
}

async fn restart_agent(State(shared): Api, Path(key): Path<String>) -> Answer<Value> {
    let code = shared.restart_agent(shared.fleet.find(&key)?).await?;
    Ok(Json(json!({ "heartbeat_answer": code })))
}

/// `{"path": "/status", "body": …, "status": 200}` to serve, or `{"heartbeat": true, "body": …}` to post once.
async fn serve_payload(State(shared): Api, Path(key): Path<String>, body: Bytes) -> Answer<Value> {
    let toolbox = shared.fleet.find(&key)?;
    let mut fields = Fields::parse(&body)?;
    let verbatim = fields
        .raw("body")
        .ok_or_else(|| BadField::new("body", "is missing; it must be JSON"))?;
    let verbatim = Bytes::from(verbatim.get().to_owned());
    if fields.opt("heartbeat", "true or false")?.unwrap_or(false) {
        fields.finish()?;
        let code = heartbeat::post_now(&shared, toolbox, Some(verbatim)).await?;
        return Ok(Json(json!({ "answer": code })));
    }
    let path: String = fields.need("path", "a path below the agent's base URL")?;
    if !path.starts_with('/') {
        return Err(BadField::new("path", "must begin with `/`").into());
    }
    let code = "a status code from 200 to 599";
    let status = fields.opt::<u16>("status", code)?.unwrap_or(200);
    if !(200..=599).contains(&status) {
        return Err(BadField::new("status", format!("must be {code}")).into());
    }
    fields.finish()?;
    let content_type = "application/json; charset=utf-8".to_owned();
    serve(
        toolbox,
        &path,
        Payload {
            status,
            content_type,
            body: verbatim,
        },
    )
}

fn serve(toolbox: &Toolbox, path: &str, payload: Payload) -> Answer<Value> {
    toolbox.serve(path, payload)?;
    Ok(Json(json!({ "path": path })))
}

fn read_kind(fields: &mut Fields) -> Result<Option<String>, SimError> {
    let kinds = format!("one of {}", Misbehaviour::KINDS.join(", "));
    match fields.opt::<String>("kind", &kinds)? {
        Some(kind) if !Misbehaviour::KINDS.contains(&kind.as_str()) => {
            Err(BadField::new("kind", format!("must be {kinds}")).into())
        }
        kind => Ok(kind),
    }
}

fn read_toolboxes(shared: &Shared, fields: &mut Fields) -> Result<Vec<usize>, SimError> {
    let ids = fields.opt::<Vec<Uuid>>("toolboxes", "a list of toolbox ids")?;
    shared.select(ids.as_deref())
}
