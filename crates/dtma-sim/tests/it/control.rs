//! Scripting over HTTP.

use dtma_sim::{DialectMix, SimHandle};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{client, config, get, get_json, item, start, start_at_noon};

async fn call(sim: &SimHandle, method: Method, path: &str, body: &Value) -> (u16, Value) {
    let mut request = client().request(method, format!("{}/control{path}", sim.base_url()));
    if !body.is_null() {
        request = request.json(body);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    (
        status,
        if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).unwrap()
        },
    )
}

async fn post(sim: &SimHandle, path: &str, body: Value) -> (u16, Value) {
    call(sim, Method::POST, path, &body).await
}

async fn read(sim: &SimHandle, path: &str) -> (u16, Value) {
    call(sim, Method::GET, path, &Value::Null).await
}

#[tokio::test]
async fn the_fleet_is_listed_as_the_library_has_it() {
    let sim = start(config(3, DialectMix::Mixed)).await;
    let (code, fleet) = read(&sim, "/fleet").await;
    assert_eq!(code, 200);
    assert_eq!(fleet["url"], sim.base_url());
    let debug = format!("{sim:?}");
    assert!(
        sim.fleet().iter().all(|toolbox| !debug.contains(&toolbox.token)),
        "a token is in Debug"
    );
    assert_eq!(fleet["toolboxes"], serde_json::to_value(sim.fleet()).unwrap());
    let toolbox = sim.toolbox(1);
    for key in [toolbox.id.to_string(), toolbox.name.clone()] {
        let (code, detail) = read(&sim, &format!("/toolboxes/{key}")).await;
        assert_eq!((code, &detail["id"]), (200, &json!(toolbox.id)));
        let containers = serde_json::to_value(sim.containers(toolbox.id).unwrap()).unwrap();
        assert_eq!(
            detail["containers"].as_array().unwrap().len(),
            containers.as_array().unwrap().len()
        );
    }
}

#[tokio::test]
async fn every_container_action_is_seen_by_the_next_poll() {
    let (sim, _clock) = start_at_noon(config(1, DialectMix::OpenC)).await;
    let toolbox = sim.toolbox(0);
    let name = toolbox.instances[0].name.as_str();
    let base = format!("/toolboxes/{}/containers/{name}", toolbox.id);
    let before = get_json(&toolbox, "/status").await;
    let first_id = item(&before, name).unwrap()["id"].clone();
    let steps = [
        ("health", json!({"status": "unhealthy"}), "running", "(unhealthy)"),
        ("health", json!({"status": "none"}), "running", "Up "),
        ("pause", json!(null), "paused", "(Paused)"),
        ("unpause", json!(null), "running", "Up "),
        ("crash", json!({"exit_code": 3}), "exited", "Exited (3)"),
        ("start", json!(null), "running", "Up Less than a second"),
        ("crash", json!({"oom": true}), "exited", "Exited (137)"),
        (
            "start",
            json!({"delay_ms": 3_600_000}),
            "restarting",
            "Restarting (137)",
        ),
        ("stop", json!({"exit_code": 143}), "exited", "Exited (143)"),
        (
            "crash-loop",
            json!({"exit_code": 2, "down_ms": 3_600_000}),
            "restarting",
            "Restarting (2)",
        ),
        ("dead", json!(null), "dead", "Dead"),
        ("recreate", json!({"start": false}), "created", "Created"),
        ("start", json!({"delay_ms": 3_600_000}), "created", "Created"),
        (
            "remove",
            json!({"delay_ms": 3_600_000}),
            "removing",
            "Removal In Progress",
        ),
    ];
    for (action, body, state, text) in steps {
        let (code, view) = post(&sim, &format!("{base}/{action}"), body.clone()).await;
        assert_eq!(
            (code, &view["state"]),
            (200, &json!(state)),
            "{action} {body}: {view}"
        );
        let list = get_json(&toolbox, "/status").await;
        let mine = item(&list, name).unwrap();
        assert_eq!(mine["state"], state, "{action} {body}");
        assert!(
            mine["status"].as_str().unwrap().contains(text),
            "{action} {body}: {}",
            mine["status"]
        );
    }
    let (code, view) = post(&sim, &format!("{base}/recreate"), json!(null)).await;
    assert_eq!(code, 200);
    assert_ne!(view["container_id"], first_id);
    assert_eq!(post(&sim, &format!("{base}/remove"), json!(null)).await.0, 200);
    assert!(item(&get_json(&toolbox, "/status").await, name).is_none());
    assert_eq!(post(&sim, &format!("{base}/recreate"), json!(null)).await.0, 200);
    assert!(item(&get_json(&toolbox, "/status").await, name).is_some());
    assert_eq!(
        post(&sim, &format!("{base}/rename"), json!({"to": "mcp-renamed"}))
            .await
            .0,
        200
    );
    let list = get_json(&toolbox, "/status").await;
    assert!(item(&list, name).is_none() && item(&list, "mcp-renamed").is_some());
}

