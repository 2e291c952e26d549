//! Dialects, authentication, payload files and numbers.

use std::time::Duration;

use dtma_sim::{DialectMix, PayloadFile, SimConfig};
use futures_util::{StreamExt as _, stream};
use serde_json::json;

use crate::support::{client, config, get, get_json, item, start, start_at_noon};

#[tokio::test]
async fn each_dialect_answers_on_its_paths() {
    let table = [
        (DialectMix::A, true, false),
        (DialectMix::B, false, true),
        (DialectMix::OpenC, false, false),
    ];
    for (dialect, managed, tools) in table {
        let sim = start(config(1, dialect)).await;
        let toolbox = sim.toolbox(0);
        let status = get_json(&toolbox, "/status").await;
        let first = &status["tool_instances"][0];
        assert_eq!(
            first.get("account_tool_instance_id").is_some(),
            managed,
            "{dialect:?}"
        );
        assert_eq!(status.get("dtma_version").is_some(), managed, "{dialect:?}");
        let answer = get(&toolbox, "/tools/status").await;
        assert_eq!(answer.status() == 200, tools, "{dialect:?}: {}", answer.status());
        if tools {
            let list: serde_json::Value = answer.json().await.unwrap();
            let mine = item(&list, &toolbox.instances[0].name).unwrap();
            assert_eq!(mine["account_tool_instance_id"], json!(toolbox.instances[0].id));
            assert!(item(&list, "dtma_manager").unwrap()["account_tool_instance_id"].is_null());
        } else {
            assert_eq!(answer.status(), 404);
        }
        let health = client()
            .get(format!("{}/health", toolbox.base_url))
            .send()
            .await
            .unwrap();
        assert_eq!(
            (health.status().as_u16(), health.text().await.unwrap()),
            (200, "OK".to_owned())
        );
        sim.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn tokens_are_asked_for_where_they_are() {
    let sim = start(config(2, DialectMix::A)).await;
    let (toolbox, other) = (sim.toolbox(0), sim.toolbox(1));
    let client = client();
    let url = format!("{}/status", toolbox.base_url);
    let code = async |request: reqwest::RequestBuilder| {
        let answer = request.send().await.unwrap();
        let (status, body) = (answer.status().as_u16(), answer.text().await.unwrap());
        assert!(!body.contains(&toolbox.token) && !body.contains(&other.token));
        (status, serde_json::from_str::<serde_json::Value>(&body).unwrap())
    };
    let (missing, body) = code(client.get(&url)).await;
    assert!(missing == 401 && body["error"].as_str().unwrap().starts_with("Unauthorized"));
    assert_eq!(
        code(client.get(&url).header("authorization", &toolbox.token))
            .await
            .0,
        401
    );
    assert_eq!(
        code(client.get(&url).header("authorization", "Basic eDp5"))
            .await
            .0,
        401
    );
    let (wrong, body) = code(client.get(&url).bearer_auth(&other.token)).await;
    assert!(wrong == 403 && body["error"].as_str().unwrap().starts_with("Forbidden"));
    assert_eq!(code(client.get(&url).bearer_auth(&toolbox.token)).await.0, 200);
    // Below /tools the agent asks before it says that there is nothing.
    assert_eq!(
        code(client.get(format!("{}/tools/status", toolbox.base_url)))
            .await
            .0,
        401
    );

    sim.misbehave(toolbox.id, dtma_sim::Misbehaviour::NoToken)
        .unwrap();
    let (lost, body) = code(client.get(&url).bearer_auth(&toolbox.token)).await;
    assert_eq!((lost, body), (500, json!({"error": "DTMA configuration error"})));
}

#[tokio::test]
async fn open_status_needs_no_token_but_commands_do() {
    let sim = start(config(1, DialectMix::OpenC)).await;
    let toolbox = sim.toolbox(0);
    let open = client()
        .get(format!("{}/status", toolbox.base_url))
        .send()
        .await
        .unwrap();
    assert_eq!(open.status(), 200);
    let name = &toolbox.instances[0].name;
    let command = client()
        .post(format!("{}/tools/{name}/stop", toolbox.base_url))
        .send()
        .await
        .unwrap();
    assert_eq!(command.status(), 401);
}

#[tokio::test]
async fn what_is_nowhere_is_404() {
    let sim = start(config(1, DialectMix::B)).await;
    let toolbox = sim.toolbox(0);
    let nobody = format!("{}/t/{}/status", sim.base_url(), uuid::Uuid::nil());
    for url in [
        nobody,
        format!("{}/other", sim.base_url()),
        format!("{}/nothing", toolbox.base_url),
    ] {
        let answer = client().get(&url).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{url}");
        assert!(
            answer.json::<serde_json::Value>().await.unwrap()["error"].is_string(),
            "{url}"
        );
    }
}

#[tokio::test]
async fn ages_follow_the_clock() {
    let (sim, clock) = start_at_noon(config(1, DialectMix::OpenC)).await;
    let toolbox = sim.toolbox(0);
    let name = &toolbox.instances[0].name;
    sim.recreate_container(toolbox.id, name).unwrap();
    sim.set_health(toolbox.id, name, Some(dtma_sim::Health::Unhealthy))
        .unwrap();
    clock.advance(Duration::from_secs(3 * 3_600));
    let list = get_json(&toolbox, "/status").await;
    assert_eq!(item(&list, name).unwrap()["status"], "Up 3 hours (unhealthy)");
    assert_eq!(list["timestamp"], "2026-11-22T15:00:00.000Z");
    sim.crash_container(toolbox.id, name, 3, false).unwrap();
    clock.advance(Duration::from_secs(30));
    let list = get_json(&toolbox, "/status").await;
    let mine = item(&list, name).unwrap();
    assert_eq!(
        (&mine["state"], &mine["status"]),
        (&json!("exited"), &json!("Exited (3) 30 seconds ago"))
    );
}

#[tokio::test]
async fn answers_are_packed_for_those_who_ask() {
    let configured = |gzip| SimConfig {
        gzip,
        containers_per_toolbox: 20,
        ..config(1, DialectMix::OpenC)
    };
    let plain = reqwest::Client::builder().no_proxy().gzip(false).build().unwrap();
    for gzip in [true, false] {
        let sim = start(configured(gzip)).await;
        let url = format!("{}/status", sim.toolbox(0).base_url);
        let asked = plain
            .get(&url)
            .header("accept-encoding", "gzip, br")
            .send()
            .await
            .unwrap();
        let packed = asked
            .headers()
            .get("content-encoding")
            .is_some_and(|value| value == "gzip");
        assert_eq!(packed, gzip);
        let bytes = asked.bytes().await.unwrap();
        assert_eq!(bytes.starts_with(&[0x1f, 0x8b]), gzip);
        let unasked = plain.get(&url).send().await.unwrap();
        assert!(unasked.headers().get("content-encoding").is_none());
        let list: serde_json::Value = client().get(&url).send().await.unwrap().json().await.unwrap();
        assert!(item(&list, "mcp-github").is_some());
    }
}

#[tokio::test]
async fn a_payload_file_is_served_by_all_verbatim() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/get-tools-status.json"
    );
    let payload: PayloadFile = format!("/tools/status={file}").parse().unwrap();
    let sim = start(SimConfig {
        payload_file: vec![payload],
        ..config(3, DialectMix::A)
    })
    .await;
    let captured = std::fs::read_to_string(file).unwrap();
    for toolbox in sim.fleet() {
        assert_eq!(
            get(&toolbox, "/tools/status").await.text().await.unwrap(),
            captured
        );
        let unknown = client()
            .get(format!("{}/tools/status", toolbox.base_url))
            .send()
            .await
            .unwrap();
        assert_eq!(unknown.status(), 401, "the agent's own check stays");
    }
    let missing = "/no/such/file.json".parse().unwrap();
    let config = SimConfig {
        payload_file: vec![missing],
        ..SimConfig::default()
    };
    let error = dtma_sim::Sim::start(config, Default::default())
        .await
        .unwrap_err();
    assert!(format!("{error:#}").contains("/no/such/file.json"), "{error:#}");
}

