//! Have a look now.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio_util::sync::CancellationToken;
use wire::{streams, subjects};

use crate::ground::{Ground, OWNER, user};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_at_once_are_one_poll() {
    // Long enough for all of them on a busy machine.
    let ground = Arc::new(Ground::new(&["--refresh-every", "30s"]).await);
    let toolbox = ground.toolbox(OWNER, 1).await;
    let server = ground.running(toolbox, 1).await;
    let before = ground
        .bus
        .stream_state(&streams::POLLS)
        .await
        .unwrap()
        .last_sequence;
    let mut at_once = tokio::task::JoinSet::new();
    for number in 0..200 {
        let ground = Arc::clone(&ground);
        at_once.spawn(async move {
            let path = if number % 2 == 0 {
                format!("/v1/servers/{server}/refresh")
            } else {
                format!("/v1/toolboxes/{toolbox}/refresh")
            };
            ground.post(&path, &user(OWNER)).await.status.as_u16()
        });
    }
    assert_eq!(at_once.join_all().await, [202; 200]);
    let state = ground.bus.stream_state(&streams::POLLS).await.unwrap();
    assert_eq!(state.last_sequence - before, 1, "one due message");
    assert!(
        ground
            .bus
            .last(&streams::POLLS, &subjects::due(toolbox))
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(
        ground
            .count("SELECT count(*) FROM status_commands WHERE kind = 'refresh'")
            .await,
        200
    );
    Arc::into_inner(ground).unwrap().close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_gets_what_was_observed_since() {
    let ground = Arc::new(Ground::new(&[]).await);
    let toolbox = ground.toolbox(OWNER, 1).await;
    let server = ground.running(toolbox, 1).await;
    let path = format!("/v1/servers/{server}/refresh");
    let body = ground
        .post(&format!("{path}?wait=200ms"), &user(OWNER))
        .await
        .is(202)
        .json();
    assert_eq!(body["command"]["kind"], "refresh");
    let mut due = ground.bus.follow(
        &streams::POLLS,
        vec![subjects::due(toolbox)],
        bus::From::New,
        CancellationToken::new(),
    );
    // A poller's observation.
    let observing = async {
        let _ = tokio::time::timeout(Duration::from_secs(5), due.next()).await;
        sqlx::query("UPDATE account_tool_environments SET as_of = now(), as_of_seq = 1 WHERE id = $1")
            .bind(toolbox.0)
            .execute(&ground.pool)
            .await
            .unwrap();
        sqlx::query("UPDATE account_tool_instances SET mcp_state = 'stopped' WHERE id = $1")
            .bind(server.0)
            .execute(&ground.pool)
            .await
            .unwrap();
    };
    let token = user(OWNER);
    let path = format!("/v1/toolboxes/{toolbox}/refresh?wait=20s");
    let (answer, ()) = tokio::join!(ground.post(&path, &token), observing);
    answer.is(200);
    Arc::into_inner(ground).unwrap().close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_the_callers_own() {
    let ground = Ground::new(&[]).await;
    let (mine, also, theirs) = (
        ground.toolbox(OWNER, 1).await,
        ground.toolbox(OWNER, 2).await,
        ground.toolbox(crate::ground::GUEST, 3).await,
    );
    let body = ground.post("/v1/refresh", &user(OWNER)).await.is(202).json();
    assert_eq!(body["command"]["message"], "2 toolboxes");
    for (toolbox, is_due) in [(mine, true), (also, true), (theirs, false)] {
        let due = ground
            .bus
            .last(&streams::POLLS, &subjects::due(toolbox))
            .await
            .unwrap();
        assert_eq!(due.is_some(), is_due);
    }
    ground
        .post("/v1/refresh", &crate::ground::service_token())
        .await
        .is(202);
    let due = ground
        .bus
        .last(&streams::POLLS, &subjects::due(theirs))
        .await
        .unwrap();
    assert!(due.is_some());
    ground.close().await;
}
