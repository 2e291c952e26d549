//! What sequences of reports make of a toolbox and its servers.

mod common;

use std::time::Duration;

use common::*;
use domain::{
    AgentStatus, Cause, Change, Circumstances, ContainerReport, Desired, Fold, Health, InstanceRef, McpState,
    Outcome, Reason, ReasonCode, StatusOnToolbox, uptime,
};

/// Changes in short: `server 1 v2 running/healthy`.
fn told(fold: &Fold) -> Vec<String> {
    fold.changes
        .iter()
        .map(|change| match change {
            Change::Server(change) => {
                let server = &change.after;
                let error = code(server).map(|code| format!(" {code}")).unwrap_or_default();
                format!(
                    "{} v{} {}/{}{error}",
                    server.name, server.version, server.state, server.health
                )
            }
            Change::Removed { server, version, .. } => format!("{server} v{version} removed"),
            Change::Toolbox(toolbox) => format!("toolbox v{} {}", toolbox.version, toolbox.status),
        })
        .collect()
}

#[test]
fn a_life() {
    let mut world = World::with(vec![server(1)]);
    let steps = [
        (whole(0, vec![]), vec!["toolbox v1 active"]),
        (
            whole(10, vec![item(1, "created")]),
            vec!["mcp-1 v1 starting/unknown"],
        ),
        (
            whole(20, vec![item(1, "running")]),
            vec!["mcp-1 v2 running/healthy"],
        ),
        (whole(50, vec![item(1, "running")]), vec![]),
        (
            whole(80, vec![with_text(1, "exited", "Exited (137) 3 seconds ago")]),
            vec!["mcp-1 v3 stopped/unknown exit_code"],
        ),
        (
            whole(110, vec![item(1, "RUNNING")]),
            vec!["mcp-1 v4 running/healthy"],
        ),
        (whole(140, vec![]), vec!["mcp-1 v5 stopped/unknown missing"]),
        (
            whole(170, vec![item(1, "running")]),
            vec!["mcp-1 v6 running/healthy"],
        ),
    ];
    for (report, want) in steps {
        let text = format!("{report:?}");
        assert_eq!(told(&world.fold(&[report])), want, "{text}");
    }
}

#[test]
fn several_reports_in_one_batch_tell_every_change() {
    let mut world = World::with(vec![server(1)]);
    let fold = world.fold(&[
        whole(20, vec![item(1, "exited")]),
        whole(0, vec![item(1, "starting")]),
        whole(10, vec![item(1, "running")]),
    ]);
    assert_eq!(
        told(&fold),
        [
            "toolbox v1 active",
            "mcp-1 v1 starting/unknown",
            "mcp-1 v2 running/healthy",
            "mcp-1 v3 stopped/unknown"
        ]
    );
}

#[test]
fn a_backlog_announces_no_silence_that_never_was() {
    let every_minute: Vec<_> = (0..60)
        .map(|minute| whole(minute * 60, vec![item(1, "running")]))
        .collect();
    let mut world = World::with(vec![server(1)]);
    let fold = world.fold_at(59 * 60, &every_minute);
    assert_eq!(told(&fold), ["toolbox v1 active", "mcp-1 v1 running/healthy"]);
    assert_eq!(
        (world.server(1).order, world.server(1).changed_at),
        (Some(order(59 * 60)), Some(at(59 * 60)))
    );

    let mut world = World::with(vec![server(1)]);
    let fold = world.fold_until(60, 3_600, &every_minute[..1]);
    assert_eq!(
        told(&fold),
        ["toolbox v1 active", "mcp-1 v1 running/healthy"],
        "the rest is still unread"
    );
    let mut world = World::with(vec![server(1)]);
    let fold = world.fold_at(3_600, &every_minute[..1]);
    assert_eq!(
        told(&fold),
        ["toolbox v1 active", "mcp-1 v1 unknown/unknown agent_unreachable"],
        "read to its end, silence is silence"
    );
}

#[test]
fn late_and_repeated_reports_change_nothing() {
    let mut world = World::with(vec![server(1)]);
    world.fold(&[whole(10, vec![item(1, "running")])]);
    for stale in [
        whole(9, vec![item(1, "exited")]),
        whole(10, vec![item(1, "running")]),
        partial(3, vec![item(1, "dead")]),
    ] {
        let fold = world.fold_at(11, &[stale]);
        assert_eq!(
            (fold.changes, fold.write, fold.write_toolbox, fold.counts.stale),
            (vec![], vec![], false, 1)
        );
    }
}

