//! Who is told what, once, and where nobody is told.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;
use wire::{WebhookKind, WebhookLook, WebhookOutcome, WebhookTemplate, subjects};

use crate::ground::{Ground, deleted, eventually, id, status};
use crate::receiver::{Answer, Receiver};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_tell_each_change_once_and_in_order_and_nobody_else_s() {
    let ground = Ground::new().await;
    let (mine, theirs) = (Receiver::new().await, Receiver::new().await);
    let hook = ground.webhook(1, 1, &mine.url).await;
    ground.webhook(2, 2, &theirs.url).await;
    let (one, other) = (ground.replica().await, ground.replica().await);
    // No server has more changes at once than the stream keeps of it.
    let mut sent = BTreeSet::new();
    for version in 1..=5 {
        let events: Vec<_> = (100..120)
            .map(|server| {
                sent.insert((id(server).to_string(), version));
                status(server, 1, version, "error", "running")
            })
            .collect();
        ground.publish(&events).await;
    }
    mine.wait_for(sent.len()).await;
    ground.all_done().await;
    let received = mine.received();
    let told: BTreeSet<_> = received.iter().map(|one| one.version()).collect();
    assert_eq!(told, sent);
    assert_eq!(received.len(), sent.len(), "each once");
    let ids: BTreeSet<_> = received.iter().map(|one| one.id()).collect();
    assert_eq!(ids.len(), sent.len());
    assert_eq!(theirs.received().len(), 0);
    let log = ground.log(&hook).await;
    assert_eq!(log.len(), 100, "the last hundred");
    assert!(
        log.iter()
            .all(|one| one.outcome == WebhookOutcome::Delivered && one.attempt == 1)
    );
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_one_server_they_come_in_order() {
    let ground = Ground::new().await;
    let receiver = Receiver::new().await;
    ground.webhook(1, 1, &receiver.url).await;
    let replica = ground.replica().await;
    for version in 1..=5 {
        ground
            .publish(&[status(100, 1, version, "error", "running")])
            .await;
    }
    let versions: Vec<_> = receiver
        .wait_for(5)
        .await
        .iter()
        .map(|one| one.version().1)
        .collect();
    assert_eq!(versions, [1, 2, 3, 4, 5]);
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_templates_and_what_is_gone() {
    let ground = Ground::new().await;
    let (errors, slack, gone) = (
        Receiver::new().await,
        Receiver::new().await,
        Receiver::new().await,
    );
    ground
        .webhook_with(1, 1, &errors.url, |entry| {
            entry.filters.kinds = vec![WebhookKind::Error, WebhookKind::Recovery];
            entry.filters.servers = vec![id(100)];
        })
        .await;
    ground
        .webhook_with(2, 1, &slack.url, |entry| entry.template = WebhookTemplate::Slack)
        .await;
    ground
        .webhook_with(3, 1, &gone.url, |entry| {
            entry.filters.kinds = vec![WebhookKind::Deleted];
            entry.template = WebhookTemplate::Json;
        })
        .await;
    let replica = ground.replica().await;
    ground
        .publish(&[
            status(100, 1, 1, "error", "running"),
            status(101, 1, 1, "error", "running"),
            // Recovery by way of starting: what stood before is found in the stream.
            status(100, 1, 2, "starting", "error"),
            status(100, 1, 3, "running", "starting"),
            status(100, 1, 4, "stopped", "running"),
        ])
        .await;
    ground.publish(&[deleted(100, 1, 5)]).await;
    gone.wait_for(1).await;
    ground.all_done().await;
    let versions: Vec<_> = errors.received().iter().map(|one| one.version().1).collect();
    assert_eq!(versions, [1, 3]);
    let received = errors.received();
    assert_eq!(received[0].json()["type"], "mcp.server.status_changed");
    assert_eq!(
        received[0].json()["data"]["previous"],
        json!({ "state": "running", "health": "healthy" })
    );
    assert_eq!(received[0].headers["content-type"], "application/json");
    let mut texts: Vec<_> = slack
        .received()
        .iter()
        .map(|one| one.json()["text"].as_str().unwrap().to_owned())
        .collect();
    texts.sort();
    assert_eq!(texts[0], "mcp-100 was deleted");
    assert!(
        texts.contains(&"mcp-101 went from running to error".to_owned()),
        "{texts:?}"
    );
    assert_eq!(texts.len(), 6);
    let end = gone.received()[0].json();
    assert_eq!(
        (&end["type"], &end["sentence"]),
        (&"mcp.server.deleted".into(), &"mcp-100 was deleted".into())
    );
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_does_not_answer_delays_no_other() {
    let ground = Ground::new().await;
    let (silent, quick) = (
        Receiver::answering(|_, _| Answer::Never).await,
        Receiver::new().await,
    );
    ground.webhook(1, 1, &silent.url).await;
    ground.webhook(2, 1, &quick.url).await;
    let replica = ground
        .replica_with(|options| options.webhook_timeout = Duration::from_secs(30))
        .await;
    let began = Instant::now();
    let events: Vec<_> = (0..200)
        .map(|server| status(1000 + server, 1, 1, "error", "running"))
        .collect();
    ground.publish(&events).await;
    quick.wait_for(200).await;
    let took = began.elapsed();
    assert!(
        took < Duration::from_secs(20),
        "{took:?}, and nobody answered the others"
    );
    assert!(silent.received().len() <= 4, "no more at once than may be");
    replica.crash().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn this_machine_is_not_reached_unless_that_is_allowed() {
    let ground = Ground::new().await;
    let receiver = Receiver::new().await;
    let by_name = receiver.url.replace("127.0.0.1", "localhost");
    let hooks = [
        ground.webhook(1, 1, &receiver.url).await,
        ground.webhook(2, 1, &by_name).await,
    ];
    let replica = ground
        .replica_with(|options| {
            options.webhook_allow = Vec::new();
            options.webhook_give_up = Duration::from_millis(100);
        })
        .await;
    ground.publish(&[status(1, 1, 1, "error", "running")]).await;
    for hook in &hooks {
        eventually("it is given up", async || ground.dead(hook).await.len() == 1).await;
        let (_, dead) = ground.dead(hook).await.remove(0);
        assert!(dead.reason.contains("private or reserved"), "{}", dead.reason);
        assert!(!dead.reason.contains("127.0.0.1") && !dead.reason.contains("localhost"));
    }
    assert_eq!(receiver.received().len(), 0);
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_not_followed() {
    let ground = Ground::new().await;
    let inner = Receiver::new().await;
    let target = inner.url.clone();
    let outer = Receiver::answering(move |_, _| Answer::With(302, "location", target.clone())).await;
    let hook = ground.webhook(1, 1, &outer.url).await;
    let replica = ground.replica().await;
    ground.publish(&[status(1, 1, 1, "error", "running")]).await;
    eventually("it is logged", async || !ground.log(&hook).await.is_empty()).await;
    let attempt = ground.log(&hook).await.remove(0);
    assert_eq!(
        (attempt.status, attempt.outcome),
        (Some(302), WebhookOutcome::Failed)
    );
    assert!(attempt.error.unwrap().contains("redirects are not followed"));
    assert_eq!(inner.received().len(), 0);
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_is_posted_once_also_to_who_is_switched_off() {
    let ground = Ground::new().await;
    let receiver = Receiver::answering(|_, _| Answer::Status(500)).await;
    let hook = ground
        .webhook_with(1, 1, &receiver.url, |entry| entry.enabled = false)
        .await;
    let replica = ground.replica().await;
    ground.publish(&[status(1, 1, 1, "error", "running")]).await;
    let look = WebhookLook::Test {
        delivery_id: id(42),
        at: crate::ground::now(),
    };
    let subject = subjects::webhook_look(hook.webhook_id, None);
    ground.bus.publish(subject, "test", &look).await.unwrap();
    eventually("it is logged", async || !ground.log(&hook).await.is_empty()).await;
    ground.all_done().await;
    let received = receiver.received();
    assert_eq!(
        received.len(),
        1,
        "the change is not told, and the test not repeated"
    );
    assert_eq!(received[0].id(), id(42).to_string());
    assert_eq!(received[0].json()["type"], "mcp.webhook.test");
    assert_eq!(ground.log(&hook).await[0].outcome, WebhookOutcome::Dead);
    assert!(ground.dead(&hook).await.is_empty());
    replica.stop().await;
}
