//! Consuming in batches.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bus::{Bus, BusError, Delivery, Verdict, consume_batches};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wire::streams::ConsumerSpec;

use crate::ground::{Ground, PATIENT, QUICK, all_acknowledged, dead_letter, eventually, soon, text};

/// Batches as they came: bodies and delivery counts.
type Batches = Arc<Mutex<Vec<Vec<(String, u32)>>>>;

fn sizes(batches: &Batches) -> Vec<usize> {
    batches.lock().unwrap().iter().map(Vec::len).collect()
}

fn note(batches: &Batches, batch: &[Delivery]) {
    batches
        .lock()
        .unwrap()
        .push(batch.iter().map(|it| (text(it), it.deliveries)).collect());
}

fn done(batch: &[Delivery]) -> Vec<Verdict> {
    vec![Verdict::Done; batch.len()]
}

/// Proves beside the rest that the future can be spawned.
fn start(
    bus: &Bus,
    spec: &'static ConsumerSpec,
    (max, linger): (usize, Duration),
    shutdown: &CancellationToken,
    verdicts: impl Fn(&[Delivery]) -> Vec<Verdict> + Send + Sync + 'static,
) -> JoinHandle<Result<(), BusError>> {
    let (bus, shutdown) = (bus.clone(), shutdown.clone());
    tokio::spawn(async move {
        let handler = async move |batch: &[Delivery]| {
            tokio::task::yield_now().await;
            verdicts(batch)
        };
        consume_batches(&bus, spec, max, linger, shutdown, handler).await
    })
}

#[tokio::test]
async fn a_batch_is_full_or_its_first_has_waited() {
    let ground = Ground::new().await;
    for number in 0..25 {
        ground.report(1, &number.to_string()).await;
    }
    let (batches, shutdown) = (Batches::default(), CancellationToken::new());
    let linger = Duration::from_millis(500);
    let task = start(&ground.bus, &PATIENT, (10, linger), &shutdown, {
        let batches = batches.clone();
        move |batch| {
            note(&batches, batch);
            done(batch)
        }
    });
    all_acknowledged_of(&ground, 25, &batches).await;
    // Whole ones at once, and what is left after its time.
    assert_eq!(sizes(&batches), [10, 10, 5]);
    let begin = std::time::Instant::now();
    ground.report(1, "alone").await;
    all_acknowledged_of(&ground, 26, &batches).await;
    assert!(begin.elapsed() >= linger, "{:?}", begin.elapsed());
    assert_eq!(sizes(&batches), [10, 10, 5, 1]);
    let bodies: Vec<String> = batches
        .lock()
        .unwrap()
        .iter()
        .flatten()
        .map(|(body, _)| body.clone())
        .collect();
    let expected: Vec<String> = (0..25)
        .map(|number| number.to_string())
        .chain(["alone".into()])
        .collect();
    assert_eq!(bodies, expected, "in the order of the stream");
    shutdown.cancel();
    soon("the end", task).await.unwrap().unwrap();
}

async fn all_acknowledged_of(ground: &Ground, count: usize, batches: &Batches) {
    eventually("all came", async || sizes(batches).iter().sum::<usize>() >= count).await;
    all_acknowledged(&ground.bus, &PATIENT).await;
}

