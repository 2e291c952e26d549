//! Every input that is turned down is counted, and the page that says so is there.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::time::Duration;

use domain::ToolboxId;
use dtma_sim::{DialectMix, Misbehaviour, SimConfig};
use reqwest::Client;
use service::Telemetry;
use service::options::{LogFormat, TelemetryOptions};
use support::commands::{command, failed, now};
use support::{Running, World, eventually, failures, sim};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;
use wire::{Command, CommandAction, PollPlan, subjects};

async fn page(poller: &Running) -> String {
    let answer = Client::new()
        .get(format!("{}/metrics", poller.url))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    answer.text().await.unwrap()
}

/// The value of a metric with all these attributes, 0 where it is not on the page.
fn value(page: &str, name: &str, attributes: &[&str]) -> f64 {
    let lines = page
        .lines()
        .filter(|line| line.split(['{', ' ']).next() == Some(name));
    lines
        .filter(|line| attributes.iter().all(|attribute| line.contains(attribute)))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum()
}

/// The only test of its binary: the meter is the process's.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_turned_down_is_counted() {
    let options = TelemetryOptions {
        log: "off".to_owned(),
        log_format: LogFormat::Pretty,
    };
    let telemetry = Telemetry::start("dtma-poller", &options).unwrap();
    let world = World::new().await;
    let sim = sim(SimConfig {
        toolboxes: 1,
        dialect: DialectMix::B,
        ..SimConfig::default()
    })
    .await;
    let toolbox = sim.toolbox(0);
    world.push_only(1, "shared").await;
    world.push_only(2, "shared").await;
    world.push_only(3, "pushes").await;
    let mut flawed = world.entry(&toolbox);
    flawed.toolbox_id = Uuid::from_u128(4);
    flawed.base_url = Some("ftp://vm".to_owned());
    flawed.token_hash = Some("no hash".to_owned());
    world.toolboxes.put(&flawed).await.unwrap();
    world.register(&toolbox).await;
    let mut config = world.config();
    config.heartbeats.head_timeout = Duration::from_millis(500);
    config.heartbeats.heartbeat_body_timeout = Duration::from_millis(300);
    config.heartbeats.heartbeat_limit = 1_024;
    config.heartbeats.heartbeat_burst = 10.try_into().unwrap();
    let poller = Running::start(config).await;

    let empty = r#"{"tool_statuses":[]}"#;
    let post = async |token: &str, body: &str| {
        let request = Client::new()
            .post(format!("{}/heartbeat", poller.url))
            .bearer_auth(token);
        request
            .body(body.to_owned())
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    for (token, body, code, reason) in [
        ("pushes", empty, 204, "accepted"),
        ("shared", empty, 401, "ambiguous_token"),
        ("nobody", empty, 401, "unknown_token"),
        ("two words", empty, 401, "malformed_token"),
        ("pushes", "{", 400, "not_json"),
        ("pushes", "{}", 400, "wrong_shape"),
        ("pushes", &"x".repeat(2_000), 413, "too_large"),
    ] {
        assert_eq!(post(token, body).await, code, "{reason}");
        let (code, reason) = (format!("code=\"{code}\""), format!("reason=\"{reason}\""));
        let counted = value(
            &page(&poller).await,
            "dtma_poller_heartbeats_total",
            &[&code, &reason],
        );
        assert_eq!(counted, 1.0, "{code} {reason}");
    }
    let get = Client::new()
        .get(format!("{}/heartbeat", poller.url))
        .send()
        .await
        .unwrap();
    assert_eq!(get.status(), 405);
    eventually("too often", async || {
        (post("pushes", empty).await == 429).then_some(())
    })
    .await;
    let slow = "POST /heartbeat HTTP/1.1\r\nAuthorization: Bearer pushes\r\nContent-Length: 9\r\n\r\n";
    for (request, answer) in [
        ("POST /heartbeat HT", ""),
        ("no http at all\r\n\r\n", " 400 "),
        (slow, " 408 "),
    ] {
        // It has just pushed too often: the slow one is let in when its share is whole again.
        eventually("its end", async || {
            let address = poller.url.trim_start_matches("http://");
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut said = String::new();
            stream.read_to_string(&mut said).await.unwrap();
            let too_often = said.contains(" 429 ");
            assert!(too_often || said.contains(answer), "{said}");
            (!too_often).then_some(())
        })
        .await;
    }

    sim.misbehave(toolbox.id, Misbehaviour::Html).unwrap();
    world
        .report_that("a failed poll", toolbox.id, |report| failures(report).is_some())
        .await;
    world
        .publish(&subjects::due(ToolboxId(toolbox.id)), "no plan")
        .await;
    let plan = PollPlan {
        every_seconds: 1,
        failures: 0,
        dead_man: false,
        dialect: None,
    };
    world
        .bus
        .schedules()
        .create_if_absent(ToolboxId(Uuid::from_u128(9)), &plan)
        .await
        .unwrap();
    world.publish("poll.due.nonsense", "").await;

    sim.misbehave(toolbox.id, Misbehaviour::Status { code: 500 })
        .unwrap();
    failed(&world.outcome_after(&command(&toolbox, CommandAction::Stop)).await);
    let foreign = Command {
        server_id: Some(Uuid::from_u128(9)),
        ..command(&toolbox, CommandAction::Start)
    };
    failed(&world.outcome_after(&foreign).await);
    let late = Command {
        deadline: now(),
        ..command(&toolbox, CommandAction::Delete)
    };
    world.give(&late).await;

    let expected = [
        (
            "dtma_poller_commands_total",
            &["action=\"stop\"", "outcome=\"refused\""][..],
            1.0,
        ),
        (
            "dtma_poller_commands_total",
            &["action=\"start\"", "outcome=\"foreign\""][..],
            1.0,
        ),
        (
            "dtma_poller_commands_total",
            &["action=\"delete\"", "outcome=\"expired\""][..],
            1.0,
        ),
        (
            "dtma_poller_command_duration_seconds_count",
            &["action=\"stop\""][..],
            1.0,
        ),
        (
            "dtma_poller_heartbeats_total",
            &["code=\"405\"", "reason=\"method\""][..],
            1.0,
        ),
        (
            "dtma_poller_heartbeats_total",
            &["code=\"408\"", "reason=\"slow\""][..],
            1.0,
        ),
        (
            "dtma_poller_heartbeats_total",
            &["code=\"429\"", "reason=\"too_often\""][..],
            1.0,
        ),
        (
            "http_server_connections_dropped_total",
            &["reason=\"slow_head\""][..],
            1.0,
        ),
        (
            "http_server_connections_dropped_total",
            &["reason=\"no_http\""][..],
            1.0,
        ),
        (
            "dtma_poller_registry_flaws_total",
            &["field=\"base_url\""][..],
            1.0,
        ),
        (
            "dtma_poller_registry_flaws_total",
            &["field=\"sealed_token\""][..],
            1.0,
        ),
        (
            "dtma_poller_registry_flaws_total",
            &["field=\"token_hash\""][..],
            1.0,
        ),
        ("dtma_poller_registry_ambiguous_tokens", &[][..], 1.0),
        ("dtma_poller_registry_toolboxes", &[][..], 5.0),
        (
            "dtma_poller_polls_total",
            &["outcome=\"agent_bad_answer\""][..],
            1.0,
        ),
        (
            "dtma_poller_polls_total",
            &["outcome=\"agent_unreachable\""][..],
            1.0,
        ),
        (
            "dtma_poller_poll_duration_seconds_count",
            &["outcome=\"agent_bad_answer\""][..],
            1.0,
        ),
        ("dtma_poller_due_undecodable_total", &[][..], 1.0),
        ("dtma_poller_due_ignored_total", &["reason=\"unknown\""][..], 1.0),
        ("dtma_poller_due_ignored_total", &["reason=\"subject\""][..], 1.0),
        (
            "dtma_poller_schedules_total",
            &["action=\"created\"", "outcome=\"ok\""][..],
            2.0,
        ),
        (
            "dtma_poller_schedules_total",
            &["action=\"replaced\"", "outcome=\"ok\""][..],
            1.0,
        ),
        (
            "dtma_poller_schedules_total",
            &["action=\"purged\"", "outcome=\"ok\""][..],
            1.0,
        ),
    ];
    for (name, attributes, at_least) in expected {
        eventually(&format!("{name} {attributes:?}"), async || {
            (value(&page(&poller).await, name, attributes) >= at_least).then_some(())
        })
        .await;
    }
    poller.stop().await;
    telemetry.shutdown();
}
