//! Heartbeats over real sockets: what is taken, and every way to be turned down.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::time::{Duration, Instant};

use domain::ToolboxId;
use dtma_sim::{DialectMix, HeartbeatPath, HeartbeatStyle, SimConfig};
use reqwest::{Client, Method, Response};
use support::{Running, World, eventually, polls, sim, words};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;
use wire::{RawCoverage, RawOutcome, RawSource};

const MANAGED: &str = include_str!("fixtures/post-heartbeat.managed.json");
const NAMES: &str = include_str!("fixtures/post-heartbeat.names.json");
const EMPTY: &str = r#"{"dtma_version":"0.1.0","system_status":{},"tool_statuses":[]}"#;
const TOKEN: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const TOOLBOX: u128 = 7;

async fn beat(poller: &Running, token: &str, body: impl Into<reqwest::Body>) -> Response {
    let request = Client::new()
        .post(format!("{}/heartbeat", poller.url))
        .bearer_auth(token)
        .body(body);
    request.send().await.unwrap()
}

/// A world with one toolbox that only pushes, known to the poller.
async fn pushing(config: impl FnOnce(&mut dtma_poller::Config)) -> (World, Running, ToolboxId) {
    let world = World::new().await;
    let toolbox = world.push_only(TOOLBOX, TOKEN).await;
    let mut options = world.config();
    config(&mut options);
    let poller = Running::start(options).await;
    (world, poller, toolbox)
}

