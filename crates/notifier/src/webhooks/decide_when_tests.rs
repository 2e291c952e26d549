//! What came before, and when it is told.

use uuid::Uuid;
use wire::{CommandAction, CommandUnderWay};

use super::tests::{at, status, was};
use super::*;

#[test]
fn the_past_is_the_last_state_that_stood() {
    let mut past = Past::default();
    let mut starting = status("starting", "unknown", None);
    assert!(look_back(&mut past, &starting));
    assert_eq!(past, Past::default());
    starting.command = Some(CommandUnderWay {
        command_id: Uuid::nil(),
        action: CommandAction::Start,
        requested_at: at(0),
        deadline: at(1),
    });
    assert!(look_back(&mut past, &starting));
    assert!(!look_back(&mut past, &status("error", "unhealthy", None)));
    assert_eq!(
        past,
        Past {
            settled: was("error", "unhealthy"),
            commanded: true
        }
    );
}

#[test]
fn when_it_is_told() {
    let waiting = |told, seconds| {
        Some(Waiting {
            told,
            at: at(seconds),
        })
    };
    let look = |told, seconds| Step::Look {
        told,
        at: at(seconds),
    };
    let (up, down) = (was("running", "healthy"), was("error", "unhealthy"));
    for (after_seconds, waiting, expected) in [
        (0, None, Step::Tell),
        (30, None, look(up.clone(), 30)),
        // What was told last stays what was told last, and the new state has to hold anew.
        (30, waiting(down.clone(), 10), look(down.clone(), 30)),
        // It is too early for another message.
        (30, waiting(down.clone(), 100), look(down.clone(), 100)),
        (0, waiting(down, 100), Step::Seen),
    ] {
        let options = WebhookOptions {
            after_seconds,
            ..WebhookOptions::default()
        };
        assert_eq!(step(&options, up.as_ref(), waiting.as_ref(), at(0)), expected);
    }
    let mut options = WebhookOptions::default();
    assert_eq!(quiet_until(&options, at(0)), None);
    options.at_most_every_seconds = 60;
    assert_eq!(quiet_until(&options, at(0)), Some(at(60)));
}
