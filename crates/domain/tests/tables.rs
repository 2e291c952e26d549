//! Every row of every mapping table.

mod common;

use std::time::Duration;

use common::*;
use domain::{
    CadencePolicy, Circumstances, ContainerReport, Desired, DockerHealth, DtmaStatus, Health, Interest,
    McpState, Observation, PollPlan, Reason, ReasonCode, StatusOnToolbox, Thresholds, dtma_status,
    first_plan, label_for, plan_after_heartbeat, plan_after_poll, settle, state_for,
};

#[test]
fn reported_words() {
    use DtmaStatus::{Error, Exited, Running, Starting, Stopping, Unknown};
    let rows: &[(&[&str], DtmaStatus, Option<ReasonCode>)] = &[
        (&["running"], Running, None),
        (&["exited", "stopped"], Exited, None),
        (&["paused"], Exited, Some(ReasonCode::Paused)),
        (&["not_found"], Exited, Some(ReasonCode::NotFound)),
        (
            &[
                "starting",
                "created",
                "restarting",
                "pending",
                "pulling",
                "installing",
                "deploying",
            ],
            Starting,
            None,
        ),
        (&["stopping", "removing"], Stopping, None),
        (
            &["error", "failed", "dead", "error_inspecting"],
            Error,
            Some(ReasonCode::ReportedError),
        ),
        (
            &["unknown", "", "hibernating", "runningg", "ランニング"],
            Unknown,
            Some(ReasonCode::UnknownStatus),
        ),
    ];
    for (words, status, reason) in rows {
        for word in *words {
            for spelling in [(*word).to_owned(), word.to_uppercase(), format!(" {word} ")] {
                let (got, why) = dtma_status(&spelling);
                assert_eq!((got, why.map(|why| why.code)), (*status, *reason), "{spelling:?}");
            }
        }
    }
    let (_, why) = dtma_status("hibernating");
    assert!(
        why.unwrap().message.contains("hibernating"),
        "the word is kept as the reason"
    );
}

#[test]
fn status_and_row_to_label() {
    use StatusOnToolbox as L;
    let foreign = || L::Foreign("migrating".to_owned());
    for seen in [false, true] {
        for row in L::OWN
            .into_iter()
            .chain([foreign()])
            .filter(|row| *row != L::PendingDelete)
        {
            for (status, label) in [
                (DtmaStatus::Running, L::Running),
                (DtmaStatus::Exited, L::Stopped),
                (DtmaStatus::Starting, L::Starting),
                (DtmaStatus::Stopping, L::Stopping),
            ] {
                assert_eq!(label_for(status, &row, None, seen), label, "{status} over {row}");
            }
            let unknown = label_for(DtmaStatus::Unknown, &row, None, seen);
            assert_eq!(
                unknown,
                if seen { row.clone() } else { L::PendingInstall },
                "unknown over {row}"
            );
            let error = label_for(DtmaStatus::Error, &row, None, seen);
            let was_stopping = matches!(row, L::Stopping | L::ErrorStopping);
            assert_eq!(
                error,
                if was_stopping {
                    L::ErrorStopping
                } else {
                    L::ErrorStarting
                },
                "error over {row}"
            );
            assert_eq!(
                label_for(DtmaStatus::Error, &row, Some(Desired::Stopped), seen),
                L::ErrorStopping
            );
        }
        for status in DtmaStatus::ALL {
            assert_eq!(
                label_for(*status, &L::PendingDelete, None, seen),
                L::PendingDelete,
                "sticky under {status}"
            );
        }
    }
}

#[test]
fn label_to_state() {
    use StatusOnToolbox as L;
    for (label, state) in [
        (L::Running, McpState::Running),
        (L::Stopped, McpState::Stopped),
        (L::Starting, McpState::Starting),
        (L::Stopping, McpState::Stopping),
        (L::PendingDelete, McpState::Stopping),
        (L::ErrorStarting, McpState::Error),
        (L::ErrorStopping, McpState::Error),
        (L::PendingInstall, McpState::Unknown),
        (L::Foreign("migrating".to_owned()), McpState::Unknown),
    ] {
        for observed in DtmaStatus::ALL {
            let want = match observed {
                DtmaStatus::Unknown if label != L::PendingDelete => McpState::Unknown,
                _ => state,
            };
            assert_eq!(
                state_for(&label, Some(*observed)),
                want,
                "{label} with {observed}"
            );
        }
        assert_eq!(state_for(&label, None), state, "{label} unobserved");
        assert_eq!(L::from_label(label.as_str()), label, "spelling of {label}");
    }
}

