//! Each way to misbehave, as a client meets it.

use std::time::{Duration, Instant};

use dtma_sim::{DialectMix, Misbehaviour, Order, Scope, SimHandle, ToolboxInfo};
use reqwest::Client;
use serde_json::{Value, json};

use crate::support::{client, config, get, get_json, item, start, until};

async fn one(dialect: DialectMix) -> (SimHandle, ToolboxInfo) {
    let sim = start(config(1, dialect)).await;
    let toolbox = sim.toolbox(0);
    (sim, toolbox)
}

/// An open agent that misbehaves like this.
async fn bad(order: impl Into<Order>) -> (SimHandle, ToolboxInfo) {
    let (sim, toolbox) = one(DialectMix::OpenC).await;
    sim.misbehave(toolbox.id, order).unwrap();
    (sim, toolbox)
}

fn status_url(toolbox: &ToolboxInfo) -> String {
    format!("{}/status", toolbox.base_url)
}

#[tokio::test]
async fn slow_answers_late_and_well() {
    let delay = Duration::from_millis(200);
    let (sim, toolbox) = bad(Misbehaviour::Slow { delay, stale: false }).await;
    let begun = Instant::now();
    get_json(&toolbox, "/status").await;
    assert!(begun.elapsed() >= delay);
    sim.clear(toolbox.id).unwrap();
    get_json(&toolbox, "/status").await;
    assert_eq!(sim.toolbox_stats(toolbox.id).unwrap().answers[&200], 2);
}

#[tokio::test]
async fn a_stale_answer_tells_what_was_when_it_was_asked() {
    let delay = Duration::from_secs(1);
    for (stale, told) in [(true, "running"), (false, "exited")] {
        let (sim, toolbox) = bad(Misbehaviour::Slow { delay, stale }).await;
        let name = toolbox.instances[0].name.clone();
        let asked = tokio::spawn({
            let toolbox = toolbox.clone();
            async move { get_json(&toolbox, "/status").await }
        });
        until("the poll has arrived", || {
            sim.toolbox_stats(toolbox.id).unwrap().polls_in_flight == 1
        })
        .await;
        sim.stop_container(toolbox.id, &name).unwrap();
        let list = asked.await.unwrap();
        assert_eq!(item(&list, &name).unwrap()["state"], told, "stale: {stale}");
    }
}

#[tokio::test]
async fn hang_never_answers_and_ends_with_the_client() {
    let (sim, toolbox) = bad(Misbehaviour::Hang).await;
    let impatient = Client::builder()
        .no_proxy()
        .timeout(Duration::from_millis(150))
        .build()
        .unwrap();
    let error = impatient.get(status_url(&toolbox)).send().await.unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    until("the hung poll is over", || {
        sim.toolbox_stats(toolbox.id).unwrap().polls_in_flight == 0
    })
    .await;
    assert!(sim.toolbox_stats(toolbox.id).unwrap().answers.is_empty());
}

#[tokio::test]
async fn refuse_closes_without_a_byte() {
    let (sim, toolbox) = bad(Misbehaviour::Refuse).await;
    let error = client().get(status_url(&toolbox)).send().await.unwrap_err();
    assert!(error.status().is_none() && !error.is_timeout(), "{error:?}");
    let stats = sim.toolbox_stats(toolbox.id).unwrap();
    assert!(stats.requests["GET /status"] >= 1 && stats.answers.is_empty());
}

#[tokio::test]
async fn any_status_code_can_be_had() {
    for code in [401, 403, 404, 429, 500, 503] {
        let (_sim, toolbox) = bad(Misbehaviour::Status { code }).await;
        let answer = get(&toolbox, "/status").await;
        assert_eq!(answer.status().as_u16(), code);
        assert!(answer.json::<Value>().await.unwrap()["error"].is_string());
    }
}

