//! Commands against a real NATS server and simulated agents: what is asked for happens, once is enough, and nothing
//! happens that was not asked for.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::time::Duration;

use domain::ToolboxId;
use dtma_sim::{DialectMix, DockerState, Misbehaviour, Order, Scope, SimConfig};
use secrecy::SecretString;
use support::commands::{Stub, command, container, executed, failed, now, told, word_of};
use support::{Running, World, eventually, polls, sim};
use tokio::net::TcpListener;
use uuid::Uuid;
use wire::streams::{COMMANDER, DTMA_COMMANDS, DTMA_DLQ};
use wire::{Command, CommandAction, PollPlan, RawCoverage, RawOutcome, subjects};

fn some(toolboxes: usize) -> SimConfig {
    SimConfig {
        toolboxes,
        dialect: DialectMix::B,
        ..SimConfig::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_happens_and_is_seen() {
    use CommandAction::{Delete, Restart, Start, Stop};
    let world = World::new().await;
    // Agents that answer before it is done, which a restart has to bear with.
    let sim = sim(some(4)).await;
    let actions = [Start, Stop, Restart, Delete];
    let fleet = sim.fleet();
    sim.stop_container(fleet[0].id, &fleet[0].instances[0].name)
        .unwrap();
    let before = container(&sim, &fleet[2]).unwrap();
    let poller = world.poller().await;
    for toolbox in &fleet {
        world.register(toolbox).await;
    }
    let mut given = Vec::new();
    for (toolbox, action) in fleet.iter().zip(actions) {
        let command = command(toolbox, action);
        world.give(&command).await;
        given.push(command);
    }
    let ends = [Some("running"), Some("exited"), Some("running"), None];
    for ((toolbox, command), word) in fleet.iter().zip(&given).zip(ends) {
        let outcome = world.outcome_of(command).await;
        executed(&outcome);
        let what = format!("the effect of the {}", command.action.as_str());
        let report = world
            .report_that(&what, toolbox.id, |report| {
                report.as_of > outcome.at && word_of(report, toolbox.instances[0].id) == word
            })
            .await;
        let RawOutcome::Containers { coverage, .. } = report.outcome else {
            unreachable!("it has words")
        };
        assert_eq!(coverage, RawCoverage::Whole, "absence must mean something");
    }
    let states = fleet
        .iter()
        .map(|toolbox| container(&sim, toolbox).map(|it| it.state));
    assert_eq!(
        states.collect::<Vec<_>>(),
        [
            Some(DockerState::Running),
            Some(DockerState::Exited),
            Some(DockerState::Running),
            None
        ]
    );
    let after = container(&sim, &fleet[2]).unwrap();
    assert!(after.started_at > before.started_at, "it was not started again");
    world.all_dealt_with().await;
    assert_eq!(world.outcomes().await, 4);
    poller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_has_forgotten_its_containers_is_told_of_and_they_are_left_alone() {
    use CommandAction::{Restart, Start, Stop};
    let world = World::new().await;
    let sim = sim(some(3)).await;
    let fleet = sim.fleet();
    sim.stop_container(fleet[0].id, &fleet[0].instances[0].name)
        .unwrap();
    let poller = world.poller().await;
    for (toolbox, action) in fleet.iter().zip([Start, Stop, Restart]) {
        sim.restart_agent(toolbox.id).await.unwrap();
        world.register(toolbox).await;
        let before = container(&sim, toolbox).unwrap();
        let outcome = world.outcome_after(&command(toolbox, action)).await;
        let name = &toolbox.instances[0].name;
        let message = failed(&outcome);
        for words in [
            &format!("the agent does not manage {name} (after a restart it has forgotten")[..],
            if action == Start {
                "cannot be started through it"
            } else {
                "cannot be stopped through it"
            },
            "not found or not managed by this DTMA",
        ] {
            assert!(message.contains(words), "{message}");
        }
        let after = container(&sim, toolbox).unwrap();
        assert_eq!(
            (after.state, after.started_at),
            (before.state, before.started_at),
            "{action:?}"
        );
    }
    // What is as it was to be all the same is done.
    executed(&world.outcome_after(&command(&fleet[0], Stop)).await);
    executed(&world.outcome_after(&command(&fleet[1], Start)).await);
    poller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_refuses_is_done_when_it_is_so_and_failed_when_it_is_not() {
    use CommandAction::{Delete, Start, Stop};
    let world = World::new().await;
    let sim = sim(some(1)).await;
    let toolbox = sim.toolbox(0);
    let name = &toolbox.instances[0].name;
    let poller = world.poller().await;
    world.register(&toolbox).await;
    let busy = Order::from(Misbehaviour::Status { code: 500 }).on(Scope::Commands);
    sim.misbehave(toolbox.id, busy).unwrap();

    let outcome = world.outcome_after(&command(&toolbox, Stop)).await;
    let message = failed(&outcome);
    assert!(
        message.starts_with("500 Internal Server Error for /tools/{name}/stop ("),
        "{message}"
    );
    // Behind our back.
    sim.stop_container(toolbox.id, name).unwrap();
    executed(&world.outcome_after(&command(&toolbox, Stop)).await);
    failed(&world.outcome_after(&command(&toolbox, Start)).await);
    failed(&world.outcome_after(&command(&toolbox, Delete)).await);
    sim.remove_container(toolbox.id, name).unwrap();
    executed(&world.outcome_after(&command(&toolbox, Delete)).await);

    // An agent that cannot ask Docker shows nothing, and nothing is taken for done.
    sim.clear(toolbox.id).unwrap();
    sim.misbehave(toolbox.id, Misbehaviour::DockerUnavailable)
        .unwrap();
    let outcome = world.outcome_after(&command(&toolbox, Delete)).await;
    assert!(failed(&outcome).contains("docker.sock"), "{outcome:?}");
    sim.clear(toolbox.id).unwrap();
    let mut entry = world.entry(&toolbox);
    let wrong = SecretString::from("wrong");
    entry.sealed_token = Some(world.key.seal(ToolboxId(toolbox.id), &wrong));
    world.toolboxes.put(&entry).await.unwrap();
    eventually("the wrong token at work", async || {
        let outcome = world.outcome_after(&command(&toolbox, Start)).await;
        let words = "the agent does not accept the toolbox's token";
        failed(&outcome).contains(words).then_some(())
    })
    .await;
    poller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_may_come_before_the_registry_knows_its_server() {
    let world = World::new().await;
    let sim = sim(some(1)).await;
    let toolbox = sim.toolbox(0);
    let poller = world.poller().await;
    let command = command(&toolbox, CommandAction::Stop);
    world.give(&command).await;
    eventually("a first try", async || {
        let backlog = world.bus.backlog(&COMMANDER).await.ok()?;
        (backlog.ack_pending == 1).then_some(())
    })
    .await;
    world.register(&toolbox).await;
    executed(&world.outcome_of(&command).await);
    poller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_comes_back_in_time_is_told_then() {
    let world = World::new().await;
    let sim = sim(some(1)).await;
    let toolbox = sim.toolbox(0);
    let poller = world.poller().await;
    world.register(&toolbox).await;
    sim.misbehave(toolbox.id, Misbehaviour::Refuse).unwrap();
    let command = command(&toolbox, CommandAction::Stop);
    world.give(&command).await;
    eventually("two tries", async || (told(&sim, toolbox.id) >= 2).then_some(())).await;
    assert_eq!(world.outcome(toolbox.id).await, None);
    assert_eq!(container(&sim, &toolbox).unwrap().state, DockerState::Running);
    sim.clear(toolbox.id).unwrap();
    executed(&world.outcome_of(&command).await);
    world.all_dealt_with().await;
    assert_eq!(world.outcomes().await, 1);
    assert_eq!(world.bus.stream_state(&DTMA_COMMANDS).await.unwrap().messages, 0);
    poller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_does_not_come_back_has_failed_before_the_deadline() {
    let world = World::new().await;
    let sim = sim(some(2)).await;
    let poller = world.poller().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let gone = sim.toolbox(0);
    let mut entry = world.entry(&gone);
    entry.base_url = Some(format!("http://{closed}"));
    world.toolboxes.put(&entry).await.unwrap();
    let hung = sim.toolbox(1);
    world.register(&hung).await;
    sim.misbehave(hung.id, Misbehaviour::Hang).unwrap();
    let soon = |toolbox| Command {
        deadline: now() + Duration::from_secs(6),
        ..command(toolbox, CommandAction::Start)
    };
    let given = [soon(&gone), soon(&hung)];
    for command in &given {
        world.give(command).await;
    }
    let words = [
        format!("the agent could not be reached: no connection to {closed}: connection refused"),
        "the agent could not be reached: the agent did not answer within".to_owned(),
    ];
    for (command, words) in given.iter().zip(words) {
        let outcome = world.outcome_of(command).await;
        assert!(failed(&outcome).starts_with(&words), "{outcome:?}");
        assert!(
            outcome.at < command.deadline,
            "{} after {}",
            outcome.at,
            command.deadline
        );
    }
    world.all_dealt_with().await;
    assert_eq!(world.outcomes().await, 2);
    poller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_late_foreign_or_senseless_reaches_no_agent() {
    let world = World::new().await;
    let sim = sim(some(2)).await;
    let [one, two] = [0, 1].map(|index| sim.toolbox(index));
    let poller = world.poller().await;
    world.register(&one).await;
    world.register(&two).await;
    let stop = |toolbox| command(toolbox, CommandAction::Stop);

    let late = Command {
        deadline: now() - Duration::from_secs(1),
        ..stop(&one)
    };
    world.give(&late).await;
    let other_id = Command {
        server_id: Some(two.instances[0].id),
        ..stop(&one)
    };
    let other_name = Command {
        name: Some(one.instances[1].name.clone()),
        ..stop(&one)
    };
    let all_of_another = Command {
        toolbox_id: one.id,
        ..stop(&two)
    };
    for foreign in [&other_id, &other_name, &all_of_another] {
        let outcome = world.outcome_after(foreign).await;
        assert!(
            failed(&outcome).contains("no such instance of that name"),
            "{outcome:?}"
        );
    }
    let unknown = Command {
        toolbox_id: Uuid::from_u128(5),
        ..stop(&one)
    };
    let outcome = world.outcome_after(&unknown).await;
    assert_eq!(failed(&outcome), "the toolbox is not registered");
    let mut nowhere = world.entry(&two);
    nowhere.base_url = None;
    world.toolboxes.put(&nowhere).await.unwrap();
    world.scheduled("an end of the other's schedule", &[one.id]).await;
    let outcome = world.outcome_after(&stop(&two)).await;
    assert_eq!(failed(&outcome), "the toolbox has no address yet");

    world.all_dealt_with().await;
    assert_eq!(world.outcomes().await, 5, "one of them for what was too late");
    assert_eq!((told(&sim, one.id), told(&sim, two.id)), (0, 0));

    let subject = subjects::command(ToolboxId(one.id));
    let body = |command: &Command| serde_json::to_string(command).unwrap();
    let no_server = Command {
        server_id: None,
        ..stop(&one)
    };
    for (body, words) in [
        ("{}".to_owned(), "body is not a mcp-status.command.v1"),
        (body(&stop(&two)), "the subject names another toolbox"),
        (body(&no_server), "field serverId: expected one for a stop"),
    ] {
        world.publish(&subject, &body).await;
        let dead = subjects::dead_letter(DTMA_COMMANDS.name);
        eventually(words, async || {
            let letter = world.bus.last(&DTMA_DLQ, &dead).await.ok()??;
            let reason = letter.header(wire::headers::DLQ_REASON)?;
            reason.contains(words).then_some(())
        })
        .await;
    }
    world.all_dealt_with().await;
    assert_eq!((told(&sim, one.id), told(&sim, two.id)), (0, 0));
    poller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_is_a_poll_and_nothing_else() {
    let world = World::new().await;
    let sim = sim(some(1)).await;
    let toolbox = sim.toolbox(0);
    let mut config = world.config();
    config.cadence.every_running = Duration::from_secs(3_600);
    let poller = Running::start(config).await;
    world.register(&toolbox).await;
    world
        .plan_that("a plan for much later", toolbox.id, |plan| {
            plan.every_seconds > 3_000
        })
        .await;
    let asked = now();
    let refresh = Command {
        server_id: None,
        name: None,
        ..command(&toolbox, CommandAction::Refresh)
    };
    world.give(&refresh).await;
    world
        .report_that("a fresh report", toolbox.id, |report| report.as_of > asked)
        .await;
    world.all_dealt_with().await;
    assert_eq!((world.outcomes().await, told(&sim, toolbox.id)), (0, 0));
    poller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_name_reaches_no_other_path_and_a_token_is_never_shown() {
    let world = World::new().await;
    let sim = sim(some(1)).await;
    let toolbox = sim.toolbox(0);
    let stub = Stub::start(|line| match line.split_once(' ') {
        Some(("GET", _)) => (404, String::new()),
        _ => (
            500,
            r#"{"message":"no such key: hush-hush","error":"it was hush-hush"}"#.to_owned(),
        ),
    })
    .await;
    let mut entry = world.entry(&toolbox);
    entry.base_url = Some(stub.url.clone());
    let token = SecretString::from("hush-hush");
    entry.sealed_token = Some(world.key.seal(ToolboxId(toolbox.id), &token));
    "../../x".clone_into(&mut entry.instances[0].name);
    "..".clone_into(&mut entry.instances[1].name);
    world.toolboxes.put(&entry).await.unwrap();
    let poller = world.poller().await;
    for (instance, action) in [
        (0, CommandAction::Start),
        (0, CommandAction::Delete),
        (1, CommandAction::Delete),
    ] {
        let instance = &entry.instances[instance];
        let command = Command {
            server_id: Some(instance.server_id),
            name: Some(instance.name.clone()),
            ..command(&toolbox, action)
        };
        let outcome = world.outcome_after(&command).await;
        let message = failed(&outcome);
        assert!(!message.contains("hush"), "{message}");
        let words = if instance.name == ".." {
            "no request can name"
        } else {
            "no such key: [redacted]"
        };
        assert!(message.contains(words), "{message}");
    }
    assert_eq!(
        stub.told(),
        ["POST /tools/..%2F..%2Fx/start", "DELETE /tools/..%2F..%2Fx"]
    );
    poller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_outlives_the_poller_that_had_it() {
    let world = World::new().await;
    let sim = sim(some(1)).await;
    let toolbox = sim.toolbox(0);
    let doomed = world.poller().await;
    world.register(&toolbox).await;
    let slow = Misbehaviour::Slow {
        delay: Duration::from_secs(3_600),
        stale: false,
    };
    sim.misbehave(toolbox.id, Order::from(slow).on(Scope::Commands).times(1))
        .unwrap();
    let command = command(&toolbox, CommandAction::Stop);
    world.give(&command).await;
    eventually("an agent that is told", async || {
        (told(&sim, toolbox.id) == 1).then_some(())
    })
    .await;
    let other = world.poller().await;
    doomed.kill().await;
    executed(&world.outcome_of(&command).await);
    eventually("the effect", async || {
        (container(&sim, &toolbox)?.state == DockerState::Exited).then_some(())
    })
    .await;
    world.all_dealt_with().await;
    assert_eq!((told(&sim, toolbox.id), world.outcomes().await), (2, 1));
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_finishes_the_command_under_way() {
    let world = World::new().await;
    let sim = sim(some(1)).await;
    let toolbox = sim.toolbox(0);
    let poller = world.poller().await;
    world.register(&toolbox).await;
    let slow = Misbehaviour::Slow {
        delay: Duration::from_secs(2),
        stale: false,
    };
    sim.misbehave(toolbox.id, Order::from(slow).on(Scope::Commands))
        .unwrap();
    let command = command(&toolbox, CommandAction::Stop);
    world.give(&command).await;
    eventually("an agent that is told", async || {
        (told(&sim, toolbox.id) == 1).then_some(())
    })
    .await;
    assert_eq!(world.outcome(toolbox.id).await, None);
    poller.stop().await;
    executed(&world.outcome(toolbox.id).await.unwrap());
    let left = world.bus.stream_state(&DTMA_COMMANDS).await.unwrap().messages;
    assert_eq!(left, 0, "the command was not acknowledged");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_command_is_under_way_its_toolbox_is_looked_at_often() {
    let world = World::new().await;
    let sim = sim(some(2)).await;
    let mut config = world.config();
    config.cadence.every_running = Duration::from_secs(3_600);
    config.cadence.every_stopped = Duration::from_secs(3_600);
    let poller = Running::start(config).await;
    let [watched, unwatched] = [0, 1].map(|index| world.entry(&sim.toolbox(index)));
    let mut unwatched = unwatched;
    for instance in &mut unwatched.instances {
        instance.monitored = false;
    }
    let commanded = |entry: &wire::ToolboxEntry| {
        let mut entry = entry.clone();
        entry.instances[0].commanded = true;
        entry
    };
    let far = |plan: &PollPlan| plan.every_seconds > 3_000;
    world.toolboxes.put(&watched).await.unwrap();
    world.toolboxes.put(&unwatched).await.unwrap();
    world
        .plan_that("a plan for much later", watched.toolbox_id, far)
        .await;
    world
        .scheduled("no schedule of the other", &[watched.toolbox_id])
        .await;

    world.toolboxes.put(&commanded(&watched)).await.unwrap();
    world.toolboxes.put(&commanded(&unwatched)).await.unwrap();
    for entry in [&watched, &unwatched] {
        let before = polls(&sim, entry.toolbox_id);
        eventually("one poll after another", async || {
            (polls(&sim, entry.toolbox_id) >= before + 3).then_some(())
        })
        .await;
    }
    world.toolboxes.put(&watched).await.unwrap();
    world.toolboxes.put(&unwatched).await.unwrap();
    world
        .plan_that("a plan for much later again", watched.toolbox_id, far)
        .await;
    world
        .scheduled("no schedule of the other again", &[watched.toolbox_id])
        .await;
    poller.stop().await;
}