fn observed(status: DtmaStatus, label: StatusOnToolbox, health: Option<DockerHealth>) -> domain::Server {
    let mut server = server(1);
    server.label = label;
    server.order = Some(order(0));
    server.observation = Some(Observation {
        status,
        since: at(0),
        reason: None,
        asked: false,
        docker_health: health,
        former: None,
    });
    server
}

#[test]
fn health_by_state_docker_and_age() {
    use Health::{Degraded, Healthy, Unhealthy, Unknown};
    let thresholds = Thresholds::default();
    let silent = Some(ReasonCode::AgentUnreachable);
    let failing = Some(ReasonCode::HealthCheckFailing);
    let check = |health, age: i64| {
        let server = observed(DtmaStatus::Running, StatusOnToolbox::Running, health);
        let view = settle(&server, Circumstances::default(), at(age), &thresholds);
        (view.state, view.health, view.reason.map(|reason| reason.code))
    };
    let running = McpState::Running;
    for calm in [None, Some(DockerHealth::None), Some(DockerHealth::Healthy)] {
        assert_eq!(
            check(calm, -5),
            (running, Healthy, None),
            "a clock ahead of ours is not old age"
        );
        assert_eq!(check(calm, 0), (running, Healthy, None));
        assert_eq!(check(calm, 120), (running, Healthy, None));
        assert_eq!(check(calm, 121), (running, Degraded, silent));
        assert_eq!(check(calm, 300), (running, Degraded, silent));
        assert_eq!(check(calm, 301), (running, Unhealthy, silent));
        assert_eq!(check(calm, 900), (running, Unhealthy, silent));
        assert_eq!(check(calm, 901), (McpState::Unknown, Unknown, silent));
    }
    let starting = Some(DockerHealth::Starting);
    assert_eq!(
        check(starting, 0),
        (running, Degraded, Some(ReasonCode::HealthCheckStarting))
    );
    assert_eq!(
        check(starting, 301),
        (running, Unhealthy, silent),
        "the worse of check and age"
    );
    let unhealthy = Some(DockerHealth::Unhealthy);
    for age in [0, 121, 301, 900] {
        assert_eq!(check(unhealthy, age), (running, Unhealthy, failing), "{age} s");
    }
    assert_eq!(check(unhealthy, 901), (McpState::Unknown, Unknown, silent));

    for (status, label, state, health) in [
        (
            DtmaStatus::Exited,
            StatusOnToolbox::Stopped,
            McpState::Stopped,
            Unknown,
        ),
        (
            DtmaStatus::Starting,
            StatusOnToolbox::Starting,
            McpState::Starting,
            Unknown,
        ),
        (
            DtmaStatus::Stopping,
            StatusOnToolbox::Stopping,
            McpState::Stopping,
            Unknown,
        ),
        (
            DtmaStatus::Error,
            StatusOnToolbox::ErrorStarting,
            McpState::Error,
            Unhealthy,
        ),
        (
            DtmaStatus::Error,
            StatusOnToolbox::ErrorStopping,
            McpState::Error,
            Unhealthy,
        ),
        (
            DtmaStatus::Unknown,
            StatusOnToolbox::Running,
            McpState::Unknown,
            Unknown,
        ),
    ] {
        for age in [0, 121, 301, 600] {
            let view = settle(
                &observed(status, label.clone(), None),
                Circumstances::default(),
                at(age),
                &thresholds,
            );
            assert_eq!(
                (view.state, view.health),
                (state, health),
                "{label} {status} at {age} s"
            );
        }
        let view = settle(
            &observed(status, label.clone(), None),
            Circumstances::default(),
            at(901),
            &thresholds,
        );
        assert_eq!(
            (view.state, view.health),
            (McpState::Unknown, Unknown),
            "{label}: silence covers every state"
        );
    }
}

#[test]
fn silence_is_explained_by_what_is_known() {
    let thresholds = Thresholds::default();
    let server = observed(
        DtmaStatus::Running,
        StatusOnToolbox::Running,
        Some(DockerHealth::Unhealthy),
    );
    let token = Reason::new(ReasonCode::AgentRejectedToken, "403");
    let reason = |around: Circumstances<'_>, age| {
        let view = settle(&server, around, at(age), &thresholds);
        (view.health, view.reason.unwrap().code)
    };
    let calm = Circumstances::default();
    assert_eq!(
        reason(Circumstances { blind: true, ..calm }, 200),
        (Health::Unknown, ReasonCode::ObserverBlind)
    );
    assert_eq!(
        reason(Circumstances { blind: true, ..calm }, 10),
        (Health::Unhealthy, ReasonCode::HealthCheckFailing)
    );
    let rejected = Circumstances {
        problem: Some(&token),
        ..calm
    };
    assert_eq!(
        reason(rejected, 901),
        (Health::Unknown, ReasonCode::AgentRejectedToken)
    );
    let alive = Circumstances {
        agent_heard_at: Some(at(890)),
        ..calm
    };
    assert_eq!(reason(alive, 901), (Health::Unknown, ReasonCode::NotReported));
    let gone = Circumstances {
        agent_heard_at: Some(at(0)),
        ..calm
    };
    assert_eq!(reason(gone, 901), (Health::Unknown, ReasonCode::AgentUnreachable));
}

