//! Replicas share nothing but the database and the bus, and that is enough.

use std::sync::Arc;

use wire::streams;

use crate::ground::{Ground, OWNER, answer, user};
use crate::stand_in::StandIn;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_do_once_what_is_asked_once() {
    let ground = Arc::new(Ground::new(&["--refresh-every", "30s"]).await);
    let mapper = StandIn::new(&ground).await;
    let other = ground.replica().await;
    let toolbox = ground.toolbox(OWNER, 1).await;
    let server = ground.running(toolbox, 1).await;
    let urls = [ground.url.clone(), other.url.clone()];
    let ask = |at: usize, path: String, key: Option<&'static str>| {
        let request = ground
            .client
            .post(format!("{}{path}", urls[at % 2]))
            .bearer_auth(user(OWNER));
        let request = match key {
            Some(key) => request.header("idempotency-key", key),
            None => request,
        };
        answer(request)
    };
    // The same key sent to both: one command.
    let mut at_once = tokio::task::JoinSet::new();
    for at in 0..10 {
        at_once.spawn(ask(at, format!("/v1/servers/{server}/stop"), Some("one")));
    }
    let mut accepted = Vec::new();
    for answer in at_once.join_all().await {
        match answer.status.as_u16() {
            202 => accepted.push(answer.text),
            status => assert_eq!(status, 409, "{answer:?}"),
        }
    }
    assert!(
        !accepted.is_empty() && accepted.iter().all(|text| *text == accepted[0]),
        "{accepted:?}"
    );
    assert_eq!(
        ground
            .count("SELECT count(*) FROM status_commands WHERE kind = 'stop'")
            .await,
        1
    );
    let first = ask(0, format!("/v1/servers/{server}/stop"), Some("one"))
        .await
        .is(202);
    assert_eq!(
        ask(1, format!("/v1/servers/{server}/stop"), Some("one"))
            .await
            .is(202)
            .text,
        first.text
    );

    // Refreshes at both: one poll, or two where a span of time ended between them.
    let before = ground
        .bus
        .stream_state(&streams::POLLS)
        .await
        .unwrap()
        .last_sequence;
    let mut at_once = tokio::task::JoinSet::new();
    for at in 0..40 {
        at_once.spawn(ask(at, format!("/v1/servers/{server}/refresh"), None));
    }
    for answer in at_once.join_all().await {
        answer.is(202);
    }
    let polls = ground
        .bus
        .stream_state(&streams::POLLS)
        .await
        .unwrap()
        .last_sequence
        - before;
    assert!((1..=2).contains(&polls), "{polls}");
    other.stop().await;
    mapper.stop().await;
    Arc::into_inner(ground).unwrap().close().await;
}
