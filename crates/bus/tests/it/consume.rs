//! Consuming one by one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bus::Verdict;
use tokio::sync::{Notify, Semaphore};

use crate::ground::{Ground, PATIENT, QUICK, Running, Taken, all_acknowledged, eventually, soon, text};

#[tokio::test]
async fn what_is_done_does_not_come_again() {
    let ground = Ground::new().await;
    for number in 0..50 {
        ground.report(1, &number.to_string()).await;
    }
    let taken = Taken::default();
    let running = Running::taking(&ground.bus, &QUICK, &taken);
    taken.wait_for("49").await;
    ground.report(1, "later").await;
    taken.wait_for("later").await;
    all_acknowledged(&ground.bus, &QUICK).await;
    running.stop().await.unwrap();
    assert_eq!(taken.all().len(), 51);
    assert!(taken.all().iter().all(|(_, deliveries)| *deliveries == 1));
}

#[tokio::test]
async fn a_retry_comes_again_after_its_delay() {
    let ground = Ground::new().await;
    let taken = Taken::default();
    let handler = {
        let taken = taken.clone();
        move |delivery: bus::Delivery| {
            taken.add(&delivery);
            let reason = "not yet".to_owned();
            std::future::ready(match delivery.deliveries {
                1 => Verdict::Retry {
                    after: Duration::from_millis(700),
                    reason,
                },
                2 => Verdict::Retry {
                    after: Duration::ZERO,
                    reason,
                },
                _ => Verdict::Done,
            })
        }
    };
    let running = Running::start(&ground.bus, &PATIENT, 1, handler);
    let begin = std::time::Instant::now();
    ground.report(1, "stubborn").await;
    all_acknowledged_after(&ground, &taken, 3).await;
    assert!(begin.elapsed() >= Duration::from_millis(700));
    assert_eq!(
        taken.all(),
        [
            ("stubborn".into(), 1),
            ("stubborn".into(), 2),
            ("stubborn".into(), 3)
        ]
    );
    running.stop().await.unwrap();
}

async fn all_acknowledged_after(ground: &Ground, taken: &Taken, count: usize) {
    eventually("it is taken often enough", async || taken.all().len() >= count).await;
    all_acknowledged(&ground.bus, &PATIENT).await;
}

#[tokio::test]
async fn as_many_run_at_once_as_allowed_and_no_more() {
    let ground = Ground::new().await;
    for number in 0..20 {
        ground.report(1, &number.to_string()).await;
    }
    let (gate, now, most) = (
        Arc::new(Semaphore::new(0)),
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
    );
    let handler = {
        let (gate, now, most) = (gate.clone(), now.clone(), most.clone());
        move |_| {
            let (gate, now, most) = (gate.clone(), now.clone(), most.clone());
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                gate.acquire().await.unwrap().forget();
                now.fetch_sub(1, Ordering::SeqCst);
                Verdict::Done
            }
        }
    };
    let running = Running::start(&ground.bus, &PATIENT, 4, handler);
    eventually("four run", async || now.load(Ordering::SeqCst) == 4).await;
    // What it cannot take, others could: nothing beyond it is delivered.
    let backlog = ground.bus.backlog(&PATIENT).await.unwrap();
    assert_eq!((backlog.ack_pending, backlog.pending), (4, 16));
    gate.add_permits(1);
    eventually("one makes room for one", async || {
        let backlog = ground.bus.backlog(&PATIENT).await.unwrap();
        (backlog.ack_pending, backlog.pending) == (4, 15)
    })
    .await;
    gate.add_permits(19);
    all_acknowledged(&ground.bus, &PATIENT).await;
    assert_eq!(most.load(Ordering::SeqCst), 4);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_slow_one_does_not_keep_the_others_from_their_room() {
    let ground = Ground::new().await;
    let (gate, taken) = (Arc::new(Notify::new()), Taken::default());
    let handler = {
        let (gate, taken) = (gate.clone(), taken.clone());
        move |delivery: bus::Delivery| {
            let (gate, taken) = (gate.clone(), taken.clone());
            async move {
                taken.add(&delivery);
                if text(&delivery).starts_with("slow") {
                    gate.notified().await;
                }
                Verdict::Done
            }
        }
    };
    let running = Running::start(&ground.bus, &PATIENT, 4, handler);
    for name in ["slow 1", "slow 2", "slow 3"] {
        ground.report(1, name).await;
        taken.wait_for(name).await;
    }
    for number in 0..10 {
        ground.report(1, &number.to_string()).await;
        taken.wait_for(&number.to_string()).await;
    }
    gate.notify_waiters();
    running.stop().await.unwrap();
}

