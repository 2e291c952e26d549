//! Real sockets: simulated agents, and raw servers for what no agent does.

mod tell;

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use domain::{AccountId, ReasonCode, ToolboxId};
use dtma_sim::{DialectMix, Misbehaviour, Sim, SimConfig, SimHandle, ToolboxInfo};
use secrecy::SecretString;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wire::{RawCoverage, RawOutcome};

use super::*;
use crate::registry::Address;

const BODY: usize = 64 << 10;
const LIMITS: Limits = Limits {
    time: Duration::from_secs(10),
    connect: Duration::from_secs(5),
    body: BODY,
};
/// For agents that never answer.
const HASTY: Limits = Limits {
    time: Duration::from_millis(300),
    ..LIMITS
};

fn client(limits: Limits) -> Client {
    Client::new(limits).unwrap()
}

fn target(base_url: &str, token: &str) -> Target {
    Target {
        toolbox: ToolboxId(Uuid::from_u128(1)),
        account: AccountId(Uuid::from_u128(2)),
        address: Address::At(base_url.parse().unwrap()),
        token: Token::Opened(SecretString::from(token)),
        instances: Vec::new(),
        epoch: 0,
        looks: 0,
    }
}

fn of(agent: &ToolboxInfo) -> Target {
    target(&agent.base_url, &agent.token)
}

fn clock() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

async fn sim(dialect: DialectMix) -> SimHandle {
    let config = SimConfig {
        toolboxes: 1,
        dialect,
        many_ports: true,
        ..SimConfig::default()
    };
    Sim::start(config, CancellationToken::new()).await.unwrap()
}

async fn ask(limits: Limits, target: &Target, remembered: Option<Dialect>) -> Asked {
    client(limits).ask(target, remembered, clock).await
}

fn failure(asked: Asked) -> (ReasonCode, String) {
    let Failure(reason) = asked.said.expect_err("the agent was understood");
    (reason.code, reason.message)
}

fn coverage(asked: &Asked) -> Option<RawCoverage> {
    match &asked.said.as_ref().expect("the agent failed").outcome {
        RawOutcome::Containers { coverage, .. } => Some(*coverage),
        _ => None,
    }
}

