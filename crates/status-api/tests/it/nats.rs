//! The same over NATS.

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use reqwest::Method;
use serde_json::{Map, Value, json};
use wire::subjects;

use crate::ground::{Ground, OWNER, STRANGER, user};
use crate::stand_in::StandIn;

struct Asker(async_nats::Client);

impl Asker {
    async fn ask(
        &self,
        operation: &str,
        token: &str,
        body: &Value,
        more: &[(&str, &str)],
    ) -> (u16, Value, HeaderMap) {
        let mut headers = HeaderMap::new();
        if !token.is_empty() {
            headers.insert("Authorization", format!("Bearer {token}"));
        }
        for (name, value) in more {
            headers.insert(*name, *value);
        }
        let asking = self
            .0
            .request_with_headers(subjects::api(operation), headers, body.to_string().into());
        let answer = tokio::time::timeout(Duration::from_secs(20), asking)
            .await
            .unwrap()
            .unwrap();
        let headers = answer.headers.unwrap();
        let status = headers.get("status").unwrap().as_str().parse().unwrap();
        let body = serde_json::from_slice(&answer.payload).unwrap_or(Value::Null);
        (status, body, headers)
    }
}

/// Without what differs between any two moments and requests.
fn timeless(mut value: Value) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(map) => {
                for name in [
                    "age",
                    "uptime",
                    "requestId",
                    "duration",
                    "oldestKnowledge",
                    "from",
                    "to",
                    "seconds",
                ] {
                    map.remove(name);
                }
                map.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    strip(&mut value);
    value
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_question_is_answered_alike() {
    let ground = Arc::new(Ground::new(&[]).await);
    let mapper = StandIn::new(&ground).await;
    let toolbox = ground.toolbox(OWNER, 1).await;
    let server = ground.running(toolbox, 1).await;
    let connection = ground.connect(1, OWNER, server, true).await;
    let asker = Asker(async_nats::connect(ground.nats.url()).await.unwrap());
    let monitored = ground
        .post(&format!("/v1/servers/{server}/monitor"), &user(OWNER))
        .await
        .is(200)
        .json();
    let command = monitored["command"]["commandId"].clone();
    let version = monitored["status"]["version"].as_u64().unwrap();
    crate::ground::eventually("the fleet is as new", async || {
        let body = ground
            .get(&format!("/v1/servers/{server}"), &user(OWNER))
            .await
            .json();
        (body["version"] == version).then_some(())
    })
    .await;
    let new = json!({ "url": "https://hooks.example" });
    let webhook = ground
        .ask(Method::POST, "/v1/webhooks", &user(OWNER), Some(new))
        .await
        .is(201)
        .json()["webhookId"]
        .clone();
    let document = ground.get("/openapi.json", "").await.is(200).json();
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let Some(operation) = item.get("get") else {
            continue;
        };
        asked += 1;
        let operation = operation["operationId"].as_str().unwrap();
        let mut params = Map::new();
        let mut url = path.clone();
        for (name, value) in [
            ("serverId", json!(server.to_string())),
            ("toolboxId", json!(toolbox.to_string())),
            ("connectionId", json!(connection.to_string())),
            ("commandId", command.clone()),
            ("webhookId", webhook.clone()),
        ] {
            let place = format!("{{{name}}}");
            if url.contains(&place) {
                url = url.replace(&place, value.as_str().unwrap());
                params.insert(name.to_owned(), value);
            }
        }
        for token in [user(OWNER), user(STRANGER), String::new(), "nonsense".to_owned()] {
            let http = ground.get(&url, &token).await;
            let (status, body, headers) = asker
                .ask(operation, &token, &json!({"params": params}), &[])
                .await;
            assert_eq!(status, http.status.as_u16(), "{operation}: {body}");
            assert_eq!(timeless(body), timeless(http.json()), "{operation}");
            let header = |name: &str| headers.get(name).map(|value| value.as_str().to_owned());
            for name in ["etag", "www-authenticate", "content-type"] {
                assert_eq!(header(name).as_deref(), http.header(name), "{operation} {name}");
            }
            assert_eq!(header("Nats-Service-Error-Code").is_some(), status >= 400);
        }
        params.insert("colour".to_owned(), json!("red"));
        let (status, body, _) = asker
            .ask(operation, &user(OWNER), &json!({"params": params}), &[])
            .await;
        assert_eq!((status, &body["field"]), (400, &"colour".into()), "{operation}");
    }
    assert_eq!(asked, 18);

    // A validator, a command under a key, and a body.
    let token = user(OWNER);
    let params = json!({"params": {"serverId": server.to_string()}});
    let (_, _, headers) = asker.ask("getServer", &token, &params, &[]).await;
    let etag = headers.get("etag").unwrap().as_str().to_owned();
    let (status, ..) = asker
        .ask("getServer", &token, &params, &[("If-None-Match", &etag)])
        .await;
    assert_eq!(status, 304);
    let key = [("Idempotency-Key", "one"), ("x-request-id", "mine")];
    let (status, first, headers) = asker.ask("stopServer", &token, &params, &key).await;
    assert_eq!(
        (status, headers.get("x-request-id").unwrap().as_str()),
        (202, "mine")
    );
    // The same request, however it comes.
    let path = format!("/v1/servers/{server}/stop");
    let again = ground
        .ask_with(Method::POST, &path, &token, None, &key[..1])
        .await
        .is(202);
    assert_eq!(
        (again.json(), again.header("idempotency-replayed")),
        (first, Some("true"))
    );
    let new = json!({"body": {"name": "a box"}});
    let (status, made, headers) = asker.ask("createToolbox", &token, &new, &[]).await;
    assert_eq!((status, &made["name"]), (201, &"a box".into()));
    assert!(
        headers
            .get("location")
            .unwrap()
            .as_str()
            .starts_with("/v1/toolboxes/")
    );
    for bad in [
        json!([]),
        json!({"parameters": {}}),
        json!({"params": []}),
        json!({"params": {"serverId": {}}}),
    ] {
        let (status, ..) = asker.ask("getServer", &token, &bad, &[]).await;
        assert_eq!(status, 400, "{bad}");
    }
    // Found by whoever looks.
    let info = asker.0.request("$SRV.INFO.status-api", "".into()).await.unwrap();
    let info: Value = serde_json::from_slice(&info.payload).unwrap();
    assert_eq!(info["endpoints"].as_array().unwrap().len(), 48);
    mapper.stop().await;
    Arc::into_inner(ground).unwrap().close().await;
}