#[tokio::test]
async fn garbage_is_no_json_and_on_the_wire_no_http() {
    let (sim, toolbox) = bad(Misbehaviour::Garbage { wire: false }).await;
    let answer = get(&toolbox, "/status").await;
    assert_eq!(answer.status(), 200);
    let bytes = answer.bytes().await.unwrap();
    assert!(!bytes.is_empty() && serde_json::from_slice::<Value>(&bytes).is_err());
    sim.misbehave(toolbox.id, Misbehaviour::Garbage { wire: true })
        .unwrap();
    let error = client().get(status_url(&toolbox)).send().await.unwrap_err();
    assert!(format!("{error:?}").contains("Parse"), "{error:?}");
}

#[tokio::test]
async fn a_huge_body_is_streamed_in_full() {
    let mib = 6;
    for content_length in [false, true] {
        let (_sim, toolbox) = bad(Misbehaviour::HugeBody { mib, content_length }).await;
        let answer = get(&toolbox, "/status").await;
        assert_eq!(answer.headers().contains_key("content-length"), content_length);
        let announced = answer.content_length();
        let bytes = answer.bytes().await.unwrap();
        assert!(bytes.len() > mib as usize * 1024 * 1024);
        assert!(announced.is_none_or(|announced| announced == bytes.len() as u64));
        let parsed: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(
            parsed["padding"].as_str().unwrap().len(),
            mib as usize * 1024 * 1024
        );
    }
}

#[tokio::test]
async fn truncated_json_looks_whole_but_is_half() {
    let (_sim, toolbox) = bad(Misbehaviour::TruncatedJson).await;
    let answer = get(&toolbox, "/status").await;
    assert_eq!(answer.status(), 200);
    let text = answer.text().await.unwrap();
    assert!(text.starts_with('{') && serde_json::from_str::<Value>(&text).unwrap_err().is_eof());
}

#[tokio::test]
async fn a_cut_body_ends_early() {
    let (_sim, toolbox) = bad(Misbehaviour::CutBody).await;
    let answer = get(&toolbox, "/status").await;
    assert_eq!(answer.status(), 200);
    assert!(answer.content_length().unwrap() > 0);
    assert!(answer.bytes().await.is_err());
}

#[tokio::test]
async fn html_comes_as_from_a_proxy() {
    let (_sim, toolbox) = bad(Misbehaviour::Html).await;
    let answer = get(&toolbox, "/status").await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (200, &"text/html".parse().unwrap())
    );
    assert!(answer.text().await.unwrap().starts_with("<!DOCTYPE html>"));
}

#[tokio::test]
async fn a_redirect_points_elsewhere() {
    let to = "http://elsewhere.test/secret?x=1";
    let (_sim, toolbox) = bad(Misbehaviour::Redirect {
        to: to.parse().unwrap(),
    })
    .await;
    let answer = get(&toolbox, "/status").await;
    assert_eq!(
        (
            answer.status().as_u16(),
            answer.headers()["location"].to_str().unwrap()
        ),
        (302, to)
    );
}

#[tokio::test]
async fn a_gzip_bomb_is_small_on_the_wire() {
    let (_sim, toolbox) = bad(Misbehaviour::GzipBomb { mib: 16 }).await;
    let raw = Client::builder().no_proxy().gzip(false).build().unwrap();
    let answer = raw.get(status_url(&toolbox)).send().await.unwrap();
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    let packed = answer.bytes().await.unwrap().len();
    let unpacked = get(&toolbox, "/status").await.bytes().await.unwrap().len();
    assert!(
        unpacked > 16 * 1024 * 1024 && packed < unpacked / 200,
        "{packed} to {unpacked}"
    );
}

#[tokio::test]
async fn flapping_takes_turns() {
    let nested = Box::new(Misbehaviour::Status { code: 503 });
    let (_sim, toolbox) = bad(Misbehaviour::Flapping { bad: nested }).await;
    let mut codes = Vec::new();
    for _ in 0..4 {
        codes.push(get(&toolbox, "/status").await.status().as_u16());
    }
    assert_eq!(codes, [503, 200, 503, 200]);
}