#[tokio::test]
async fn an_instance_that_cannot_be_inspected_is_told_by_dialect_a() {
    let sim = start(config(1, DialectMix::A)).await;
    let toolbox = sim.toolbox(0);
    let (first, second) = (&toolbox.instances[0], &toolbox.instances[1]);
    // Containers are found by their instance, too.
    let base = format!("/toolboxes/{}/containers", toolbox.id);
    assert_eq!(
        post(&sim, &format!("{base}/{}/inspect-error", first.id), json!(null))
            .await
            .0,
        200
    );
    assert_eq!(
        post(&sim, &format!("{base}/{}/remove", second.id), json!(null))
            .await
            .0,
        200
    );
    let list = get_json(&toolbox, "/status").await;
    assert_eq!(item(&list, &first.name).unwrap()["status"], "error_inspecting");
    let gone = item(&list, &second.name).unwrap();
    assert_eq!(
        (&gone["status"], &gone["container_id"]),
        (&json!("not_found"), &json!(""))
    );
}

#[tokio::test]
async fn what_is_unknown_is_404_and_named() {
    let sim = start(config(1, DialectMix::B)).await;
    let id = sim.toolbox(0).id;
    let container = sim.toolbox(0).instances[0].name.clone();
    let table = [
        ("/toolboxes/nobody/misbehave".to_owned(), "nobody"),
        (format!("/toolboxes/{}/clear", uuid::Uuid::nil()), "00000000-0000"),
        (format!("/toolboxes/{id}/containers/mcp-none/stop"), "mcp-none"),
        (
            format!("/toolboxes/{id}/containers/{container}/explode"),
            "explode",
        ),
        ("/nothing".to_owned(), "control path"),
    ];
    for (path, named) in table {
        let (code, body) = post(&sim, &path, json!(null)).await;
        assert_eq!(code, 404, "{path}: {body}");
        assert!(body["error"].as_str().unwrap().contains(named), "{path}: {body}");
    }
    assert_eq!(post(&sim, "/fleet", json!({})).await.0, 405);
}

#[tokio::test]
async fn bad_bodies_are_400_and_name_the_field() {
    let sim = start(config(1, DialectMix::B)).await;
    let toolbox = sim.toolbox(0);
    let at = |rest: &str| format!("/toolboxes/{}{rest}", toolbox.id);
    let on = |action: &str| at(&format!("/containers/{}/{action}", toolbox.instances[0].name));
    let table = [
        (at("/misbehave"), json!({"kind": "sulk"}), "kind"),
        (
            at("/misbehave"),
            json!({"kind": "slow", "delay_ms": "soon"}),
            "delay_ms",
        ),
        (at("/misbehave"), json!([1]), "body"),
        (at("/clear"), json!({"kind": "sulk"}), "kind"),
        (at("/serve-payload"), json!({"path": "/status"}), "body"),
        (
            at("/serve-payload"),
            json!({"path": "status", "body": {}}),
            "path",
        ),
        (
            at("/serve-payload"),
            json!({"path": "/status", "body": {}, "status": 99}),
            "status",
        ),
        (on("crash"), json!({"exit_code": "one"}), "exit_code"),
        (on("stop"), json!({"force": true}), "force"),
        (
            "/misbehave".to_owned(),
            json!({"kind": "hang", "toolboxes": ["x"]}),
            "toolboxes",
        ),
    ];
    for (path, body, field) in table {
        let (code, answer) = post(&sim, &path, body.clone()).await;
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(
            code == 400 && error.contains(&format!("`{field}`")),
            "{path} {body}: {code} {answer}"
        );
    }
    let (code, answer) = post(&sim, &on("unpause"), json!(null)).await;
    assert!(
        code == 409 && answer["error"].as_str().unwrap().contains("running"),
        "{answer}"
    );
    assert_eq!(
        post(&sim, &at("/heartbeat-now"), json!(null)).await.0,
        409,
        "nowhere to send it"
    );
}

