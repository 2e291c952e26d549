//! Field for field against what was captured from agents.

use jiff::SignedDuration;
use serde_json::Value;

use super::*;
use crate::clock::shift;
use crate::config::{DialectMix, HeartbeatStyle, Lifecycles, SimConfig};
use crate::fleet::tests::{fleet, noon};

const A: &str = include_str!("../../tests/fixtures/get-status.managed.json");
const B: &str = include_str!("../../tests/fixtures/get-tools-status.json");
const C: &str = include_str!("../../tests/fixtures/get-status.open.json");
const BEAT_MANAGED: &str = include_str!("../../tests/fixtures/post-heartbeat.managed.json");
const BEAT_NAMES: &str = include_str!("../../tests/fixtures/post-heartbeat.names.json");

fn parse(text: impl AsRef<[u8]>) -> Value {
    serde_json::from_slice(text.as_ref()).unwrap()
}

/// The shape of a value: its type, and for objects the shape of every key. An array's items are folded into one,
/// so a list of any length compares; `nullable` keys may be null on either side.
fn shape(value: &Value, nullable: &[&str]) -> Value {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "bool".into(),
        Value::Number(_) => "number".into(),
        Value::String(_) => "string".into(),
        Value::Array(items) => {
            let mut shapes: Vec<String> = Vec::new();
            for item in items {
                let one = shape(item, nullable).to_string();
                if !shapes.contains(&one) {
                    shapes.push(one);
                }
            }
            shapes.sort();
            shapes.into()
        }
        Value::Object(fields) => fields
            .iter()
            .map(|(key, field)| {
                let any = nullable.contains(&key.as_str());
                (
                    key.clone(),
                    if any {
                        "anything".into()
                    } else {
                        shape(field, nullable)
                    },
                )
            })
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

fn body(
    config: &SimConfig,
    render: impl Fn(&Toolbox, &State, MachineTime) -> Vec<u8>,
    prepare: impl Fn(&mut State),
) -> Value {
    let fleet = fleet(config);
    let toolbox = &fleet.toolboxes[0];
    let mut state = toolbox.settled(noon());
    // The captures were taken of containers without published ports or health checks.
    for container in &mut state.containers {
        container.port = None;
        container.check = None;
    }
    prepare(&mut state);
    let time = toolbox.time(&state, noon());
    parse(render(toolbox, &state, time))
}

fn speaking(dialect: DialectMix) -> SimConfig {
    SimConfig {
        dialect,
        toolboxes: 1,
        containers_per_toolbox: 4,
        ..SimConfig::default()
    }
}

/// One container cannot be inspected and one is gone, as in the captured file.
fn as_captured(state: &mut State) {
    state.containers[2].uninspectable = true;
    state.containers.retain(|container| container.name != "mcp-web");
}

#[test]
fn shape_a_is_the_captured_one() {
    let ours = body(&speaking(DialectMix::A), managed_status, as_captured);
    assert_eq!(shape(&ours, &[]), shape(&parse(A), &[]));
    let words: Vec<&str> = ours["tool_instances"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["status"].as_str().unwrap())
        .collect();
    assert_eq!(words, ["running", "running", "error_inspecting", "not_found"]);
    assert_eq!(ours["tool_instances"][3]["container_id"], "");
}

#[test]
fn shape_b_is_the_captured_one_and_lists_every_container() {
    let render = |toolbox: &Toolbox, state: &State, time| tools_status(toolbox, state, time).unwrap();
    let nullable = ["account_tool_instance_id"];
    let ours = body(&speaking(DialectMix::B), render, |_| {});
    assert_eq!(shape(&ours, &nullable), shape(&parse(B), &nullable));
    let items = ours["tool_instances"].as_array().unwrap();
    let manager = items
        .iter()
        .find(|item| item["instance_name_on_toolbox"] == "dtma_manager")
        .unwrap();
    assert!(manager["account_tool_instance_id"].is_null());
    assert!(items[0]["account_tool_instance_id"].is_string());
    // After a restart of the agent no id is known, which is how the file was captured.
    let forgotten = body(&speaking(DialectMix::B), render, |state| state.managed.clear());
    assert_eq!(shape(&forgotten, &[]), shape(&parse(B), &[]));
}

#[test]
fn shape_c_is_the_captured_one() {
    let ours = body(&speaking(DialectMix::OpenC), open_status, |_| {});
    assert_eq!(shape(&ours, &[]), shape(&parse(C), &[]));
    assert_eq!(ours["timestamp"], "2026-11-22T12:00:00.000Z");
}

#[test]
fn heartbeats_are_the_captured_ones() {
    let styled = |heartbeat_style| SimConfig {
        heartbeat_style,
        ..speaking(DialectMix::OpenC)
    };
    let names = body(&styled(HeartbeatStyle::Names), heartbeat, |_| {});
    assert_eq!(shape(&names, &[]), shape(&parse(BEAT_NAMES), &[]));

    let managed = body(&styled(HeartbeatStyle::Managed), heartbeat, |state| {
        state.containers[2].uninspectable = true;
    });
    assert_eq!(shape(&managed, &[]), shape(&parse(BEAT_MANAGED), &[]));
    let details = &managed["tool_statuses"][0]["runtime_details"];
    assert_eq!(details["started_at"], details["state_details"]["StartedAt"]);
    assert_eq!(details["state_details"]["FinishedAt"], NEVER);

    let empty = body(&styled(HeartbeatStyle::Empty), heartbeat, |_| {});
    assert_eq!(empty["tool_statuses"], Value::Array(Vec::new()));
    assert!(empty["system_status"].is_object() && empty["dtma_version"].is_string());
}

#[test]
fn an_agent_without_docker_says_so_in_its_dialect() {
    let down = |state: &mut State| state.faults.set(crate::Misbehaviour::DockerUnavailable.into());
    let open = body(&speaking(DialectMix::OpenC), open_status, down);
    assert_eq!(
        open["tool_instances"],
        serde_json::json!([{"error": "Failed to fetch tool statuses"}])
    );
    let managed = body(&speaking(DialectMix::A), managed_status, down);
    let words = managed["tool_instances"].as_array().unwrap();
    assert!(words.len() == 4 && words.iter().all(|item| item["status"] == "error_inspecting"));
    let fleet = fleet(&speaking(DialectMix::B));
    let mut state = fleet.toolboxes[0].lock();
    down(&mut state);
    let time = fleet.toolboxes[0].time(&state, noon());
    assert_eq!(tools_status(&fleet.toolboxes[0], &state, time), None);
}

#[test]
fn a_wrong_clock_moves_every_absolute_time_and_no_age() {
    let config = speaking(DialectMix::OpenC);
    let right = body(&config, open_status, |_| {});
    let wrong = body(
        &SimConfig {
            clock_offset_hours: -26.0,
            ..config
        },
        open_status,
        |_| {},
    );
    assert_eq!(wrong["timestamp"], "2026-11-21T10:00:00.000Z");
    for (a, b) in right["tool_instances"]
        .as_array()
        .unwrap()
        .iter()
        .zip(wrong["tool_instances"].as_array().unwrap())
    {
        assert_eq!(
            a["created"].as_i64().unwrap() - b["created"].as_i64().unwrap(),
            26 * 3_600
        );
        assert_eq!(a["status"], b["status"]);
    }
}

#[test]
fn published_ports_and_health_are_told() {
    let config = SimConfig {
        lifecycles: Lifecycles::Varied,
        ..speaking(DialectMix::OpenC)
    };
    let fleet = fleet(&config);
    let toolbox = &fleet.toolboxes[0];
    let mut state = toolbox.settled(noon());
    let running = shift(noon(), SignedDuration::from_secs(-3_600));
    let first = &mut state.containers[0];
    first.port = Some((8080, 18_000));
    first.life = crate::container::Life::Running { since: running };
    first.check = Some(crate::container::HealthCheck::Fixed(crate::Health::Unhealthy));
    let time = toolbox.time(&state, noon());
    let open = parse(open_status(toolbox, &state, time));
    assert_eq!(
        open["tool_instances"][0]["ports"],
        serde_json::json!([{"ip": "0.0.0.0", "private_port": 8080, "public_port": 18000, "type": "tcp"}])
    );
    assert_eq!(
        open["tool_instances"][0]["status"],
        "Up About an hour (unhealthy)"
    );
    let container = &state.containers[0];
    let details = serde_json::to_value(inspect_state(container, &container.observe(noon()), time)).unwrap();
    assert_eq!(details["Health"]["Status"], "unhealthy");
}
