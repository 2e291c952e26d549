//! Messages for later.

use std::time::Duration;

use bus::{Before, BusError, Verdict};
use domain::ServerId;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;
use wire::{WebhookLook, streams, subjects};

use crate::ground::{Ground, Running, Taken, all_acknowledged, eventually};

const HOOK: Uuid = Uuid::from_u128(7);

#[expect(clippy::disallowed_methods, reason = "schedules are of the present")]
fn in_seconds(seconds: i64) -> Timestamp {
    Timestamp::now() + SignedDuration::from_secs(seconds)
}

fn look(version: u64) -> WebhookLook {
    WebhookLook::Server {
        server_id: Uuid::from_u128(9),
        told: None,
        version,
        at: Timestamp::UNIX_EPOCH,
    }
}

fn places() -> (String, String) {
    let server = Some(ServerId(Uuid::from_u128(9)));
    (
        subjects::webhook_check(HOOK, server),
        subjects::webhook_look(HOOK, server),
    )
}

#[tokio::test]
async fn it_is_sent_once_and_a_replaced_one_never() {
    let ground = Ground::new().await;
    let (check, target) = places();
    let send = async |seconds, version, before| {
        ground
            .bus
            .send_at(
                check.clone(),
                target.clone(),
                in_seconds(seconds),
                &look(version),
                before,
            )
            .await
    };
    let first = send(2, 1, Before::None).await.unwrap();
    assert!(matches!(
        send(2, 2, Before::None).await,
        Err(BusError::Conflict { .. })
    ));
    let second = send(3, 2, Before::Sequence(first.sequence)).await.unwrap();
    assert!(second.sequence > first.sequence);
    let kept = ground.bus.kept(&streams::WEBHOOKS, &check, 0, 10).await.unwrap();
    assert_eq!(kept.len(), 1, "a replaced schedule is gone");
    assert_eq!(WebhookLook::decode(&kept[0].body).unwrap(), look(2));

    let taken = Taken::default();
    let running = Running::taking(&ground.bus, &streams::WEBHOOK_LOOKER, &taken);
    eventually("it is sent", async || !taken.all().is_empty()).await;
    eventually("the schedule is gone", async || {
        ground
            .bus
            .last(&streams::WEBHOOKS, &check)
            .await
            .unwrap()
            .is_none()
    })
    .await;
    // And another is taken as the first one was.
    send(1, 3, Before::None).await.unwrap();
    eventually("that too is sent", async || taken.all().len() == 2).await;
    let versions: Vec<_> = taken
        .bodies()
        .iter()
        .map(|body| WebhookLook::decode(body.as_bytes()).unwrap())
        .collect();
    assert_eq!(versions, [look(2), look(3)]);
    all_acknowledged(&ground.bus, &streams::WEBHOOK_LOOKER).await;
    running.stop().await.unwrap();
    let state = ground.bus.stream_state(&streams::WEBHOOKS).await.unwrap();
    assert_eq!(state.messages, 0, "what is dealt with leaves");
}

#[tokio::test]
async fn schedules_survive_the_server_and_what_is_kept_is_read_and_removed() {
    let mut ground = Ground::new().await;
    let (check, target) = places();
    ground
        .bus
        .send_at(check, target, in_seconds(2), &look(1), Before::Any)
        .await
        .unwrap();
    let held = subjects::webhook_held(HOOK);
    for number in 1..=3 {
        let receipt = ground
            .bus
            .publish(held.clone(), &format!("held-{number}"), &look(number))
            .await
            .unwrap();
        assert!(!receipt.duplicate);
    }
    ground.server.kill().await.unwrap();
    ground.server.restart().await.unwrap();
    eventually("connected again", async || ground.bus.is_connected()).await;
    let kept = ground.bus.kept(&streams::WEBHOOKS, &held, 0, 2).await.unwrap();
    assert_eq!(kept.len(), 2);
    let until = kept[1].sequence;
    ground
        .bus
        .remove_until(&streams::WEBHOOKS, &held, until)
        .await
        .unwrap();
    let rest = ground.bus.kept(&streams::WEBHOOKS, &held, 0, 10).await.unwrap();
    assert_eq!(rest.len(), 1);
    ground
        .bus
        .remove(&streams::WEBHOOKS, rest[0].sequence)
        .await
        .unwrap();
    ground
        .bus
        .remove(&streams::WEBHOOKS, rest[0].sequence)
        .await
        .unwrap();

    let taken = Taken::default();
    let handler = taken.clone();
    let running = Running::start(&ground.bus, &streams::WEBHOOK_LOOKER, 8, move |delivery| {
        handler.add(&delivery);
        std::future::ready(Verdict::Done)
    });
    eventually("it is sent all the same", async || !taken.all().is_empty()).await;
    tokio::time::timeout(Duration::from_secs(10), running.stop())
        .await
        .unwrap()
        .unwrap();
}
