//! Publishing.

use std::time::{Duration, Instant};

use bus::{Bus, BusError, BusOptions, Outgoing};
use wire::{Message, headers, streams, subjects};

use crate::ground::{Ground, eventually, plan, raw, text, toolbox};

#[tokio::test]
async fn an_id_is_kept_once() {
    let ground = Ground::new().await;
    let subject = || subjects::raw(toolbox(1));
    let first = ground.bus.publish(subject(), "same", &plan(30, 0)).await.unwrap();
    let second = ground.bus.publish(subject(), "same", &plan(30, 1)).await.unwrap();
    let third = ground
        .bus
        .publish(subject(), "other", &plan(30, 2))
        .await
        .unwrap();
    assert_eq!((first.sequence, first.duplicate), (1, false));
    assert_eq!((second.sequence, second.duplicate), (1, true));
    assert_eq!((third.sequence, third.duplicate), (2, false));
}

#[tokio::test]
async fn an_event_bears_what_cloud_events_ask_for() {
    let ground = Ground::new().await;
    ground
        .bus
        .publish(subjects::raw(toolbox(1)), "id-1", &plan(30, 2))
        .await
        .unwrap();
    let event = ground
        .bus
        .last(&streams::DTMA_RAW, &subjects::raw(toolbox(1)))
        .await
        .unwrap()
        .unwrap();
    for (name, value) in [
        ("Nats-Msg-Id", "id-1"),
        (headers::CE_ID, "id-1"),
        (headers::CE_SPECVERSION, "1.0"),
        (headers::CE_SOURCE, "bus-test"),
        (headers::CE_TYPE, wire::PollPlan::TYPE),
        (headers::CONTENT_TYPE, "application/json"),
    ] {
        assert_eq!(event.header(name), Some(value), "{name}");
    }
    let time: jiff::Timestamp = event.header(headers::CE_TIME).unwrap().parse().unwrap();
    assert!(time.duration_since(event.published_at).abs() < jiff::SignedDuration::from_secs(10));
    assert_eq!(wire::PollPlan::decode(&event.body).unwrap(), plan(30, 2));
    assert_eq!(event.header("no such\r\nheader"), None);
    assert_eq!((event.sequence, event.deliveries), (1, 1));
}

#[tokio::test]
async fn a_tombstone_replaces_all_and_then_goes() {
    let ground = Ground::new().await;
    let (account, server) = (
        domain::AccountId(uuid::Uuid::nil()),
        domain::ServerId(uuid::Uuid::nil()),
    );
    let subject = subjects::server_status(account, server);
    let event = |body: &str| Outgoing {
        subject: subject.clone(),
        ..raw(0, body)
    };
    let tombstone = Outgoing {
        ttl: Some(Duration::from_secs(2)),
        rollup: true,
        ..event("tombstone")
    };
    let results = ground
        .bus
        .publish_all(vec![event("1"), event("2"), event("3")])
        .await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(
        ground
            .bus
            .stream_state(&streams::MCP_STATUS)
            .await
            .unwrap()
            .messages,
        3
    );
    ground.bus.publish_all(vec![tombstone]).await.remove(0).unwrap();
    assert_eq!(
        ground
            .bus
            .stream_state(&streams::MCP_STATUS)
            .await
            .unwrap()
            .messages,
        1
    );
    let last = ground
        .bus
        .last(&streams::MCP_STATUS, &subject)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(text(&last), "tombstone");
    eventually("the tombstone goes", async || {
        ground
            .bus
            .last(&streams::MCP_STATUS, &subject)
            .await
            .unwrap()
            .is_none()
    })
    .await;
    assert_eq!(
        ground
            .bus
            .stream_state(&streams::MCP_STATUS)
            .await
            .unwrap()
            .messages,
        0
    );
}

#[tokio::test]
async fn many_are_published_in_order_and_answered_by_index() {
    let ground = Ground::new().await;
    let mut events: Vec<Outgoing> = (0..700).map(|number| raw(1, &number.to_string())).collect();
    events[100].subject = "nobody.takes.this".into();
    events[200].id = "line\r\nbreak".into();
    events[300].ttl = Some(Duration::from_secs(1));
    events[400].id = events[399].id.clone();
    events[500].subject = "white space".into();
    events[600].body = vec![b'x'; 9 << 20].into();
    let results = ground.bus.publish_all(events).await;
    assert_eq!(results.len(), 700);
    assert!(
        matches!(results[100], Err(BusError::NotFound { .. })),
        "{:?}",
        results[100]
    );
    assert!(
        matches!(results[200], Err(BusError::Unsendable { .. })),
        "{:?}",
        results[200]
    );
    assert!(
        matches!(results[300], Err(BusError::Refused { .. })),
        "{:?}",
        results[300]
    );
    assert!(
        matches!(results[500], Err(BusError::Unsendable { .. })),
        "{:?}",
        results[500]
    );
    assert!(
        matches!(results[600], Err(BusError::TooLarge { .. })),
        "{:?}",
        results[600]
    );
    assert!(results[400].as_ref().unwrap().duplicate);
    let mut sequence = 0;
    for (index, receipt) in results
        .iter()
        .enumerate()
        .filter_map(|(index, it)| Some((index, it.as_ref().ok()?)))
    {
        assert_eq!(
            receipt.sequence,
            sequence + u64::from(!receipt.duplicate),
            "{index}"
        );
        sequence = receipt.sequence;
    }
    assert_eq!(sequence, 700 - 6);
}

#[tokio::test]
async fn without_a_server_many_fail_in_the_time_of_one() {
    let mut ground = Ground::new().await;
    let options = BusOptions {
        api_timeout: Duration::from_millis(500),
        ..BusOptions::new(ground.server.url(), "t")
    };
    let bus = Bus::connect(options).await.unwrap();
    ground.server.stop().await.unwrap();
    let begin = Instant::now();
    let results = bus
        .publish_all((0..2000).map(|number| raw(1, &number.to_string())).collect())
        .await;
    let took = begin.elapsed();
    assert_eq!(results.len(), 2000);
    assert!(
        results
            .iter()
            .all(|result| result.as_ref().is_err_and(BusError::is_transient))
    );
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn a_missing_stream_is_told_and_heals() {
    let ground = Ground::bare().await;
    let plan = plan(1, 0);
    let publish = || ground.bus.publish(subjects::raw(toolbox(1)), "id", &plan);
    let error = publish().await.unwrap_err();
    assert!(
        matches!(error, BusError::NotFound { .. }) && error.is_transient(),
        "{error}"
    );
    ground.bus.ensure_streams().await.unwrap();
    publish().await.unwrap();
}
