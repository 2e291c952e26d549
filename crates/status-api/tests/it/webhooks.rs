//! Webhooks: entered, changed, tested, and what became of their deliveries.

use domain::AccountId;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;
use wire::{
    WebhookAttempt, WebhookDeadLetter, WebhookDelivery, WebhookLook, WebhookOutcome, streams, subjects,
};

use crate::ground::{Ground, OWNER, STRANGER, now, service_token, user};

const URL: &str = "https://hooks.example/services/T0";

async fn create(ground: &Ground) -> (Uuid, String) {
    let body = json!({ "url": URL });
    let made = ground
        .ask(Method::POST, "/v1/webhooks", &user(OWNER), Some(body))
        .await
        .is(201)
        .json();
    let id = made["webhookId"].as_str().unwrap().parse().unwrap();
    (id, made["secret"].as_str().unwrap().to_owned())
}

fn path(id: Uuid) -> String {
    format!("/v1/webhooks/{id}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_comes_changes_and_goes_and_its_secret_is_shown_once() {
    let ground = Ground::new(&[]).await;
    let body = json!({
        "url": URL,
        "filters": { "kinds": ["recovery", "error", "error"], "servers": [Uuid::from_u128(5)] },
        "template": "slack",
        "options": { "afterSeconds": 30, "notDuringOwnCommands": true, "summaryFrom": 5 },
    });
    let answer = ground
        .ask_with(
            Method::POST,
            "/v1/webhooks",
            &user(OWNER),
            Some(body.clone()),
            &[("Idempotency-Key", "once")],
        )
        .await
        .is(201);
    let made = answer.json();
    let id: Uuid = made["webhookId"].as_str().unwrap().parse().unwrap();
    assert_eq!(answer.header("location"), Some(path(id).as_str()));
    let secret = made["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_") && secret.len() > 40);
    assert_eq!(made["filters"]["kinds"], json!(["error", "recovery"]));
    assert_eq!(made["accountId"], json!(OWNER.0));
    assert_eq!(made["enabled"], true);

    // The same request again gets the same webhook, and not its secret: that is nowhere kept but in its row.
    let again = ground
        .ask_with(
            Method::POST,
            "/v1/webhooks",
            &user(OWNER),
            Some(body),
            &[("Idempotency-Key", "once")],
        )
        .await
        .is(201)
        .json();
    assert_eq!(again["webhookId"], made["webhookId"]);
    assert!(again.get("secret").is_none());
    let shown = ground.get(&path(id), &user(OWNER)).await.is(200);
    assert!(!shown.text.contains("whsec"), "{}", shown.text);
    let page = ground.get("/v1/webhooks", &user(OWNER)).await.is(200);
    assert!(!page.text.contains("whsec"));
    assert_eq!(page.json()["items"][0], shown.json());
    let kept = ground
        .count("SELECT count(*) FROM status_commands WHERE answer::text LIKE '%whsec%' OR message LIKE '%whsec%'")
        .await;
    assert_eq!(kept, 0);

    let change = json!({ "enabled": false, "options": {} });
    let changed = ground
        .ask(Method::PATCH, &path(id), &user(OWNER), Some(change))
        .await
        .is(200)
        .json();
    assert_eq!(
        (&changed["enabled"], &changed["template"]),
        (&false.into(), &"slack".into())
    );
    assert_eq!(changed["options"]["afterSeconds"], 0);
    assert_eq!(changed["filters"], made["filters"]);

    let rotated = ground
        .ask(
            Method::POST,
            &format!("{}/rotate", path(id)),
            &user(OWNER),
            Some(json!({ "overlapSeconds": 60 })),
        )
        .await
        .is(200)
        .json();
    assert_ne!(rotated["secret"], made["secret"]);
    assert!(rotated["previousSecretUntil"].is_string());
    let rows: (String, String) = sqlx::query_as("SELECT secret, previous_secret FROM status_webhooks")
        .fetch_one(&ground.pool)
        .await
        .unwrap();
    assert_eq!(rows.1, secret);
    assert_eq!(rows.0, rotated["secret"].as_str().unwrap());

    ground
        .ask(Method::DELETE, &path(id), &user(OWNER), None)
        .await
        .is(204);
    ground.get(&path(id), &user(OWNER)).await.is(404);
    let records = ground.get("/v1/commands", &user(OWNER)).await.is(200).json();
    let kinds: Vec<_> = records["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["unregister", "change", "change", "register"]);
    assert!(!records.to_string().contains("whsec") && !records.to_string().contains("hooks.example"));
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_named_and_another_s_webhook_is_none() {
    let ground = Ground::new(&[]).await;
    for (body, field) in [
        (json!({}), "url"),
        (json!({ "url": "ftp://x" }), "url"),
        (json!({ "url": "https://u:p@x" }), "url"),
        (
            json!({ "url": URL, "filters": { "kinds": ["all"] } }),
            "filters.kinds[0]",
        ),
        (
            json!({ "url": URL, "filters": { "server": [] } }),
            "filters.server",
        ),
        (
            json!({ "url": URL, "options": { "afterSeconds": 86_401 } }),
            "options.afterSeconds",
        ),
        (
            json!({ "url": URL, "options": { "summaryFrom": 1 } }),
            "options.summaryFrom",
        ),
        (json!({ "url": URL, "template": "xml" }), "template"),
        (json!({ "url": URL, "secret": "whsec_x" }), "secret"),
    ] {
        let answer = ground
            .ask(Method::POST, "/v1/webhooks", &user(OWNER), Some(body.clone()))
            .await
            .is(400);
        assert_eq!(answer.json()["field"], field, "{body}");
    }
    let for_another = json!({ "url": URL, "accountId": STRANGER.0 });
    ground
        .ask(
            Method::POST,
            "/v1/webhooks",
            &user(OWNER),
            Some(for_another.clone()),
        )
        .await
        .is(403);
    ground
        .ask(Method::POST, "/v1/webhooks", &service_token(), Some(for_another))
        .await
        .is(201);

    let (id, _) = create(&ground).await;
    let taken = json!({ "url": URL, "webhookId": id });
    let answer = ground
        .ask(Method::POST, "/v1/webhooks", &user(OWNER), Some(taken))
        .await
        .is(409);
    assert_eq!(answer.json()["field"], "webhookId");
    let too_long = json!({ "overlapSeconds": 604_801 });
    let answer = ground
        .ask(
            Method::POST,
            &format!("{}/rotate", path(id)),
            &user(OWNER),
            Some(too_long),
        )
        .await
        .is(400);
    assert_eq!(answer.json()["field"], "overlapSeconds");

    let dead = Uuid::from_u128(9);
    for (method, more, body) in [
        (Method::GET, String::new(), None),
        (Method::PATCH, String::new(), Some(json!({ "enabled": false }))),
        (Method::DELETE, String::new(), None),
        (Method::POST, "/rotate".to_owned(), Some(json!({}))),
        (Method::POST, "/test".to_owned(), None),
        (Method::GET, "/deliveries".to_owned(), None),
        (Method::GET, "/dead-letters".to_owned(), None),
        (Method::POST, "/dead-letters/replay".to_owned(), None),
        (Method::POST, format!("/dead-letters/{dead}/replay"), None),
    ] {
        let of = async |id: Uuid| {
            let path = format!("{}{more}", path(id));
            let answer = ground
                .ask(method.clone(), &path, &user(STRANGER), body.clone())
                .await
                .is(404);
            answer.json()["detail"].clone()
        };
        assert_eq!(of(id).await, of(Uuid::from_u128(404)).await, "{method} {more}");
    }
    let all = ground.get("/v1/webhooks", &service_token()).await.is(200).json();
    assert_eq!(all["items"].as_array().unwrap().len(), 2);
    let page = ground
        .get("/v1/webhooks?limit=1", &service_token())
        .await
        .is(200)
        .json();
    assert!(page["next"].is_string());
    ground.close().await;
}

fn delivery(webhook: Uuid, number: u128) -> WebhookDelivery {
    WebhookDelivery {
        delivery_id: Uuid::from_u128(number),
        webhook_id: webhook,
        account_id: OWNER.0,
        event_type: "mcp.server.status_changed".to_owned(),
        server_id: Some(Uuid::from_u128(5)),
        payload: format!("{{\"number\":{number}}}"),
        attempts: 12,
        first_at: now(),
        test: false,
    }
}

async fn bury(ground: &Ground, webhook: Uuid, number: u128) {
    let dead = WebhookDeadLetter {
        delivery: delivery(webhook, number),
        reason: "given up: the endpoint answered 500".to_owned(),
        at: now(),
    };
    let subject = subjects::webhook_dead(AccountId(OWNER.0), webhook);
    ground
        .bus
        .publish(subject, &format!("dead-{number}"), &dead)
        .await
        .unwrap();
}

/// What is due for a webhook.
async fn due(ground: &Ground, webhook: Uuid) -> Vec<WebhookDelivery> {
    let subject = subjects::webhook_due(webhook);
    let kept = ground
        .bus
        .kept(&streams::WEBHOOKS, &subject, 0, 100)
        .await
        .unwrap();
    kept.iter()
        .map(|one| WebhookDelivery::decode(&one.body).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tests_the_log_and_dead_letters() {
    let ground = Ground::new(&[]).await;
    let (id, _) = create(&ground).await;
    let base = path(id);
    let sent = ground
        .post(&format!("{base}/test"), &user(OWNER))
        .await
        .is(202)
        .json();
    let look = subjects::webhook_look(id, None);
    let kept = ground.bus.kept(&streams::WEBHOOKS, &look, 0, 10).await.unwrap();
    match WebhookLook::decode(&kept[0].body).unwrap() {
        WebhookLook::Test { delivery_id, .. } => assert_eq!(sent["deliveryIds"], json!([delivery_id])),
        other => panic!("{other:?}"),
    }

    for attempt in 1..=3 {
        let entry = WebhookAttempt {
            delivery_id: Uuid::from_u128(1),
            webhook_id: id,
            event_type: "mcp.server.status_changed".to_owned(),
            server_id: None,
            at: now(),
            attempt,
            outcome: WebhookOutcome::Failed,
            status: Some(500),
            error: Some("the endpoint answered 500".to_owned()),
            response: None,
            duration_ms: 3,
            next: None,
        };
        let subject = subjects::webhook_log(AccountId(OWNER.0), id);
        ground.bus.publish(subject, "", &entry).await.unwrap();
    }
    let log = ground
        .get(&format!("{base}/deliveries"), &user(OWNER))
        .await
        .is(200)
        .json();
    let attempts: Vec<_> = log["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["attempt"])
        .collect();
    assert_eq!(attempts, [3, 2, 1]);

    for number in 1..=4 {
        bury(&ground, id, number).await;
    }
    let list = async |query: &str| -> Value {
        let path = format!("{base}/dead-letters{query}");
        ground.get(&path, &user(OWNER)).await.is(200).json()
    };
    let page = list("?limit=3").await;
    assert_eq!(page["items"].as_array().unwrap().len(), 3);
    assert_eq!(page["items"][0]["payload"], "{\"number\":1}");
    let next = page["next"].as_str().unwrap();
    let rest = list(&format!("?limit=3&cursor={next}")).await;
    assert_eq!(rest["items"][0]["deliveryId"], json!(Uuid::from_u128(4)));
    assert!(rest.get("next").is_none());

    // One, as it was, for another day.
    let one = Uuid::from_u128(2);
    let replay = format!("{base}/dead-letters/{one}/replay");
    ground.post(&replay, &user(OWNER)).await.is(202);
    let again = due(&ground, id).await.remove(0);
    let before = delivery(id, 2);
    assert_eq!((again.attempts, &again.payload), (0, &before.payload));
    assert_eq!(again.delivery_id, before.delivery_id);
    assert!(
        again.first_at
            >= before
                .first_at
                .checked_sub(jiff::SignedDuration::from_secs(1))
                .unwrap()
    );
    ground.post(&replay, &user(OWNER)).await.is(404);

    // All others.
    let all = ground
        .post(&format!("{base}/dead-letters/replay"), &user(OWNER))
        .await
        .is(202)
        .json();
    assert_eq!(all["deliveryIds"].as_array().unwrap().len(), 3);
    assert_eq!(due(&ground, id).await.len(), 4);
    assert_eq!(list("").await["items"], json!([]));
    ground.close().await;
}