#[test]
fn a_heartbeat_alone_is_written_every_eighth_of_the_healthy_time_and_still_orders() {
    let mut world = World::with(vec![server(1)]);
    world.fold(&[whole(0, vec![item(1, "running")])]);
    let fold = world.fold(&[whole(14, vec![item(1, "running")])]);
    assert_eq!(
        (fold.write.len(), fold.changes.len()),
        (0, 0),
        "14 s are under 15"
    );
    assert_eq!(world.server(1).order, Some(order(0)));
    let late = world.fold_at(15, &[whole(13, vec![item(1, "exited")])]);
    assert_eq!(
        (late.changes, late.counts.stale),
        (vec![], 1),
        "older than the heartbeat that was held back"
    );
    let fold = world.fold(&[whole(15, vec![item(1, "running")])]);
    assert_eq!((fold.write.len(), fold.changes.len()), (1, 0));
    assert_eq!(world.server(1).order, Some(order(15)));
}

#[test]
fn absence_means_something_only_in_a_whole_list_and_only_of_what_was_seen() {
    let mut world = World::with(vec![server(1), server(2)]);
    world.fold(&[partial(0, vec![item(1, "running")])]);
    assert_eq!(told(&world.fold(&[partial(10, vec![])])), Vec::<String>::new());
    assert_eq!(
        told(&world.fold(&[whole(20, vec![])])),
        ["mcp-1 v1 stopped/unknown missing"].map(|text| text.replace("v1", "v2"))
    );
    assert_eq!(world.server(2).observation, None, "never seen, still unseen");
    assert_eq!(world.server(2).label, StatusOnToolbox::PendingInstall);
}

#[test]
fn a_report_reaches_only_its_own_toolbox() {
    let mut world = World::with(vec![server(1)]);
    let foreign = ContainerReport {
        instance: InstanceRef {
            id: Some(server_id(77)),
            names: item(1, "").instance.names,
        },
        ..item(1, "exited")
    };
    let mut elsewhere = whole(5, vec![item(1, "running")]);
    elsewhere.toolbox = domain::ToolboxId(uuid::Uuid::from_u128(999));
    let fold = world.fold(&[
        partial(0, vec![foreign]),
        elsewhere,
        partial(1, vec![item(9, "running")]),
    ]);
    assert_eq!(
        fold.counts.foreign_instance,
        [server_id(77)],
        "an id counts, not the name beside it"
    );
    assert_eq!(fold.counts.unknown_container, 1);
    assert!(fold.write.is_empty());
}

#[test]
fn the_id_names_the_instance_whatever_the_container_is_called() {
    let mut world = World::with(vec![server(1)]);
    let instance = InstanceRef {
        id: Some(server_id(1)),
        names: vec![],
    };
    world.fold(&[partial(0, vec![ContainerReport::of(instance, "running")])]);
    assert_eq!(world.server(1).state, McpState::Running);
}

#[test]
fn a_second_item_for_one_instance_is_counted_not_taken() {
    let mut world = World::with(vec![server(1)]);
    let fold = world.fold(&[whole(0, vec![item(1, "running"), item(1, "exited")])]);
    assert_eq!(
        (fold.counts.duplicate_item, world.server(1).state),
        (1, McpState::Running)
    );
}

#[test]
fn a_new_container_is_a_new_incarnation() {
    let mut world = World::with(vec![server(1)]);
    let old = |word| in_container(item(1, word), 'a');
    let new = |word| in_container(item(1, word), 'b');
    world.fold(&[whole(0, vec![with_started(old("running"), -500)])]);
    assert_eq!(world.server(1).last_started_at, Some(at(-500)));
    let fold = world.fold(&[whole(30, vec![new("running")])]);
    assert_eq!(
        told(&fold),
        ["mcp-1 v2 running/healthy"],
        "another container is a change by itself"
    );
    assert_eq!(world.server(1).last_started_at, Some(at(30)), "and starts anew");
    let fold = world.fold(&[whole(40, vec![old("exited")])]);
    assert_eq!(
        (told(&fold), fold.counts.older_incarnation),
        (vec![], 1),
        "under way when it was replaced"
    );
    let fold = world.fold(&[whole(100, vec![old("exited")])]);
    assert_eq!(
        told(&fold),
        ["mcp-1 v3 stopped/unknown"],
        "a minute later it is really back"
    );
}

fn with_started(item: ContainerReport, seconds: i64) -> ContainerReport {
    ContainerReport {
        started_at: Some(at(seconds)),
        ..item
    }
}