/// A server that answers each request with the bytes that `answer` makes of its head; none at all holds the
/// connection open, and bytes that end in a blank close it.
struct Raw {
    url: String,
    heads: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

async fn raw(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Raw {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let heads = Arc::new(Mutex::new(Vec::new()));
    let connections = Arc::new(AtomicUsize::new(0));
    let answer = Arc::new(answer);
    let mut tasks = JoinSet::new();
    let (seen, accepted) = (Arc::clone(&heads), Arc::clone(&connections));
    tasks.spawn(async move {
        let mut open = JoinSet::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            accepted.fetch_add(1, Ordering::SeqCst);
            let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
            open.spawn(async move {
                let mut head = Vec::new();
                while let Ok(byte) = stream.read_u8().await {
                    head.push(byte);
                    if !head.ends_with(b"\r\n\r\n") {
                        continue;
                    }
                    let text = String::from_utf8(std::mem::take(&mut head)).unwrap();
                    let bytes = answer(&text);
                    seen.lock().unwrap().push(text);
                    if bytes.is_empty() {
                        std::future::pending::<()>().await;
                    }
                    if stream.write_all(&bytes).await.is_err() || bytes.ends_with(b" ") {
                        return;
                    }
                }
            });
        }
    });
    Raw {
        url,
        heads,
        connections,
        _tasks: tasks,
    }
}

fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[tokio::test]
async fn every_way_an_agent_fails_has_its_code_and_says_what_happened() {
    use ReasonCode::{AgentBadAnswer as Bad, AgentUnreachable as Unreachable};
    let sim = sim(DialectMix::B).await;
    let agent = sim.toolbox(0);
    let huge = |content_length| Misbehaviour::HugeBody {
        mib: 8,
        content_length,
    };
    let elsewhere = raw(|_| ok("{}")).await;
    let redirect = Misbehaviour::Redirect {
        to: elsewhere.url.parse().unwrap(),
    };
    let table = [
        (
            Misbehaviour::Refuse,
            Unreachable,
            "closed the connection without an answer",
        ),
        (
            Misbehaviour::Hang,
            Unreachable,
            "the agent did not answer within 300ms",
        ),
        (
            Misbehaviour::Slow {
                delay: Duration::from_secs(5),
                stale: false,
            },
            Unreachable,
            "did not answer within",
        ),
        (
            Misbehaviour::Status { code: 503 },
            Bad,
            "503 Service Unavailable for /tools/status",
        ),
        (
            Misbehaviour::Status { code: 418 },
            Bad,
            "418 I'm a teapot for /tools/status",
        ),
        (Misbehaviour::Garbage { wire: false }, Bad, "expected JSON"),
        (Misbehaviour::Garbage { wire: true }, Bad, "does not speak HTTP"),
        (
            huge(true),
            Bad,
            "/tools/status is larger than the 65536 bytes that are taken",
        ),
        (
            huge(false),
            Bad,
            "/tools/status is larger than the 65536 bytes that are taken",
        ),
        (
            Misbehaviour::TruncatedJson,
            Bad,
            "expected JSON, found text that ends too early",
        ),
        (
            Misbehaviour::CutBody,
            Bad,
            "/tools/status was cut off before its end",
        ),
        (Misbehaviour::Html, Bad, "expected JSON, found an HTML page"),
        (
            redirect,
            Bad,
            "302 Found for /tools/status, expected 200: redirects are not followed",
        ),
        (
            Misbehaviour::GzipBomb { mib: 256 },
            Bad,
            "larger than the 65536 bytes",
        ),
        (
            Misbehaviour::NoToken,
            Bad,
            "(DTMA configuration error): the agent refuses everyone",
        ),
        (
            Misbehaviour::DockerUnavailable,
            Bad,
            "500 Internal Server Error for /tools/status (",
        ),
    ];
    for (misbehaviour, code, words) in table {
        let kind = misbehaviour.kind();
        let waits = matches!(misbehaviour, Misbehaviour::Hang | Misbehaviour::Slow { .. });
        sim.misbehave(agent.id, misbehaviour).unwrap();
        let (found, message) = failure(ask(if waits { HASTY } else { LIMITS }, &of(&agent), None).await);
        assert_eq!(found, code, "{kind}: {message}");
        assert!(message.contains(words), "{kind}: {message}");
        assert!(!message.contains(&agent.token), "{kind}: {message}");
        sim.clear(agent.id).unwrap();
        assert_eq!(
            coverage(&ask(LIMITS, &of(&agent), None).await),
            Some(RawCoverage::Whole),
            "after {kind}"
        );
    }
    assert_eq!(
        elsewhere.connections.load(Ordering::SeqCst),
        0,
        "the redirect was followed"
    );
}

#[tokio::test]
async fn wrong_and_missing_tokens_are_told_apart() {
    let sim = sim(DialectMix::B).await;
    let good = of(&sim.toolbox(0));
    let table = [
        (
            Token::Opened(SecretString::from("wrong")),
            "does not accept the toolbox's token",
        ),
        (Token::Missing, "the toolbox has no token"),
        (
            Token::Unopened,
            "our sealing key does not open the toolbox's token",
        ),
    ];
    for (token, words) in table {
        let (code, message) = failure(
            ask(
                LIMITS,
                &Target {
                    token,
                    ..target("http://x", "")
                }
                .at(&good),
                None,
            )
            .await,
        );
        assert_eq!(code, ReasonCode::AgentRejectedToken, "{message}");
        assert!(message.contains(words), "{message}");
    }
}

impl Target {
    fn at(self, other: &Self) -> Self {
        Self {
            address: other.address.clone(),
            ..self
        }
    }
}

#[tokio::test]
async fn an_agent_without_docker_is_alive() {
    let sim = sim(DialectMix::OpenC).await;
    let agent = sim.toolbox(0);
    sim.misbehave(agent.id, Misbehaviour::DockerUnavailable).unwrap();
    let RawOutcome::Alive {
        problem: Some(problem),
    } = ask(LIMITS, &of(&agent), None).await.said.unwrap().outcome
    else {
        panic!("expected alive with a problem");
    };
    assert_eq!(problem.code, "docker_unavailable");
}

#[tokio::test]
async fn nobody_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    // No label of a name may have more than 63 characters, so nobody has to be asked for this one.
    let no_host = format!("http://{}/", "a".repeat(64));
    let silent = raw(|_| Vec::new()).await;
    let no_tls = silent.url.replace("http:", "https:");
    let table = [
        (
            format!("http://{closed}"),
            LIMITS,
            format!("no connection to {closed}: connection refused"),
        ),
        (no_host, LIMITS, "no address is known for the host of".to_owned()),
        (
            silent.url.clone(),
            HASTY,
            "did not answer within 300ms".to_owned(),
        ),
        (no_tls, HASTY, "did not answer within 300ms".to_owned()),
    ];
    for (url, limits, words) in table {
        let (code, message) = failure(ask(limits, &target(&url, "t"), None).await);
        assert_eq!(code, ReasonCode::AgentUnreachable, "{message}");
        assert!(message.contains(&words), "{message}");
    }
    for (address, words) in [
        (Address::Missing, "has no address yet"),
        (
            Address::Refused("the toolbox's address is not a URL"),
            "is not a URL",
        ),
    ] {
        let (code, message) = failure(
            ask(
                LIMITS,
                &Target {
                    address,
                    ..target("http://x", "t")
                },
                None,
            )
            .await,
        );
        assert_eq!(code, ReasonCode::AgentUnreachable);
        assert!(message.contains(words), "{message}");
    }
}

