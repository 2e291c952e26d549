//! What time makes of what is no longer reported.

use std::time::Duration;

use domain::ServerId;
use jiff::Timestamp;

use crate::events::Events;
use crate::ground::Ground;
use crate::waiting::{eventually, list, now};

/// Ages that a test can wait for.
const AGES: [&str; 6] = [
    "--healthy-for",
    "2s",
    "--degraded-for",
    "4s",
    "--unknown-after",
    "7s",
];
/// Within which ages are to show.
const ON_TIME: jiff::SignedDuration = jiff::SignedDuration::from_secs(5);

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    AGES.iter().chain(more).copied().collect()
}

/// When an event was decided, after the observation it rests on.
async fn age_of(events: &Events, server: ServerId, view: &str) -> jiff::SignedDuration {
    let event = events.wait(server, view, |event| event.view() == view).await;
    let instant = |field: &str| event.body[field].as_str().unwrap().parse::<Timestamp>().unwrap();
    instant("changedAt").duration_since(instant("asOf"))
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_ages_step_by_step_and_on_time() {
    let ground = Ground::new().await;
    let events = ground.events();
    let toolbox = ground.toolbox(1).await;
    let server = ground.server(toolbox, 1).await;
    let mapper = ground.mapper(&AGES).await;
    events
        .wait(server, "of its registration", |event| event.version() == 1)
        .await;
    ground.report(&list(toolbox, now(), &[(1, "running")])).await;
    for (view, after) in [
        ("running/degraded/agent_unreachable", 2),
        ("running/unhealthy/agent_unreachable", 4),
        ("unknown/unknown/agent_unreachable", 7),
    ] {
        let age = age_of(&events, server, view).await;
        let after = jiff::SignedDuration::from_secs(after);
        assert!(age >= after && age <= after + ON_TIME, "{view} after {age:?}");
    }
    let views = events.views(server);
    assert_eq!(views[1], "running/healthy/");
    assert_eq!(views.len(), 5, "{views:?}");
    let causes: Vec<_> = events
        .of(server)
        .iter()
        .skip(1)
        .map(|event| event.body["cause"].clone())
        .collect();
    assert_eq!(causes, ["report", "age", "age", "age"]);
    events.assert_gapless(server);

    ground.report(&list(toolbox, now(), &[(1, "running")])).await;
    events
        .wait(server, "that it is back", |event| {
            event.version() == 6 && event.view() == "running/healthy/"
        })
        .await;
    mapper.stop().await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_takes_too_long_is_an_error() {
    let ground = Ground::new().await;
    let events = ground.events();
    let toolbox = ground.toolbox(1).await;
    let server = ground.server(toolbox, 1).await;
    let mapper = ground.mapper(&["--start-timeout", "2s"]).await;
    ground.report(&list(toolbox, now(), &[(1, "created")])).await;
    events
        .wait(server, "that it starts", |event| {
            event.view() == "starting/unknown/"
        })
        .await;
    let age = age_of(&events, server, "error/unhealthy/start_timeout").await;
    let limit = jiff::SignedDuration::from_secs(2);
    assert!(age >= limit && age <= limit + ON_TIME, "{age:?}");
    mapper.stop().await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_most_fall_silent_at_once_nobody_is_called_unhealthy() {
    let ground = Ground::new().await;
    let events = ground.events();
    let mut fleet = Vec::new();
    for number in 1..=5 {
        let toolbox = ground.toolbox(number).await;
        fleet.push((toolbox, ground.server(toolbox, number).await, number));
    }
    let options = [
        "--healthy-for",
        "2s",
        "--degraded-for",
        "3s",
        "--overdue-grace",
        "100ms",
        "--blind-recovery",
        "1s",
    ];
    let mapper = ground.mapper(&options).await;
    let report_all = async || {
        let as_of = now();
        for (toolbox, _, number) in &fleet {
            let mut report = list(*toolbox, as_of, &[(*number, "running")]);
            report.next_within_seconds = Some(1);
            ground.report(&report).await;
        }
    };
    report_all().await;
    for (_, server, _) in &fleet {
        events
            .wait(*server, "that it runs", |event| {
                event.view() == "running/healthy/"
            })
            .await;
        events
            .wait(*server, "that we are blind", |event| {
                event.view() == "running/unknown/observer_blind"
            })
            .await;
    }
    report_all().await;
    for (_, server, _) in &fleet {
        let blind_at = events
            .of(*server)
            .iter()
            .position(|event| event.view().ends_with("observer_blind"))
            .unwrap();
        eventually("it is healthy again", async || {
            let views = events.views(*server);
            views[blind_at..]
                .contains(&"running/healthy/".to_owned())
                .then_some(())
        })
        .await;
        let views = events.views(*server);
        assert!(
            !views
                .iter()
                .any(|view| view.contains("unhealthy") || view.contains("degraded")),
            "{views:?}"
        );
        events.assert_gapless(*server);
    }
    mapper.stop().await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_nats_is_away_no_row_goes_on_claiming_to_be_healthy() {
    let mut ground = Ground::new().await;
    let toolbox = ground.toolbox(1).await;
    let server = ground.server(toolbox, 1).await;
    let mapper = ground.mapper(&with(&["--blind-recovery", "2s"])).await;
    let as_of = now();
    ground.report(&list(toolbox, as_of, &[(1, "running")])).await;
    ground
        .row_becomes(server, "running", |row| row.is("running", "healthy"))
        .await;
    ground.nats.stop().await.unwrap();
    let row = ground
        .row_becomes(server, "not healthy", |row| row.health != "healthy")
        .await;
    // Twice the promise: the machine is shared with other tests, and two of the waits are for the loss to be noticed.
    let late = now().duration_since(as_of) - jiff::SignedDuration::from_secs(2);
    assert!(late <= ON_TIME * 2, "{late:?}");
    assert!(
        row.is("running", "unknown") && row.code.as_deref() == Some("observer_blind"),
        "{row:?}"
    );
    let row = ground
        .row_becomes(server, "unknown", |row| row.state == "unknown")
        .await;
    assert_eq!(row.code.as_deref(), Some("observer_blind"));

    ground.nats.restart().await.unwrap();
    mapper.until_ready().await;
    eventually("the test is connected", async || {
        ground.bus.is_connected().then_some(())
    })
    .await;
    ground.report(&list(toolbox, now(), &[(1, "running")])).await;
    ground
        .row_becomes(server, "healthy again", |row| row.is("running", "healthy"))
        .await;
    ground.settled().await;
    mapper.stop().await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_news_that_waits_to_be_read_is_not_silence() {
    let ground = Ground::new().await;
    let events = ground.events();
    let (blocked, waiting) = (ground.toolbox(1).await, ground.toolbox(2).await);
    let (_, server) = (ground.server(blocked, 1).await, ground.server(waiting, 2).await);
    let mapper = ground.mapper(&AGES).await;
    ground.report(&list(waiting, now(), &[(2, "running")])).await;
    events
        .wait(server, "that it runs", |event| event.view() == "running/healthy/")
        .await;

    // Somebody holds one row: the batch that wants it waits, and with it all that come after.
    let mut held = ground.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM account_tool_environments WHERE id = $1 FOR UPDATE")
        .bind(blocked.0)
        .execute(&mut *held)
        .await
        .unwrap();
    ground.report(&list(blocked, now(), &[(1, "running")])).await;
    eventually("the batch is in hand", async || {
        (ground.bus.backlog(&wire::streams::MAPPER).await.ok()?.ack_pending > 0).then_some(())
    })
    .await;
    // Its agent is never silent for long, but nobody reads what it says until long past the age at which what the row
    // knows is worth less.
    let (begun, mut spoke) = (now(), None);
    eventually("the row is old", async || {
        if spoke.is_none_or(|at| now().duration_since(at) > jiff::SignedDuration::from_millis(500)) {
            spoke = Some(now());
            ground.report(&list(waiting, now(), &[(2, "running")])).await;
        }
        (now().duration_since(begun) > jiff::SignedDuration::from_secs(6)).then_some(())
    })
    .await;
    assert_eq!(events.of(server).last().unwrap().view(), "running/healthy/");
    held.rollback().await.unwrap();
    ground.settled().await;
    let views = events.views(server);
    assert_eq!(views.last().unwrap(), "running/healthy/");
    assert!(
        !views
            .iter()
            .any(|view| view.contains("degraded") || view.contains("unhealthy")),
        "{views:?}"
    );
    mapper.stop().await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_is_caught_up_with_as_if_nobody_had_been_away() {
    let ground = Ground::new().await;
    let events = ground.events();
    let toolbox = ground.toolbox(1).await;
    let server = ground.server(toolbox, 1).await;
    // A minute of reports, each older than the one before would stay healthy for if it were judged by now.
    let end = now();
    for second in (0..60).rev() {
        let as_of = end - jiff::SignedDuration::from_secs(second);
        ground.report(&list(toolbox, as_of, &[(1, "running")])).await;
    }
    let options = [
        "--batch-max",
        "5",
        "--healthy-for",
        "20s",
        "--degraded-for",
        "30s",
        "--unknown-after",
        "40s",
    ];
    let mapper = ground.mapper(&options).await;
    ground.settled().await;
    let row = ground.row(server).await.unwrap();
    assert!(row.is("running", "healthy"), "{row:?}");
    let views = events.views(server);
    assert!(
        views
            .iter()
            .all(|view| ["unknown/unknown/", "running/healthy/"].contains(&view.as_str())),
        "{views:?}"
    );
    events.assert_gapless(server);
    mapper.stop().await;
    ground.close().await;
}

#[tokio::test]
async fn thresholds_out_of_order_are_refused_by_name() {
    let ground = Ground::new().await;
    let mapper = ground.start_mapper(&["--healthy-for", "10m"]);
    let error = tokio::time::timeout(Duration::from_secs(10), mapper.ended())
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "--degraded-for must not be shorter than healthy-for"
    );
    ground.close().await;
}