#[test]
fn start_time_comes_from_the_container_where_it_can() {
    let mut world = World::with(vec![server(1)]);
    let started = |world: &World| {
        world
            .server(1)
            .last_started_at
            .map(|at_| at_.as_second() - at(0).as_second())
    };
    world.fold(&[whole(0, vec![item(1, "running")])]);
    assert_eq!(started(&world), Some(0), "first seen running");
    world.fold(&[whole(30, vec![with_text(1, "running", "Up 2 hours")])]);
    assert_eq!(
        started(&world),
        Some(30 - 5400),
        "the text says it has been up for longer"
    );
    world.fold(&[whole(60, vec![with_text(1, "running", "Up 2 hours")])]);
    assert_eq!(
        started(&world),
        Some(30 - 5400),
        "the same rounded text is the same start"
    );
    world.fold(&[whole(90, vec![with_text(1, "running", "Up 4 seconds")])]);
    assert_eq!(started(&world), Some(86), "it restarted between two reports");
    world.fold(&[whole(120, vec![with_started(item(1, "running"), 85)])]);
    assert_eq!(started(&world), Some(86), "a second apart is the same start");
    world.fold(&[whole(150, vec![with_started(item(1, "running"), 9_999)])]);
    assert_eq!(started(&world), Some(150), "never in the future");
    world.fold(&[whole(180, vec![item(1, "exited")])]);
    assert_eq!(
        started(&world),
        Some(150),
        "the last start stays known while it is down"
    );
    world.fold(&[whole(210, vec![item(1, "running")])]);
    assert_eq!(started(&world), Some(210));
    assert_eq!(
        uptime(McpState::Running, Some(at(210)), at(300)),
        Some(Duration::from_secs(90))
    );
    assert_eq!(uptime(McpState::Stopped, Some(at(210)), at(300)), None);
}

#[test]
fn an_agents_wrong_clock_does_not_move_the_start() {
    let mut world = World::with(vec![server(1)]);
    let hours = 3 * 3600;
    let mut report = whole(100, vec![with_started(item(1, "running"), 40 + hours)]);
    report.agent_time = Some(at(100 + hours));
    world.fold(&[report]);
    assert_eq!(world.server(1).last_started_at, Some(at(40)));
    assert_eq!(world.server(1).order, Some(order(100)), "and never the order");
}

#[test]
fn an_exit_that_was_asked_for_needs_no_explanation() {
    let exited = || with_text(1, "exited", "Exited (137) 1 second ago");
    let mut asked = server(1);
    asked.desired = Some(Desired::Stopped);
    let mut world = World::with(vec![asked]);
    world.fold(&[whole(0, vec![exited()])]);
    assert_eq!(code(world.server(1)), None);

    let mut world = World::with(vec![server(1)]);
    world.fold(&[
        whole(0, vec![item(1, "running")]),
        whole(1, vec![item(1, "stopping")]),
    ]);
    world.fold(&[whole(10, vec![exited()])]);
    assert_eq!(code(world.server(1)), None, "it was stopping");
    world.fold(&[whole(40, vec![exited()])]);
    assert_eq!(
        code(world.server(1)),
        None,
        "and it goes on having been asked for"
    );
    world.fold(&[whole(70, vec![item(1, "running")])]);
    world.fold(&[whole(100, vec![exited()])]);
    assert_eq!(
        code(world.server(1)),
        Some(ReasonCode::ExitCode),
        "the next one was not"
    );
}

#[test]
fn what_a_richer_shape_told_survives_a_poorer_one() {
    let mut world = World::with(vec![server(1), server(2)]);
    world.fold(&[whole(
        0,
        vec![
            with_text(1, "exited", "Exited (3) 1 second ago"),
            with_text(2, "running", "Up 1 second (unhealthy)"),
        ],
    )]);
    let fold = world.fold(&[whole(30, vec![item(1, "exited"), item(2, "running")])]);
    assert_eq!(told(&fold), Vec::<String>::new());
    assert_eq!(code(world.server(1)), Some(ReasonCode::ExitCode));
    let fold = world.fold(&[whole(
        60,
        vec![
            with_text(1, "exited", "Exited (0) 1 second ago"),
            with_text(2, "running", "Up 1 minute (healthy)"),
        ],
    )]);
    assert_eq!(
        told(&fold),
        ["mcp-1 v2 stopped/unknown", "mcp-2 v2 running/healthy"]
    );
}

#[test]
fn a_deletion_ends_with_the_container() {
    for gone in [whole(10, vec![]), partial(10, vec![item(1, "not_found")])] {
        let mut doomed = server(1);
        doomed.label = StatusOnToolbox::PendingDelete;
        let mut world = World::with(vec![doomed]);
        let fold = world.fold(&[whole(0, vec![item(1, "running")])]);
        assert_eq!(told(&fold), ["toolbox v1 active", "mcp-1 v1 stopping/unknown"]);
        let fold = world.fold(&[gone]);
        assert_eq!(told(&fold), [format!("{} v2 removed", server_id(1))]);
        assert_eq!((fold.remove, world.servers.len()), (vec![server_id(1)], 0));
    }
}