#[test]
fn an_unobserved_server_claims_nothing() {
    for label in StatusOnToolbox::OWN {
        let mut server = server(1);
        server.label = label.clone();
        let view = settle(&server, Circumstances::default(), at(0), &Thresholds::default());
        let want = if label == StatusOnToolbox::PendingDelete {
            McpState::Stopping
        } else {
            McpState::Unknown
        };
        assert_eq!(
            (view.state, view.health, view.reason),
            (want, Health::Unknown, None),
            "{label}"
        );
    }
}

#[test]
fn starting_for_too_long_is_an_error() {
    let server = observed(DtmaStatus::Starting, StatusOnToolbox::Starting, None);
    // Heard of all the time; only the start does not end.
    let fresh = |seconds| domain::Server {
        order: Some(order(seconds)),
        ..server.clone()
    };
    let thresholds = Thresholds::default();
    let view = settle(&fresh(600), Circumstances::default(), at(600), &thresholds);
    assert_eq!(view.state, McpState::Starting);
    let view = settle(&fresh(601), Circumstances::default(), at(601), &thresholds);
    assert_eq!((view.state, view.health), (McpState::Error, Health::Unhealthy));
    assert_eq!(view.label, StatusOnToolbox::ErrorStarting);
    let reason = view.reason.unwrap();
    assert_eq!(reason.code, ReasonCode::StartTimeout);
    assert_eq!(reason.message, "not started within 10m");
}

/// What a first report makes of a server: state, health and error code.
fn first(item: ContainerReport) -> (McpState, Health, Option<ReasonCode>) {
    let mut world = World::with(vec![server(1)]);
    world.fold(&[whole(0, vec![item])]);
    let server = world.server(1);
    (server.state, server.health, code(server))
}

#[test]
fn last_error_codes_of_reports() {
    use McpState::{Error, Running, Starting, Stopped, Unknown};
    let oom = ContainerReport {
        exit_code: Some(137),
        oom_killed: Some(true),
        ..item(1, "exited")
    };
    let dead = ContainerReport {
        error: Some("no such device".to_owned()),
        ..item(1, "dead")
    };
    for (item, state, health, code) in [
        (item(1, "running"), Running, Health::Healthy, None),
        (
            with_text(1, "running", "Up 2 hours (unhealthy)"),
            Running,
            Health::Unhealthy,
            Some(ReasonCode::HealthCheckFailing),
        ),
        (
            with_text(1, "running", "Up 2 seconds (health: starting)"),
            Running,
            Health::Degraded,
            Some(ReasonCode::HealthCheckStarting),
        ),
        (
            with_text(1, "running", "Up 2 hours (Paused)"),
            Stopped,
            Health::Unknown,
            Some(ReasonCode::Paused),
        ),
        (
            item(1, "paused"),
            Stopped,
            Health::Unknown,
            Some(ReasonCode::Paused),
        ),
        (
            item(1, "not_found"),
            Stopped,
            Health::Unknown,
            Some(ReasonCode::NotFound),
        ),
        (
            with_text(1, "exited", "Exited (0) 6 seconds ago"),
            Stopped,
            Health::Unknown,
            None,
        ),
        (
            with_text(1, "exited", "Exited (3) 6 seconds ago"),
            Stopped,
            Health::Unknown,
            Some(ReasonCode::ExitCode),
        ),
        (oom, Stopped, Health::Unknown, Some(ReasonCode::OomKilled)),
        (
            with_text(1, "restarting", "Restarting (1) 2 seconds ago"),
            Starting,
            Health::Unknown,
            Some(ReasonCode::ExitCode),
        ),
        (dead, Error, Health::Unhealthy, Some(ReasonCode::ReportedError)),
        (
            item(1, "error_inspecting"),
            Error,
            Health::Unhealthy,
            Some(ReasonCode::ReportedError),
        ),
        (
            item(1, "hibernating"),
            Unknown,
            Health::Unknown,
            Some(ReasonCode::UnknownStatus),
        ),
    ] {
        let text = format!("{item:?}");
        assert_eq!(first(item), (state, health, code), "{text}");
    }
}

