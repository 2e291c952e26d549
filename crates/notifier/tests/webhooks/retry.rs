//! Again and again, until it is taken or given up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wire::{WebhookDelivery, WebhookOutcome, streams, subjects};

use crate::ground::{Ground, SECRET, eventually, now, status};
use crate::receiver::{Answer, Received, Receiver};
use crate::verify::verdict;

fn by_id(received: &[Received]) -> BTreeMap<String, Vec<Received>> {
    let mut found: BTreeMap<String, Vec<Received>> = BTreeMap::new();
    for one in received {
        found.entry(one.id()).or_default().push(one.clone());
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_down_at_first_gets_everything_exactly_as_signed() {
    let mut ground = Ground::new().await;
    // A port that nobody listens on, until somebody does.
    let address = Receiver::new().await.address;
    let hook = ground.webhook(1, 1, &format!("http://{address}/hook")).await;
    let first = ground.replica().await;
    let events: Vec<_> = (0..12)
        .map(|server| status(100 + server, 1, 1, "error", "running"))
        .collect();
    ground.publish(&events).await;
    eventually("it fails and is left alone", async || {
        ground.log(&hook).await.len() >= 5
    })
    .await;
    assert!(
        ground.log(&hook).await.iter().all(|one| {
            one.outcome == WebhookOutcome::Failed && one.next.is_some() && one.status.is_none()
        })
    );
    // Neither the notifier nor the server remembers anything but what is on disk.
    first.crash().await;
    ground.nats.kill().await.unwrap();
    ground.nats.restart().await.unwrap();
    eventually("connected again", async || ground.bus.is_connected()).await;

    // It answers, and fails each delivery once more.
    let seen = std::sync::Mutex::new(BTreeSet::new());
    let receiver = Receiver::at(address, move |_, received| {
        let is_new = seen.lock().unwrap().insert(received.id());
        Answer::Status(if is_new { 503 } else { 204 })
    })
    .await;
    let second = ground.replica().await;
    receiver.wait_for(24).await;
    ground.all_done().await;
    let received = by_id(&receiver.received());
    assert_eq!(received.len(), 12);
    let mut told = BTreeSet::new();
    for attempts in received.values() {
        // More than twice where the crash left one under way.
        assert!(attempts.len() >= 2);
        assert!(
            attempts.iter().all(|one| one.body == attempts[0].body),
            "to the byte"
        );
        told.insert(attempts[0].version().0);
    }
    assert_eq!(told.len(), 12, "every event");
    for attempt in received.values().next().unwrap() {
        assert_eq!(verdict(SECRET, attempt).await, "good");
    }
    let log = ground.log(&hook).await;
    let delivered = log.iter().filter(|one| one.outcome == WebhookOutcome::Delivered);
    let delivered: BTreeSet<_> = delivered.map(|one| one.delivery_id).collect();
    assert_eq!(delivered.len(), 12);
    assert!(ground.dead(&hook).await.is_empty());
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_takes_it_ends_in_the_dead_letters_and_it_can_be_replayed() {
    let ground = Ground::new().await;
    let fails = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let receiver = Receiver::answering({
        let fails = std::sync::Arc::clone(&fails);
        move |_, _| {
            let fails = fails.load(std::sync::atomic::Ordering::SeqCst);
            Answer::Status(if fails { 500 } else { 200 })
        }
    })
    .await;
    let hook = ground.webhook(1, 1, &receiver.url).await;
    let replica = ground
        .replica_with(|options| options.webhook_give_up = Duration::from_secs(10))
        .await;
    ground.publish(&[status(1, 1, 1, "error", "running")]).await;
    eventually("it is given up", async || ground.dead(&hook).await.len() == 1).await;
    ground.all_done().await;
    let (sequence, dead) = ground.dead(&hook).await.remove(0);
    let attempts = receiver.received();
    assert!(attempts.len() >= 2, "{}", attempts.len());
    assert_eq!(usize::try_from(dead.delivery.attempts).unwrap(), attempts.len());
    assert_eq!(dead.delivery.payload, attempts[0].body);
    let log = ground.log(&hook).await;
    assert_eq!(log.last().unwrap().outcome, WebhookOutcome::Dead);
    // Where the last attempt was due too late, there was none.
    assert!(log.iter().all(|one| one.status == Some(500) || one.attempt == 0));

    // As status-api replays it.
    fails.store(false, std::sync::atomic::Ordering::SeqCst);
    let again = WebhookDelivery {
        attempts: 0,
        first_at: now(),
        ..dead.delivery
    };
    let subject = subjects::webhook_due(hook.webhook_id);
    let id = format!("{}-{sequence}", again.delivery_id);
    ground.bus.publish(subject, &id, &again).await.unwrap();
    ground.bus.remove(&streams::WEBHOOK_DEAD, sequence).await.unwrap();
    eventually("it is taken", async || {
        let log = ground.log(&hook).await;
        log.last().unwrap().outcome == WebhookOutcome::Delivered
    })
    .await;
    let received = by_id(&receiver.received());
    assert_eq!(received.len(), 1, "under the same id");
    let bodies: BTreeSet<_> = receiver.received().into_iter().map(|one| one.body).collect();
    assert_eq!(bodies.len(), 1, "the same bytes");
    assert!(ground.dead(&hook).await.is_empty());
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_gone_is_given_up_at_once_and_what_asks_for_time_gets_it() {
    let ground = Ground::new().await;
    let gone = Receiver::answering(|_, _| Answer::Status(410)).await;
    let busy = Receiver::answering(|before, _| {
        if before == 0 {
            Answer::With(429, "retry-after", "4".to_owned())
        } else {
            Answer::Status(200)
        }
    })
    .await;
    let hooks = [
        ground.webhook(1, 1, &gone.url).await,
        ground.webhook(2, 1, &busy.url).await,
    ];
    let replica = ground.replica().await;
    ground.publish(&[status(1, 1, 1, "error", "running")]).await;
    eventually("it is given up", async || ground.dead(&hooks[0]).await.len() == 1).await;
    busy.wait_for(2).await;
    ground.all_done().await;
    assert_eq!(gone.received().len(), 1);
    let log = ground.log(&hooks[1]).await;
    let wait = log[1].at.duration_since(log[0].at);
    assert!(wait.as_secs() >= 4, "{wait:?}");
    assert!(log[0].next.unwrap() <= log[1].at);
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_endpoint_is_left_alone_and_what_waits_for_it_is_told_when_it_is_back() {
    let ground = Ground::new().await;
    let receiver = Receiver::answering(|before, _| Answer::Status(if before < 8 { 500 } else { 200 })).await;
    let hook = ground.webhook(1, 1, &receiver.url).await;
    let replica = ground.replica().await;
    let events: Vec<_> = (0..60)
        .map(|server| status(100 + server, 1, 1, "error", "running"))
        .collect();
    ground.publish(&events).await;
    eventually("all are taken", async || {
        let taken: BTreeSet<_> = receiver
            .received()
            .into_iter()
            .skip(8)
            .map(|one| one.id())
            .collect();
        taken.len() == 60
    })
    .await;
    ground.all_done().await;
    // Without the circuit each of the 60 would have been tried, and failed, at least once.
    let failed = receiver.received().len() - 60;
    assert_eq!(failed, 8, "no more than it took to see");
    assert!(ground.dead(&hook).await.is_empty());
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_who_is_switched_off_is_kept() {
    let ground = Ground::new().await;
    let receiver = Receiver::answering(|_, _| Answer::Status(500)).await;
    let hook = ground.webhook(1, 1, &receiver.url).await;
    let replica = ground.replica().await;
    ground.publish(&[status(1, 1, 1, "error", "running")]).await;
    receiver.wait_for(1).await;
    ground
        .webhook_with(1, 1, &receiver.url, |entry| entry.enabled = false)
        .await;
    eventually("it is given up", async || ground.dead(&hook).await.len() == 1).await;
    let (_, dead) = ground.dead(&hook).await.remove(0);
    assert_eq!(dead.reason, "the webhook is switched off");
    // And one that is gone is not.
    ground
        .bus
        .bucket::<wire::WebhookEntry>()
        .await
        .unwrap()
        .delete(hook.webhook_id)
        .await
        .unwrap();
    let subject = subjects::webhook_due(hook.webhook_id);
    ground
        .bus
        .publish(subject, "again", &dead.delivery)
        .await
        .unwrap();
    ground.all_done().await;
    replica.stop().await;
}
