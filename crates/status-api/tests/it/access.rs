//! Who gets what.

use reqwest::Method;
use serde_json::json;

use crate::ground::{GUEST, Ground, OWNER, STRANGER, eventually, expired, service_token, user};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_see_and_who_may_command() {
    let ground = Ground::new(&[]).await;
    let toolbox = ground.toolbox(OWNER, 1).await;
    let server = ground.running(toolbox, 1).await;
    let silent = ground.server(toolbox, 2).await;
    let connection = ground.connect(1, GUEST, server, true).await;
    eventually("the guest sees it", async || {
        let answer = ground.get(&format!("/v1/servers/{server}"), &user(GUEST)).await;
        (answer.status == 200).then_some(())
    })
    .await;
    // Nobody announces commands here, so whoever may command gets 503.
    let body = json!({"state": "running", "message": "so it is", "expiresIn": 60});
    for (who, token, see, see_silent, command, say, see_toolbox, connect) in [
        ("owner", user(OWNER), 200, 200, 503, 403, 200, 200),
        ("guest", user(GUEST), 200, 404, 403, 403, 404, 200),
        ("stranger", user(STRANGER), 404, 404, 404, 404, 404, 404),
        ("service", service_token(), 200, 200, 503, 200, 200, 200),
        ("nobody", String::new(), 401, 401, 401, 401, 401, 401),
        ("too late", expired(OWNER), 401, 401, 401, 401, 401, 401),
    ] {
        let status = async |method: Method, path: String, body| {
            ground.ask(method, &path, &token, body).await.status.as_u16()
        };
        assert_eq!(
            status(Method::GET, format!("/v1/servers/{server}"), None).await,
            see,
            "{who}"
        );
        assert_eq!(
            status(Method::GET, format!("/v1/servers/{server}/history"), None).await,
            see,
            "{who}"
        );
        assert_eq!(
            status(Method::GET, format!("/v1/servers/{silent}"), None).await,
            see_silent,
            "{who}"
        );
        assert_eq!(
            status(Method::POST, format!("/v1/servers/{server}/stop"), None).await,
            command,
            "{who}"
        );
        let path = format!("/v1/servers/{server}/override");
        assert_eq!(
            status(Method::PUT, path.clone(), Some(body.clone())).await,
            say,
            "{who}"
        );
        assert_eq!(status(Method::DELETE, path, None).await, say, "{who}");
        assert_eq!(
            status(Method::GET, format!("/v1/toolboxes/{toolbox}"), None).await,
            see_toolbox,
            "{who}"
        );
        let path = format!("/v1/connections/{connection}/status");
        assert_eq!(status(Method::GET, path, None).await, connect, "{who}");
    }
    let nobody = ground.get("/v1/fleet", "").await.is(401);
    assert_eq!(nobody.header("www-authenticate"), Some("Bearer realm=\"status\""));
    let late = ground.get("/v1/fleet", &expired(OWNER)).await.is(401);
    assert!(
        late.header("www-authenticate")
            .unwrap()
            .contains("error=\"invalid_token\"")
    );
    assert!(!late.text.contains(&expired(OWNER)));
    assert_eq!(
        ground
            .count("SELECT count(*) FROM status_commands WHERE kind = 'stop' AND outcome <> 'withdrawn'")
            .await,
        0
    );
    let desired = "SELECT count(*) FROM account_tool_instances WHERE desired_state IS NOT NULL";
    assert_eq!(
        ground.count(desired).await,
        0,
        "what was taken back leaves no intent"
    );
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_his_is_as_what_does_not_exist() {
    let ground = Ground::new(&[]).await;
    let toolbox = ground.toolbox(OWNER, 1).await;
    let server = ground.running(toolbox, 1).await;
    let connection = ground.connect(1, OWNER, server, true).await;
    let none = "00000000-0000-4000-8000-000000000000";
    let token = user(STRANGER);
    let asks = [
        (Method::GET, "/v1/servers/{}", server.to_string()),
        (Method::GET, "/v1/servers/{}/history", server.to_string()),
        (Method::PATCH, "/v1/servers/{}", server.to_string()),
        (Method::DELETE, "/v1/servers/{}", server.to_string()),
        (Method::POST, "/v1/servers/{}/start", server.to_string()),
        (Method::POST, "/v1/servers/{}/refresh", server.to_string()),
        (Method::POST, "/v1/servers/{}/monitor", server.to_string()),
        (Method::GET, "/v1/toolboxes/{}", toolbox.to_string()),
        (Method::PATCH, "/v1/toolboxes/{}", toolbox.to_string()),
        (Method::DELETE, "/v1/toolboxes/{}", toolbox.to_string()),
        (Method::POST, "/v1/toolboxes/{}/refresh", toolbox.to_string()),
        (Method::GET, "/v1/connections/{}", connection.to_string()),
        (Method::GET, "/v1/connections/{}/status", connection.to_string()),
        (Method::DELETE, "/v1/connections/{}", connection.to_string()),
    ];
    for (method, path, his) in asks {
        let body = (method == Method::PATCH).then(|| json!({"name": "x"}));
        let headers = [("x-request-id", "the-same")];
        let ask = async |id: &str| {
            let path = path.replace("{}", id);
            ground
                .ask_with(method.clone(), &path, &token, body.clone(), &headers)
                .await
        };
        let (foreign, unknown) = (ask(&his).await.is(404), ask(none).await);
        assert_eq!(foreign.text, unknown.text, "{method} {path}");
        let names = |answer: &crate::ground::Answer| {
            let mut names: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
            names.sort();
            names
        };
        assert_eq!(names(&foreign), names(&unknown), "{method} {path}");
    }
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_are_sent_away_and_told_when_to_come_back() {
    let ground = Ground::new(&[
        "--rate",
        "1",
        "--rate-burst",
        "3",
        "--command-burst",
        "2",
        "--command-rate",
        "1",
    ])
    .await;
    let token = user(OWNER);
    for _ in 0..3 {
        ground.get("/v1/servers", &token).await.is(200);
    }
    let away = ground.get("/v1/servers", &token).await.is(429);
    assert!(away.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    ground.get("/v1/servers", &user(GUEST)).await.is(200);
    for _ in 0..2 {
        ground.post("/v1/refresh", &token).await.is(202);
    }
    ground.post("/v1/refresh", &token).await.is(429);
    // Guessing.
    let mut guesses = Vec::new();
    for _ in 0..25 {
        guesses.push(ground.get("/v1/servers", "guess").await.status.as_u16());
    }
    assert_eq!(guesses[..20], [401; 20]);
    assert!(guesses[20..].contains(&429), "{guesses:?}");
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_nobody_can_verify_now_is_no_wrong_one() {
    // Nobody is there.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{nobody}/keys");
    let ground = Ground::new(&["--jwks-url", &url]).await;
    // {"alg":"RS256","kid":"x"}
    let answer = ground
        .get("/v1/servers", "eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.e30.AAAA")
        .await
        .is(503);
    assert!(answer.header("retry-after").is_some() && answer.header("www-authenticate").is_none());
    // Those that are signed with the secret go on.
    ground.get("/v1/servers", &user(OWNER)).await.is(200);
    ground.close().await;
}