#[tokio::test]
async fn two_share_the_work() {
    let ground = Ground::new().await;
    let other = ground.another_bus().await;
    let (first, second) = (Taken::default(), Taken::default());
    let one = Running::taking(&ground.bus, &PATIENT, &first);
    let two = Running::taking(&other, &PATIENT, &second);
    // Both are asking.
    for taken in [&first, &second] {
        eventually("each gets a share", async || {
            ground.report(1, "warm-up").await;
            !taken.all().is_empty()
        })
        .await;
    }
    for number in 0..200 {
        ground.report(1, &number.to_string()).await;
    }
    all_acknowledged(&ground.bus, &PATIENT).await;
    let mut all: Vec<String> = first.bodies().into_iter().chain(second.bodies()).collect();
    all.retain(|body| body != "warm-up");
    all.sort_unstable();
    let mut expected: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    expected.sort_unstable();
    assert_eq!(all, expected);
    one.stop().await.unwrap();
    two.stop().await.unwrap();
}

#[tokio::test]
async fn what_a_crash_left_over_goes_to_another() {
    let ground = Ground::new().await;
    let taken = Taken::default();
    let stuck = Running::start(&ground.another_bus().await, &QUICK, 1, {
        let taken = taken.clone();
        move |delivery| {
            taken.add(&delivery);
            std::future::pending()
        }
    });
    ground.report(1, "left over").await;
    taken.wait_for("left over").await;
    stuck.crash().await;
    let heir = Taken::default();
    let running = Running::taking(&ground.bus, &QUICK, &heir);
    heir.wait_for("left over").await;
    assert!(heir.all()[0].1 >= 2, "{:?}", heir.all());
    running.stop().await.unwrap();
}

#[tokio::test]
async fn who_takes_long_is_left_in_peace() {
    let ground = Ground::new().await;
    let taken = Taken::default();
    let running = Running::start(&ground.bus, &QUICK, 4, {
        let taken = taken.clone();
        move |delivery: bus::Delivery| {
            taken.add(&delivery);
            async move {
                // The work itself: several times as long as an acknowledgement may take.
                tokio::time::sleep(QUICK.ack_wait * 4).await;
                Verdict::Done
            }
        }
    });
    ground.report(1, "long").await;
    taken.wait_for("long").await;
    all_acknowledged(&ground.bus, &QUICK).await;
    assert_eq!(taken.all(), [("long".into(), 1)]);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn shutdown_finishes_what_is_under_way_and_hands_back_the_rest() {
    let ground = Ground::new().await;
    let (gate, taken) = (Arc::new(Notify::new()), Taken::default());
    let running = Running::start(&ground.another_bus().await, &PATIENT, 1, {
        let (gate, taken) = (gate.clone(), taken.clone());
        move |delivery: bus::Delivery| {
            let (gate, taken) = (gate.clone(), taken.clone());
            async move {
                taken.add(&delivery);
                gate.notified().await;
                Verdict::Done
            }
        }
    });
    ground.report(1, "under way").await;
    taken.wait_for("under way").await;
    running.shutdown.cancel();
    ground.report(1, "too late").await;
    assert!(!running.task.is_finished());
    gate.notify_one();
    running.stop().await.unwrap();
    assert_eq!(taken.bodies(), ["under way"]);
    // Its acknowledgement left before the consumer ended.
    eventually("it is acknowledged", async || {
        let backlog = ground.bus.backlog(&PATIENT).await.unwrap();
        (backlog.ack_pending, backlog.pending) == (0, 1)
    })
    .await;
    let heir = Taken::default();
    let running = Running::taking(&ground.bus, &PATIENT, &heir);
    heir.wait_for("too late").await;
    assert_eq!(heir.all(), [("too late".into(), 1)]);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn shutdown_without_a_server_is_quick() {
    let mut ground = Ground::new().await;
    let taken = Taken::default();
    let running = Running::taking(&ground.bus, &QUICK, &taken);
    ground.report(1, "one").await;
    taken.wait_for("one").await;
    ground.server.kill().await.unwrap();
    eventually("the loss is noticed", async || !ground.bus.is_connected()).await;
    let begin = std::time::Instant::now();
    running.stop().await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_panic_in_a_handler_is_the_caller_s() {
    let ground = Ground::new().await;
    let running = Running::start(&ground.bus, &QUICK, 1, |_| async { panic!("in the handler") });
    ground.report(1, "poison").await;
    assert!(soon("the panic", running.task).await.unwrap_err().is_panic());
}