#[test]
fn a_toolbox_is_unresponsive_after_two_failures_and_well_after_one_answer() {
    let mut world = World::with(vec![server(1)]);
    world.fold(&[whole(0, vec![item(1, "running")])]);
    assert_eq!(
        told(&world.fold(&[failed(30, 1)])),
        Vec::<String>::new(),
        "one is a hiccup"
    );
    assert_eq!(told(&world.fold(&[failed(60, 2)])), ["toolbox v2 unresponsive"]);
    assert_eq!(
        world.server(1).state,
        McpState::Running,
        "the servers age, they do not fall"
    );
    assert_eq!(told(&world.fold(&[failed(90, 3)])), Vec::<String>::new());
    assert_eq!(
        told(&world.fold(&[report(120, Outcome::Alive { problem: None })])),
        ["toolbox v3 active"]
    );
    assert_eq!(
        world.server(1).order,
        Some(order(0)),
        "an empty heartbeat says nothing of a container"
    );
    let docker = Reason::new(ReasonCode::DockerUnavailable, "Failed to fetch tool statuses");
    assert_eq!(
        told(&world.fold(&[report(
            150,
            Outcome::Alive {
                problem: Some(docker)
            }
        )])),
        ["toolbox v4 active"]
    );
    assert_eq!(
        told(&world.fold(&[report(160, Outcome::Alive { problem: None })])),
        Vec::<String>::new()
    );
    let (aged, _) = world
        .server(1)
        .sweep(around(&world), at(161), &world.thresholds)
        .unwrap();
    assert_eq!(
        code(&aged),
        Some(ReasonCode::DockerUnavailable),
        "which explains why its servers age"
    );
    assert_eq!(
        told(&world.fold(&[whole(180, vec![item(1, "running")])])),
        ["toolbox v5 active"]
    );
    assert_eq!(world.toolbox.status, AgentStatus::Active);
}

fn around(world: &World) -> Circumstances<'_> {
    let problem = world.toolbox.problem.as_ref().map(|problem| &problem.reason);
    Circumstances {
        problem,
        agent_heard_at: world.toolbox.heard_at,
        whole_as_of: world.toolbox.whole_order.map(|order| order.as_of),
        blind: false,
    }
}

#[test]
fn the_sweep_ages_what_is_silent_and_says_each_thing_once() {
    let mut world = World::with(vec![server(1)]);
    world.fold(&[whole(0, vec![item(1, "running")])]);
    world.fold(&[failed(30, 1), failed(60, 2)]);
    let mut seen = Vec::new();
    for seconds in 0..1000 {
        if let Some((after, Some(Change::Server(change)))) =
            world
                .server(1)
                .sweep(around(&world), at(seconds), &world.thresholds)
        {
            assert_eq!(change.cause, Cause::Age);
            seen.push((seconds, after.state, after.health));
            world.servers[0] = after;
        }
    }
    assert_eq!(
        seen,
        [
            (121, McpState::Running, Health::Degraded),
            (301, McpState::Running, Health::Unhealthy),
            (901, McpState::Unknown, Health::Unknown),
        ]
    );
    let fold = world.fold(&[whole(1000, vec![item(1, "running")])]);
    assert_eq!(
        told(&fold),
        ["toolbox v3 active", "mcp-1 v5 running/healthy"],
        "one good report and all is well"
    );
}

#[test]
fn a_new_row_and_an_intent_of_the_application_are_announced() {
    let mut fresh = server(1);
    let (after, change) = fresh
        .sweep(Circumstances::default(), at(0), &domain::Thresholds::default())
        .unwrap();
    assert!(
        matches!(&change, Some(Change::Server(change)) if change.cause == Cause::Registry && change.before.is_none())
    );
    assert_eq!((after.version, after.state), (1, McpState::Unknown));
    fresh = after;
    assert_eq!(
        fresh.sweep(Circumstances::default(), at(1), &domain::Thresholds::default()),
        None
    );

    let mut world = World::with(vec![fresh]);
    let fold = world.fold(&[whole(10, vec![item(1, "hibernating")])]);
    assert_eq!(
        told(&fold),
        ["toolbox v1 active", "mcp-1 v2 unknown/unknown unknown_status"],
        "the first observation is a change"
    );
    world.fold(&[whole(20, vec![item(1, "running")])]);
    world.servers[0].label = StatusOnToolbox::Stopping;
    let (after, _) = world
        .server(1)
        .sweep(around(&world), at(21), &world.thresholds)
        .unwrap();
    assert_eq!(
        after.state,
        McpState::Stopping,
        "the application's label shows at once"
    );
}
