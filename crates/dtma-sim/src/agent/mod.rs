//! The agent's side of HTTP: what a request to a toolbox is answered with, misbehaviour included.

mod commands;
mod reply;
mod route;
mod spoilt;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;

use crate::misbehaviour::Misbehaviour;
use crate::net::Wire;
use crate::payload;
use crate::sim::Shared;
use crate::toolbox::{Dialect, State, Toolbox};

pub(crate) use reply::Reply;
use route::Route;
pub(crate) use route::RouteKey;

/// Largest body of a command, in bytes. Node's JSON parser stops at 100 KiB; an install is far smaller.
const MAX_COMMAND: usize = 100 * 1024;

/// Counts a request for as long as it is being answered, and out again however that ends.
struct Counted<'a> {
    toolbox: &'a Toolbox,
    key: RouteKey,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.toolbox.lock().stats.request_over(self.key);
    }
}

/// Answers one request to the agent of the toolbox at `index`; `path` is below its base URL.
pub(crate) async fn answer(
    shared: &Shared,
    index: usize,
    path: &str,
    wire: &Arc<Wire>,
    request: Request,
) -> Response {
    let Some(toolbox) = shared.fleet.toolboxes.get(index) else {
        return Reply::error(StatusCode::NOT_FOUND, "Not Found").into_response(shared, false);
    };
    let _busy = wire.busy();
    let (parts, body) = request.into_parts();
    let route = Route::parse(&parts.method, path);
    let key = route.key();
    let body = collect(body).await;
    // From here to the stale reading of the state nothing waits: whoever sees the request counted may change the
    // state and be sure that the answer tells of before.
    let (meets, _counted) = {
        let mut state = toolbox.lock();
        state.stats.request(key);
        (state.faults.meet(key), Counted { toolbox, key })
    };

    // The misbehaviours that come before any answer, and leave a command undone.
    match &meets.answer {
        Some(Misbehaviour::Hang) => {
            shared.shutdown.cancelled().await;
            return wire.close();
        }
        Some(Misbehaviour::Refuse) => return wire.close(),
        Some(what) => {
            if let Some(reply) = spoilt::instead(what) {
                wait(shared, &meets).await;
                return finish(shared, toolbox, &parts.headers, reply, None, wire);
            }
        }
        None => {}
    }

    let early = meets.wait.is_some_and(|(_, stale)| stale);
    if !early {
        wait(shared, &meets).await;
    }
    let reply = match body {
        Ok(body) => act(shared, toolbox, path, &route, &parts.headers, &body).await,
        Err(reply) => reply,
    };
    if early {
        wait(shared, &meets).await;
    }
    finish(
        shared,
        toolbox,
        &parts.headers,
        reply,
        meets.answer.as_ref(),
        wire,
    )
}

/// Waits as a slow agent does; a shutdown ends it early.
async fn wait(shared: &Shared, meets: &crate::faults::Meets) {
    if let Some((delay, _)) = meets.wait {
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = shared.shutdown.cancelled() => {}
        }
    }
}

async fn collect(body: Body) -> Result<Bytes, Reply> {
    axum::body::to_bytes(body, MAX_COMMAND)
        .await
        .map_err(|_| Reply::error(StatusCode::PAYLOAD_TOO_LARGE, "request entity too large"))
}

/// Sends a reply, spoilt if that is what the request meets, and counts its code.
fn finish(
    shared: &Shared,
    toolbox: &Toolbox,
    headers: &HeaderMap,
    reply: Reply,
    spoil: Option<&Misbehaviour>,
    wire: &Arc<Wire>,
) -> Response {
    let gzip = shared.gzip && reply::accepts_gzip(headers);
    let response = match spoil {
        Some(what) => spoilt::spoil(shared, what, reply, wire),
        None => reply.into_response(shared, gzip),
    };
    toolbox.lock().stats.answer(response.status().as_u16());
    response
}

/// Does what the request asks, if its sender may.
async fn act(
    shared: &Shared,
    toolbox: &Toolbox,
    path: &str,
    route: &Route,
    headers: &HeaderMap,
    body: &[u8],
) -> Reply {
    {
        let state = toolbox.settled(shared.clock.now());
        if needs_token(toolbox.dialect, route)
            && let Err(refusal) = authorise(toolbox, &state, headers)
        {
            return refusal;
        }
        if let Some(payload) = state.payloads.get(path).filter(|_| !route.key().is_command()) {
            return Reply::verbatim(payload);
        }
    }
    match route {
        Route::Health => Reply::text("OK"),
        Route::Status | Route::ToolsStatus => status(shared, toolbox, route),
        Route::Install => commands::install(shared, toolbox, body).await,
        Route::Start(name) => commands::start(shared, toolbox, name),
        Route::Stop(name) => commands::stop(shared, toolbox, name),
        Route::Delete(name) => commands::delete(shared, toolbox, name),
        Route::Other { .. } => Reply::error(StatusCode::NOT_FOUND, "Not Found"),
    }
}

fn status(shared: &Shared, toolbox: &Toolbox, route: &Route) -> Reply {
    let now = shared.clock.now();
    let state = toolbox.settled(now);
    let time = toolbox.time(&state, now);
    match (route, toolbox.dialect) {
        (Route::ToolsStatus, Dialect::B) => payload::tools_status(toolbox, &state, time).map_or_else(
            || Reply::error(StatusCode::INTERNAL_SERVER_ERROR, payload::DOCKER_FAILED),
            Reply::json,
        ),
        (Route::ToolsStatus, _) => Reply::error(StatusCode::NOT_FOUND, "Not Found"),
        (_, Dialect::A) => Reply::json(payload::managed_status(toolbox, &state, time)),
        _ => Reply::json(payload::open_status(toolbox, &state, time)),
    }
}

/// Whether the agent asks for its token on this route.
fn needs_token(dialect: Dialect, route: &Route) -> bool {
    match route {
        Route::Health => false,
        Route::Status => dialect == Dialect::A,
        Route::Other { below_tools } => *below_tools,
        _ => true,
    }
}

/// The agent's check of a bearer token, with its answers in its order.
fn authorise(toolbox: &Toolbox, state: &State, headers: &HeaderMap) -> Result<(), Reply> {
    if state.faults.no_token() {
        return Err(Reply::error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "DTMA configuration error",
        ));
    }
    let sent = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    match sent.and_then(|value| value.strip_prefix("Bearer ")) {
        None => Err(Reply::error(
            StatusCode::UNAUTHORIZED,
            "Unauthorized: Missing or invalid token format",
        )),
        Some(token) if token != toolbox.token => {
            Err(Reply::error(StatusCode::FORBIDDEN, "Forbidden: Invalid token"))
        }
        Some(_) => Ok(()),
    }
}
