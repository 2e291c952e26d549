//! What holds for every input.

mod common;

use std::time::Duration;

use common::*;
use domain::{
    Action, AgentFailure, Circumstances, Command, CommandEnd, CommandId, ContainerId, ContainerReport,
    Coverage, Ended, Fold, Health, InstanceName, InstanceRef, McpState, Order, Outcome, Override, Reason,
    ReasonCode, Report, Server, ServerId, Source, StatusText, Thresholds, fold, sanitise, settle,
};
use jiff::Timestamp;
use proptest::prelude::*;
use uuid::Uuid;

const SERVERS: u128 = 3;

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => prop::sample::select(vec![
            "running", "Exited", "stopped", "not_found", "paused", "starting", "created", "restarting", "stopping",
            "removing", "error", "dead", "unknown", "pulling",
        ])
        .prop_map(str::to_owned),
        1 => ".*",
    ]
}

fn text() -> impl Strategy<Value = Option<StatusText>> {
    let known = prop::sample::select(vec![
        "Up 5 seconds",
        "Up 2 hours (unhealthy)",
        "Up About an hour (healthy)",
        "Up 3 minutes (Paused)",
        "Exited (0) 2 days ago",
        "Exited (137) 1 second ago",
        "Restarting (1) 3 seconds ago",
        "Created",
    ])
    .prop_map(str::to_owned);
    prop::option::of(prop_oneof![known, ".*"].prop_map(|text| StatusText::parse(&text)))
}

prop_compose! {
    fn container()(
        n in 0..SERVERS + 1,
        by_id in any::<bool>(),
        word in word(),
        text in text(),
        container in prop::option::of(prop::sample::select(vec!["a", "b"])),
        started in prop::option::of(any::<i32>()),
        exit_code in prop::option::of(any::<i64>()),
        oom_killed in prop::option::of(any::<bool>()),
        error in prop::option::of(".*"),
    ) -> ContainerReport {
        let names = InstanceName::new(&format!("mcp-{n}")).into_iter().collect();
        ContainerReport {
            instance: InstanceRef { id: by_id.then(|| server_id(n)), names },
            word,
            text,
            container_id: container.and_then(|digit| ContainerId::new(&digit.repeat(64))),
            started_at: started.and_then(|seconds| Timestamp::from_second(i64::from(seconds)).ok()),
            exit_code,
            oom_killed,
            error,
        }
    }
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let coverage = prop::sample::select(vec![Coverage::Whole, Coverage::Partial]);
    let containers = (coverage, prop::collection::vec(container(), 0..5))
        .prop_map(|(coverage, items)| Outcome::Containers { coverage, items });
    let failed = (prop::sample::select(ReasonCode::ALL), 1..4_u32).prop_map(|(code, in_a_row)| {
        Outcome::Failed(AgentFailure {
            reason: Reason::new(code, "x"),
            in_a_row,
        })
    });
    let alive = prop::option::of(Just(Reason::new(ReasonCode::DockerUnavailable, "y")))
        .prop_map(|problem| Outcome::Alive { problem });
    prop_oneof![6 => containers, 1 => failed, 1 => alive]
}

prop_compose! {
    fn a_report()(
        seconds in 0..2_000_i64,
        sequence in 0..3_u64,
        agent_time in prop::option::of(any::<i32>()),
        next in prop::option::of(any::<u32>()),
        outcome in outcome(),
    ) -> Report {
        Report {
            order: Order { as_of: at(seconds), sequence },
            source: Source::Heartbeat,
            agent_time: agent_time.and_then(|seconds| Timestamp::from_second(i64::from(seconds)).ok()),
            next_within: next.map(|seconds| Duration::from_secs(seconds.into())),
            ..report(seconds, outcome)
        }
    }
}

/// Reports with distinct orders, oldest first.
fn history() -> impl Strategy<Value = Vec<Report>> {
    prop::collection::vec(a_report(), 1..12).prop_map(|mut reports| {
        reports.sort_by_key(|report| report.order);
        reports.dedup_by_key(|report| report.order);
        reports
    })
}

fn world() -> World {
    World::with((0..SERVERS).map(server).collect())
}

prop_compose! {
    fn a_command()(
        action in prop::sample::select(Action::ALL),
        requested in 0..2_000_i64,
        patience in 1..300_i64,
        executed in prop::option::of(0..300_i64),
        ended in prop::option::of((0..300_i64, prop::sample::select(vec![CommandEnd::Failed, CommandEnd::Expired]))),
    ) -> Command {
        Command {
            id: CommandId(Uuid::from_u128(7)),
            action,
            requested_at: at(requested),
            deadline: at(requested + patience),
            executed_at: executed.map(|after| at(requested + after)),
            ended: ended.map(|(after, end)| Ended {
                at: at(requested + after),
                end,
                message: Some("no".to_owned()),
            }),
            closed: false,
        }
    }
}

