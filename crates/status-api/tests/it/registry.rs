//! Entering and changing.

use reqwest::Method;
use serde_json::{Value, json};

use crate::ground::{GUEST, Ground, OWNER, service_token, user};

const TOKEN: &str = "an-agent's-own-token";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_toolbox_and_its_server_come_and_go() {
    let ground = Ground::new(&[]).await;
    let token = user(OWNER);
    let new = json!({"name": "a box", "baseUrl": "http://192.0.2.1:30000", "publicIpAddress": "192.0.2.1", "token": TOKEN});
    let key = [("idempotency-key", "box")];
    let made = ground
        .ask_with(Method::POST, "/v1/toolboxes", &token, Some(new.clone()), &key)
        .await
        .is(201);
    let again = ground
        .ask_with(Method::POST, "/v1/toolboxes", &token, Some(new.clone()), &key)
        .await
        .is(201);
    assert_eq!(
        (&again.text, again.header("idempotency-replayed")),
        (&made.text, Some("true"))
    );
    assert_eq!(again.header("location"), made.header("location"));
    let path = made.header("location").unwrap().to_owned();
    let body = made.json();
    assert_eq!(
        (&body["hasToken"], &body["status"]),
        (&true.into(), &"unseen".into())
    );
    assert!(!made.text.contains(TOKEN), "{made:?}");
    let taken = ground
        .ask(Method::POST, "/v1/toolboxes", &token, Some(new))
        .await
        .is(409)
        .json();
    assert_eq!(taken["field"], "token");
    let id = body["toolboxId"].clone();
    let same = json!({"name": "b", "toolboxId": id});
    let taken = ground
        .ask(Method::POST, "/v1/toolboxes", &token, Some(same))
        .await
        .is(409)
        .json();
    assert_eq!(taken["field"], "toolboxId");

    let change = json!({"name": "another name", "baseUrl": "", "publicIpAddress": "agent.example"});
    let changed = ground
        .ask(Method::PATCH, &path, &token, Some(change))
        .await
        .is(200)
        .json();
    assert_eq!(changed["name"], "another name");
    assert!(changed.get("baseUrl").is_none(), "{changed}");
    assert_eq!(
        (&changed["publicIpAddress"], &changed["hasToken"]),
        (&"agent.example".into(), &true.into())
    );

    let new = json!({"toolboxId": id, "name": "mcp"});
    let made = ground
        .ask(Method::POST, "/v1/servers", &token, Some(new.clone()))
        .await
        .is(201);
    let server = made.header("location").unwrap().to_owned();
    assert_eq!(made.json()["monitored"], true);
    let taken = ground
        .ask(Method::POST, "/v1/servers", &token, Some(new))
        .await
        .is(409)
        .json();
    assert_eq!(taken["field"], "name");
    let foreign = json!({"toolboxId": id, "name": "other"});
    let none = ground
        .ask(Method::POST, "/v1/servers", &user(GUEST), Some(foreign))
        .await
        .is(404)
        .json();
    assert_eq!(none["field"], "toolboxId");
    let renamed = ground
        .ask(Method::PATCH, &server, &token, Some(json!({"name": "mcp-2"})))
        .await
        .is(200)
        .json();
    assert_eq!(renamed["name"], "mcp-2");
    assert_eq!(ground.get(&server, &token).await.is(200).json()["name"], "mcp-2");
    let shown = ground.get(&path, &token).await.is(200).json();
    assert_eq!(shown["servers"].as_array().unwrap().len(), 1);
    assert_eq!(
        ground.get("/v1/toolboxes", &token).await.is(200).json()["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        ground.get("/v1/toolboxes", &user(GUEST)).await.is(200).json()["items"],
        json!([])
    );

    let key = [("idempotency-key", "gone")];
    for replayed in [None, Some("true")] {
        let gone = ground
            .ask_with(Method::DELETE, &server, &token, None, &key)
            .await
            .is(204);
        assert_eq!(
            (gone.text.as_str(), gone.header("idempotency-replayed")),
            ("", replayed)
        );
    }
    ground.get(&server, &token).await.is(404);
    ground.ask(Method::DELETE, &path, &token, None).await.is(204);
    ground.get(&path, &token).await.is(404);

    let records = ground.get("/v1/commands", &token).await.is(200).json();
    let records = records["items"].as_array().unwrap();
    let told: Vec<_> = records
        .iter()
        .rev()
        .map(|record| record["message"].as_str().unwrap())
        .collect();
    assert_eq!(
        told,
        [
            "toolbox a box",
            "toolbox a box: name, baseUrl, publicIpAddress",
            "server mcp on another name",
            "server mcp is called mcp-2",
            "server mcp-2",
            "toolbox another name",
        ]
    );
    assert!(records.iter().all(|record| record["outcome"] == "succeeded"));
    assert_eq!(
        ground
            .count("SELECT count(*) FROM status_commands WHERE status_commands::text LIKE '%own-token%'")
            .await,
        0
    );
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_is_refused_by_its_field() {
    let ground = Ground::new(&[]).await;
    let token = user(OWNER);
    let toolbox = ground.toolbox(OWNER, 1).await;
    let box_with = |field: &str, value: Value| {
        let mut new = json!({"name": "a box"});
        new[field] = value;
        new
    };
    let server_with = |field: &str, value: Value| {
        let mut new = json!({"toolboxId": toolbox.to_string(), "name": "mcp"});
        new[field] = value;
        new
    };
    let toolboxes = [
        ("name", json!("")),
        ("name", json!("x".repeat(201))),
        ("name", json!("a\u{0}b")),
        ("name", json!(7)),
        ("baseUrl", json!("ftp://agent")),
        ("baseUrl", json!("http://u:s3cret@agent")),
        ("baseUrl", json!("http://agent/?s3cret")),
        ("publicIpAddress", json!("not an address")),
        ("publicIpAddress", json!("")),
        ("token", json!("s3cret")),
        ("token", json!("s3cret with blanks in it")),
        ("token", json!(7)),
        ("toolboxId", json!("7")),
        ("accountId", json!("7")),
        ("colour", json!("s3cret")),
    ];
    for (field, value) in toolboxes {
        let body = box_with(field, value);
        let answer = ground
            .ask(Method::POST, "/v1/toolboxes", &token, Some(body))
            .await
            .is(400);
        assert_eq!(answer.json()["field"], field, "{answer:?}");
        assert!(!answer.text.contains("s3cret"), "{answer:?}");
    }
    for (field, value) in [
        ("name", json!("")),
        ("name", json!("/mcp")),
        ("name", json!("x".repeat(256))),
        ("name", json!("a\tb")),
        ("toolboxId", json!("x")),
        ("monitored", json!("yes")),
        ("serverId", json!(1)),
    ] {
        let body = server_with(field, value);
        let answer = ground
            .ask(Method::POST, "/v1/servers", &token, Some(body))
            .await
            .is(400)
            .json();
        assert_eq!(answer["field"], field, "{answer}");
    }
    // For another account: who sees everything may.
    let other = json!({"name": "a box", "accountId": GUEST.0});
    let forbidden = ground
        .ask(Method::POST, "/v1/toolboxes", &token, Some(other.clone()))
        .await
        .is(403)
        .json();
    assert_eq!(forbidden["field"], "accountId");
    let made = ground
        .ask(Method::POST, "/v1/toolboxes", &service_token(), Some(other))
        .await
        .is(201)
        .json();
    assert_eq!(made["accountId"], GUEST.to_string());
    let nobodys = json!({"name": "a box"});
    let missing = ground
        .ask(Method::POST, "/v1/toolboxes", &service_token(), Some(nobodys))
        .await
        .is(400)
        .json();
    assert_eq!(missing["field"], "accountId");
    // No JSON, too much, another media type, no object.
    let raw = async |body: String, media_type: &'static str| {
        let request = ground
            .client
            .post(format!("{}/v1/toolboxes", ground.url))
            .bearer_auth(&token);
        crate::ground::answer(request.header("content-type", media_type).body(body)).await
    };
    raw("{".to_owned(), "application/json").await.is(400);
    raw("[]".to_owned(), "application/json").await.is(400);
    raw(String::new(), "application/json").await.is(400);
    raw("{\"name\":\"a\"}".to_owned(), "text/plain").await.is(415);
    raw(
        format!("{{\"name\":\"{}\"}}", "x".repeat(70_000)),
        "application/json",
    )
    .await
    .is(413);
    raw("{\"name\":\"a\",\"name\":\"b\"}".to_owned(), "application/json")
        .await
        .is(400);
    ground.get("/v1/servers/7", &token).await.is(400);
    ground.get("/v1/nothing", &token).await.is(404);
    ground.close().await;
}
