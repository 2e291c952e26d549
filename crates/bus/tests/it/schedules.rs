//! The poll timetable.

use std::collections::HashSet;

use bus::{Delivery, From};
use futures_util::Stream;
use tokio_util::sync::CancellationToken;
use wire::{PollPlan, streams, subjects};

use crate::ground::{Ground, eventually, next, plan, toolbox};

/// What becomes due from now on.
fn due(ground: &Ground) -> impl Stream<Item = Delivery> + Unpin + use<> {
    ground.bus.follow(
        &streams::POLLS,
        vec![subjects::DUE.into()],
        From::LastPerSubject,
        CancellationToken::new(),
    )
}

/// Waits for a toolbox's next due poll.
async fn next_due(stream: &mut (impl Stream<Item = Delivery> + Unpin), number: u128) -> Delivery {
    loop {
        let delivery = next("a poll is due", stream).await;
        if delivery.subject == subjects::due(toolbox(number)) {
            return delivery;
        }
    }
}

#[tokio::test]
async fn a_schedule_fires_again_and_again_with_its_plan() {
    let ground = Ground::new().await;
    let schedules = ground.bus.schedules();
    assert!(schedules.create_if_absent(toolbox(1), &plan(1, 3)).await.unwrap());
    let mut due = due(&ground);
    for _ in 0..2 {
        let delivery = next_due(&mut due, 1).await;
        assert_eq!(PollPlan::decode(&delivery.body).unwrap(), plan(1, 3));
        assert_eq!(delivery.header("traceparent"), None);
        assert_eq!(delivery.header("Nats-Schedule"), None);
    }
}

#[tokio::test]
async fn only_the_first_creates() {
    let ground = Ground::new().await;
    let (schedules, other) = (ground.bus.schedules(), ground.another_bus().await.schedules());
    let (mine, theirs) = (plan(100, 0), plan(200, 0));
    let (one, two) = tokio::join!(
        schedules.create_if_absent(toolbox(1), &mine),
        other.create_if_absent(toolbox(1), &theirs)
    );
    assert!(one.unwrap() ^ two.unwrap());
    assert!(
        !schedules
            .create_if_absent(toolbox(1), &plan(300, 0))
            .await
            .unwrap()
    );
    assert!(
        schedules
            .create_if_absent(toolbox(2), &plan(300, 0))
            .await
            .unwrap()
    );
    assert_eq!(
        ground.bus.stream_state(&streams::POLLS).await.unwrap().messages,
        2
    );
}

#[tokio::test]
async fn the_plan_that_replaced_another_wins() {
    let ground = Ground::new().await;
    let schedules = ground.bus.schedules();
    // Replacing what is not there creates it, too.
    schedules.replace(toolbox(1), &plan(1, 0)).await.unwrap();
    let mut due = due(&ground);
    next_due(&mut due, 1).await;
    schedules.replace(toolbox(1), &plan(2, 1)).await.unwrap();
    // One of the old plan may have been on its way; none comes after the new one's first.
    while PollPlan::decode(&next_due(&mut due, 1).await.body).unwrap() != plan(2, 1) {}
    let (first, second) = (next_due(&mut due, 1).await, next_due(&mut due, 1).await);
    for delivery in [&first, &second] {
        assert_eq!(PollPlan::decode(&delivery.body).unwrap(), plan(2, 1));
    }
    let apart = second
        .published_at
        .duration_since(first.published_at)
        .as_secs_f64();
    assert!((1.5..2.5).contains(&apart), "{apart}");
}

#[tokio::test]
async fn purging_ends_it() {
    let ground = Ground::new().await;
    let schedules = ground.bus.schedules();
    schedules.replace(toolbox(1), &plan(1, 0)).await.unwrap();
    schedules.replace(toolbox(2), &plan(1, 0)).await.unwrap();
    let mut due = due(&ground);
    next_due(&mut due, 1).await;
    schedules.purge(toolbox(1)).await.unwrap();
    let last = ground
        .bus
        .last(&streams::POLLS, &subjects::due(toolbox(1)))
        .await
        .unwrap();
    assert!(last.is_none());
    assert_eq!(schedules.existing().await.unwrap(), HashSet::from([toolbox(2)]));
    // The other one goes on for three periods, this one for none.
    next_due(&mut due, 2).await;
    let begin = ground
        .bus
        .stream_state(&streams::POLLS)
        .await
        .unwrap()
        .last_sequence;
    let mut periods = 0;
    while periods < 3 {
        let delivery = next("the other is due", &mut due).await;
        assert!(delivery.sequence <= begin || delivery.subject == subjects::due(toolbox(2)));
        periods += u32::from(delivery.sequence > begin);
    }
    // And it can begin anew.
    assert!(schedules.create_if_absent(toolbox(1), &plan(1, 5)).await.unwrap());
    assert_eq!(
        PollPlan::decode(&next_due(&mut due, 1).await.body).unwrap(),
        plan(1, 5)
    );
    schedules.purge(toolbox(9)).await.unwrap();
}

#[tokio::test]
async fn the_timetable_survives_a_crash_of_the_server() {
    let mut ground = Ground::new().await;
    let schedules = ground.bus.schedules();
    for number in 1..=3 {
        schedules.replace(toolbox(number), &plan(1, 0)).await.unwrap();
    }
    schedules.replace(toolbox(2), &plan(1, 7)).await.unwrap();
    schedules.purge(toolbox(3)).await.unwrap();
    ground.server.kill().await.unwrap();
    ground.server.restart().await.unwrap();
    eventually("the timetable is there", async || {
        schedules
            .existing()
            .await
            .is_ok_and(|existing| existing == HashSet::from([toolbox(1), toolbox(2)]))
    })
    .await;
    let begin = ground
        .bus
        .stream_state(&streams::POLLS)
        .await
        .unwrap()
        .last_sequence;
    let mut due = due(&ground);
    for (number, expected) in [(1, plan(1, 0)), (2, plan(1, 7))] {
        let mut delivery = next_due(&mut due, number).await;
        while delivery.sequence <= begin {
            delivery = next_due(&mut due, number).await;
        }
        assert_eq!(PollPlan::decode(&delivery.body).unwrap(), expected);
    }
}

#[tokio::test]
async fn a_poll_can_be_asked_for_now_and_several_are_one() {
    let ground = Ground::new().await;
    let schedules = ground.bus.schedules();
    for _ in 0..3 {
        schedules.fire_now(toolbox(1)).await.unwrap();
    }
    let state = ground.bus.stream_state(&streams::POLLS).await.unwrap();
    assert_eq!((state.messages, state.last_sequence), (1, 3));
    let delivery = next_due(&mut due(&ground), 1).await;
    assert!(delivery.body.is_empty());
    assert!(
        schedules.existing().await.unwrap().is_empty(),
        "a due poll is no schedule"
    );
}

#[tokio::test]
async fn who_names_a_poll_alike_asks_for_it_once() {
    let ground = Ground::new().await;
    let schedules = ground.bus.schedules();
    let mut heard = Vec::new();
    for id in ["one", "one", "two", "one"] {
        heard.push(!schedules.fire_once(toolbox(1), id).await.unwrap().duplicate);
    }
    assert_eq!(heard, [true, false, true, false]);
    let state = ground.bus.stream_state(&streams::POLLS).await.unwrap();
    assert_eq!((state.messages, state.last_sequence), (1, 2));
    assert!(schedules.fire_once(toolbox(1), "a\nb").await.is_err());
}