#[tokio::test]
async fn answers_of_no_agent() {
    let gzipped = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\nnot gzip!";
    let table: [(&[u8], &str); 6] = [
        (
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "404 Not Found for both",
        ),
        (
            b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n",
            "405 Method Not Allowed for both",
        ),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "expected JSON, found nothing"),
        (gzipped.as_bytes(), "/tools/status cannot be decompressed"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"too\r\nzz\r\n ",
            "was cut off before its end",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            "tool_instances: expected a list",
        ),
    ];
    for (bytes, words) in table {
        let server = raw(move |_| bytes.to_vec()).await;
        let (code, message) = failure(ask(LIMITS, &target(&server.url, "t"), None).await);
        assert_eq!(code, ReasonCode::AgentBadAnswer, "{message}");
        assert!(message.contains(words), "{message}");
    }
}

#[tokio::test]
async fn a_body_that_never_ends_ends_with_the_time() {
    let server = raw(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".to_vec()).await;
    let (code, message) = failure(ask(HASTY, &target(&server.url, "t"), None).await);
    assert_eq!(code, ReasonCode::AgentUnreachable);
    assert!(message.contains("did not answer within 300ms"), "{message}");
}

#[tokio::test]
async fn an_answer_is_taken_up_to_the_last_byte_of_the_limit() {
    let frame = r#"{"tool_instances":[],"x":""}"#.len();
    for (over, taken) in [(0, true), (1, false)] {
        let body = format!(
            r#"{{"tool_instances":[],"x":"{}"}}"#,
            "x".repeat(BODY - frame + over)
        );
        let chunked = format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        );
        for answer in [ok(&body), chunked.into_bytes()] {
            let server = raw(move |_| answer.clone()).await;
            assert_eq!(
                ask(LIMITS, &target(&server.url, "t"), None).await.said.is_ok(),
                taken,
                "{over} over"
            );
        }
    }
}

#[tokio::test]
async fn the_route_that_works_is_found_and_remembered() {
    use Dialect::{Status, Tools};
    // What an agent serves, what is remembered, what is asked for.
    let table = [
        (DialectMix::B, None, Tools, &["GET /tools/status"][..]),
        (DialectMix::B, Some(Tools), Tools, &["GET /tools/status"][..]),
        (DialectMix::B, Some(Status), Status, &["GET /status"][..]),
        (
            DialectMix::A,
            None,
            Status,
            &["GET /status", "GET /tools/status"][..],
        ),
        (
            DialectMix::A,
            Some(Tools),
            Status,
            &["GET /status", "GET /tools/status"][..],
        ),
        (DialectMix::A, Some(Status), Status, &["GET /status"][..]),
        (
            DialectMix::OpenC,
            None,
            Status,
            &["GET /status", "GET /tools/status"][..],
        ),
    ];
    for (dialect, remembered, found, routes) in table {
        let sim = sim(dialect).await;
        let agent = sim.toolbox(0);
        let asked = ask(LIMITS, &of(&agent), remembered).await;
        assert_eq!(asked.dialect, Some(found), "{dialect:?} {remembered:?}");
        let expected = if dialect == DialectMix::A {
            RawCoverage::Partial
        } else {
            RawCoverage::Whole
        };
        assert_eq!(coverage(&asked), Some(expected), "{dialect:?} {remembered:?}");
        let requests = sim.toolbox_stats(agent.id).unwrap().requests;
        assert_eq!(
            requests.keys().copied().collect::<Vec<_>>(),
            routes,
            "{dialect:?} {remembered:?}"
        );
        assert!(requests.values().all(|count| *count == 1));
    }
}