#[tokio::test]
async fn one_bad_message_holds_no_other() {
    let ground = Ground::new().await;
    for body in ["good 1", "bad", "good 2", "later"] {
        ground.report(1, body).await;
    }
    let (batches, shutdown) = (Batches::default(), CancellationToken::new());
    let task = start(&ground.bus, &PATIENT, (4, Duration::from_secs(5)), &shutdown, {
        let batches = batches.clone();
        move |batch| {
            note(&batches, batch);
            let verdict = |delivery: &Delivery| match text(delivery).as_str() {
                "bad" => Verdict::Reject {
                    reason: "it is bad".into(),
                },
                "later" if delivery.deliveries == 1 => Verdict::Retry {
                    after: Duration::from_millis(50),
                    reason: "not now".into(),
                },
                _ => Verdict::Done,
            };
            batch.iter().map(verdict).collect()
        }
    });
    assert_eq!(text(&dead_letter(&ground.bus, "DTMA_RAW").await), "bad");
    all_acknowledged_of(&ground, 5, &batches).await;
    assert_eq!(batches.lock().unwrap()[1], [("later".to_owned(), 2)]);
    shutdown.cancel();
    soon("the end", task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_missing_verdict_is_a_retry_and_one_too_many_is_none() {
    let ground = Ground::new().await;
    for body in ["first", "second"] {
        ground.report(1, body).await;
    }
    let (batches, shutdown) = (Batches::default(), CancellationToken::new());
    let task = start(
        &ground.bus,
        &PATIENT,
        (2, Duration::from_millis(50)),
        &shutdown,
        {
            let batches = batches.clone();
            move |batch| {
                note(&batches, batch);
                match batch.len() {
                    2 => vec![Verdict::Done],
                    _ => vec![Verdict::Done; 3],
                }
            }
        },
    );
    all_acknowledged_of(&ground, 3, &batches).await;
    assert_eq!(batches.lock().unwrap()[1], [("second".to_owned(), 2)]);
    shutdown.cancel();
    soon("the end", task).await.unwrap().unwrap();
}

#[tokio::test]
async fn while_a_batch_takes_long_neither_it_nor_the_next_comes_again() {
    let ground = Ground::new().await;
    for number in 0..6 {
        ground.report(1, &number.to_string()).await;
    }
    let (batches, shutdown) = (Batches::default(), CancellationToken::new());
    let (bus, token, seen) = (ground.bus.clone(), shutdown.clone(), batches.clone());
    let task = tokio::spawn(async move {
        let handler = async move |batch: &[Delivery]| {
            note(&seen, batch);
            // The work itself: several times as long as an acknowledgement may take.
            tokio::time::sleep(QUICK.ack_wait * 3).await;
            done(batch)
        };
        consume_batches(&bus, &QUICK, 3, Duration::from_secs(1), token, handler).await
    });
    eventually("both batches came", async || sizes(&batches) == [3, 3]).await;
    all_acknowledged(&ground.bus, &QUICK).await;
    assert!(
        batches
            .lock()
            .unwrap()
            .iter()
            .flatten()
            .all(|(_, deliveries)| *deliveries == 1),
        "{batches:?}"
    );
    shutdown.cancel();
    soon("the end", task).await.unwrap().unwrap();
}

#[tokio::test]
async fn shutdown_finishes_the_batch_and_hands_back_the_next() {
    let ground = Ground::new().await;
    for number in 0..4 {
        ground.report(1, &number.to_string()).await;
    }
    let (batches, shutdown, gate) = (
        Batches::default(),
        CancellationToken::new(),
        Arc::new(Notify::new()),
    );
    let (bus, token, seen, closed) = (
        ground.another_bus().await,
        shutdown.clone(),
        batches.clone(),
        gate.clone(),
    );
    let task = tokio::spawn(async move {
        let handler = async move |batch: &[Delivery]| {
            note(&seen, batch);
            closed.notified().await;
            done(batch)
        };
        consume_batches(&bus, &PATIENT, 2, Duration::from_millis(50), token, handler).await
    });
    eventually("one is handled and one gathered", async || {
        sizes(&batches) == [2] && ground.bus.backlog(&PATIENT).await.unwrap().ack_pending == 4
    })
    .await;
    shutdown.cancel();
    gate.notify_one();
    soon("the end", task).await.unwrap().unwrap();
    assert_eq!(sizes(&batches), [2]);
    // Handed back at once: this consumer's acknowledgements would be due in five minutes.
    let (heirs, shutdown) = (Batches::default(), CancellationToken::new());
    let task = start(
        &ground.bus,
        &PATIENT,
        (2, Duration::from_millis(50)),
        &shutdown,
        {
            let heirs = heirs.clone();
            move |batch| {
                note(&heirs, batch);
                done(batch)
            }
        },
    );
    all_acknowledged_of(&ground, 2, &heirs).await;
    let mut rest: Vec<_> = heirs.lock().unwrap().concat();
    rest.sort_unstable();
    assert_eq!(rest, [("2".to_owned(), 2), ("3".to_owned(), 2)]);
    shutdown.cancel();
    soon("the end", task).await.unwrap().unwrap();
}
