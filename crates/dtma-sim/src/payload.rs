//! The bodies agents send, shape by shape, as the field's agents write them.

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::container::{Container, DockerState, Life, Observed};
use crate::human::status_text;
use crate::seed::{Lane, hex};
use crate::toolbox::{BeatStyle, MachineTime, State, Toolbox};

/// How Go writes an instant that never was.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// What an agent puts in place of its list when Docker does not answer it.
pub(crate) const DOCKER_FAILED: &str = "Failed to fetch tool statuses";

const MEMORY: u64 = 2_078_650_368;
const DISK: u64 = 52_710_469_632;

/// Shape A: the managed instances by id.
#[derive(Serialize)]
struct ManagedStatus {
    dtma_version: &'static str,
    system_metrics: Metrics,
    tool_instances: Vec<ManagedItem>,
}

#[derive(Serialize)]
struct ManagedItem {
    account_tool_instance_id: Uuid,
    instance_name_on_toolbox: String,
    status: &'static str,
    container_id: String,
}

/// Shapes B and C: every container on the machine.
#[derive(Serialize)]
struct ListStatus<T> {
    status: &'static str,
    timestamp: String,
    version: &'static str,
    service: &'static str,
    environment: Environment,
    tool_instances: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_metrics: Option<Metrics>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Environment {
    has_auth_token: bool,
    has_api_key: bool,
    has_api_base_url: bool,
    port: String,
}

#[derive(Serialize)]
struct ToolItem {
    account_tool_instance_id: Option<Uuid>,
    instance_name_on_toolbox: String,
    container_id: String,
    status: &'static str,
    image: String,
    ports: Vec<Port>,
    created: i64,
}

/// An item of C, or what stands in place of all of them.
#[derive(Serialize)]
#[serde(untagged)]
enum NamedItem {
    Container {
        id: String,
        names: [String; 1],
        image: String,
        image_id: String,
        command: String,
        created: i64,
        state: &'static str,
        status: String,
        ports: Vec<Port>,
    },
    Failed {
        error: &'static str,
    },
}

#[derive(Serialize)]
struct Port {
    ip: &'static str,
    private_port: u16,
    public_port: u16,
    r#type: &'static str,
}

#[derive(Serialize)]
struct Heartbeat<T> {
    dtma_version: &'static str,
    system_status: Metrics,
    tool_statuses: Vec<T>,
}

#[derive(Serialize)]
struct ManagedBeat {
    account_tool_instance_id: Uuid,
    status_on_toolbox: &'static str,
    runtime_details: Option<RuntimeDetails>,
}

#[derive(Serialize)]
struct RuntimeDetails {
    container_id: String,
    image: String,
    started_at: String,
    state_details: InspectState,
}

/// `State` of Docker's inspect.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct InspectState {
    status: &'static str,
    running: bool,
    paused: bool,
    restarting: bool,
    #[serde(rename = "OOMKilled")]
    oom_killed: bool,
    dead: bool,
    pid: u32,
    exit_code: i32,
    error: &'static str,
    started_at: String,
    finished_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<InspectHealth>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct InspectHealth {
    status: &'static str,
    failing_streak: u32,
    log: [(); 0],
}

#[derive(Serialize)]
struct Metrics {
    cpu_load_percent: f64,
    memory: Memory,
    disk: Disk,
    #[serde(skip_serializing_if = "Option::is_none")]
    uptime_seconds: Option<i64>,
}

#[derive(Serialize)]
struct Memory {
    total_bytes: u64,
    active_bytes: u64,
    free_bytes: u64,
    used_bytes: u64,
}

#[derive(Serialize)]
struct Disk {
    mount: &'static str,
    total_bytes: u64,
    used_bytes: u64,
    free_bytes: u64,
}

/// `GET /status` of dialect A.
pub(crate) fn managed_status(toolbox: &Toolbox, state: &State, time: MachineTime) -> Vec<u8> {
    let items = state.managed.iter().map(|(name, instance)| {
        let (status, container) = inspect(state, name, time.now);
        ManagedItem {
            account_tool_instance_id: *instance,
            instance_name_on_toolbox: name.clone(),
            status,
            container_id: container.map(Container::hex_id).unwrap_or_default(),
        }
    });
    let uptime = time.now.duration_since(toolbox.booted).as_secs();
    json(&ManagedStatus {
        dtma_version: toolbox.version(),
        system_metrics: Metrics {
            uptime_seconds: Some(uptime),
            ..metrics(toolbox, time.now)
        },
        tool_instances: items.collect(),
    })
}

/// `GET /tools/status` of dialect B; nothing when Docker does not answer.
pub(crate) fn tools_status(toolbox: &Toolbox, state: &State, time: MachineTime) -> Option<Vec<u8>> {
    let item = |container: &Container| ToolItem {
        account_tool_instance_id: state.managed.get(&container.name).copied(),
        instance_name_on_toolbox: container.name.clone(),
        container_id: container.hex_id(),
        status: container.observe(time.now).state.as_str(),
        image: container.image.to_string(),
        ports: ports(container),
        created: time.stamp(container.created).as_second(),
    };
    let items = (!state.faults.docker_down()).then(|| state.containers.iter().map(item).collect())?;
    Some(json(&list(toolbox, state, time, items, None)))
}

/// `GET /status` of dialects B and C.
pub(crate) fn open_status(toolbox: &Toolbox, state: &State, time: MachineTime) -> Vec<u8> {
    let metrics = Some(metrics(toolbox, time.now));
    json(&list(toolbox, state, time, named_items(state, time), metrics))
}

/// The body of a heartbeat.
pub(crate) fn heartbeat(toolbox: &Toolbox, state: &State, time: MachineTime) -> Vec<u8> {
    let (dtma_version, system_status) = (toolbox.version(), metrics(toolbox, time.now));
    match toolbox.style {
        BeatStyle::Empty => json(&Heartbeat {
            dtma_version,
            system_status,
            tool_statuses: Vec::<ManagedBeat>::new(),
        }),
        BeatStyle::Names => json(&Heartbeat {
            dtma_version,
            system_status,
            tool_statuses: named_items(state, time),
        }),
        BeatStyle::Managed => {
            let items = state.managed.iter().map(|(name, instance)| {
                let (status, container) = inspect(state, name, time.now);
                let readable = container.filter(|it| !it.uninspectable && !state.faults.docker_down());
                ManagedBeat {
                    account_tool_instance_id: *instance,
                    status_on_toolbox: status,
                    runtime_details: readable.map(|container| {
                        let details = inspect_state(container, &container.observe(time.now), time);
                        RuntimeDetails {
                            container_id: container.hex_id(),
                            image: container.image.to_string(),
                            started_at: details.started_at.clone(),
                            state_details: details,
                        }
                    }),
                }
            });
            json(&Heartbeat {
                dtma_version,
                system_status,
                tool_statuses: items.collect(),
            })
        }
    }
}

/// `State` of Docker's inspect for a container.
pub(crate) fn inspect_state(container: &Container, seen: &Observed, time: MachineTime) -> InspectState {
    let stamp = |at: Option<Timestamp>| at.map_or_else(|| NEVER.to_owned(), |at| iso(time.stamp(at)));
    InspectState {
        status: seen.state.as_str(),
        running: seen.counts_as_running(),
        paused: seen.state == DockerState::Paused,
        restarting: seen.state == DockerState::Restarting,
        oom_killed: seen.oom_killed,
        dead: seen.state == DockerState::Dead,
        pid: container.pid(seen),
        exit_code: seen.exit_code,
        error: "",
        started_at: stamp(seen.started),
        finished_at: stamp(seen.finished),
        health: seen.health.map(|health| InspectHealth {
            status: health.as_str(),
            failing_streak: u32::from(health.as_str() == "unhealthy") * 3,
            log: [],
        }),
    }
}

/// What an agent of generation A finds for a name it manages: its word for the status, and the container.
fn inspect<'a>(state: &'a State, name: &str, now: Timestamp) -> (&'static str, Option<&'a Container>) {
    match state.by_name(name).map(|index| &state.containers[index]) {
        found if state.faults.docker_down() => ("error_inspecting", found),
        None => ("not_found", None),
        Some(container) if container.uninspectable => ("error_inspecting", Some(container)),
        Some(container) => (container.observe(now).state.as_str(), Some(container)),
    }
}