#[tokio::test]
async fn a_failure_forgets_a_route_only_when_it_is_gone() {
    let gone = |path: &'static str, other: &'static [u8]| {
        move |head: &str| {
            if head.starts_with(&format!("GET {path} ")) {
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec()
            } else {
                other.to_vec()
            }
        }
    };
    let busy = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
    let server = raw(gone("/nothing", busy)).await;
    assert_eq!(
        ask(LIMITS, &target(&server.url, "t"), Some(Dialect::Status))
            .await
            .dialect,
        Some(Dialect::Status)
    );
    assert_eq!(ask(LIMITS, &target(&server.url, "t"), None).await.dialect, None);
    let server = raw(gone("/tools/status", busy)).await;
    let asked = ask(LIMITS, &target(&server.url, "t"), Some(Dialect::Tools)).await;
    assert_eq!(asked.dialect, None);
    assert!(
        failure(asked)
            .1
            .starts_with("503 Service Unavailable for /status")
    );
}

#[tokio::test]
async fn the_time_of_an_observation_is_when_its_own_request_began() {
    let sim = sim(DialectMix::A).await;
    let seconds = AtomicI64::new(0);
    let now = || Timestamp::from_second(seconds.fetch_add(1, Ordering::SeqCst)).unwrap();
    let asked = client(LIMITS).ask(&of(&sim.toolbox(0)), None, now).await;
    assert!(asked.said.is_ok());
    assert_eq!(asked.as_of.as_second(), 1, "the second request found it");
}

#[tokio::test]
async fn what_is_sent_holds_the_token_in_one_place_and_connections_are_used_again() {
    let body = r#"{"version":"1","tool_instances":[]}"#;
    let server = raw(move |_| ok(body)).await;
    let base = format!("{}/t/7/", server.url);
    let client = client(LIMITS);
    for _ in 0..3 {
        assert!(client.ask(&target(&base, "hush"), None, clock).await.said.is_ok());
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    let heads = server.heads.lock().unwrap();
    for head in heads.iter() {
        let mut lines = head.split("\r\n");
        assert_eq!(lines.next(), Some("GET /t/7/tools/status HTTP/1.1"));
        let telling: Vec<_> = lines.filter(|line| line.contains("hush")).collect();
        assert_eq!(telling, ["authorization: Bearer hush"]);
        let head = head.to_ascii_lowercase();
        assert!(
            head.contains("\r\naccept: application/json\r\n")
                && head.contains("\r\naccept-encoding: gzip\r\n")
        );
        assert!(!head.contains("cookie") && !head.contains("referer"), "{head}");
    }
    assert_eq!(heads.len(), 3);
}

#[tokio::test]
async fn a_token_that_an_agent_echoes_goes_no_further() {
    let answer = r#"{"error":"no such token: hush-hush"}"#;
    let head = format!(
        "HTTP/1.1 500 Internal Server Error\r\nContent-Length: {}\r\n\r\n{answer}",
        answer.len()
    );
    let server = raw(move |_| head.clone().into_bytes()).await;
    let (_, message) = failure(ask(LIMITS, &target(&server.url, "hush-hush"), None).await);
    assert!(
        message.contains("no such token") && !message.contains("hush"),
        "{message}"
    );
}

#[tokio::test]
async fn a_token_that_no_header_can_hold_is_not_sent() {
    let server = raw(|_| ok("{}")).await;
    let (code, message) = failure(ask(LIMITS, &target(&server.url, "a\r\nX-Evil: 1"), None).await);
    assert_eq!(code, ReasonCode::AgentUnreachable);
    assert!(
        message.contains("no header may hold") && !message.contains("Evil"),
        "{message}"
    );
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
}
