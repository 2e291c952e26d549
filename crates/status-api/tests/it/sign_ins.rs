//! Who is asking, and one-use codes to sign in with.

use reqwest::Method;
use serde_json::json;

use crate::ground::{Answer, Ground, OWNER, service_token, user};

async fn redeem(ground: &Ground, code: &str) -> Answer {
    let body = json!({ "code": code });
    ground
        .ask(Method::POST, "/v1/sign-ins/redeem", "", Some(body))
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_tells_whom_it_proves() {
    let ground = Ground::new(&[]).await;
    ground.get("/v1/me", "").await.is(401);
    let me = ground.get("/v1/me", &user(OWNER)).await.is(200).json();
    assert_eq!(me["accountId"], OWNER.to_string());
    assert_eq!(me["role"], "user");
    assert_eq!(me["actor"], OWNER.to_string());
    let left = me["expiresAt"]
        .as_str()
        .unwrap()
        .parse::<jiff::Timestamp>()
        .unwrap();
    assert!(left > crate::ground::now());
    let service = ground.get("/v1/me", &service_token()).await.is(200).json();
    assert_eq!(service["role"], "service_role");
    assert!(service.get("accountId").is_none(), "{service}");
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_gets_the_token_it_was_made_with_once_at_any_replica() {
    let ground = Ground::new(&[]).await;
    let replica = ground.replica().await;
    ground.post("/v1/sign-ins", "").await.is(401);
    let token = user(OWNER);
    let made = ground.post("/v1/sign-ins", &token).await.is(201);
    assert_eq!(made.header("cache-control"), Some("no-store"));
    let made = made.json();
    let code = made["code"].as_str().unwrap();
    let valid = made["expiresAt"]
        .as_str()
        .unwrap()
        .parse::<jiff::Timestamp>()
        .unwrap();
    let minutes = valid.duration_since(crate::ground::now()).as_mins();
    assert!((13..=15).contains(&minutes), "{minutes}");

    // Two at once, at two replicas: one of them.
    let there = ground
        .client
        .post(format!("{}/v1/sign-ins/redeem", replica.url))
        .json(&json!({ "code": code }));
    let (here, there) = tokio::join!(redeem(&ground, code), crate::ground::answer(there));
    let mut got = [here, there];
    got.sort_by_key(|answer| answer.status);
    let [got, lost] = got;
    let lost = lost.is(404);
    assert!(!lost.text.contains(code), "{}", lost.text);
    let got = got.is(200);
    assert_eq!(got.header("cache-control"), Some("no-store"));
    assert_eq!(got.json()["token"], token);
    ground
        .get("/v1/servers", got.json()["token"].as_str().unwrap())
        .await
        .is(200);
    redeem(&ground, code).await.is(404);
    replica.stop().await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn codes_cannot_be_guessed_or_hoarded() {
    let ground = Ground::new(&["--failed-token-rate", "1", "--failed-token-burst", "5"]).await;
    let code = ground.post("/v1/sign-ins", &user(OWNER)).await.is(201).json();
    for (body, status) in [
        (json!({}), 400),
        (json!({ "code": "a", "more": 1 }), 400),
        (json!({ "code": "a" }), 404),
        (json!({ "code": "a".repeat(43) }), 404),
        (json!({ "code": ">" }), 404),
    ] {
        ground
            .ask(Method::POST, "/v1/sign-ins/redeem", "", Some(body))
            .await
            .is(status);
    }
    let away = redeem(&ground, code["code"].as_str().unwrap()).await.is(429);
    assert!(away.header("retry-after").is_some());
    // Those of one caller, whatever he may command.
    let mut made = Vec::new();
    for _ in 0..12 {
        made.push(ground.post("/v1/sign-ins", &user(OWNER)).await.status.as_u16());
    }
    assert_eq!(made[..9], [201; 9]);
    assert!(made.contains(&429), "{made:?}");
    ground.post("/v1/sign-ins", &service_token()).await.is(201);
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_another_origin_may_ask_and_read_what_it_needs() {
    let ground = Ground::new(&["--cors-origins", "http://board.example:8083"]).await;
    let preflight = |origin: &'static str| {
        ground
            .client
            .request(Method::OPTIONS, format!("{}/v1/servers", ground.url))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header(
                "access-control-request-headers",
                "authorization,content-type,idempotency-key,if-none-match,traceparent",
            )
    };
    let answer = crate::ground::answer(preflight("http://board.example:8083"))
        .await
        .is(200);
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("http://board.example:8083")
    );
    let allowed = answer
        .header("access-control-allow-headers")
        .unwrap()
        .to_lowercase();
    for name in [
        "authorization",
        "content-type",
        "idempotency-key",
        "if-none-match",
        "traceparent",
    ] {
        assert!(allowed.contains(name), "{name}: {allowed}");
    }
    let foreign = crate::ground::answer(preflight("http://evil.example")).await;
    assert_eq!(foreign.header("access-control-allow-origin"), None);
    let headers = [("origin", "http://board.example:8083")];
    let read = ground
        .ask_with(Method::GET, "/v1/me", &user(OWNER), None, &headers)
        .await
        .is(200);
    let exposed = read
        .header("access-control-expose-headers")
        .unwrap()
        .to_lowercase();
    for name in [
        "etag",
        "location",
        "retry-after",
        "x-request-id",
        "idempotency-replayed",
    ] {
        assert!(exposed.contains(name), "{name}: {exposed}");
    }
    ground.close().await;
}