prop_compose! {
    fn a_word()(
        state in prop::sample::select(McpState::ALL),
        health in prop::sample::select(Health::ALL),
        until in 0..4_000_i64,
    ) -> Override {
        Override { state, health, message: "so it is".to_owned(), until: at(until) }
    }
}

/// Servers of which things were asked and said.
fn intended() -> impl Strategy<Value = World> {
    let intent = (
        prop::option::of(a_command()),
        prop::option::of(a_word()),
        any::<bool>(),
    );
    prop::collection::vec(intent, SERVERS as usize).prop_map(|intents| {
        let mut world = world();
        for (server, (command, overridden, monitored)) in world.servers.iter_mut().zip(intents) {
            (server.command, server.overridden, server.monitored) = (command, overridden, monitored);
        }
        world
    })
}

/// What a late or repeated report must not alter.
fn essence(world: &World) -> Vec<impl PartialEq + std::fmt::Debug + use<>> {
    let mut servers: Vec<&Server> = world.servers.iter().collect();
    servers.sort_by_key(|server| server.id);
    servers
        .iter()
        .map(|server| (server.id, server.state, server.container_id.clone()))
        .collect()
}

fn nothing_done(fold: &Fold) -> bool {
    fold.changes.is_empty() && fold.write.is_empty() && fold.remove.is_empty()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn replaying_any_prefix_is_a_no_op(
        mut world in intended(),
        history in history(),
        cut in any::<prop::sample::Index>(),
    ) {
        for report in &history {
            world.fold_at(2_000, std::slice::from_ref(report));
        }
        let prefix = &history[..=cut.index(history.len())];
        let before = (world.toolbox.clone(), world.servers.clone());
        prop_assert!(nothing_done(&world.fold_at(2_000, prefix)));
        for report in prefix {
            prop_assert!(nothing_done(&world.fold_at(2_000, std::slice::from_ref(report))));
        }
        prop_assert_eq!(before, (world.toolbox, world.servers));
    }

    #[test]
    fn a_backlog_tells_what_it_would_have_told_in_time(
        world in intended(),
        history in history(),
        cut in any::<prop::sample::Index>(),
    ) {
        // When the next report that speaks of containers was made, seconds from the beginning.
        let until = |place: usize| {
            let mut later = history[place + 1..].iter();
            let next = later.find(|report| matches!(report.outcome, Outcome::Containers { .. }));
            next.map_or(2_000, |next| next.order.as_of.as_second() - at(0).as_second())
        };
        let mut in_time = World::with(world.servers.clone());
        let mut changes = Vec::new();
        for (place, report) in history.iter().enumerate() {
            changes.extend(in_time.fold_until(until(place), 2_000, std::slice::from_ref(report)).changes);
        }
        let mut late = world;
        let cut = cut.index(history.len());
        let (first, second) = history.split_at(cut);
        let mut told = late.fold_until(cut.checked_sub(1).map_or(2_000, until), 2_000, first).changes;
        told.extend(late.fold_at(2_000, second).changes);
        prop_assert_eq!(changes, told, "same changes, same versions, no gap");
    }

    #[test]
    fn any_order_of_arrival_ends_in_the_state_of_the_newest(
        (history, shuffled) in whole_history().prop_flat_map(|history| (Just(history.clone()), Just(history).prop_shuffle()))
    ) {
        // Whether an absent container is missing or was never there depends on its ever having been seen, so all were.
        let seen = || {
            let mut world = world();
            // How long a start has been going on is history by nature.
            world.thresholds.start_timeout = Duration::from_secs(100_000);
            world.fold_at(2_000, &[whole(-1, (0..SERVERS).map(|n| item(n, "running")).collect())]);
            world
        };
        let mut in_order = seen();
        in_order.fold_at(2_000, &history);
        let mut newest = seen();
        newest.fold_at(2_000, &history[history.len() - 1..]);
        let mut arrived = seen();
        for report in &shuffled {
            arrived.fold_at(2_000, std::slice::from_ref(report));
        }
        prop_assert_eq!(essence(&in_order), essence(&arrived));
        for (server, alone) in arrived.servers.iter().zip(&newest.servers) {
            // A word that nobody understands leaves the label as it was; what people see is unknown all the same.
            prop_assert_eq!(server.state, alone.state);
            // A heartbeat may be held back from the server's row; the toolbox's then has it.
            let known = |server: &Server, world: &World| server.order.max(world.toolbox.whole_order);
            prop_assert_eq!(known(server, &arrived), known(alone, &newest));
        }
        prop_assert_eq!(&in_order.toolbox.status, &arrived.toolbox.status);
        prop_assert_eq!(in_order.toolbox.heard_at, arrived.toolbox.heard_at);
    }

    #[test]
    fn two_folds_of_the_same_input_are_equal(history in history(), now in 0..4_000_i64) {
        let servers: Vec<Server> = (0..SERVERS).map(server).collect();
        let thresholds = Thresholds::default();
        let run = || fold(toolbox(), servers.clone(), &history, at(now), at(now), &thresholds);
        prop_assert_eq!(run(), run());
    }

    #[test]
    fn versions_have_no_gap(mut world in intended(), history in history()) {
        let fold = world.fold_at(2_000, &history);
        for n in 0..SERVERS {
            let versions: Vec<u64> = fold.changes.iter().filter_map(|change| match change {
                domain::Change::Server(change) if change.after.id == server_id(n) => Some(change.after.version),
                _ => None,
            }).collect();
            prop_assert_eq!(&versions, &(1..=versions.len() as u64).collect::<Vec<_>>());
        }
    }

    #[test]
    fn never_healthy_beyond_its_age(
        mut world in intended(),
        history in history(),
        later in 0..5_000_i64,
        blind in any::<bool>(),
    ) {
        world.fold_at(2_000, &history);
        for server in &world.servers {
            let view = settle(server, Circumstances { blind, ..Circumstances::default() }, at(later), &world.thresholds);
            if view.health == Health::Healthy && server.override_in_force(at(later)).is_none() {
                prop_assert!(server.monitored);
                let age = at(later).duration_since(server.order.unwrap().as_of);
                prop_assert!(age <= jiff::SignedDuration::try_from(world.thresholds.healthy_for).unwrap());
            }
        }
    }

    #[test]
    fn a_sweep_settles_in_one_step(mut world in intended(), history in history(), later in 0..5_000_i64) {
        world.fold_at(2_000, &history);
        let around = Circumstances { agent_heard_at: world.toolbox.heard_at, ..Circumstances::default() };
        for server in &world.servers {
            if let Some((after, change)) = server.sweep(around, at(later), &world.thresholds) {
                prop_assert_eq!(after.version, server.version + u64::from(change.is_some()));
                let again = after.sweep(around, at(later), &world.thresholds);
                prop_assert_eq!(again.map(|(_, change)| change), None);
            }
        }
    }

    #[test]
    fn extreme_instants_do_not_panic(as_of in any::<i64>(), now in any::<i64>(), items in prop::collection::vec(container(), 0..3)) {
        let clamp = |seconds: i64| Timestamp::from_second(seconds).unwrap_or(if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX });
        let mut report = whole(0, items);
        report.order.as_of = clamp(as_of);
        report.agent_time = Some(clamp(now));
        report.next_within = Some(Duration::MAX);
        let servers = (0..SERVERS).map(server).collect();
        let folded = fold(toolbox(), servers, &[report], clamp(now), clamp(now), &Thresholds::default());
        for server in folded.write {
            let _ = server.sweep(Circumstances::default(), Timestamp::MAX, &Thresholds::default());
        }
    }

    #[test]
    fn sanitised_text_is_clean_and_stable(text in ".*") {
        let once = sanitise(&text);
        prop_assert!(once.chars().count() <= 500 && !once.chars().any(char::is_control));
        prop_assert_eq!(sanitise(&once), once);
    }

    #[test]
    fn foreign_ids_touch_nothing(id in any::<u128>().prop_map(Uuid::from_u128), word in word()) {
        prop_assume!((0..SERVERS).all(|n| server_id(n) != ServerId(id)));
        let mut world = world();
        let item = ContainerReport::of(InstanceRef { id: Some(ServerId(id)), names: vec![] }, word);
        let fold = world.fold(&[partial(0, vec![item])]);
        prop_assert!(fold.write.is_empty());
        prop_assert_eq!(fold.counts.foreign_instance, vec![ServerId(id)]);
    }
}

/// Whole lists of servers in one container each: what the newest says is then all there is to know.
fn whole_history() -> impl Strategy<Value = Vec<Report>> {
    history().prop_map(|reports| {
        let mut reports: Vec<Report> = reports
            .into_iter()
            .map(|mut report| {
                if let Outcome::Containers { coverage, items } = &mut report.outcome {
                    *coverage = Coverage::Whole;
                    for item in items.iter_mut() {
                        item.container_id = None;
                    }
                }
                report
            })
            .collect();
        // "Unknown" leaves the label as it was, and a failure says nothing of servers: neither is "the newest state".
        if let Some(Report {
            outcome: outcome @ (Outcome::Failed(_) | Outcome::Alive { .. }),
            ..
        }) = reports.last_mut()
        {
            *outcome = Outcome::Containers {
                coverage: Coverage::Whole,
                items: vec![],
            };
        }
        reports
    })
}