#[tokio::test(flavor = "multi_thread")]
async fn captured_heartbeats_are_taken_on_every_path() {
    let (world, poller, toolbox) = pushing(|_| {}).await;
    let table = [
        (
            "/heartbeat",
            NAMES,
            Some(RawCoverage::Whole),
            &["mcp-b", "mcp-a"][..],
        ),
        (
            "/dtma/heartbeat",
            MANAGED,
            Some(RawCoverage::Partial),
            &["01", "02", "03"][..],
        ),
        ("/v1/heartbeat", EMPTY, None, &[][..]),
    ];
    let mut last = None;
    for (path, body, coverage, names) in table {
        let sent = Client::new()
            .post(format!("{}{path}", poller.url))
            .bearer_auth(TOKEN)
            .body(body);
        let answer = sent.send().await.unwrap();
        assert_eq!(answer.status(), 204, "{path}");
        assert_eq!(answer.bytes().await.unwrap(), "");
        // The report is there when the answer is.
        let report = world.report(toolbox.0).await.unwrap();
        assert_eq!(
            (report.source, report.toolbox_id),
            (RawSource::Heartbeat, toolbox.0)
        );
        assert_eq!(report.agent_version.as_deref(), Some("0.1.0"));
        assert!(last.replace(report.as_of) < Some(report.as_of), "time of arrival");
        // It can only push, so all there is to expect is that it does.
        assert_eq!(report.next_within_seconds, Some(3_600));
        match coverage {
            None => assert_eq!(report.outcome, RawOutcome::Alive { problem: None }),
            Some(expected) => {
                let RawOutcome::Containers { coverage, .. } = &report.outcome else {
                    panic!("{report:?}")
                };
                assert_eq!(*coverage, expected, "{path}");
                let told = words(&report);
                assert!(
                    told.iter()
                        .zip(names)
                        .all(|((told, _), name)| told.ends_with(name)),
                    "{told:?}"
                );
            }
        }
    }
    poller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_has_its_code_and_says_why() {
    let (world, poller, toolbox) = pushing(|config| {
        config.heartbeats.heartbeat_limit = 4_096;
        config.polling.report_limit = 2_048;
        config.heartbeats.heartbeat_burst = 1_000.try_into().unwrap();
    })
    .await;
    world.push_only(1, "claimed-by-two").await;
    world.push_only(2, "claimed-by-two").await;
    // One that comes after them in the bucket: when it is known, they are.
    world.push_only(3, "marker").await;
    eventually("the registry's changes", async || {
        (beat(&poller, "marker", EMPTY).await.status() == 204).then_some(())
    })
    .await;

    let long = format!(r#"{{"tool_statuses":[],"x":"{}"}}"#, "x".repeat(4_096));
    let many = (0..60).map(|at| format!(r#"{{"names":["mcp-{at}-{}"],"state":"up"}}"#, "x".repeat(30)));
    let many = format!(r#"{{"tool_statuses":[{}]}}"#, many.collect::<Vec<_>>().join(","));
    assert!(many.len() < 4_096);
    let bearer = |token: &str| Some(format!("Bearer {token}"));
    let post = Method::POST;
    let good = bearer(TOKEN);
    let table: [(Method, Option<String>, &str, u16, &str); 22] = [
        (Method::GET, good.clone(), EMPTY, 405, "heartbeats are posted"),
        (Method::PUT, good.clone(), EMPTY, 405, "heartbeats are posted"),
        (Method::DELETE, None, "", 405, "heartbeats are posted"),
        (
            post.clone(),
            None,
            EMPTY,
            401,
            "the Authorization header is missing",
        ),
        (
            post.clone(),
            Some("Bearer".to_owned()),
            EMPTY,
            401,
            "is not Bearer and a token",
        ),
        (
            post.clone(),
            Some(TOKEN.to_owned()),
            EMPTY,
            401,
            "is not Bearer and a token",
        ),
        (
            post.clone(),
            Some(format!("Basic {TOKEN}")),
            EMPTY,
            401,
            "is not Bearer and a token",
        ),
        (
            post.clone(),
            bearer("two words"),
            EMPTY,
            401,
            "is not Bearer and a token",
        ),
        (
            post.clone(),
            bearer(&"a".repeat(2_000)),
            EMPTY,
            401,
            "is not Bearer and a token",
        ),
        (
            post.clone(),
            bearer("unknown"),
            EMPTY,
            401,
            "the token names no toolbox",
        ),
        (
            post.clone(),
            bearer(&TOKEN.to_uppercase()),
            EMPTY,
            401,
            "the token names no toolbox",
        ),
        (
            post.clone(),
            bearer("claimed-by-two"),
            EMPTY,
            401,
            "names no toolbox",
        ),
        (
            post.clone(),
            bearer("unknown"),
            &long,
            401,
            "the token names no toolbox",
        ),
        (
            post.clone(),
            good.clone(),
            "",
            400,
            "expected JSON, found nothing",
        ),
        (
            post.clone(),
            good.clone(),
            "{\"tool_statuses\":[",
            400,
            "expected JSON, found text that ends too early",
        ),
        (
            post.clone(),
            good.clone(),
            "<p>",
            400,
            "expected JSON, found an HTML page",
        ),
        (post.clone(), good.clone(), "[]", 400, "body: expected an object"),
        (
            post.clone(),
            good.clone(),
            "{}",
            400,
            "tool_statuses: expected a list",
        ),
        (
            post.clone(),
            good.clone(),
            r#"{"tool_statuses":[7]}"#,
            400,
            "tool_statuses[0]: expected an object",
        ),
        (
            post.clone(),
            good.clone(),
            r#"{"tool_statuses":[{"account_tool_instance_id":"x","status_on_toolbox":"running"}]}"#,
            400,
            "tool_statuses[0].account_tool_instance_id: expected a UUID or null",
        ),
        (
            post.clone(),
            good.clone(),
            &long,
            413,
            "at most 4096 bytes are taken",
        ),
        (
            post.clone(),
            good.clone(),
            &many,
            413,
            "more than the 2048 bytes that a report may have",
        ),
    ];
    let before = world.report(toolbox.0).await;
    for (method, authorization, body, code, words) in table {
        let mut request = Client::new().request(method.clone(), format!("{}/heartbeat", poller.url));
        if let Some(authorization) = &authorization {
            request = request.header("authorization", authorization);
        }
        let answer = request.body(body.to_owned()).send().await.unwrap();
        let place = format!("{method} {authorization:?} {}", &body[..body.len().min(60)]);
        assert_eq!(answer.status(), code, "{place}");
        let header = |name: &str| {
            answer
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(
            header("content-type").as_deref(),
            Some("application/problem+json"),
            "{place}"
        );
        assert_eq!(
            header("www-authenticate"),
            (code == 401).then(|| "Bearer".to_owned()),
            "{place}"
        );
        assert_eq!(
            header("allow"),
            (code == 405).then(|| "POST".to_owned()),
            "{place}"
        );
        let problem: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(problem["status"], code, "{place}");
        assert!(
            problem["detail"].as_str().unwrap().contains(words),
            "{place}: {problem}"
        );
        assert!(!problem.to_string().contains(TOKEN), "{place}: {problem}");
    }
    assert_eq!(
        world.report(toolbox.0).await,
        before,
        "a refused heartbeat was reported"
    );
    let lost = Client::new()
        .post(format!("{}/heartbeats", poller.url))
        .send()
        .await
        .unwrap();
    assert_eq!(
        (
            lost.status().as_u16(),
            lost.headers()["content-type"].to_str().unwrap()
        ),
        (404, "application/problem+json")
    );
    poller.stop().await;
}

/// What the server says on a connection until it closes it.
async fn exchange(poller: &Running, send: &str) -> String {
    let mut stream = TcpStream::connect(poller.url.trim_start_matches("http://"))
        .await
        .unwrap();
    stream.write_all(send.as_bytes()).await.unwrap();
    let mut said = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut said)).await;
    read.expect("the connection stayed open").unwrap();
    String::from_utf8(said).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_senders_are_cut_off() {
    let (_world, poller, _) = pushing(|config| {
        config.heartbeats.head_timeout = Duration::from_millis(300);
        config.heartbeats.heartbeat_body_timeout = Duration::from_millis(300);
    })
    .await;
    // A head that does not end: closed without a word.
    assert_eq!(
        exchange(&poller, "POST /heartbeat HTTP/1.1\r\nHost: x\r\nX-Slow: ").await,
        ""
    );
    // A connection on which nothing comes.
    assert_eq!(exchange(&poller, "").await, "");
    // A body that does not end.
    let head = format!("POST /heartbeat HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n");
    let said = exchange(&poller, &format!("{head}Content-Length: 100\r\n\r\n{{")).await;
    assert!(said.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{said}");
    assert!(
        said.contains("\r\nconnection: close\r\n") && said.contains("did not come within 300ms"),
        "{said}"
    );
    // A head that is too long.
    let said = exchange(
        &poller,
        &format!("{head}X-Long: {}\r\n\r\n", "x".repeat(64 << 10)),
    )
    .await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 431 "), "{said}");
    poller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_head_is_cut_off_however_steadily_it_trickles() {
    let (_world, poller, _) =
        pushing(|config| config.heartbeats.head_timeout = Duration::from_millis(500)).await;
    let mut stream = TcpStream::connect(poller.url.trim_start_matches("http://"))
        .await
        .unwrap();
    stream
        .write_all(b"POST /heartbeat HTTP/1.1\r\nX-Slow: ")
        .await
        .unwrap();
    let began = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let mut byte = [0];
    loop {
        tokio::select! {
            read = stream.read(&mut byte) => match read {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            },
            _ = tick.tick() => {
                // The other side may have closed already; the next read tells.
                let _ = stream.write_all(b"x").await;
            }
        }
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "the connection stayed open"
        );
    }
    poller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_an_announced_length_is_counted() {
    let (_world, poller, _) = pushing(|config| config.heartbeats.heartbeat_limit = 1_024).await;
    let chunk = format!("400\r\n{}\r\n", "x".repeat(1_024));
    let request = format!(
        "POST /heartbeat HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
        chunk.repeat(3)
    );
    let said = exchange(&poller, &request).await;
    assert!(said.starts_with("HTTP/1.1 413 Payload Too Large\r\n"), "{said}");
    poller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_body_of_a_stranger_is_not_read() {
    let (_world, poller, _) = pushing(|_| {}).await;
    for token in ["unknown", ""] {
        // The body never comes and is not asked for: the answer does not wait for it.
        let said = exchange(
            &poller,
            &format!(
                "POST /heartbeat HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nExpect: 100-continue\r\n\
                 Content-Length: 1000000\r\n\r\n"
            ),
        )
        .await;
        assert!(said.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{said}");
    }
    poller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_toolbox_that_pushes_too_often_is_told_when_to_come_back() {
    let (world, poller, _) = pushing(|config| {
        config.heartbeats.heartbeat_rate = 1.try_into().unwrap();
        config.heartbeats.heartbeat_burst = 3.try_into().unwrap();
    })
    .await;
    world.push_only(8, "other").await;
    eventually("the other toolbox", async || {
        (beat(&poller, "other", EMPTY).await.status() == 204).then_some(())
    })
    .await;
    // More than the burst and what a second refills, as fast as they go.
    let mut codes = Vec::new();
    let refused = loop {
        let answer = beat(&poller, TOKEN, EMPTY).await;
        codes.push(answer.status().as_u16());
        if answer.status() != 204 {
            break answer;
        }
        assert!(codes.len() < 1_000, "never refused");
    };
    assert_eq!(refused.status(), 429);
    assert!(codes.len() > 3, "{codes:?}");
    let wait: u64 = refused.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(wait, 1);
    assert_eq!(
        beat(&poller, "other", EMPTY).await.status(),
        204,
        "another toolbox paid for it"
    );
    eventually("the share to be whole again", async || {
        (beat(&poller, TOKEN, EMPTY).await.status() == 204).then_some(())
    })
    .await;
    poller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_guesses_is_slowed_down_and_its_good_tokens_are_not() {
    let (_world, poller, _) =
        pushing(|config| config.heartbeats.failed_token_burst = 5.try_into().unwrap()).await;
    let refused = eventually("a refusal to be guessed at", async || {
        let answer = beat(&poller, "guess", EMPTY).await;
        assert!([401, 429].contains(&answer.status().as_u16()));
        (answer.status() == 429).then_some(answer)
    })
    .await;
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(beat(&poller, TOKEN, EMPTY).await.status(), 204);
    poller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn places_are_limited_and_come_back() {
    let (_world, poller, _) = pushing(|config| {
        config.heartbeats.heartbeat_concurrency = 1;
        config.heartbeats.heartbeat_wait = Duration::from_millis(100);
        config.heartbeats.heartbeat_burst = 10_000.try_into().unwrap();
    })
    .await;
    let mut slow = TcpStream::connect(poller.url.trim_start_matches("http://"))
        .await
        .unwrap();
    let head = format!(
        "POST /heartbeat HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 90\r\n\r\n"
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let busy = eventually("the only place to be taken", async || {
        let answer = beat(&poller, TOKEN, EMPTY).await;
        (answer.status() == 503).then_some(answer)
    })
    .await;
    assert!(busy.headers().contains_key("retry-after"));
    assert!(busy.text().await.unwrap().contains("too many heartbeats at once"));
    drop(slow);
    eventually("the place to be free", async || {
        (beat(&poller, TOKEN, EMPTY).await.status() == 204).then_some(())
    })
    .await;
    poller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_nats_heartbeats_are_refused_and_then_taken_again() {
    let (mut world, poller, _) =
        pushing(|config| config.nats.nats_timeout = Duration::from_millis(500)).await;
    assert_eq!(beat(&poller, TOKEN, EMPTY).await.status(), 204);
    world.nats.stop().await.unwrap();
    let answer = beat(&poller, TOKEN, EMPTY).await;
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    assert!(
        answer
            .text()
            .await
            .unwrap()
            .contains("the report could not be stored")
    );
    world.nats.restart().await.unwrap();
    eventually("heartbeats to be taken", async || {
        (beat(&poller, TOKEN, EMPTY).await.status() == 204).then_some(())
    })
    .await;
    poller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_puts_off_polls_and_each_pushes_the_switch_on() {
    let world = World::new().await;
    let poller = world.poller().await;
    let config = |dialect, style| SimConfig {
        toolboxes: 2,
        dialect,
        heartbeat_url: Some(poller.url.parse().unwrap()),
        heartbeat_interval: Duration::from_secs(3_600),
        heartbeat_style: style,
        heartbeat_path: HeartbeatPath::Old,
        ..SimConfig::default()
    };
    let sim = sim(config(DialectMix::B, HeartbeatStyle::Names)).await;
    let [pushes, clock] = [0, 1].map(|index| sim.toolbox(index));
    world.register(&pushes).await;
    world.register(&clock).await;
    world
        .plan_that("a plan after a poll", pushes.id, |plan| plan.dialect.is_some())
        .await;
    assert_eq!(sim.heartbeat_now(pushes.id).await.unwrap(), 204);
    // The switch holds the route that polls have found, so that the poll after it need not look for it. A poll under
    // way when the heartbeat came may plan after it; then the next heartbeat decides.
    let switch =
        |plan: &wire::PollPlan| plan.every_seconds == 3_600 && plan.dialect.as_deref() == Some("tools");
    eventually("the dead-man's switch", async || {
        assert_eq!(sim.heartbeat_now(pushes.id).await.unwrap(), 204);
        world.plan(pushes.id).await.filter(switch)
    })
    .await;
    // While the other toolbox is polled over and over, this one rests: what had begun or was due by then ends.
    let before = (polls(&sim, pushes.id), polls(&sim, clock.id));
    eventually("polls of the other", async || {
        (polls(&sim, clock.id) >= before.1 + 6).then_some(())
    })
    .await;
    assert!(
        polls(&sim, pushes.id) <= before.0 + 2,
        "{} then {}",
        before.0,
        polls(&sim, pushes.id)
    );

    // Each heartbeat writes the schedule anew, although the plan is the same: that is what pushes it on.
    let sequence = async || {
        let subject = wire::subjects::schedule(ToolboxId(pushes.id));
        world
            .bus
            .last(&wire::streams::POLLS, &subject)
            .await
            .unwrap()
            .unwrap()
            .sequence
    };
    let first = sequence().await;
    assert_eq!(sim.heartbeat_now(pushes.id).await.unwrap(), 204);
    assert!(sequence().await > first);

    // An empty one proves the agent alive and nothing else: it does not push the switch on.
    let first = sequence().await;
    assert_eq!(sim.post_heartbeat(pushes.id, EMPTY).await.unwrap(), 204);
    let report = world.report(pushes.id).await.unwrap();
    assert_eq!(report.outcome, RawOutcome::Alive { problem: None });
    assert_eq!(sequence().await, first);
    poller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_switch_finds_is_told_from_what_a_poll_like_any_other_finds() {
    let world = World::new().await;
    let mut config = world.config();
    // After the first poll there are only those that are made here.
    config.cadence.every_running = Duration::from_secs(3_600);
    let poller = Running::start(config).await;
    let sim = sim(SimConfig {
        toolboxes: 1,
        ..SimConfig::default()
    })
    .await;
    let toolbox = sim.toolbox(0);
    world.register(&toolbox).await;
    let first = world.report_that("a report", toolbox.id, |_| true).await;
    assert!(!first.missed_heartbeat);
    let due = wire::subjects::due(ToolboxId(toolbox.id));
    let mut before = first.as_of;
    for dead_man in [true, false] {
        let fired = wire::PollPlan {
            every_seconds: 3_600,
            failures: 0,
            dead_man,
            dialect: None,
        };
        let fired = serde_json::to_string(&fired).unwrap();
        // Fired again where one of the first plan's was still under way, which then answers for it.
        before = eventually("its report", async || {
            world.publish(&due, &fired).await;
            let report = world.report(toolbox.id).await?;
            (report.as_of > before && report.missed_heartbeat == dead_man).then_some(report.as_of)
        })
        .await;
    }
    poller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_its_way_is_polled_although_its_agent_pushes() {
    let (world, poller, _) = pushing(|_| {}).await;
    let sim = sim(SimConfig {
        toolboxes: 1,
        dialect: DialectMix::OpenC,
        ..SimConfig::default()
    })
    .await;
    let toolbox = sim.toolbox(0);
    world.register(&toolbox).await;
    world
        .plan_that("a plan after a poll", toolbox.id, |plan| plan.dialect.is_some())
        .await;
    for (state, every) in [("running", 3_600), ("restarting", 1), ("exited", 3_600)] {
        let body = format!(
            r#"{{"tool_statuses":[{{"id":"x","names":["{}"],"state":"{state}","status":""}}]}}"#,
            toolbox.instances[0].name
        );
        eventually("the plan after a heartbeat", async || {
            assert_eq!(
                beat(&poller, &toolbox.token, body.clone())
                    .await
                    .status()
                    .as_u16()
                    / 100,
                2
            );
            world
                .plan(toolbox.id)
                .await
                .filter(|plan| plan.every_seconds == every)
        })
        .await;
    }
    poller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_is_its_token_s_whatever_its_body_says() {
    let (world, poller, toolbox) = pushing(|_| {}).await;
    let victim = world.push_only(8, "victim").await;
    let body = format!(
        r#"{{"toolbox_id":"{victim}","account_id":"{victim}","tool_statuses":[{{"account_tool_instance_id":"{}","status_on_toolbox":"error"}}]}}"#,
        Uuid::from_u128(5)
    );
    assert_eq!(beat(&poller, TOKEN, body).await.status(), 204);
    assert_eq!(world.report(toolbox.0).await.unwrap().toolbox_id, toolbox.0);
    assert_eq!(world.report(victim.0).await, None);
    poller.stop().await;
}
