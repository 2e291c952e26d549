//! Install, start, stop and delete, as the agent answers them.

use std::borrow::Cow;

use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::reply::Reply;
use crate::action::{ContainerAction, valid_name};
use crate::catalog;
use crate::container::Life;
use crate::payload;
use crate::sim::Shared;
use crate::toolbox::{InstanceInfo, MAX_CONTAINERS, State, Toolbox};

/// What a process ends with on the SIGTERM of `docker stop`.
const SIGTERM_EXIT: i32 = 143;

const CREATED: StatusCode = StatusCode::CREATED;
const BAD: StatusCode = StatusCode::BAD_REQUEST;
const MISSING: StatusCode = StatusCode::NOT_FOUND;
const CONFLICT: StatusCode = StatusCode::CONFLICT;
const FAILED: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;

/// What an install names.
struct Install {
    image: String,
    name: String,
    instance: Uuid,
    port: Option<(u16, u16)>,
}

/// `POST /tools`: pulls, creates and starts within the request.
pub(super) async fn install(shared: &Shared, toolbox: &Toolbox, body: &[u8]) -> Reply {
    let wanted = match read_install(body) {
        Ok(wanted) => wanted,
        Err(reply) => return reply,
    };
    if let Some(refusal) = conflict(&toolbox.settled(shared.clock.now()), &wanted) {
        return refusal;
    }
    tokio::select! {
        () = tokio::time::sleep(shared.delays.pull) => {}
        () = shared.shutdown.cancelled() => return failed("deploy", &wanted.name, "the agent is going down"),
    }
    let now = shared.clock.now();
    let mut state = toolbox.settled(now);
    // Another install of the same name may have won while this one pulled.
    if let Some(refusal) = conflict(&state, &wanted) {
        return refusal;
    }
    if state.faults.docker_down() {
        return docker_down("deploy", &wanted.name);
    }
    // Instances count too: a script may have taken their containers away.
    if state.containers.len().max(state.instances.len()) >= MAX_CONTAINERS {
        return failed("deploy", &wanted.name, "no space left on device");
    }
    let id = toolbox.fresh_id(&mut state);
    let image = Cow::Owned(wanted.image);
    let mut made = catalog::container(id, &wanted.name, image, "node server.js", now, Life::Created);
    made.port = wanted.port;
    let start = ContainerAction::Start {
        delay: shared.delays.start,
    };
    if let Err(error) = start.apply(&mut made, now) {
        return failed("deploy", &wanted.name, &error);
    }
    let time = toolbox.time(&state, now);
    let answer = json!({
        "success": true,
        "message": format!("Tool '{}' deployed successfully.", wanted.name),
        "data": {
            "container_id": made.hex_id(),
            "instance_name_on_toolbox": wanted.name,
            "account_tool_instance_id": wanted.instance,
            "image": made.image,
            "ports": bindings(wanted.port),
            "state": payload::inspect_state(&made, &made.observe(now), time),
        },
    });
    state.containers.push(made);
    state.managed.insert(wanted.name.clone(), wanted.instance);
    state
        .instances
        .retain(|instance| instance.id != wanted.instance && instance.name != wanted.name);
    state.instances.push(InstanceInfo {
        id: wanted.instance,
        name: wanted.name,
    });
    Reply::value(CREATED, &answer)
}

/// `POST /tools/{name}/start`: answers at once; the container comes up within the start delay.
pub(super) fn start(shared: &Shared, toolbox: &Toolbox, name: &str) -> Reply {
    let now = shared.clock.now();
    let mut state = toolbox.settled(now);
    let index = match managed(&state, name, "start") {
        Ok(index) => index,
        Err(reply) => return reply,
    };
    // Docker counts paused and restarting containers as running.
    if state.containers[index].observe(now).counts_as_running() {
        return done(
            toolbox,
            &state,
            index,
            now,
            &format!("Tool instance '{name}' is already running."),
        );
    }
    let start = ContainerAction::Start {
        delay: shared.delays.start,
    };
    match start.apply(&mut state.containers[index], now) {
        Ok(()) => done(
            toolbox,
            &state,
            index,
            now,
            &format!("Tool instance '{name}' started."),
        ),
        Err(error) => failed("start", name, &error),
    }
}

/// `POST /tools/{name}/stop`: answers at once; the container ends within the stop delay.
pub(super) fn stop(shared: &Shared, toolbox: &Toolbox, name: &str) -> Reply {
    let now = shared.clock.now();
    let mut state = toolbox.settled(now);
    let index = match managed(&state, name, "stop") {
        Ok(index) => index,
        Err(reply) => return reply,
    };
    let stop = ContainerAction::Stop {
        exit_code: SIGTERM_EXIT,
        delay: shared.delays.stop,
    };
    match stop.apply(&mut state.containers[index], now) {
        Ok(()) => done(
            toolbox,
            &state,
            index,
            now,
            &format!("Tool instance '{name}' stopped."),
        ),
        Err(error) => failed("stop", name, &error),
    }
}

