//! What is answered while something is away.

use std::time::{Duration, Instant};

use clap::Parser as _;
use reqwest::Method;
use serde_json::json;
use service::Lifecycle;
use tokio_util::sync::CancellationToken;

use crate::ground::{Ground, OWNER, SECRET, STRANGER, eventually, user};

/// Far below any time-out that somebody would notice as hanging.
const QUICK: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_database_reads_go_on_and_commands_are_refused() {
    let mut ground = Ground::with_postgres(&[]).await;
    let toolbox = ground.toolbox(OWNER, 1).await;
    let server = ground.running(toolbox, 1).await;
    let silent = ground.server(toolbox, 2).await;
    let connection = ground.connect(1, OWNER, server, true).await;
    let token = user(OWNER);
    ground.get(&format!("/v1/servers/{silent}"), &token).await.is(200);
    ground.postgres.as_mut().unwrap().stop().await.unwrap();

    let quick = async |method: Method, path: &str, token: &str, body| {
        let began = Instant::now();
        let answer = ground.ask(method, path, token, body).await;
        assert!(began.elapsed() < QUICK, "{path}: {:?}", began.elapsed());
        answer
    };
    let get = async |path: String| quick(Method::GET, &path, &token, None).await;
    eventually("the answer is stale", async || {
        let body = get(format!("/v1/servers/{server}")).await.is(200).json();
        (body["stale"] == true).then_some(())
    })
    .await;
    let body = get(format!("/v1/servers/{server}")).await.is(200).json();
    assert_eq!(
        (&body["state"], &body["stale"]),
        (&"running".into(), &true.into())
    );
    // Known only from its row, which was read.
    let body = get(format!("/v1/servers/{silent}")).await.is(200).json();
    assert_eq!(body["stale"], true);
    let page = get("/v1/servers".to_owned()).await.is(200).json();
    assert_eq!(
        (&page["stale"], page["items"].as_array().unwrap().len()),
        (&true.into(), 1)
    );
    let history = get(format!("/v1/servers/{server}/history")).await.is(200).json();
    assert_eq!(
        (&history["stale"], history["items"].as_array().unwrap().len()),
        (&true.into(), 1)
    );
    assert_eq!(get("/v1/fleet".to_owned()).await.is(200).json()["stale"], true);
    assert_eq!(
        get("/v1/toolboxes".to_owned()).await.is(200).json()["stale"],
        true
    );
    let status = get(format!("/v1/connections/{connection}/status"))
        .await
        .is(200)
        .json();
    assert_eq!(
        (&status["status"], &status["stale"]),
        (&"connected".into(), &true.into())
    );
    assert_eq!(
        get("/v1/connections".to_owned()).await.is(200).json()["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );

    // What nobody can know is not said to be so.
    let unknown = "00000000-0000-4000-8000-000000000000";
    for (method, path, token, body) in [
        (Method::GET, format!("/v1/servers/{unknown}"), &token, None),
        (
            Method::GET,
            format!("/v1/servers/{server}"),
            &user(STRANGER),
            None,
        ),
        (Method::GET, format!("/v1/toolboxes/{unknown}"), &token, None),
        (Method::GET, format!("/v1/commands/{unknown}"), &token, None),
        (Method::GET, "/v1/commands".to_owned(), &token, None),
        (Method::POST, format!("/v1/servers/{server}/start"), &token, None),
        (Method::POST, format!("/v1/servers/{server}/delete"), &token, None),
        (
            Method::POST,
            format!("/v1/servers/{server}/monitor"),
            &token,
            None,
        ),
        (
            Method::POST,
            format!("/v1/servers/{server}/refresh"),
            &token,
            None,
        ),
        (Method::POST, "/v1/refresh".to_owned(), &token, None),
        (
            Method::POST,
            "/v1/toolboxes".to_owned(),
            &token,
            Some(json!({"name": "a box"})),
        ),
        (Method::DELETE, format!("/v1/servers/{server}"), &token, None),
    ] {
        let answer = quick(method.clone(), &path, token, body).await.is(503);
        assert!(
            answer.header("retry-after").is_some(),
            "{method} {path}: {answer:?}"
        );
    }
    // It stays ready: an outage of the database is no reason to take it out of service.
    ground.get("/readyz", "").await.is(200);
    let metrics = ground.get("/metrics", "").await;
    assert_eq!(metrics.status, 200);

    ground.postgres.as_mut().unwrap().restart().await.unwrap();
    eventually("the answer is fresh again", async || {
        let body = ground.get(&format!("/v1/servers/{server}"), &token).await;
        (body.status == 200 && body.json()["stale"] == false).then_some(())
    })
    .await;
    ground.get("/v1/commands", &token).await.is(200);
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_nats_reads_go_on_marked() {
    let mut ground = Ground::new(&[]).await;
    let toolbox = ground.toolbox(OWNER, 1).await;
    let server = ground.running(toolbox, 1).await;
    let token = user(OWNER);
    ground.nats.stop().await.unwrap();
    eventually("the answer is stale", async || {
        let body = ground
            .get(&format!("/v1/servers/{server}"), &token)
            .await
            .is(200)
            .json();
        (body["stale"] == true).then_some(())
    })
    .await;
    let began = Instant::now();
    let refused = ground
        .post(&format!("/v1/servers/{server}/stop"), &token)
        .await
        .is(503);
    assert!(refused.header("retry-after").is_some() && began.elapsed() < QUICK);
    ground.nats.restart().await.unwrap();
    eventually("the answer is fresh again", async || {
        let body = ground
            .get(&format!("/v1/servers/{server}"), &token)
            .await
            .is(200)
            .json();
        (body["stale"] == false).then_some(())
    })
    .await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_does_not_answer_is_as_one_that_is_away() {
    let ground = Ground::new(&[]).await;
    let toolbox = ground.toolbox(OWNER, 1).await;
    let server = ground.running(toolbox, 1).await;
    let token = user(OWNER);
    let mut held = ground.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE account_tool_instances IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *held)
        .await
        .unwrap();
    let path = format!("/v1/servers/{server}");
    eventually("the answer is stale", async || {
        let began = Instant::now();
        let body = ground.get(&path, &token).await.is(200).json();
        assert!(began.elapsed() < QUICK);
        (body["stale"] == true).then_some(())
    })
    .await;
    // While one waits for the database the others are answered at once.
    let mut slow = 0;
    for _ in 0..20 {
        let began = Instant::now();
        ground.get(&path, &token).await.is(200);
        slow += u32::from(began.elapsed() > Duration::from_millis(500));
    }
    assert!(slow <= 2, "{slow}");
    held.rollback().await.unwrap();
    eventually("the answer is fresh again", async || {
        let body = ground.get(&path, &token).await.is(200).json();
        (body["stale"] == false).then_some(())
    })
    .await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_the_present_is_known_nothing_is_said() {
    let listen = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let config = status_api::Config::parse_from([
        "status-api",
        "--nats-url",
        &format!("nats://{nobody}"),
        "--database-url",
        &format!("postgres://u:p@{nobody}/d"),
        "--jwt-secret",
        SECRET,
        "--listen",
        &listen.to_string(),
    ]);
    let shutdown = CancellationToken::new();
    let (lifecycle, host) = Lifecycle::new(shutdown.clone());
    let running = tokio::spawn(status_api::run(config, lifecycle));
    let client = reqwest::Client::new();
    let ask = async |path: &str| {
        let request = client
            .get(format!("http://{listen}{path}"))
            .bearer_auth(user(OWNER));
        request.send().await.ok()
    };
    let live = eventually("it listens", async || ask("/livez").await).await;
    assert_eq!(live.status(), 200);
    let ready = ask("/readyz").await.unwrap();
    assert_eq!(ready.status(), 503);
    let answer = ask("/v1/servers").await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(ask("/docs").await.unwrap().status(), 200);
    assert!(host.borrow().is_none());
    shutdown.cancel();
    running.await.unwrap().unwrap();
}
