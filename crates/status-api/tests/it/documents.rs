//! The documents, the page, and what failures look like.

use reqwest::Method;
use serde_json::{Value, json};

use crate::ground::{Ground, OWNER, STRANGER, user};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_lists_what_there_is_and_answers_are_as_it_says() {
    let ground = Ground::new(&[]).await;
    let document = ground.get("/openapi.json", "").await.is(200).json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document, status_api::openapi::document());
    let mut operations: Vec<String> = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            operations.push(format!("{id}: {} {path}", method.to_uppercase()));
            assert!(operation["summary"].is_string(), "{id} says what it does");
            // It is there: without a token that is 401, and not 404 or 405. One that needs none is told what it lacks.
            let lacks = if operation.get("security").is_some() {
                415
            } else {
                401
            };
            let url = path.replace(['{', '}'], "");
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let answer = ground.ask(method, &url, "", None).await;
            assert!([lacks, 429].contains(&answer.status.as_u16()), "{id}: {answer:?}");
        }
    }
    operations.sort();
    insta::assert_snapshot!(operations.join("\n"));

    let toolbox = ground.toolbox(OWNER, 1).await;
    let server = ground.running(toolbox, 1).await;
    for (path, schema) in [
        (format!("/v1/servers/{server}"), "Server"),
        ("/v1/servers".to_owned(), "ServerPage"),
        (format!("/v1/servers/{server}/history"), "History"),
        (format!("/v1/toolboxes/{toolbox}"), "Toolbox"),
        ("/v1/toolboxes".to_owned(), "ToolboxPage"),
        ("/v1/fleet".to_owned(), "Fleet"),
        ("/v1/commands".to_owned(), "CommandPage"),
        (format!("/v1/servers/{server}/timeline"), "ServerTimeline"),
        ("/v1/fleet/timeline".to_owned(), "FleetTimeline"),
        ("/v1/me".to_owned(), "Me"),
    ] {
        let body = ground.get(&path, &user(OWNER)).await.is(200).json();
        let mut whole = document.clone();
        whole["$ref"] = json!(format!("#/components/schemas/{schema}"));
        let validator = jsonschema::draft202012::new(&whole).unwrap();
        let problems: Vec<_> = validator
            .iter_errors(&body)
            .map(|error| error.to_string())
            .collect();
        assert_eq!(problems, Vec::<String>::new(), "{path}");
    }
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_runs_only_itself() {
    let ground = Ground::new(&["--cors-origins", "https://app.example"]).await;
    let page = ground.get("/docs", "").await.is(200);
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'sha256-"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    // Pages of the origins that were given may ask, and no others.
    for (origin, allowed) in [
        ("https://app.example", Some("https://app.example")),
        ("https://evil.example", None),
    ] {
        let answer = ground
            .ask_with(
                Method::OPTIONS,
                "/v1/servers",
                "",
                None,
                &[
                    ("origin", origin),
                    ("access-control-request-method", "GET"),
                    ("access-control-request-headers", "authorization"),
                ],
            )
            .await;
        assert_eq!(answer.header("access-control-allow-origin"), allowed, "{origin}");
    }
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_are_problem_documents() {
    let ground = Ground::new(&[]).await;
    let toolbox = ground.toolbox(OWNER, 1).await;
    let server = ground.running(toolbox, 1).await;
    let token = user(OWNER);
    let mut told = Vec::new();
    let word = json!({"state": "up", "message": "x", "expiresIn": 60});
    for (what, method, path, token, body) in [
        ("no token", Method::GET, "/v1/servers".to_owned(), "", None),
        ("no JWT", Method::GET, "/v1/servers".to_owned(), "x", None),
        (
            "no such server",
            Method::GET,
            format!("/v1/servers/{server}"),
            &*user(STRANGER),
            None,
        ),
        ("no UUID", Method::GET, "/v1/servers/7".to_owned(), &*token, None),
        (
            "no such parameter",
            Method::GET,
            "/v1/fleet?colour=red".to_owned(),
            &*token,
            None,
        ),
        (
            "no such value",
            Method::GET,
            "/v1/servers?state=up".to_owned(),
            &*token,
            None,
        ),
        (
            "no such route",
            Method::GET,
            "/v2/servers".to_owned(),
            &*token,
            None,
        ),
        (
            "no such method",
            Method::PUT,
            "/v1/servers".to_owned(),
            &*token,
            None,
        ),
        (
            "nobody announces",
            Method::POST,
            format!("/v1/servers/{server}/stop"),
            &*token,
            None,
        ),
        (
            "not his to say",
            Method::PUT,
            format!("/v1/servers/{server}/override"),
            &*token,
            Some(word),
        ),
        (
            "no such field",
            Method::PATCH,
            format!("/v1/servers/{server}"),
            &*token,
            Some(json!({"nam": "x"})),
        ),
        (
            "no body",
            Method::PATCH,
            format!("/v1/servers/{server}"),
            &*token,
            None,
        ),
    ] {
        let headers = [("x-request-id", "this-one")];
        let answer = ground.ask_with(method, &path, token, body, &headers).await;
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json"),
            "{what}"
        );
        assert_eq!(answer.header("x-request-id"), Some("this-one"), "{what}");
        let extra: Vec<_> = ["www-authenticate", "retry-after", "allow"]
            .iter()
            .filter_map(|name| Some(format!("{name}: {}", answer.header(name)?)))
            .collect();
        let body: Value = answer.json();
        told.push(format!("{what}\n  {}\n  {body}", extra.join("\n  ")));
    }
    insta::assert_snapshot!(told.join("\n"));
    ground.close().await;
}
