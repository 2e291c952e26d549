//! The client against a server of canned answers: what is sent, what is sent again, and what becomes of the answers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use uuid::Uuid;

use super::*;
use crate::exit::Exit;
use crate::show::testing::{id, servers};

/// One request as it arrived: method and address, idempotency key, body.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Heard {
    line: String,
    key: Option<String>,
    authorisation: Option<String>,
    body: String,
}

/// Status, body, and `Retry-After`.
type Reply = (u16, String, Option<&'static str>);

#[derive(Clone, Default)]
struct Canned {
    answers: Arc<Mutex<VecDeque<Reply>>>,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Canned {
    fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }
}

async fn answer(
    State(canned): State<Canned>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let header = |name: &str| {
        let value = headers.get(name)?;
        Some(value.to_str().unwrap().to_owned())
    };
    canned.heard.lock().unwrap().push(Heard {
        line: format!("{method} {uri}"),
        key: header("idempotency-key"),
        authorisation: header("authorization"),
        body: String::from_utf8(body.to_vec()).unwrap(),
    });
    let (status, body, after) = canned.answers.lock().unwrap().pop_front().unwrap();
    let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
    if let Some(after) = after {
        response
            .headers_mut()
            .insert("retry-after", after.parse().unwrap());
    }
    response
}

fn quick() -> Limits {
    Limits {
        connect: Duration::from_secs(5),
        answer: Duration::from_secs(10),
        body: 100_000,
        attempts: 3,
        pause: Duration::from_millis(1),
    }
}

async fn serve(answers: Vec<Reply>) -> (Client, Canned) {
    let canned = Canned::default();
    *canned.answers.lock().unwrap() = answers.into();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(answer).with_state(canned.clone());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let base = format!("http://{address}/below/").parse().unwrap();
    (Client::new(&base, Some("hush".into()), quick()).unwrap(), canned)
}

fn page(items: &serde_json::Value, next: Option<&str>, stale: bool) -> Reply {
    let page = serde_json::json!({ "items": items, "next": next, "stale": stale });
    (200, page.to_string(), None)
}

fn accepted() -> Reply {
    let accepted = serde_json::json!({
        "command": {"commandId": id(500), "kind": "start", "requestedBy": "a", "outcome": "under_way",
                    "requestedAt": "2026-11-22T12:00:00Z"},
        "somethingNewer": {"than": "this"},
    });
    (202, accepted.to_string(), None)
}

#[tokio::test]
async fn all_pages_are_followed_and_filters_sent() {
    let all = servers();
    let (client, canned) = serve(vec![
        page(&serde_json::json!(all[..2]), Some("next page/?"), false),
        page(&serde_json::json!(all[2..]), None, true),
    ])
    .await;
    let filter = ServerFilter {
        state: Some(wire::api::StateLabel::Error),
        toolbox: Some(id(101)),
        name: Some("a b&c".to_owned()),
        ..ServerFilter::default()
    };
    let found = client.servers(&filter).await.unwrap();
    assert_eq!(found.items, all);
    assert!(found.stale);
    let heard = canned.heard();
    let filter = format!("state=error&toolboxId={}&name=a+b%26c&limit=200", id(101));
    assert_eq!(heard[0].line, format!("GET /below/v1/servers?{filter}"));
    assert_eq!(
        heard[1].line,
        format!("GET /below/v1/servers?{filter}&cursor=next+page%2F%3F")
    );
    assert_eq!(heard[0].authorisation.as_deref(), Some("Bearer hush"));
}

#[tokio::test]
async fn what_must_not_be_asked_twice_without_a_key_is_not() {
    // A server that hangs up before it answers, twice, and then answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    let client = Client::new(&base, None, quick()).unwrap();
    let serving = tokio::spawn(async move {
        let mut keys = Vec::new();
        for round in 0..3 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = String::new();
            while !request.contains("\r\n\r\n") {
                let mut buffer = [0; 1024];
                let read = stream.read(&mut buffer).await.unwrap();
                request.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
            }
            let lower = request.to_lowercase();
            let key = lower
                .split("idempotency-key: ")
                .nth(1)
                .unwrap()
                .lines()
                .next()
                .unwrap();
            keys.push(key.to_owned());
            if round == 2 {
                let (_, body, _) = accepted();
                let answer = format!(
                    "HTTP/1.1 202 Accepted\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
        keys
    });
    let key = Uuid::new_v4();
    let answer = client
        .act(id(1), Verb::Start, true, Duration::from_secs(30), key)
        .await
        .unwrap();
    assert_eq!(answer.command.command_id, id(500));
    assert_eq!(serving.await.unwrap(), vec![key.to_string(); 3]);
}

#[tokio::test]
async fn nothing_that_answers_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let base = format!("http://{address}").parse().unwrap();
    let client = Client::new(&base, Some("hush".into()), quick()).unwrap();
    let failure = client.fleet().await.unwrap_err();
    assert_eq!(failure.exit, Exit::Unreachable);
    assert!(
        failure
            .text
            .starts_with(&format!("failed to reach the API at http://{address}: ")),
        "{failure}"
    );
    assert!(!failure.text.contains("hush"));
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    let limits = Limits {
        answer: Duration::from_millis(50),
        attempts: 2,
        ..quick()
    };
    let client = Client::new(&base, None, limits).unwrap();
    let failure = client.fleet().await.unwrap_err();
    assert_eq!(failure.exit, Exit::Unreachable);
    assert!(failure.text.ends_with("no answer in time"), "{failure}");
}

#[tokio::test]
async fn an_answer_is_an_answer_and_not_asked_for_again() {
    let problem = serde_json::json!({
        "type": "about:blank", "title": "unavailable", "status": 503, "detail": "the database is away"
    });
    let (client, canned) = serve(vec![(503, problem.to_string(), Some("1"))]).await;
    let failure = client.clear_override(id(1), Uuid::new_v4()).await.unwrap_err();
    assert_eq!(failure.exit, Exit::Unreachable);
    assert_eq!(
        failure.text,
        "unavailable: the database is away (try again in 1 s)"
    );
    assert_eq!(canned.heard().len(), 1);
}

#[tokio::test]
async fn not_so_fast_is_heeded_as_long_as_a_person_would_wait() {
    let busy = |after| (429, String::new(), Some(after));
    let (client, canned) = serve(vec![busy("0"), accepted(), busy("60")]).await;
    let key = Uuid::new_v4();
    client.refresh_all(key).await.unwrap();
    let heard = canned.heard();
    assert_eq!(heard.len(), 2);
    assert_eq!(heard[0], heard[1]);
    assert_eq!(heard[0].key, Some(key.to_string()));
    let failure = client.refresh_all(key).await.unwrap_err();
    assert_eq!(failure.exit, Exit::Unreachable);
    assert!(failure.text.ends_with("(try again in 60 s)"), "{failure}");
    assert_eq!(canned.heard().len(), 3);
}

#[tokio::test]
async fn answers_that_are_too_large_or_of_another_kind_are_refused() {
    let (client, _) = serve(vec![
        (200, "x".repeat(100_001), None),
        (200, "<html>".to_owned(), None),
        (302, String::new(), None),
    ])
    .await;
    let place = client.place();
    let mut texts = Vec::new();
    for _ in 0..3 {
        let failure = client.fleet().await.unwrap_err();
        texts.push(format!(
            "{} {}",
            failure.exit.code(),
            failure.text.replace(&place, "PLACE")
        ));
    }
    insta::assert_snapshot!(texts.join("\n"));
}

#[tokio::test]
async fn requests_are_as_the_api_reads_them() {
    let server = serde_json::json!(servers()[0]).to_string();
    let ok = |body: &str| (200, body.to_owned(), None);
    let (client, canned) = serve(vec![ok(&server), ok(&server), ok(""), accepted()]).await;
    let key = Uuid::from_u128(7);
    let new = wire::api::NewServer {
        server_id: None,
        toolbox_id: id(101),
        name: "mcp-x".to_owned(),
        monitored: None,
    };
    client.add_server(&new, key).await.unwrap();
    let change = wire::api::ServerChange {
        name: Some("mcp-y".to_owned()),
    };
    client.change_server(id(1), &change, key).await.unwrap();
    client.remove_server(id(1), key).await.unwrap();
    let word = wire::api::OverrideRequest {
        state: wire::api::StateLabel::Stopped,
        health: None,
        message: "moved".to_owned(),
        expires_in: 7200,
    };
    client.put_override(id(1), &word, key).await.unwrap();
    let lines: Vec<String> = canned
        .heard()
        .into_iter()
        .map(|heard| format!("{} {} {}", heard.line, heard.key.unwrap(), heard.body))
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn addresses_that_cannot_be_an_apis() {
    for url in [
        "ftp://host",
        "http://user:hush@host",
        "http://host?x=hush",
        "file:///etc/passwd",
    ] {
        let failure = Client::new(&url.parse().unwrap(), None, quick()).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage, "{url}");
        assert!(!failure.text.contains("hush"));
    }
}

#[tokio::test]
async fn what_is_asked_of_webhooks() {
    let sent = r#"{"deliveryIds":[]}"#;
    let page = r#"{"items":[]}"#;
    let answers = [sent, sent, sent, page, page];
    let (client, canned) = serve(answers.map(|body| (200, body.to_owned(), None)).to_vec()).await;
    let (webhook, delivery, key) = (id(800), id(810), id(1));
    client.test_webhook(webhook, key).await.unwrap();
    client.replay(webhook, Some(delivery), key).await.unwrap();
    client.replay(webhook, None, key).await.unwrap();
    client.deliveries(webhook).await.unwrap();
    client.dead_letters(webhook).await.unwrap();
    let lines: Vec<_> = canned.heard().into_iter().map(|heard| heard.line).collect();
    let below = format!("/below/v1/webhooks/{webhook}");
    assert_eq!(
        lines,
        [
            format!("POST {below}/test"),
            format!("POST {below}/dead-letters/{delivery}/replay"),
            format!("POST {below}/dead-letters/replay"),
            format!("GET {below}/deliveries"),
            format!("GET {below}/dead-letters?limit=200"),
        ]
    );
    assert!(
        canned.heard()[..3]
            .iter()
            .all(|heard| heard.key == Some(key.to_string()))
    );
}
