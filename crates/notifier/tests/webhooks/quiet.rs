//! What keeps endpoints quiet.

use std::time::Duration;

use uuid::Uuid;
use wire::{CommandAction, CommandUnderWay, StatusEvent, WebhookKind, WebhookOptions, WebhookTemplate};

use crate::ground::{Ground, id, now, status};
use crate::receiver::{Received, Receiver};

/// State before and after, of a standard body.
fn change(received: &Received) -> (String, String) {
    let data = &received.json()["data"];
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    (text(&data["previous"]["state"]), text(&data["state"]))
}

fn change_of(from: &str, to: &str) -> (String, String) {
    (from.to_owned(), to.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_still_holds() {
    let ground = Ground::new().await;
    let receiver = Receiver::new().await;
    ground
        .webhook_with(1, 1, &receiver.url, |entry| {
            entry.options = WebhookOptions {
                after_seconds: 2,
                ..WebhookOptions::default()
            };
            entry.filters.kinds = vec![WebhookKind::State];
        })
        .await;
    let replica = ground.replica().await;
    ground
        .publish(&[
            // Back again before anybody needs to know.
            status(1, 1, 1, "error", "running"),
            status(1, 1, 2, "running", "error"),
            // This one stays, by way of another state.
            status(2, 1, 1, "stopped", "running"),
            status(2, 1, 2, "error", "stopped"),
        ])
        .await;
    let received = receiver.wait_for(1).await;
    ground.all_done().await;
    assert_eq!(receiver.received().len(), 1);
    assert_eq!(change(&received[0]), change_of("running", "error"));
    assert_eq!(received[0].version(), (id(2).to_string(), 2));
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_one_server_at_most_one_in_a_while() {
    let ground = Ground::new().await;
    let receiver = Receiver::new().await;
    ground
        .webhook_with(1, 1, &receiver.url, |entry| {
            entry.options.at_most_every_seconds = 3;
        })
        .await;
    let replica = ground.replica().await;
    ground
        .publish(&[
            status(1, 1, 1, "error", "running"),
            status(2, 1, 1, "error", "running"),
        ])
        .await;
    // At once.
    receiver.wait_for(2).await;
    ground
        .publish(&[
            status(1, 1, 2, "running", "error"),
            status(1, 1, 3, "stopped", "running"),
            // As it was told: nothing to tell.
            status(2, 1, 2, "running", "error"),
            status(2, 1, 3, "error", "running"),
        ])
        .await;
    receiver.wait_for(3).await;
    ground.all_done().await;
    let received = receiver.received();
    assert_eq!(received.len(), 3);
    assert_eq!(change(&received[2]), change_of("error", "stopped"));
    assert_eq!(received[2].version(), (id(1).to_string(), 3));
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_what_a_command_brings_about() {
    let ground = Ground::new().await;
    let receiver = Receiver::new().await;
    ground
        .webhook_with(1, 1, &receiver.url, |entry| {
            entry.options.not_during_own_commands = true;
        })
        .await;
    let replica = ground.replica().await;
    let commanded = |event: StatusEvent| match event {
        StatusEvent::Status(mut status) => {
            status.cause = Some("command".to_owned());
            status.command = Some(CommandUnderWay {
                command_id: Uuid::nil(),
                action: CommandAction::Restart,
                requested_at: now(),
                deadline: now(),
            });
            StatusEvent::Status(status)
        }
        gone => gone,
    };
    ground
        .publish(&[
            commanded(status(1, 1, 1, "stopping", "running")),
            commanded(status(1, 1, 2, "starting", "stopping")),
            // It ends what the command began: known from what the stream keeps.
            status(1, 1, 3, "running", "starting"),
            // Nobody asked for this.
            status(1, 1, 4, "error", "running"),
            status(2, 1, 1, "running", "starting"),
        ])
        .await;
    receiver.wait_for(2).await;
    ground.all_done().await;
    let mut told: Vec<_> = receiver.received().iter().map(Received::version).collect();
    told.sort();
    assert_eq!(told, [(id(1).to_string(), 4), (id(2).to_string(), 1)]);
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_are_one_message() {
    let ground = Ground::new().await;
    let (slack, plain) = (Receiver::new().await, Receiver::new().await);
    let options = WebhookOptions {
        summary_from: 3,
        summary_window: 2,
        ..WebhookOptions::default()
    };
    ground
        .webhook_with(1, 1, &slack.url, |entry| {
            entry.options = options.clone();
            entry.template = WebhookTemplate::Slack;
        })
        .await;
    ground
        .webhook_with(2, 1, &plain.url, |entry| {
            entry.options = options.clone();
            entry.filters.servers = vec![id(100), id(101)];
        })
        .await;
    let replica = ground.replica().await;
    let mut events: Vec<_> = (0..9)
        .map(|server| status(100 + server, 1, 1, "unknown", "running"))
        .collect();
    events.extend((0..3).map(|server| status(200 + server, 1, 1, "error", "running")));
    ground.publish(&events).await;
    slack.wait_for(1).await;
    plain.wait_for(2).await;
    ground.all_done().await;
    assert_eq!(slack.received().len(), 1);
    assert_eq!(
        slack.received()[0].json()["text"],
        "12 servers changed: 9 unknown, 3 error"
    );
    // Too few for a summary: each by itself.
    let mut told: Vec<_> = plain.received().iter().map(Received::version).collect();
    told.sort();
    assert_eq!(told, [(id(100).to_string(), 1), (id(101).to_string(), 1)]);

    // What was gathered outlives the replica that gathered it.
    ground.publish(&[status(100, 1, 2, "running", "unknown")]).await;
    crate::ground::eventually("it is held", async || {
        let state = ground.bus.stream_state(&wire::streams::WEBHOOKS).await.unwrap();
        state.messages >= 4
    })
    .await;
    replica.crash().await;
    let other = ground.replica().await;
    plain.wait_for(3).await;
    slack.wait_for(2).await;
    assert_eq!(
        slack.received()[1].json()["text"],
        "mcp-100 went from unknown to running"
    );
    tokio::time::timeout(Duration::from_secs(30), other.stop())
        .await
        .unwrap();
}
