//! Telling agents: what is sent, and what is made of the answer.

use super::*;

/// What came of it, in words.
fn kind(told: &Told) -> (&'static str, String) {
    match told {
        Told::Executed => ("executed", String::new()),
        Told::Unmanaged(said) => ("unmanaged", said.clone().unwrap_or_default()),
        Told::Refused(Failure(reason)) => ("refused", reason.message.clone()),
        Told::Unreached(Failure(reason)) => ("unreached", reason.message.clone()),
        Told::Unanswered(Failure(reason)) => ("unanswered", reason.message.clone()),
    }
}

const LIMIT: Duration = Duration::from_secs(10);
/// For agents that never answer.
const SOON: Duration = Duration::from_millis(300);

async fn tell(target: &Target, name: &str, limit: Duration) -> (&'static str, String) {
    kind(&client(LIMITS).tell(target, name, Verb::Start, limit).await)
}

fn answer(status: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[tokio::test]
async fn a_name_is_one_segment_whatever_is_in_it() {
    let server = raw(|_| ok("{}")).await;
    let base = target(&format!("{}/t/7/", server.url), "hush");
    let client = client(LIMITS);
    for (name, verb, line) in [
        ("mcp-a", Verb::Start, "POST /t/7/tools/mcp-a/start"),
        ("mcp_a.1~", Verb::Stop, "POST /t/7/tools/mcp_a.1~/stop"),
        ("mcp-a", Verb::Delete, "DELETE /t/7/tools/mcp-a"),
        ("../../x", Verb::Delete, "DELETE /t/7/tools/..%2F..%2Fx"),
        ("..\\x", Verb::Start, "POST /t/7/tools/..%5Cx/start"),
        ("a?b#c", Verb::Start, "POST /t/7/tools/a%3Fb%23c/start"),
        ("%2e%2e", Verb::Start, "POST /t/7/tools/%252e%252e/start"),
        ("a b\u{e9}", Verb::Stop, "POST /t/7/tools/a%20b%C3%A9/stop"),
        ("...", Verb::Delete, "DELETE /t/7/tools/..."),
    ] {
        let told = client.tell(&base, name, verb, LIMIT).await;
        assert!(matches!(told, Told::Executed), "{name}");
        let heads = server.heads.lock().unwrap();
        let head = heads.last().unwrap();
        assert!(
            head.starts_with(&format!("{line} HTTP/1.1\r\n")),
            "{name}: {head}"
        );
        let telling: Vec<_> = head.split("\r\n").filter(|line| line.contains("hush")).collect();
        assert_eq!(telling, ["authorization: Bearer hush"]);
    }
    let asked = server.heads.lock().unwrap().len();
    for name in [".", ".."] {
        let (kind, message) = kind(&client.tell(&base, name, Verb::Delete, LIMIT).await);
        assert_eq!(kind, "refused", "{message}");
    }
    assert_eq!(
        server.heads.lock().unwrap().len(),
        asked,
        "it was sent all the same"
    );
}

#[tokio::test]
async fn answers_are_told_apart() {
    let long = format!(r#"{{"error":"{}"}}"#, "x ".repeat(4 << 10));
    let table = [
        ("200 OK", r#"{"success":true}"#, "executed", ""),
        ("204 No Content", "", "executed", ""),
        // The status has said it; that the body is none of an agent's changes nothing.
        ("200 OK", "<html>", "executed", ""),
        (
            "404 Not Found",
            r#"{"error":"not managed"}"#,
            "unmanaged",
            "not managed",
        ),
        ("404 Not Found", "", "unmanaged", ""),
        (
            "403 Forbidden",
            r#"{"error":"Forbidden: Invalid token"}"#,
            "refused",
            "the agent does not accept the toolbox's token",
        ),
        (
            "500 Internal Server Error",
            r#"{"message":"Failed to start.","error":"no space left"}"#,
            "refused",
            "(Failed to start. no space left)",
        ),
        (
            "400 Bad Request",
            r#"{"message":{"code":7},"error":"no such thing"}"#,
            "refused",
            "(no such thing)",
        ),
        (
            "500 Internal Server Error",
            r#"{"error":"bad hush-hush hush"}"#,
            "refused",
            "(bad [redacted] hush)",
        ),
        (
            "500 Internal Server Error",
            r#"{"error":"DTMA configuration error"}"#,
            "refused",
            "until it is given its own token",
        ),
        ("503 Busy", &long, "refused", "503 Service Unavailable"),
        (
            "302 Found\r\nLocation: http://127.0.0.1:1/",
            "",
            "refused",
            "redirects are not followed",
        ),
    ];
    for (status, body, expected, words) in table {
        let bytes = answer(status, body);
        let server = raw(move |_| bytes.clone()).await;
        let (kind, message) = tell(&target(&server.url, "hush-hush"), "mcp-a", LIMIT).await;
        assert_eq!(kind, expected, "{status}: {message}");
        assert!(message.contains(words), "{status}: {message}");
        assert!(!message.contains("hush-hush"), "{message}");
        assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn whether_it_was_heard_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let silent = raw(|_| Vec::new()).await;
    let no_http = raw(|_| b"SSH-2.0-x\r\n\r\n".to_vec()).await;
    for (url, limit, expected, words) in [
        (&closed, LIMIT, "unreached", "connection refused"),
        (
            &silent.url,
            SOON,
            "unanswered",
            "the agent did not answer within 300ms",
        ),
        (&no_http.url, LIMIT, "refused", "does not speak HTTP"),
    ] {
        let (kind, message) = tell(&target(url, "t"), "mcp-a", limit).await;
        assert_eq!(kind, expected, "{message}");
        assert!(message.contains(words), "{message}");
    }
    let sim = sim(DialectMix::B).await;
    let agent = sim.toolbox(0);
    sim.misbehave(agent.id, Misbehaviour::Refuse).unwrap();
    let (kind, message) = tell(&of(&agent), "mcp-a", LIMIT).await;
    assert_eq!(kind, "unanswered", "{message}");
    for (address, words) in [
        (Address::Missing, "has no address yet"),
        (Address::Refused("it is not a URL"), "is not a URL"),
    ] {
        let nowhere = Target {
            address,
            ..target("http://x", "t")
        };
        let (kind, message) = tell(&nowhere, "mcp-a", LIMIT).await;
        assert_eq!(kind, "refused");
        assert!(message.contains(words), "{message}");
    }
}

#[tokio::test]
async fn a_body_that_never_ends_does_not_take_the_answer_back() {
    let server = raw(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".to_vec()).await;
    let began = Instant::now();
    assert_eq!(
        tell(&target(&server.url, "t"), "mcp-a", SOON * 100).await.0,
        "executed"
    );
    assert!(began.elapsed() < SOON * 50, "{:?}", began.elapsed());
}