/// `DELETE /tools/{name}`: gone when it answers.
pub(super) fn delete(shared: &Shared, toolbox: &Toolbox, name: &str) -> Reply {
    let mut state = toolbox.settled(shared.clock.now());
    let index = match managed(&state, name, "remove") {
        Ok(index) => index,
        Err(reply) => return reply,
    };
    state.containers.remove(index);
    state.managed.remove(name);
    state.instances.retain(|instance| instance.name != name);
    let message = format!("Tool instance '{name}' removed successfully.");
    Reply::value(StatusCode::OK, &json!({ "success": true, "message": message }))
}

/// The container of a name the agent manages, or the agent's refusal.
fn managed(state: &State, name: &str, verb: &str) -> Result<usize, Reply> {
    if !state.managed.contains_key(name) {
        let error = format!("Tool instance '{name}' not found or not managed by this DTMA.");
        return Err(Reply::value(
            MISSING,
            &json!({ "success": false, "error": error }),
        ));
    }
    if state.faults.docker_down() {
        return Err(docker_down(verb, name));
    }
    state.by_name(name).ok_or_else(|| {
        let error = format!("(HTTP code 404) no such container - No such container: {name}");
        let message = format!("Failed to {verb} tool instance '{name}'.");
        Reply::value(
            MISSING,
            &json!({ "success": false, "message": message, "error": error }),
        )
    })
}

fn done(toolbox: &Toolbox, state: &State, index: usize, now: Timestamp, message: &str) -> Reply {
    let container = &state.containers[index];
    let inspected = payload::inspect_state(container, &container.observe(now), toolbox.time(state, now));
    Reply::value(
        StatusCode::OK,
        &json!({ "success": true, "message": message, "data": { "state": inspected } }),
    )
}

fn failed(verb: &str, name: &str, error: &str) -> Reply {
    let message = format!("Failed to {verb} tool instance '{name}'.");
    Reply::value(
        FAILED,
        &json!({ "success": false, "message": message, "error": error }),
    )
}

fn docker_down(verb: &str, name: &str) -> Reply {
    failed(verb, name, "connect ENOENT /var/run/docker.sock")
}

/// Whether name or host port is taken.
fn conflict(state: &State, wanted: &Install) -> Option<Reply> {
    let refuse = |error: String| {
        Some(Reply::value(
            CONFLICT,
            &json!({ "success": false, "error": error }),
        ))
    };
    if state.managed.contains_key(&wanted.name) || state.by_name(&wanted.name).is_some() {
        return refuse(format!("Instance with name '{}' already exists.", wanted.name));
    }
    let (_, host) = wanted.port?;
    let taken = state
        .containers
        .iter()
        .any(|container| container.port.is_some_and(|(_, port)| port == host));
    if taken {
        return refuse(format!(
            "Port conflict: Requested HostPort {host} is already in use by a managed instance."
        ));
    }
    None
}

fn read_install(body: &[u8]) -> Result<Install, Reply> {
    let refuse = |error: &str| Reply::value(BAD, &json!({ "success": false, "error": error }));
    let body: Value = serde_json::from_slice(body).map_err(|_| refuse("The body is not JSON"))?;
    let text = |field: &str| body[field].as_str().filter(|text| !text.is_empty());
    let (Some(image), Some(name), Some(instance)) = (
        text("dockerImageUrl"),
        text("instanceNameOnToolbox"),
        text("accountToolInstanceId"),
    ) else {
        return Err(refuse(
            "Missing required fields: dockerImageUrl, instanceNameOnToolbox, accountToolInstanceId",
        ));
    };
    if !valid_name(name) {
        return Err(refuse("Invalid container name: instanceNameOnToolbox"));
    }
    let instance = instance
        .parse()
        .map_err(|_| refuse("accountToolInstanceId must be a UUID"))?;
    let port = host_port(&body["baseConfigOverrideJson"]["HostConfig"]["PortBindings"]);
    Ok(Install {
        image: image.to_owned(),
        name: name.to_owned(),
        instance,
        port,
    })
}

/// The first published port of Docker's `PortBindings`, such as `{"8080/tcp": [{"HostPort": "18080"}]}`.
fn host_port(bindings: &Value) -> Option<(u16, u16)> {
    bindings.as_object()?.iter().find_map(|(inside, outside)| {
        let inside = inside.split('/').next()?.parse().ok()?;
        let host = outside
            .as_array()?
            .iter()
            .find_map(|binding| binding["HostPort"].as_str()?.parse().ok())?;
        Some((inside, host))
    })
}

fn bindings(port: Option<(u16, u16)>) -> Value {
    match port {
        None => json!({}),
        Some((inside, host)) => {
            json!({ format!("{inside}/tcp"): [{ "HostIp": "0.0.0.0", "HostPort": host.to_string() }] })
        }
    }
}