fn named_items(state: &State, time: MachineTime) -> Vec<NamedItem> {
    if state.faults.docker_down() {
        return vec![NamedItem::Failed { error: DOCKER_FAILED }];
    }
    let item = |container: &Container| {
        let seen = container.observe(time.now);
        NamedItem::Container {
            id: container.hex_id(),
            names: [container.name.clone()],
            image: container.image.to_string(),
            image_id: format!("sha256:{}", hex(&container.image_id)),
            command: container.command.to_string(),
            created: time.stamp(container.created).as_second(),
            state: seen.state.as_str(),
            status: status_text(&seen, time.now),
            ports: ports(container),
        }
    };
    state.containers.iter().map(item).collect()
}

fn list<T>(
    toolbox: &Toolbox,
    state: &State,
    time: MachineTime,
    tool_instances: Vec<T>,
    system_metrics: Option<Metrics>,
) -> ListStatus<T> {
    ListStatus {
        status: "healthy",
        timestamp: iso(time.stamp(time.now)),
        version: toolbox.version(),
        service: "DTMA",
        environment: Environment {
            has_auth_token: !state.faults.no_token(),
            has_api_key: true,
            has_api_base_url: true,
            port: toolbox.port.to_string(),
        },
        tool_instances,
        system_metrics,
    }
}

fn ports(container: &Container) -> Vec<Port> {
    let published = container
        .port
        .filter(|_| matches!(container.life, Life::Running { .. }));
    let port = |(private_port, public_port)| Port {
        ip: "0.0.0.0",
        private_port,
        public_port,
        r#type: "tcp",
    };
    published.map(port).into_iter().collect()
}

/// Load figures that wander from minute to minute.
fn metrics(toolbox: &Toolbox, now: Timestamp) -> Metrics {
    let minute = u64::try_from(now.as_second() / 60).unwrap_or(0);
    let wander = toolbox.seed.at(Lane::Load, minute).unit();
    let steady = toolbox.seed.at(Lane::Load, 0).unit();
    let used = share(MEMORY, 0.3 + 0.5 * wander);
    let disk = share(DISK, 0.1 + 0.7 * steady);
    Metrics {
        cpu_load_percent: 2.0 + 90.0 * wander * wander,
        memory: Memory {
            total_bytes: MEMORY,
            active_bytes: used / 2,
            free_bytes: MEMORY - used,
            used_bytes: used,
        },
        disk: Disk {
            mount: "/",
            total_bytes: DISK,
            used_bytes: disk,
            free_bytes: DISK - disk,
        },
        uptime_seconds: None,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the part is in 0..1"
)]
fn share(total: u64, part: f64) -> u64 {
    (total as f64 * part) as u64
}

/// ISO 8601 with milliseconds, as JavaScript writes it.
fn iso(at: Timestamp) -> String {
    format!("{at:.3}")
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("these structures have string keys and finite numbers")
}

#[cfg(test)]
mod tests;
