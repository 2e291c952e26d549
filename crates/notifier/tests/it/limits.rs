//! Every limit, with its code and reason.

use std::num::NonZeroU32;
use std::time::Duration;

use futures_util::SinkExt as _;
use serde_json::json;
use tokio_tungstenite::tungstenite::{Error, Message};
use wire::stream::{ErrorCode, StreamMessage};

use crate::client::{Closed, Events, Socket};
use crate::ground::{Ground, id, token};

fn closed(code: u16, reason: &str) -> Closed {
    Closed {
        code,
        reason: reason.to_owned(),
    }
}

async fn open(url: &str) -> Socket {
    Socket::open(url, &[]).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_say_who_he_is_or_says_nonsense() {
    let ground = Ground::new().await;
    let replica = ground
        .replica_with(|options| options.auth_timeout = Duration::from_millis(500))
        .await;
    let url = &replica.url;
    let mut slow = open(url).await;
    assert_eq!(slow.ending().await, closed(4401, "authentication_timeout"));
    for (first, want) in [
        (
            json!({"type": "auth", "token": "rubbish"}),
            closed(4401, "unauthorized"),
        ),
        (json!({"type": "auth"}), closed(4401, "unauthorized")),
        (
            json!({"type": "auth", "ticket": "a".repeat(43)}),
            closed(4401, "unauthorized"),
        ),
        (
            json!({"type": "auth", "token": token(1), "ticket": "x"}),
            closed(4401, "unauthorized"),
        ),
        (
            json!({"type": "subscribe", "servers": "all"}),
            closed(4401, "unauthorized"),
        ),
        (
            json!({"type": "auth", "token": token(1), "extra": 1}),
            closed(4400, "bad_message"),
        ),
    ] {
        let mut socket = open(url).await;
        socket.send(first.clone()).await;
        assert_eq!(socket.ending().await, want, "{first}");
    }
    for bad in [
        "",
        "[]",
        "{\"type\":\"dance\"}",
        "{\"type\":\"subscribe\"}",
        "{\"type\":\"subscribe\",\"servers\":[\"x\"]}",
    ] {
        let mut socket = Socket::of(&replica, &token(1)).await;
        socket.inner.send(Message::text(bad)).await.unwrap();
        assert_eq!(socket.ending().await, closed(4400, "bad_message"), "{bad}");
    }
    let mut socket = Socket::of(&replica, &token(1)).await;
    socket.inner.send(Message::binary(vec![1, 2])).await.unwrap();
    assert_eq!(socket.ending().await, closed(4400, "binary_message"));
    let mut socket = Socket::of(&replica, &token(1)).await;
    socket
        .inner
        .send(Message::text("x".repeat((64 << 10) + 1)))
        .await
        .unwrap();
    assert_eq!(socket.ending().await, closed(4400, "message_too_long"));
    // One that is not read to its end.
    for header in ["Bearer rubbish", "Basic eDp5", "Bearer"] {
        let refused = Socket::open(url, &[("authorization", header)]).await;
        let Err(Error::Http(response)) = refused.map(|_| ()) else {
            panic!("{header}")
        };
        assert_eq!(response.status(), 401);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subprotocol_bears_a_token_and_a_url_must_not() {
    let ground = Ground::new().await;
    let replica = ground.replica().await;
    let jwt = token(1);
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&jwt);
    for bearer in [&jwt, &encoded] {
        let names = format!("mcp-status.v1, bearer.{bearer}");
        let mut request = tokio_tungstenite::tungstenite::client::IntoClientRequest::into_client_request(
            format!("{}/v1/ws", replica.url.replace("http", "ws")),
        )
        .unwrap();
        request
            .headers_mut()
            .insert("sec-websocket-protocol", names.parse().unwrap());
        let (inner, response) = tokio_tungstenite::connect_async(request).await.unwrap();
        assert_eq!(response.headers()["sec-websocket-protocol"], "mcp-status.v1");
        assert!(matches!(
            Socket { inner }.next().await,
            StreamMessage::Hello { .. }
        ));
    }
    for path in [
        "ws?token=x",
        "ws?access_token=x",
        "events?all=true&token=x",
        "events?all=true&JWT=x",
    ] {
        let url = format!("{}/v1/{path}", replica.url);
        let mut request = reqwest::Client::new().get(url).bearer_auth(&jwt);
        for (name, value) in [
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            request = request.header(name, value);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 400, "{path}");
        let text = response.text().await.unwrap();
        assert!(text.contains("must not be in the URL"), "{text}");
    }
    for query in ["", "all=maybe", "servers=x", "servers=", "all=true&wings=2"] {
        let bearer = format!("Bearer {jwt}");
        let refused = Events::open(&replica.url, query, &[("authorization", &bearer)]).await;
        assert_eq!(refused.err().unwrap().status(), 400, "{query}");
    }
    let refused = Events::open(&replica.url, "all=true", &[]).await.err().unwrap();
    assert_eq!(refused.status(), 401);
    assert!(refused.headers().contains_key("www-authenticate"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_many_there_may_be_in_all_of_an_account_and_from_an_address() {
    let ground = Ground::new().await;
    for (case, reason) in [
        (0, "too_many_connections"),
        (1, "too_many_connections_of_account"),
        (2, "too_many_connections_from_address"),
    ] {
        let replica = ground
            .replica_with(|options| match case {
                0 => options.connections = 2,
                1 => options.account_connections = 2,
                _ => options.address_connections = 2,
            })
            .await;
        let one = Socket::of(&replica, &token(1)).await;
        let two = Events::of(&replica, "all=true", &token(1)).await;
        let mut many = open(&replica.url).await;
        if case == 1 {
            many.send(json!({"type": "auth", "token": token(1)})).await;
            // Others are not concerned.
            drop(Socket::of(&replica, &token(2)).await);
        }
        assert_eq!(many.ending().await, closed(4429, reason));
        let bearer = format!("Bearer {}", token(1));
        let refused = Events::open(&replica.url, "all=true", &[("authorization", &bearer)])
            .await
            .err()
            .unwrap();
        assert_eq!(refused.status(), 429);
        assert!(refused.headers().contains_key("retry-after"));
        assert!(refused.text().await.unwrap().contains(reason));
        // Places are given back.
        drop((one, two));
        crate::ground::eventually("there is room again", async || {
            let Ok(mut socket) = Socket::open(&replica.url, &[("authorization", &bearer)]).await else {
                return false;
            };
            matches!(socket.receive().await, Ok(StreamMessage::Hello { .. }))
        })
        .await;
        replica.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_connection_may_ask() {
    let ground = Ground::new().await;
    let number = |value| NonZeroU32::new(value).unwrap();
    let replica = ground
        .replica_with(|options| {
            options.subscriptions = 3;
            (options.message_rate, options.message_burst) = (number(1), number(5));
        })
        .await;
    ground
        .publish(
            &(1..=4)
                .map(|server| crate::ground::status(server, 1, 1, "running"))
                .collect::<Vec<_>>(),
        )
        .await;
    let mut socket = Socket::of(&replica, &token(1)).await;
    let ids = |from: u128, to: u128| (from..=to).map(id).collect::<Vec<_>>();
    socket
        .send(json!({"type": "subscribe", "servers": ids(1, 4)}))
        .await;
    assert!(matches!(
        socket.next().await,
        StreamMessage::Error {
            code: ErrorCode::Limit,
            ..
        }
    ));
    for _ in 0..10 {
        socket.send(json!({"type": "ping"})).await;
    }
    assert_eq!(socket.ending().await, closed(4429, "too_many_messages"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_silent_or_wants_nothing_is_let_go() {
    let ground = Ground::new().await;
    let replica = ground
        .replica_with(|options| {
            options.ping_every = Duration::from_millis(200);
            options.idle_timeout = Duration::from_millis(1500);
        })
        .await;
    // Answers pings, for it reads; and asks for nothing.
    let mut idle = Socket::of(&replica, &token(1)).await;
    assert_eq!(idle.ending().await, closed(4408, "no_subscription"));
    // Asks, and then does not even answer pings.
    let mut silent = Socket::of(&replica, &token(1)).await;
    silent.send(json!({"type": "subscribe", "servers": "all"})).await;
    crate::ground::eventually("it is let go", async || replica.hub.waiting().is_empty()).await;
    assert_eq!(silent.ending().await, closed(4408, "no_answer_to_pings"));
    // Answers and wants something: stays.
    let mut there = Socket::of(&replica, &token(1)).await;
    there.send(json!({"type": "subscribe", "servers": "all"})).await;
    let reading = async {
        loop {
            there.receive().await.unwrap();
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(3), reading)
            .await
            .is_err()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_other_origins_are_refused_and_programs_have_none() {
    let ground = Ground::new().await;
    let replica = ground
        .replica_with(|options| options.origins = vec!["https://app.example".to_owned()])
        .await;
    let bearer = format!("Bearer {}", token(1));
    // Pages that were served here, and those of another service of this host.
    let (here, beside) = (replica.url.clone(), "http://127.0.0.1:1");
    for (origin, admitted) in [
        (here.as_str(), true),
        (beside, false),
        ("https://app.example", true),
        ("https://app.example.evil", false),
        ("http://app.example", false),
        ("null", false),
    ] {
        let headers = [("authorization", bearer.as_str()), ("origin", origin)];
        match Socket::open(&replica.url, &headers).await {
            Ok(mut socket) => assert!(admitted && matches!(socket.next().await, StreamMessage::Hello { .. })),
            Err(Error::Http(response)) => assert!(!admitted && response.status() == 403, "{origin}"),
            Err(error) => panic!("{error}"),
        }
        match Events::open(&replica.url, "all=true", &headers).await {
            Ok(_) => assert!(admitted, "{origin}"),
            Err(response) => assert!(!admitted && response.status() == 403, "{origin}"),
        }
    }
    drop(Socket::of(&replica, &token(1)).await);
    // A stranger's name that was made to lead here seems to be from here, and has nothing to show.
    let rebound = [("host", "evil.example"), ("origin", "http://evil.example")];
    match Events::open(&replica.url, "all=true", &rebound).await {
        Ok(_) => panic!("it was told something"),
        Err(response) => assert_eq!(response.status(), 401),
    }
    let mut socket = Socket::open(&replica.url, &rebound).await.unwrap();
    socket.send(json!({"type": "subscribe", "servers": "all"})).await;
    assert!(!matches!(
        socket.next().await,
        StreamMessage::Hello { .. } | StreamMessage::Status { .. }
    ));
}
