//! Following with a known present.

use std::collections::BTreeMap;

use bus::Step;
use futures_util::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use wire::{streams, subjects};

use crate::ground::{Ground, next, raw, soon, text, toolbox};

/// What is known, by subject.
type Picture = BTreeMap<String, String>;

fn follow(ground: &Ground) -> impl Stream<Item = Step> + Unpin + use<> {
    ground
        .bus
        .follow_present(&streams::DTMA_RAW, vec![], CancellationToken::new())
}

/// Reads one whole picture; losses before it are passed over, and begun ones are begun anew.
async fn picture(steps: &mut (impl Stream<Item = Step> + Unpin)) -> Picture {
    let mut picture = None;
    loop {
        match next("a step", steps).await {
            Step::Restarted => picture = Some(Picture::new()),
            Step::Message(message) => {
                let picture = picture.as_mut().expect("a message before a beginning");
                picture.insert(message.subject.clone(), text(&message));
            }
            Step::Lost => picture = None,
            Step::Present => return picture.expect("a present without a beginning"),
        }
    }
}

async fn change(steps: &mut (impl Stream<Item = Step> + Unpin)) -> String {
    match next("a change", steps).await {
        Step::Message(message) => text(&message),
        other => panic!("instead of a change: {other:?}"),
    }
}

fn expected(entries: impl IntoIterator<Item = (u128, String)>) -> Picture {
    let subject = |number| subjects::raw(toolbox(number));
    entries
        .into_iter()
        .map(|(number, body)| (subject(number), body))
        .collect()
}

async fn publish(ground: &Ground, numbers: impl Iterator<Item = u128>, body: &str) {
    let events = numbers.map(|number| raw(number, body)).collect();
    for result in ground.bus.publish_all(events).await {
        result.unwrap();
    }
}

#[tokio::test]
async fn nothing_is_a_present_too() {
    let ground = Ground::new().await;
    let mut steps = follow(&ground);
    assert!(matches!(next("the beginning", &mut steps).await, Step::Restarted));
    assert!(matches!(next("the present", &mut steps).await, Step::Present));
    ground.report(1, "first").await;
    assert_eq!(change(&mut steps).await, "first");
}

#[tokio::test]
async fn a_thousand_subjects_are_one_present_and_then_come_changes() {
    let ground = Ground::new().await;
    publish(&ground, 1..=1000, "old").await;
    publish(&ground, 1..=500, "new").await;
    let mut steps = follow(&ground);
    let all = (1..=1000).map(|number| (number, if number <= 500 { "new" } else { "old" }.to_owned()));
    assert_eq!(picture(&mut steps).await, expected(all));
    for body in ["one", "two"] {
        ground.report(7, body).await;
        assert_eq!(change(&mut steps).await, body);
    }
}

#[tokio::test]
async fn the_present_is_whole_even_while_it_changes() {
    let ground = Ground::new().await;
    publish(&ground, 1..=600, "first").await;
    let other = ground.another_bus().await;
    let writer = tokio::spawn(async move {
        for number in 1..=600 {
            other
                .publish_all(vec![raw(number, "second")])
                .await
                .remove(0)
                .unwrap();
        }
    });
    // However far the writer has come: nobody is missing.
    while !writer.is_finished() {
        assert_eq!(picture(&mut follow(&ground)).await.len(), 600);
    }
    writer.await.unwrap();
    let all = picture(&mut follow(&ground)).await;
    assert!(all.values().all(|body| body == "second"));
}

#[tokio::test]
async fn only_what_was_asked_for_is_in_it() {
    let ground = Ground::new().await;
    publish(&ground, 1..=3, "x").await;
    let filters = vec![subjects::raw(toolbox(2)), subjects::raw(toolbox(9))];
    let mut steps = ground
        .bus
        .follow_present(&streams::DTMA_RAW, filters, CancellationToken::new());
    assert_eq!(picture(&mut steps).await, expected([(2, "x".to_owned())]));
    publish(&ground, [3, 9].into_iter(), "later").await;
    assert_eq!(change(&mut steps).await, "later");
    let shutdown = CancellationToken::new();
    let mut ending = ground
        .bus
        .follow_present(&streams::DTMA_RAW, vec![], shutdown.clone());
    shutdown.cancel();
    assert!(soon("the end", ending.next()).await.is_none());
}

#[tokio::test]
async fn a_restart_is_told_as_a_loss_and_a_new_beginning() {
    let mut ground = Ground::new().await;
    publish(&ground, 1..=3, "kept").await;
    let mut steps = follow(&ground);
    let kept = expected((1..=3).map(|number| (number, "kept".to_owned())));
    assert_eq!(picture(&mut steps).await, kept);
    ground.server.kill().await.unwrap();
    // Before the server is back: readers know at once that they may be stale.
    assert!(matches!(next("the loss", &mut steps).await, Step::Lost));
    ground.server.restart().await.unwrap();
    assert_eq!(picture(&mut steps).await, kept);
    ground.report(2, "after").await;
    assert_eq!(change(&mut steps).await, "after");
}

#[tokio::test]
async fn what_a_stream_made_anew_does_not_hold_is_gone() {
    let ground = Ground::new().await;
    publish(&ground, 1..=5, "before").await;
    let mut steps = follow(&ground);
    assert_eq!(picture(&mut steps).await.len(), 5);
    ground.plain.delete_stream(streams::DTMA_RAW.name).await.unwrap();
    ground.bus.ensure_streams().await.unwrap();
    publish(&ground, 2..=2, "again").await;
    let again = expected([(2, "again".to_owned())]);
    assert_eq!(picture(&mut steps).await, again);
}

#[tokio::test]
async fn a_purged_stream_is_an_empty_present_to_who_comes_after() {
    let ground = Ground::new().await;
    publish(&ground, 1..=5, "before").await;
    let stream = ground.plain.get_stream(streams::DTMA_RAW.name).await.unwrap();
    stream.purge().await.unwrap();
    assert_eq!(picture(&mut follow(&ground)).await, Picture::new());
}