#[tokio::test]
async fn toolboxes_can_have_ports_of_their_own() {
    let sim = start(SimConfig {
        many_ports: true,
        ..config(5, DialectMix::Mixed)
    })
    .await;
    let fleet = sim.fleet();
    let ports: std::collections::HashSet<_> = fleet.iter().map(|toolbox| toolbox.base_url.clone()).collect();
    assert_eq!(ports.len(), 5);
    for toolbox in &fleet {
        let status = get_json(toolbox, "/status").await;
        assert!(!status["tool_instances"].as_array().unwrap().is_empty());
        // The port is the agent's alone.
        assert_eq!(get(toolbox, "/control/fleet").await.status(), 404);
        let through_the_front = format!("{}/t/{}/status", sim.base_url(), toolbox.id);
        let answer = client()
            .get(through_the_front)
            .bearer_auth(&toolbox.token)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
    }
    sim.shutdown().await.unwrap();
    assert!(
        client()
            .get(format!("{}/health", fleet[0].base_url))
            .send()
            .await
            .is_err()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_agents_answer_once_each() {
    let sim = start(SimConfig {
        seed: 7,
        ..config(2_000, DialectMix::Mixed)
    })
    .await;
    let client = client();
    let polls = sim.fleet().into_iter().map(|toolbox| {
        let client = client.clone();
        async move {
            let path = match toolbox.dialect {
                dtma_sim::Dialect::B => "/tools/status",
                _ => "/status",
            };
            let url = format!("{}{path}", toolbox.base_url);
            let answer = client.get(url).bearer_auth(&toolbox.token).send().await.unwrap();
            assert_eq!(answer.status(), 200);
            let body: serde_json::Value = answer.json().await.unwrap();
            let items = body["tool_instances"].as_array().unwrap();
            toolbox.instances.iter().all(|instance| {
                items.iter().any(|item| {
                    item["instance_name_on_toolbox"] == instance.name.as_str()
                        || item["names"][0] == instance.name.as_str()
                })
            })
        }
    });
    let complete = stream::iter(polls)
        .buffer_unordered(64)
        .filter(|all| std::future::ready(*all))
        .count()
        .await;
    assert_eq!(complete, 2_000);
    let stats = sim.stats();
    assert_eq!(stats.requests.values().sum::<u64>(), 2_000);
    assert_eq!(stats.answers.get(&200), Some(&2_000));
    assert_eq!((stats.toolboxes.len(), stats.max_concurrent_polls), (2_000, 1));
    sim.shutdown().await.unwrap();
}