#[test]
fn cadence() {
    let policy = CadencePolicy::default();
    let plan = PollPlan {
        every: Duration::from_secs(30),
        failures: 0,
        dead_man: false,
        dialect: None,
    };
    let after = |statuses: &[DtmaStatus]| {
        let interests = statuses.iter().copied().map(Interest::Watched);
        plan_after_poll(&policy, TOOLBOX, plan, Some(interests), None, 0.0)
            .every
            .as_secs()
    };
    for (statuses, seconds) in [
        (&[][..], 300),
        (&[DtmaStatus::Exited], 300),
        (&[DtmaStatus::Error, DtmaStatus::Exited], 60),
        (&[DtmaStatus::Unknown], 60),
        (&[DtmaStatus::Exited, DtmaStatus::Running, DtmaStatus::Error], 30),
        (&[DtmaStatus::Running, DtmaStatus::Starting], 10),
        (&[DtmaStatus::Stopping], 10),
    ] {
        let got = after(statuses);
        assert!(
            (seconds * 9 / 10..=seconds).contains(&got),
            "{statuses:?}: {got} s, at most {seconds}"
        );
    }

    let fail = |failures, jitter| {
        let before = PollPlan { failures, ..plan };
        let next = plan_after_poll::<[Interest; 0]>(&policy, TOOLBOX, before, None, None, jitter);
        assert_eq!(next.failures, failures.saturating_add(1));
        next.every.as_secs()
    };
    assert_eq!(
        [0, 1, 2, 3, 4, 40, u32::MAX].map(|failures| fail(failures, 0.0)),
        [30, 60, 120, 240, 300, 300, 300]
    );
    assert_eq!(
        [0, 4].map(|failures| fail(failures, 1.0)),
        [23, 225],
        "jitter only shortens, by a quarter at most"
    );
    for odd in [f64::NAN, f64::INFINITY, -1.0] {
        assert_eq!(fail(0, odd), 30);
    }

    let after_heartbeat = |interests: &[Interest]| {
        let plan = plan_after_heartbeat(&policy, interests.iter().copied(), None);
        (plan.every.as_secs(), plan.dead_man)
    };
    assert_eq!(
        after_heartbeat(&[Interest::Watched(DtmaStatus::Running)]),
        (120, true)
    );
    let stopping = [DtmaStatus::Running, DtmaStatus::Stopping].map(Interest::Watched);
    assert_eq!(
        after_heartbeat(&stopping),
        (10, false),
        "it is polled on purpose, and not because a heartbeat did not come"
    );
    // Somebody waits for what comes of a command, whatever else there is.
    let commanded = [Interest::Watched(DtmaStatus::Stopping), Interest::Commanded];
    assert_eq!(after_heartbeat(&commanded), (2, false));
    let switched = PollPlan {
        dead_man: true,
        ..plan
    };
    let after_poll = plan_after_poll(&policy, TOOLBOX, switched, Some(commanded), None, 0.0);
    assert_eq!((after_poll.every.as_secs(), after_poll.dead_man), (2, false));
    let failed = plan_after_poll(&policy, TOOLBOX, switched, None::<[Interest; 0]>, None, 0.0);
    assert!(!failed.dead_man, "the polls after it are polls like any other");
    assert_eq!(first_plan(&policy, TOOLBOX, 1).every.as_secs(), 1);
    assert!(first_plan(&policy, TOOLBOX, 1_000_000).every <= policy.running + Duration::from_secs(1));
}

#[test]
fn phases_are_spread() {
    let policy = CadencePolicy::default();
    let plan = PollPlan {
        every: Duration::from_secs(300),
        failures: 0,
        dead_man: false,
        dialect: None,
    };
    let mut seconds = std::collections::BTreeMap::<u64, u32>::new();
    for n in 0..1000_u128 {
        let toolbox = domain::ToolboxId(uuid::Uuid::from_u128(n));
        let next = plan_after_poll(
            &policy,
            toolbox,
            plan,
            Some([Interest::Watched(DtmaStatus::Exited)]),
            None,
            0.0,
        );
        *seconds.entry(next.every.as_secs()).or_default() += 1;
    }
    assert_eq!(
        seconds.len(),
        30,
        "271 to 300 s, every second of it, also for sequential ids: {seconds:?}"
    );
    assert!(seconds.values().all(|count| *count < 100), "{seconds:?}");
}