#[tokio::test]
async fn misbehaviour_is_set_shown_and_cleared() {
    let sim = start(config(3, DialectMix::OpenC)).await;
    let toolbox = sim.toolbox(0);
    let at = |rest: &str| format!("/toolboxes/{}{rest}", toolbox.id);
    assert_eq!(
        post(&sim, &at("/misbehave"), json!({"kind": "status", "code": 503}))
            .await
            .0,
        200
    );
    assert_eq!(
        post(&sim, &at("/misbehave"), json!({"kind": "silent"})).await.0,
        200
    );
    let (_, detail) = read(&sim, &at("")).await;
    let kinds: Vec<&str> = detail["misbehaviour"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["status", "silent"]);
    assert_eq!(get(&toolbox, "/status").await.status(), 503);
    let (_, left) = post(&sim, &at("/clear"), json!({"kind": "status"})).await;
    assert_eq!(left["misbehaviour"][0]["kind"], "silent");
    assert_eq!(get(&toolbox, "/status").await.status(), 200);

    let some = json!([sim.toolbox(1).id, sim.toolbox(2).id]);
    let order = json!({"kind": "status", "code": 500, "toolboxes": some});
    assert_eq!(
        post(&sim, "/misbehave", order).await,
        (200, json!({"toolboxes": 2}))
    );
    assert_eq!(get(&sim.toolbox(0), "/status").await.status(), 200);
    assert_eq!(get(&sim.toolbox(2), "/status").await.status(), 500);
    assert_eq!(
        post(&sim, "/clear", json!({})).await,
        (200, json!({"toolboxes": 3}))
    );
    assert_eq!(get(&sim.toolbox(2), "/status").await.status(), 200);
}

#[tokio::test]
async fn a_payload_is_served_byte_for_byte_until_cleared() {
    let sim = start(config(1, DialectMix::OpenC)).await;
    let toolbox = sim.toolbox(0);
    let captured = include_str!("../fixtures/get-status.open.json");
    let body = format!(r#"{{"path": "/status", "status": 207, "body": {captured}}}"#);
    let url = format!(
        "{}/control/toolboxes/{}/serve-payload",
        sim.base_url(),
        toolbox.id
    );
    assert_eq!(client().post(url).body(body).send().await.unwrap().status(), 200);
    let answer = get(&toolbox, "/status").await;
    assert_eq!(answer.status(), 207);
    assert_eq!(answer.text().await.unwrap(), captured.trim());
    sim.clear(toolbox.id).unwrap();
    assert_ne!(
        get(&toolbox, "/status").await.text().await.unwrap(),
        captured.trim()
    );

    sim.serve_payload(toolbox.id, "/extra", "[1,  2]").unwrap();
    assert_eq!(get(&toolbox, "/extra").await.text().await.unwrap(), "[1,  2]");
    assert!(sim.serve_payload(toolbox.id, "extra", "1").is_err());
}

#[tokio::test]
async fn stats_tell_requests_and_answers_and_can_be_reset() {
    let sim = start(config(2, DialectMix::A)).await;
    let toolbox = sim.toolbox(0);
    get(&toolbox, "/status").await;
    get(&toolbox, "/status").await;
    get(&toolbox, "/tools/status").await;
    let (_, stats) = read(&sim, "/stats").await;
    let mine = &stats["toolboxes"][toolbox.id.to_string()];
    assert_eq!(
        mine["requests"],
        json!({"GET /status": 2, "GET /tools/status": 1})
    );
    assert_eq!(mine["answers"], json!({"200": 2, "404": 1}));
    assert_eq!(mine["max_concurrent_polls"], 1);
    assert_eq!(stats["toolboxes"].as_object().unwrap().len(), 1);
    let (_, alone) = read(&sim, &format!("/toolboxes/{}/stats", toolbox.name)).await;
    assert_eq!(&alone, mine);
    assert_eq!(call(&sim, Method::DELETE, "/stats", &Value::Null).await.0, 204);
    assert_eq!(read(&sim, "/stats").await.1["toolboxes"], json!({}));
}
