//! Install, start, stop, delete: the answers and what they do.

use std::time::Duration;

use dtma_sim::{DialectMix, DockerState, Misbehaviour, SimConfig, SimHandle, ToolboxInfo};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{client, config, get_json, item, start, start_at_noon};

async fn send(toolbox: &ToolboxInfo, method: Method, path: &str, body: Option<&Value>) -> Response {
    let mut request = client()
        .request(method, format!("{}{path}", toolbox.base_url))
        .bearer_auth(&toolbox.token);
    if let Some(body) = body {
        request = request.json(body);
    }
    request.send().await.unwrap()
}

async fn post(toolbox: &ToolboxInfo, path: &str) -> (u16, Value) {
    let answer = send(toolbox, Method::POST, path, None).await;
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn install(toolbox: &ToolboxInfo, body: &Value) -> (u16, Value) {
    let answer = send(toolbox, Method::POST, "/tools", Some(body)).await;
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn state(sim: &SimHandle, toolbox: &ToolboxInfo, name: &str) -> Option<DockerState> {
    let all = sim.containers(toolbox.id).unwrap();
    all.into_iter()
        .find(|container| container.name == name)
        .map(|container| container.state)
}

#[tokio::test]
async fn stop_and_start_pass_through_their_transitions() {
    let (sim, clock) = start_at_noon(config(1, DialectMix::B)).await;
    let toolbox = sim.toolbox(0);
    let name = toolbox.instances[0].name.as_str();

    let (code, body) = post(&toolbox, &format!("/tools/{name}/start")).await;
    assert_eq!((code, &body["success"]), (200, &json!(true)));
    assert!(body["message"].as_str().unwrap().contains("already running"));

    let (code, _) = post(&toolbox, &format!("/tools/{name}/stop")).await;
    assert_eq!(code, 200);
    assert_eq!(
        state(&sim, &toolbox, name),
        Some(DockerState::Running),
        "Docker's grace period"
    );
    clock.advance(Duration::from_secs(2));
    let list = get_json(&toolbox, "/tools/status").await;
    assert_eq!(item(&list, name).unwrap()["status"], "exited");
    assert_eq!(
        post(&toolbox, &format!("/tools/{name}/stop")).await.0,
        200,
        "stopping twice is no error"
    );

    let (code, body) = post(&toolbox, &format!("/tools/{name}/start")).await;
    assert_eq!(
        (code, &body["data"]["state"]["Status"]),
        (200, &json!("restarting"))
    );
    let list = get_json(&toolbox, "/tools/status").await;
    assert_eq!(item(&list, name).unwrap()["status"], "restarting");
    clock.advance(Duration::from_secs(3));
    let list = get_json(&toolbox, "/tools/status").await;
    assert_eq!(item(&list, name).unwrap()["status"], "running");
}

#[tokio::test]
async fn an_install_is_created_then_runs_and_can_be_deleted() {
    let (sim, clock) = start_at_noon(config(1, DialectMix::B)).await;
    let toolbox = sim.toolbox(0);
    let instance = Uuid::from_u128(0x5b2d_7f0e_3c1a_4f6b_9a41_0d6f_4c1e_2a01);
    let wanted = json!({
        "dockerImageUrl": "mcp/new:1",
        "instanceNameOnToolbox": "mcp-new",
        "accountToolInstanceId": instance,
        "baseConfigOverrideJson": {"HostConfig": {"PortBindings": {"8080/tcp": [{"HostPort": "19999"}]}}},
    });
    let (code, body) = install(&toolbox, &wanted).await;
    assert_eq!(code, 201, "{body}");
    let id = body["data"]["container_id"].as_str().unwrap().to_owned();
    assert_eq!(id.len(), 64);
    assert_eq!(body["data"]["account_tool_instance_id"], json!(instance));
    assert_eq!(body["data"]["state"]["Status"], "created");
    assert_eq!(state(&sim, &toolbox, "mcp-new"), Some(DockerState::Created));
    clock.advance(Duration::from_secs(3));
    let list = get_json(&toolbox, "/tools/status").await;
    let mine = item(&list, "mcp-new").unwrap();
    assert_eq!(
        (&mine["status"], &mine["container_id"]),
        (&json!("running"), &json!(id))
    );
    assert_eq!(mine["account_tool_instance_id"], json!(instance));
    assert!(sim.toolbox(0).instances.iter().any(|known| known.id == instance));

    assert_eq!(install(&toolbox, &wanted).await.0, 409, "the name is taken");
    let mut other = wanted.clone();
    other["instanceNameOnToolbox"] = json!("mcp-other");
    let (code, body) = install(&toolbox, &other).await;
    assert!(
        code == 409 && body["error"].as_str().unwrap().contains("19999"),
        "{body}"
    );

    let deleted = send(&toolbox, Method::DELETE, "/tools/mcp-new", None).await;
    assert_eq!(deleted.status(), 200);
    assert_eq!(state(&sim, &toolbox, "mcp-new"), None);
    assert_eq!(
        send(&toolbox, Method::DELETE, "/tools/mcp-new", None)
            .await
            .status(),
        404
    );
    assert!(!sim.toolbox(0).instances.iter().any(|known| known.id == instance));
}

#[tokio::test]
async fn bad_installs_are_400() {
    let sim = start(config(1, DialectMix::A)).await;
    let toolbox = sim.toolbox(0);
    let whole = json!({
        "dockerImageUrl": "x:1", "instanceNameOnToolbox": "mcp-x", "accountToolInstanceId": Uuid::nil(),
    });
    for field in ["dockerImageUrl", "instanceNameOnToolbox", "accountToolInstanceId"] {
        let mut body = whole.clone();
        body[field] = json!("");
        let (code, answer) = install(&toolbox, &body).await;
        assert!(
            code == 400 && answer["error"].as_str().unwrap().contains(field),
            "{field}: {answer}"
        );
    }
    let url = format!("{}/tools", toolbox.base_url);
    let garbled = client()
        .post(&url)
        .bearer_auth(&toolbox.token)
        .body("{")
        .send()
        .await
        .unwrap();
    assert_eq!(garbled.status(), 400);
    let large = "x".repeat(200 * 1024);
    let large = client()
        .post(&url)
        .bearer_auth(&toolbox.token)
        .body(large)
        .send()
        .await
        .unwrap();
    assert_eq!(large.status(), 413);
}

#[tokio::test]
async fn a_restarted_agent_manages_nothing_it_had() {
    for dialect in [DialectMix::A, DialectMix::B] {
        let sim = start(config(1, dialect)).await;
        let toolbox = sim.toolbox(0);
        let name = toolbox.instances[0].name.as_str();
        assert_eq!(sim.restart_agent(toolbox.id).await.unwrap(), None);
        for path in [format!("/tools/{name}/start"), format!("/tools/{name}/stop")] {
            assert_eq!(post(&toolbox, &path).await.0, 404, "{path}");
        }
        let deleted = send(&toolbox, Method::DELETE, &format!("/tools/{name}"), None).await;
        assert_eq!(deleted.status(), 404);
        assert_eq!(
            state(&sim, &toolbox, name),
            Some(DockerState::Running),
            "Docker goes on"
        );
        let path = if dialect == DialectMix::A {
            "/status"
        } else {
            "/tools/status"
        };
        let list = get_json(&toolbox, path).await;
        match item(&list, name) {
            None => assert_eq!(dialect, DialectMix::A, "A lists what it manages"),
            Some(item) => assert!(item["account_tool_instance_id"].is_null()),
        }
    }
}

#[tokio::test]
async fn commands_meet_docker_s_troubles() {
    let sim = start(config(1, DialectMix::B)).await;
    let toolbox = sim.toolbox(0);
    let (first, second) = (
        toolbox.instances[0].name.as_str(),
        toolbox.instances[1].name.as_str(),
    );
    assert_eq!(post(&toolbox, "/tools/nobody/start").await.0, 404);
    assert_eq!(
        post(&toolbox, "/tools/dtma_manager/stop").await.0,
        404,
        "a foreign container is not managed"
    );
    sim.remove_container(toolbox.id, first).unwrap();
    assert_eq!(post(&toolbox, &format!("/tools/{first}/start")).await.0, 404);
    sim.act(
        toolbox.id,
        second,
        &dtma_sim::ContainerAction::Dead { exit_code: 1 },
    )
    .unwrap();
    let (code, body) = post(&toolbox, &format!("/tools/{second}/start")).await;
    assert_eq!((code, &body["success"]), (500, &json!(false)));
    sim.misbehave(toolbox.id, Misbehaviour::DockerUnavailable)
        .unwrap();
    assert_eq!(post(&toolbox, &format!("/tools/{second}/stop")).await.0, 500);
}

#[tokio::test]
async fn an_install_takes_as_long_as_its_pull() {
    let pull_delay = Duration::from_millis(300);
    let sim = start(SimConfig {
        pull_delay,
        ..config(1, DialectMix::B)
    })
    .await;
    let toolbox = sim.toolbox(0);
    let wanted = json!({
        "dockerImageUrl": "mcp/new:1", "instanceNameOnToolbox": "mcp-new", "accountToolInstanceId": Uuid::nil(),
    });
    let begun = std::time::Instant::now();
    // Both pull; only one can have the name in the end.
    let (one, two) = tokio::join!(install(&toolbox, &wanted), install(&toolbox, &wanted));
    assert!(begun.elapsed() >= pull_delay);
    let mut codes = [one.0, two.0];
    codes.sort_unstable();
    assert_eq!(codes, [201, 409]);
}