#[tokio::test]
async fn without_docker_each_dialect_says_so_differently() {
    for dialect in [DialectMix::A, DialectMix::B, DialectMix::OpenC] {
        let (sim, toolbox) = one(dialect).await;
        sim.misbehave(toolbox.id, Misbehaviour::DockerUnavailable)
            .unwrap();
        let status = get_json(&toolbox, "/status").await;
        match dialect {
            DialectMix::A => assert_eq!(status["tool_instances"][0]["status"], "error_inspecting"),
            _ => assert_eq!(
                status["tool_instances"],
                json!([{"error": "Failed to fetch tool statuses"}])
            ),
        }
        if dialect == DialectMix::B {
            let answer = get(&toolbox, "/tools/status").await;
            assert_eq!(answer.status(), 500);
            assert!(answer.json::<Value>().await.unwrap()["error"].is_string());
        }
        sim.clear(toolbox.id).unwrap();
        assert!(item(&get_json(&toolbox, "/status").await, &toolbox.instances[0].name).is_some());
    }
}

#[tokio::test]
async fn a_wrong_clock_is_wrong_by_the_hours_given() {
    let (sim, toolbox) = one(DialectMix::OpenC).await;
    let stamp = async || -> jiff::Timestamp {
        get_json(&toolbox, "/status").await["timestamp"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    };
    let right = stamp().await;
    sim.misbehave(toolbox.id, Misbehaviour::ClockOffset { hours: 30.0 })
        .unwrap();
    let off = stamp().await.duration_since(right).as_secs_f64() / 3_600.0;
    assert!((30.0..30.1).contains(&off), "{off} hours");
}

#[tokio::test]
async fn scope_and_times_limit_it_and_the_others_are_left_alone() {
    let sim = start(config(2, DialectMix::OpenC)).await;
    let (toolbox, other) = (sim.toolbox(0), sim.toolbox(1));
    let order = Order::from(Misbehaviour::Status { code: 500 })
        .on(Scope::Reads)
        .times(2);
    sim.misbehave(toolbox.id, order).unwrap();
    let command = format!("{}/tools/{}/start", toolbox.base_url, toolbox.instances[0].name);
    let started = client()
        .post(command)
        .bearer_auth(&toolbox.token)
        .send()
        .await
        .unwrap();
    assert_eq!(started.status(), 200);
    let mut codes = Vec::new();
    for _ in 0..3 {
        codes.push(get(&toolbox, "/status").await.status().as_u16());
    }
    assert_eq!(codes, [500, 500, 200]);
    assert_eq!(get(&other, "/status").await.status(), 200);

    sim.misbehave_all(Misbehaviour::Status { code: 502 }).unwrap();
    assert_eq!(get(&other, "/status").await.status(), 502);
    sim.clear_all();
    let impossible = sim
        .misbehave_all(Misbehaviour::Status { code: 99 })
        .unwrap_err()
        .to_string();
    assert!(impossible.contains("`code`"), "{impossible}");
    assert_eq!(get(&other, "/status").await.status(), 200);
}

#[tokio::test]
async fn polls_at_once_are_counted_per_toolbox() {
    let (sim, toolbox) = bad(Order::from(Misbehaviour::Slow {
        delay: Duration::from_secs(20),
        stale: false,
    }))
    .await;
    let polls: Vec<_> = (0..5)
        .map(|_| {
            let toolbox = toolbox.clone();
            tokio::spawn(async move { client().get(status_url(&toolbox)).send().await })
        })
        .collect();
    until("five polls are under way", || {
        sim.stats().max_concurrent_polls == 5
    })
    .await;
    polls.iter().for_each(tokio::task::JoinHandle::abort);
    until("the polls are over", || {
        sim.toolbox_stats(toolbox.id).unwrap().polls_in_flight == 0
    })
    .await;
    assert_eq!(sim.toolbox_stats(toolbox.id).unwrap().max_concurrent_polls, 5);
}
