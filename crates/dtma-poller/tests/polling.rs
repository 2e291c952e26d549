//! The whole loop against a real NATS server: schedule, due, poll, report, next plan, and what may break it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::time::Duration;

use domain::ToolboxId;
use dtma_sim::{DialectMix, Misbehaviour, SimConfig};
use support::{Running, World, begin, eventually, failures, polls, sim, words};
use uuid::Uuid;
use wire::streams::{DTMA_DLQ, POLLER};
use wire::{InstanceEntry, PollPlan, RawCoverage, RawOutcome, RawSource, subjects};

fn some(toolboxes: usize) -> SimConfig {
    SimConfig {
        toolboxes,
        dialect: DialectMix::B,
        ..SimConfig::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_toolbox_is_polled_reported_and_polled_again_as_its_state_asks() {
    let world = World::new().await;
    let sim = sim(some(1)).await;
    let toolbox = sim.toolbox(0);
    let mut config = world.config();
    config.cadence.every_running = Duration::from_secs(100);
    let poller = Running::start(config).await;
    world.register(&toolbox).await;

    let report = world.report_that("a report", toolbox.id, |_| true).await;
    assert_eq!((report.source, report.toolbox_id), (RawSource::Poll, toolbox.id));
    assert_eq!(report.agent_version.as_deref(), Some("1.0.0"));
    assert!(report.agent_time.is_some());
    let RawOutcome::Containers { coverage, .. } = &report.outcome else {
        panic!("{report:?}")
    };
    assert_eq!(*coverage, RawCoverage::Whole);
    let told = words(&report);
    for instance in &toolbox.instances {
        let id = instance.id.to_string();
        assert!(
            told.contains(&(id, "running".to_owned())),
            "{} in {told:?}",
            instance.name
        );
    }
    assert!(
        told.len() > toolbox.instances.len(),
        "the agent's own container is passed on too"
    );

    // The first plan, of seconds, has given way to the cadence of what runs, and knows the agent's route.
    let plan = world
        .plan_that("the cadence of what runs", toolbox.id, |plan| {
            plan.every_seconds > 80
        })
        .await;
    assert_eq!((plan.failures, plan.dialect.as_deref()), (0, Some("tools")));
    assert_eq!(report.next_within_seconds, Some(plan.every_seconds));

    // Something starts; a refresh sees it, and the next poll comes soon by itself.
    sim.crash_container(toolbox.id, &toolbox.instances[0].name, 1, false)
        .unwrap();
    world
        .bus
        .schedules()
        .fire_now(ToolboxId(toolbox.id))
        .await
        .unwrap();
    let crashed = (toolbox.instances[0].id.to_string(), "exited".to_owned());
    world
        .report_that("the crash", toolbox.id, |report| words(report).contains(&crashed))
        .await;
    poller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn polls_repeat_by_themselves_and_rest_when_nothing_changes() {
    let world = World::new().await;
    let sim = sim(SimConfig {
        dialect: DialectMix::A,
        ..some(1)
    })
    .await;
    let toolbox = sim.toolbox(0);
    let poller = world.poller().await;
    world.register(&toolbox).await;
    eventually("three polls", async || {
        (polls(&sim, toolbox.id) >= 3).then_some(())
    })
    .await;
    // The plan did not change, so its schedule was not written again.
    let subject = subjects::schedule(ToolboxId(toolbox.id));
    let written = |world: &World| {
        let bus = world.bus.clone();
        let subject = subject.clone();
        async move {
            bus.last(&wire::streams::POLLS, &subject)
                .await
                .unwrap()
                .unwrap()
                .sequence
        }
    };
    let before = (written(&world).await, polls(&sim, toolbox.id));
    eventually("two more", async || {
        (polls(&sim, toolbox.id) >= before.1 + 2).then_some(())
    })
    .await;
    assert_eq!(written(&world).await, before.0);
    // Which route the agent serves was found out once, and rode in the schedule ever since.
    assert_eq!(
        sim.toolbox_stats(toolbox.id).unwrap().requests["GET /tools/status"],
        1
    );
    poller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_back_off_and_a_good_answer_ends_them() {
    let world = World::new().await;
    let sim = sim(some(1)).await;
    let toolbox = sim.toolbox(0);
    sim.misbehave(toolbox.id, Misbehaviour::Status { code: 503 })
        .unwrap();
    let poller = world.poller().await;
    world.register(&toolbox).await;
    let report = world
        .report_that("three failures in a row", toolbox.id, |report| {
            failures(report).is_some_and(|(in_a_row, code)| in_a_row >= 3 && code == "agent_bad_answer")
        })
        .await;
    let plan = world
        .plan_that("a plan that counts them", toolbox.id, |plan| plan.failures >= 3)
        .await;
    // The limit is 2 s, less up to a quarter.
    assert_eq!(plan.every_seconds, 2);
    assert_eq!(report.next_within_seconds, Some(2));

    sim.clear(toolbox.id).unwrap();
    world
        .report_that("a good answer", toolbox.id, |report| failures(report).is_none())
        .await;
    let plan = world
        .plan_that("a plan without failures", toolbox.id, |plan| plan.failures == 0)
        .await;
    assert_eq!(plan.every_seconds, 1);
    poller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_follow_the_registry() {
    let world = World::new().await;
    let sim = sim(some(3)).await;
    let [one, two, three] = [0, 1, 2].map(|index| sim.toolbox(index));
    // A schedule of a toolbox that went while no poller ran.
    let plan = PollPlan {
        every_seconds: 3_600,
        failures: 0,
        dead_man: false,
        dialect: None,
    };
    world
        .bus
        .schedules()
        .create_if_absent(ToolboxId(Uuid::from_u128(5)), &plan)
        .await
        .unwrap();
    world.register(&one).await;
    let poller = world.poller().await;
    world.scheduled("what is known at the start", &[one.id]).await;
    world.register(&two).await;
    world.register(&three).await;
    world.scheduled("what is new", &[one.id, two.id, three.id]).await;

    world.toolboxes.delete(one.id).await.unwrap();
    world
        .scheduled("a deleted toolbox's end", &[two.id, three.id])
        .await;

    let mut entry = world.entry(&two);
    entry.base_url = None;
    world.toolboxes.put(&entry).await.unwrap();
    world.scheduled("an end without an address", &[three.id]).await;

    let mut entry = world.entry(&three);
    entry
        .instances
        .iter_mut()
        .for_each(|instance| instance.monitored = false);
    world.toolboxes.put(&entry).await.unwrap();
    world.scheduled("an end when nobody watches", &[]).await;

    entry.instances[0].monitored = true;
    world.toolboxes.put(&entry).await.unwrap();
    world
        .scheduled("a beginning when somebody does", &[three.id])
        .await;
    poller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_a_toolbox_are_looked_at_soon() {
    let world = World::new().await;
    let sim = sim(some(2)).await;
    let [one, two] = [0, 1].map(|index| sim.toolbox(index));
    let mut config = world.config();
    config.cadence.every_running = Duration::from_secs(3_600);
    config.cadence.every_stopped = Duration::from_secs(3_600);
    let poller = Running::start(config).await;
    let mut entry = world.entry(&one);
    let added = entry.instances.pop().unwrap();
    world.toolboxes.put(&entry).await.unwrap();
    let far = |plan: &PollPlan| plan.every_seconds > 3_000;
    world.plan_that("a plan for much later", one.id, far).await;
    let first = polls(&sim, one.id);

    entry.instances.push(InstanceEntry { seen: false, ..added });
    world.toolboxes.put(&entry).await.unwrap();
    eventually("a look at the new instance", async || {
        (polls(&sim, one.id) > first).then_some(())
    })
    .await;
    world.plan_that("a plan for much later again", one.id, far).await;

    // The same toolbox, reached elsewhere with another token: another agent answers.
    let elsewhere = world.entry(&two);
    entry.base_url = elsewhere.base_url;
    let token = secrecy::SecretString::from(two.token.clone());
    entry.sealed_token = Some(world.key.seal(ToolboxId(one.id), &token));
    world.toolboxes.put(&entry).await.unwrap();
    eventually("a look at the new address", async || {
        (polls(&sim, two.id) >= 1).then_some(())
    })
    .await;
    let report = world
        .report_that("a report of what is there", one.id, |report| {
            report.toolbox_id == one.id
                && words(report)
                    .iter()
                    .any(|(id, _)| *id == two.instances[0].id.to_string())
        })
        .await;
    assert!(failures(&report).is_none());
    assert!(
        !sim.toolbox_stats(two.id).unwrap().answers.contains_key(&403),
        "the old token went to the new address"
    );
    poller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refreshes_at_once_are_one_poll_and_one_more() {
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
    eventually("the first poll's end", async || {
        (world.bus.backlog(&POLLER).await.ok()?.ack_pending == 0).then_some(())
    })
    .await;
    let before = polls(&sim, toolbox.id);

    sim.misbehave(
        toolbox.id,
        Misbehaviour::Slow {
            delay: Duration::from_secs(2),
            stale: false,
        },
    )
    .unwrap();
    world
        .bus
        .schedules()
        .fire_now(ToolboxId(toolbox.id))
        .await
        .unwrap();
    eventually("a poll under way", async || {
        (sim.toolbox_stats(toolbox.id).unwrap().polls_in_flight == 1).then_some(())
    })
    .await;
    let schedules = world.bus.schedules();
    let all = (0..20).map(|_| schedules.fire_now(ToolboxId(toolbox.id)));
    futures_util::future::try_join_all(all).await.unwrap();
    let done = async |count: u64| {
        eventually("the polls' end", async || {
            let idle = sim.toolbox_stats(toolbox.id).unwrap().polls_in_flight == 0;
            (idle && polls(&sim, toolbox.id) >= count).then_some(())
        })
        .await;
    };
    done(before + 2).await;
    // Due polls come in order: when one that was asked for afterwards is done, all before it are.
    sim.clear(toolbox.id).unwrap();
    world
        .bus
        .schedules()
        .fire_now(ToolboxId(toolbox.id))
        .await
        .unwrap();
    done(before + 3).await;
    assert_eq!(polls(&sim, toolbox.id), before + 3);
    assert_eq!(sim.toolbox_stats(toolbox.id).unwrap().max_concurrent_polls, 1);
    poller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn due_polls_that_make_no_sense_are_survived() {
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
    let before = polls(&sim, toolbox.id);

    // A plan that is none asks for a poll all the same.
    world
        .publish(
            &subjects::due(ToolboxId(toolbox.id)),
            "{\"everySeconds\":\"soon\"}",
        )
        .await;
    eventually("a poll", async || {
        (polls(&sim, toolbox.id) > before).then_some(())
    })
    .await;

    // A toolbox that nobody knows: the schedule it must have is ended.
    let unknown = ToolboxId(Uuid::from_u128(5));
    let plan = PollPlan {
        every_seconds: 1,
        failures: 0,
        dead_man: false,
        dialect: None,
    };
    world
        .bus
        .schedules()
        .create_if_absent(unknown, &plan)
        .await
        .unwrap();
    world
        .scheduled("the end of an unknown toolbox's schedule", &[toolbox.id])
        .await;
    assert_eq!(world.report(unknown.0).await, None);

    // A subject without a toolbox is nothing to poll, and is kept for people to see.
    world.publish("poll.due.nonsense", "").await;
    let dead = subjects::dead_letter(wire::streams::POLLS.name);
    let letter = eventually("a dead letter", async || {
        world.bus.last(&DTMA_DLQ, &dead).await.unwrap()
    })
    .await;
    assert_eq!(
        letter.header(wire::headers::DLQ_REASON),
        Some("the subject names no toolbox")
    );
    poller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_registry_entry_is_told_as_a_failure_of_its_toolbox() {
    let world = World::new().await;
    let sim = sim(some(2)).await;
    let poller = world.poller().await;
    let mut address = world.entry(&sim.toolbox(0));
    address.base_url = Some("http://user:hush@127.0.0.1/".to_owned());
    world.toolboxes.put(&address).await.unwrap();
    let mut token = world.entry(&sim.toolbox(1));
    token.sealed_token = address.sealed_token.clone();
    world.toolboxes.put(&token).await.unwrap();

    for (toolbox, code, words) in [
        (
            address.toolbox_id,
            "agent_unreachable",
            "the toolbox's address holds a user name",
        ),
        (
            token.toolbox_id,
            "agent_rejected_token",
            "our sealing key does not open the toolbox's token",
        ),
    ] {
        let report = world
            .report_that("a failure", toolbox, |report| failures(report).is_some())
            .await;
        let RawOutcome::Failed { reason, .. } = report.outcome else {
            unreachable!("just looked")
        };
        assert_eq!(reason.code, code);
        assert!(
            reason.message.contains(words) && !reason.message.contains("hush"),
            "{}",
            reason.message
        );
    }
    poller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_longer_than_the_bus_takes_is_a_failure_and_not_a_loop() {
    let world = World::new().await;
    let sim = sim(SimConfig {
        containers_per_toolbox: 20,
        ..some(1)
    })
    .await;
    let toolbox = sim.toolbox(0);
    let mut config = world.config();
    config.polling.report_limit = 1_024;
    let poller = Running::start(config).await;
    world.register(&toolbox).await;
    let report = world
        .report_that("a failure", toolbox.id, |report| failures(report).is_some())
        .await;
    let RawOutcome::Failed { reason, .. } = &report.outcome else {
        unreachable!("just looked")
    };
    assert_eq!(reason.code, "agent_bad_answer");
    assert!(reason.message.contains("1024 bytes"), "{}", reason.message);
    poller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_streams_come_back_with_their_schedules() {
    let world = World::new().await;
    let sim = sim(some(2)).await;
    let [one, two] = [0, 1].map(|index| sim.toolbox(index));
    let poller = world.poller().await;
    world.register(&one).await;
    world.register(&two).await;
    world.scheduled("both", &[one.id, two.id]).await;
    for stream in ["POLLS", "DTMA_RAW"] {
        eventually("polls", async || {
            (polls(&sim, one.id) >= 1 && polls(&sim, two.id) >= 1).then_some(())
        })
        .await;
        world.delete_stream(stream).await;
        world.scheduled("both again", &[one.id, two.id]).await;
        let before = [one.id, two.id].map(|toolbox| polls(&sim, toolbox));
        eventually("more polls", async || {
            (polls(&sim, one.id) > before[0] && polls(&sim, two.id) > before[1]).then_some(())
        })
        .await;
        world.report_that("reports", one.id, |_| true).await;
        world.report_that("reports", two.id, |_| true).await;
    }
    poller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_schedule_is_made_again() {
    let world = World::new().await;
    let sim = sim(some(1)).await;
    let toolbox = sim.toolbox(0);
    let mut config = world.config();
    config.upkeep.reconcile_every = Duration::from_millis(200);
    let poller = Running::start(config).await;
    world.register(&toolbox).await;
    world.scheduled("its schedule", &[toolbox.id]).await;
    world.bus.schedules().purge(ToolboxId(toolbox.id)).await.unwrap();
    world.scheduled("its schedule again", &[toolbox.id]).await;
    poller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn polls_go_on_after_the_server_was_killed() {
    let mut world = World::new().await;
    let sim = sim(some(1)).await;
    let toolbox = sim.toolbox(0);
    let poller = world.poller().await;
    world.register(&toolbox).await;
    eventually("polls", async || (polls(&sim, toolbox.id) >= 2).then_some(())).await;
    world.nats.kill().await.unwrap();
    let http = reqwest::Client::new();
    eventually("a poller that is not ready", async || {
        let answer = http.get(format!("{}/readyz", poller.url)).send().await.ok()?;
        (answer.status() == 503).then_some(())
    })
    .await;
    world.nats.restart().await.unwrap();
    let before = polls(&sim, toolbox.id);
    eventually("more polls", async || {
        (polls(&sim, toolbox.id) >= before + 2).then_some(())
    })
    .await;
    eventually("a poller that is ready", async || {
        let answer = http.get(format!("{}/readyz", poller.url)).send().await.ok()?;
        (answer.status() == 200).then_some(())
    })
    .await;
    poller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poller_waits_for_its_server_and_says_so() {
    let mut world = World::new().await;
    let mut config = world.config();
    world.nats.stop().await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    config.http.listen = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("http://{}", config.http.listen);
    let (shutdown, mut host, task) = begin(config);
    let http = reqwest::Client::new();
    let answer = eventually("an answer", async || {
        http.get(format!("{url}/readyz")).send().await.ok()
    })
    .await;
    assert_eq!(answer.status(), 503);
    let detail = answer.text().await.unwrap();
    assert!(detail.contains("nats: not checked yet"), "{detail}");
    let beat = http
        .post(format!("{url}/heartbeat"))
        .bearer_auth("t")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (
            beat.status().as_u16(),
            beat.headers().get("retry-after").is_some()
        ),
        (503, true)
    );
    assert_eq!(
        http.get(format!("{url}/livez")).send().await.unwrap().status(),
        200
    );
    assert!(host.borrow().is_none());

    world.nats.restart().await.unwrap();
    tokio::time::timeout(Duration::from_secs(30), host.wait_for(Option::is_some))
        .await
        .unwrap()
        .unwrap();
    shutdown.cancel();
    task.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_finishes_the_poll_under_way() {
    let world = World::new().await;
    let sim = sim(some(1)).await;
    let toolbox = sim.toolbox(0);
    sim.misbehave(
        toolbox.id,
        Misbehaviour::Slow {
            delay: Duration::from_secs(2),
            stale: false,
        },
    )
    .unwrap();
    let poller = world.poller().await;
    world.register(&toolbox).await;
    eventually("a poll under way", async || {
        (sim.toolbox_stats(toolbox.id).unwrap().polls_in_flight == 1).then_some(())
    })
    .await;
    assert_eq!(world.report(toolbox.id).await, None);
    poller.stop().await;
    assert!(
        world.report(toolbox.id).await.is_some(),
        "the report of the poll under way is not there"
    );
    let backlog = world.bus.backlog(&POLLER).await.unwrap();
    assert_eq!(backlog.ack_pending, 0, "its due message was not acknowledged");
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_the_work_and_take_over() {
    let world = World::new().await;
    let sim = sim(some(10)).await;
    let fleet = sim.fleet();
    let (one, two) = tokio::join!(world.poller(), world.poller());
    for toolbox in &fleet {
        world.register(toolbox).await;
    }
    let all_polled = async |times: u64| {
        let before: Vec<u64> = fleet.iter().map(|toolbox| polls(&sim, toolbox.id)).collect();
        eventually("polls of all", async || {
            fleet
                .iter()
                .zip(&before)
                .all(|(toolbox, before)| polls(&sim, toolbox.id) >= before + times)
                .then_some(())
        })
        .await;
    };
    all_polled(3).await;
    one.stop().await;
    all_polled(3).await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_work_is_refused_at_the_start() {
    let world = World::new().await;
    let mut config = world.config();
    config.sealing_key = secrecy::SecretString::from("hush");
    let (_, _, task) = begin(config);
    let error = format!("{:#}", task.await.unwrap().unwrap_err());
    assert!(
        error.starts_with("failed to read --sealing-key") && !error.contains("hush"),
        "{error}"
    );
    let mut config = world.config();
    config.cadence.every_running = Duration::from_millis(1);
    let (_, _, task) = begin(config);
    assert!(
        task.await
            .unwrap()
            .unwrap_err()
            .to_string()
            .starts_with("--every-running")
    );
}
