//! What actions make of lives, and how their bodies are read.

use super::*;
use crate::container::DockerState;
use crate::container::tests::{at, container};

fn parse(name: &str, body: &str) -> Result<ContainerAction, BadField> {
    ContainerAction::parse(name, Fields::parse(body.as_bytes()).unwrap()).unwrap()
}

fn running() -> Container {
    container(Life::Running { since: at(-60) })
}

fn after(action: &ContainerAction, mut target: Container, now: i64) -> Result<Container, String> {
    action.apply(&mut target, at(now)).map(|()| target)
}

#[test]
fn bodies_are_read_with_their_defaults() {
    assert_eq!(
        parse("crash", "").unwrap(),
        ContainerAction::Crash {
            exit_code: 1,
            oom: false
        }
    );
    assert_eq!(
        parse("crash", r#"{"oom":true}"#).unwrap(),
        ContainerAction::Crash {
            exit_code: 137,
            oom: true
        }
    );
    assert_eq!(
        parse("stop", r#"{"exit_code":143,"delay_ms":50}"#).unwrap(),
        ContainerAction::Stop {
            exit_code: 143,
            delay: Duration::from_millis(50)
        }
    );
    assert_eq!(
        parse("health", r#"{"status":"none"}"#).unwrap(),
        ContainerAction::Health { status: None }
    );
}

#[test]
fn bad_bodies_name_their_field() {
    let table = [
        ("crash", r#"{"exit_code":256}"#, "exit_code"),
        ("crash", r#"{"oom":"yes"}"#, "oom"),
        ("crash-loop", r#"{"up_ms":0,"down_ms":0}"#, "up_ms"),
        ("start", r#"{"delay_ms":-1}"#, "delay_ms"),
        ("rename", "{}", "to"),
        ("rename", r#"{"to":"no spaces"}"#, "to"),
        ("health", r#"{"status":"fine"}"#, "status"),
        ("pause", r#"{"now":true}"#, "now"),
    ];
    for (name, body, field) in table {
        assert_eq!(parse(name, body).unwrap_err().field, field, "{name} {body}");
    }
    assert!(ContainerAction::parse("explode", Fields::parse(b"").unwrap()).is_none());
}

#[test]
fn every_name_is_an_action() {
    for name in ContainerAction::NAMES {
        assert!(
            ContainerAction::parse(name, Fields::parse(b"").unwrap()).is_some(),
            "{name}"
        );
    }
}

#[test]
fn ends_keep_the_start_and_the_code() {
    let crash = ContainerAction::Crash {
        exit_code: 137,
        oom: true,
    };
    let seen = after(&crash, running(), 0).unwrap().observe(at(5));
    assert_eq!(
        (seen.state, seen.exit_code, seen.oom_killed),
        (DockerState::Exited, 137, true)
    );
    assert_eq!((seen.started, seen.finished), (Some(at(-60)), Some(at(0))));
}

#[test]
fn a_crash_loop_shows_its_crash_at_once_and_a_start_ends_it() {
    let looping = parse("crash-loop", r#"{"exit_code":2,"up_ms":20000,"down_ms":10000}"#).unwrap();
    let target = after(&looping, running(), 0).unwrap();
    let seen = target.observe(at(0));
    assert_eq!(
        (seen.state, seen.exit_code, seen.finished),
        (DockerState::Restarting, 2, Some(at(0)))
    );
    assert_eq!(target.observe(at(11)).state, DockerState::Running);
    let healed = after(
        &ContainerAction::Start {
            delay: Duration::ZERO,
        },
        target,
        5,
    )
    .unwrap();
    assert_eq!(healed.life, Life::Running { since: at(5) });
}

#[test]
fn what_docker_refuses_is_refused() {
    let start = ContainerAction::Start {
        delay: Duration::ZERO,
    };
    let paused = container(Life::Paused { since: at(-60) });
    assert!(
        after(&start, paused.clone(), 0)
            .unwrap_err()
            .contains("`mcp-github` is paused")
    );
    assert!(after(&ContainerAction::Pause, paused.clone(), 0).is_err());
    assert!(after(&ContainerAction::Unpause, running(), 0).is_err());
    let dead = after(&ContainerAction::Dead { exit_code: 1 }, running(), 0).unwrap();
    assert!(after(&start, dead, 0).is_err());
    let created = container(Life::Created);
    assert!(
        after(
            &ContainerAction::Crash {
                exit_code: 1,
                oom: false
            },
            created,
            0
        )
        .is_err()
    );
    let thawed = after(&ContainerAction::Unpause, paused, 0).unwrap();
    assert_eq!(thawed.life, Life::Running { since: at(-60) });
}

#[test]
fn doing_it_twice_changes_nothing() {
    let stop = ContainerAction::Stop {
        exit_code: 0,
        delay: Duration::ZERO,
    };
    let once = after(&stop, running(), 0).unwrap();
    let twice = after(&stop, once.clone(), 10).unwrap();
    assert_eq!(once.life, twice.life);
    let start = ContainerAction::Start {
        delay: Duration::ZERO,
    };
    assert_eq!(after(&start, running(), 0).unwrap().life, running().life);
}

#[test]
fn names_are_docker_s() {
    for good in ["ab", "mcp-github", "a.b_c-1"] {
        assert!(valid_name(good), "{good}");
    }
    for bad in ["", "a", "-ab", "a b", "a/b", "ä1"] {
        assert!(!valid_name(bad), "{bad}");
    }
}
