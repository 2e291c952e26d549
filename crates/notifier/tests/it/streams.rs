//! Subscribing: first the state, then changes, and what a client asks for on an open stream.

use serde_json::json;
use wire::stream::{ErrorCode, StreamMessage};

use crate::client::{Events, Held, Socket};
use crate::ground::{Ground, deleted, id, service_token, status, token};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_the_state_then_changes_and_the_subscription_can_change() {
    let ground = Ground::new().await;
    ground
        .publish(&[
            status(1, 1, 1, "running"),
            status(2, 1, 1, "stopped"),
            status(3, 1, 4, "error"),
            status(9, 2, 1, "running"),
        ])
        .await;
    ground.toolbox(7, 1, 1, "active").await;
    let replica = ground.replica().await;
    let mut socket = Socket::of(&replica, &token(1)).await;
    socket
        .send(json!({"type": "subscribe", "servers": [id(1), id(3), id(9), id(99)]}))
        .await;
    // What is another's and what is not there are answered alike.
    assert_eq!(
        socket.next().await,
        StreamMessage::Error {
            code: ErrorCode::NotFound,
            message: "there is no such server".to_owned(),
            servers: vec![id(9), id(99)],
        }
    );
    let StreamMessage::Subscribed {
        servers,
        all: false,
        toolboxes: false,
    } = socket.next().await
    else {
        panic!("subscribed")
    };
    assert_eq!(servers, [id(1), id(3)]);
    assert_eq!(socket.next().await, StreamMessage::Snapshot);
    let mut held = Held::default();
    held.read_until(&mut socket, "present", |held| held.present).await;
    assert_eq!(held.versions(), [(1, 1), (3, 4)]);

    // Another is added: its state comes, and the others' changes go on.
    socket
        .send(json!({"type": "subscribe", "servers": [id(2)], "toolboxes": true}))
        .await;
    held.present = false;
    held.read_until(&mut socket, "the added ones", |held| held.present)
        .await;
    assert_eq!(held.versions(), [(1, 1), (2, 1), (3, 4)]);
    assert_eq!(held.toolboxes.len(), 1);
    ground
        .publish(&[status(1, 1, 2, "stopped"), deleted(3, 1, 5)])
        .await;
    held.read_until(&mut socket, "changes", |held| held.versions() == [(1, 2), (2, 1)])
        .await;

    // One is taken away, and is quiet from then on.
    socket
        .send(json!({"type": "unsubscribe", "servers": [id(1)]}))
        .await;
    let StreamMessage::Unsubscribed { servers, .. } = socket.next().await else {
        panic!("unsubscribed")
    };
    assert_eq!(servers, [id(1)]);
    ground
        .publish(&[status(1, 1, 3, "running"), status(2, 1, 2, "running")])
        .await;
    let StreamMessage::Status {
        event,
        traceparent: None,
        ..
    } = socket.next().await
    else {
        panic!("status")
    };
    assert_eq!(
        event,
        match status(2, 1, 2, "running") {
            wire::StatusEvent::Status(mut want) => {
                let wire::StatusEvent::Status(have) = &event else {
                    panic!("status")
                };
                want.changed_at = have.changed_at;
                wire::StatusEvent::Status(want)
            }
            other => other,
        }
    );
    assert!(socket.is_quiet().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_means_what_comes_later_too_and_ends_as_a_whole() {
    let ground = Ground::new().await;
    ground
        .publish(&[status(1, 1, 1, "running"), status(2, 2, 1, "running")])
        .await;
    let replica = ground.replica().await;
    let (mut own, mut service) = (
        Socket::of(&replica, &token(1)).await,
        Socket::of(&replica, &service_token()).await,
    );
    let (mut of_own, mut of_service) = (Held::default(), Held::default());
    for (socket, held) in [(&mut own, &mut of_own), (&mut service, &mut of_service)] {
        socket.send(json!({"type": "subscribe", "servers": "all"})).await;
        held.read_until(socket, "present", |held| held.present).await;
    }
    assert_eq!(of_own.versions(), [(1, 1)]);
    assert_eq!(of_service.versions(), [(1, 1), (2, 1)]);
    ground
        .publish(&[status(3, 1, 1, "starting"), status(4, 2, 1, "starting")])
        .await;
    of_own
        .read_until(&mut own, "its new one", |held| {
            held.versions() == [(1, 1), (3, 1)]
        })
        .await;
    of_service
        .read_until(&mut service, "both", |held| held.servers.len() == 4)
        .await;
    // A connection shows another's, and its end takes it away.
    ground.connect(1, 4, true).await;
    of_own
        .read_until(&mut own, "what a connection shows", |held| {
            held.servers.contains_key(&id(4))
        })
        .await;
    ground.connect(1, 4, false).await;
    of_own
        .read_until(&mut own, "its end", |held| !held.servers.contains_key(&id(4)))
        .await;
    // To another account.
    ground
        .publish(&[deleted(3, 1, 2), status(3, 2, 3, "starting")])
        .await;
    of_own
        .read_until(&mut own, "the move", |held| held.versions() == [(1, 1)])
        .await;
    of_service
        // Between its end here and its beginning there it may be gone.
        .read_until(&mut service, "the move", |held| {
            held.servers.get(&id(3)).is_some_and(|(version, _)| *version == 3)
        })
        .await;

    own.send(json!({"type": "unsubscribe", "servers": [id(1)]})).await;
    assert!(matches!(own.next().await, StreamMessage::Unsubscribed { .. }));
    assert!(matches!(
        own.next().await,
        StreamMessage::Error {
            code: ErrorCode::Unsupported,
            ..
        }
    ));
    own.send(json!({"type": "unsubscribe", "servers": "all"})).await;
    assert!(matches!(
        own.next().await,
        StreamMessage::Unsubscribed { all: true, .. }
    ));
    ground.publish(&[status(1, 1, 2, "stopped")]).await;
    of_service
        .read_until(&mut service, "the change", |held| held.servers[&id(1)].0 == 2)
        .await;
    assert!(own.is_quiet().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_have_names_and_cursors_and_go_on_from_the_last() {
    let ground = Ground::new().await;
    ground
        .publish(&[status(1, 1, 1, "running"), status(2, 1, 1, "running")])
        .await;
    let replica = ground
        .replica_with(|options| options.ping_every = std::time::Duration::from_millis(200))
        .await;
    let mut events = Events::of(&replica, "all=true&toolboxes=true", &token(1)).await;
    let mut held = Held::default();
    let mut last = None;
    while !held.present {
        let event = events.next().await;
        held.take(&event.message);
        last = event.id.or(last);
    }
    assert_eq!(held.versions(), [(1, 1), (2, 1)]);
    assert_eq!(held.cursor, last);
    drop(events);
    ground
        .publish(&[status(2, 1, 2, "stopped"), deleted(1, 1, 2)])
        .await;
    // The page's own cursor is older than what its browser was told last.
    let (bearer, last) = (format!("Bearer {}", token(1)), last.unwrap());
    let headers = [
        ("authorization", bearer.as_str()),
        ("last-event-id", last.as_str()),
    ];
    let mut events = Events::open(&replica.url, "servers=&all=true&cursor=1.1", &headers)
        .await
        .unwrap();
    let mut changed = Vec::new();
    held.present = false;
    while !held.present {
        let event = events.next().await;
        held.take(&event.message);
        match event.message {
            StreamMessage::Status { event, .. } | StreamMessage::Deleted { event, .. } => {
                changed.push(event.server_id())
            }
            _ => {}
        }
    }
    assert_eq!(
        changed,
        [id(2), id(1)],
        "only what changed, in the order of the stream"
    );
    assert_eq!((held.versions(), held.resets), (vec![(2, 2)], 0));
    replica.stop().await;
    let mut last = None;
    while let Some(event) = events.receive().await {
        last = Some(event.message);
    }
    let Some(StreamMessage::Bye {
        code: 1012,
        retry_after_ms: Some(wait),
        ..
    }) = last
    else {
        panic!("{last:?}")
    };
    assert!((500..=5000).contains(&wait), "{wait}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_passed_on_as_it_was_published_with_its_trace() {
    let ground = Ground::new().await;
    let replica = ground.replica().await;
    let mut events = Events::of(&replica, "all=1", &token(1)).await;
    let mut held = Held::default();
    while !held.present {
        held.take(&events.next().await.message);
    }
    // Fields of later versions, and in several lines.
    let mut body = serde_json::to_value(status(1, 1, 1, "running")).unwrap();
    body["later"] = json!({"text": "a\nb\r\u{2028}"});
    let mut outgoing = ground.outgoing(&status(1, 1, 1, "running"));
    outgoing.body = serde_json::to_string_pretty(&body).unwrap().into();
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    outgoing.traceparent = Some(trace.to_owned());
    ground.bus.publish_all(vec![outgoing]).await.remove(0).unwrap();
    let StreamMessage::Status { traceparent, .. } = events.next().await.message else {
        panic!("status")
    };
    assert_eq!(traceparent.as_deref(), Some(trace));
    let mut socket = Socket::of(&replica, &token(1)).await;
    socket.send(json!({"type": "subscribe", "servers": "all"})).await;
    let told = loop {
        let Some(Ok(message)) = futures_util::StreamExt::next(&mut socket.inner).await else {
            panic!("closed")
        };
        let told: serde_json::Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
        if told["type"] == "status" {
            break told;
        }
    };
    assert_eq!(told["event"], body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_closes_is_answered_and_forgotten() {
    let ground = Ground::new().await;
    let replica = ground.replica().await;
    let mut socket = Socket::of(&replica, &token(1)).await;
    socket.send(json!({"type": "subscribe", "servers": "all"})).await;
    assert_eq!(replica.hub.waiting().len(), 1);
    socket.inner.close(None).await.unwrap();
    let mut held = Held::default();
    let closed = loop {
        match socket.receive().await {
            Ok(message) => held.take(&message),
            Err(closed) => break closed,
        }
    };
    assert_ne!(closed.code, 1006, "closed in order");
    crate::ground::eventually("it is forgotten", async || replica.hub.waiting().is_empty()).await;
    replica.stop().await;
}
