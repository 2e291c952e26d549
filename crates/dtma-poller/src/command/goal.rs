//! Whether what an agent says of its containers shows that a command has what it wanted, whoever brought it about.

use domain::ServerId;
use wire::{RawCoverage, RawOutcome};

use crate::client::Verb;
use crate::observed;
use crate::registry::Instance;

/// What a command wants of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    Running,
    /// Not running, and well: one that is dead or in error has not been stopped by anybody.
    Stopped,
    Gone,
}

impl Goal {
    pub(super) fn of(verb: Verb) -> Self {
        match verb {
            Verb::Start => Self::Running,
            Verb::Stop => Self::Stopped,
            Verb::Delete => Self::Gone,
        }
    }

    /// Whether it is met; `None` when nothing is said of the instance. What a whole list leaves out is gone, and does
    /// not run either.
    pub(super) fn shown(
        self,
        outcome: &RawOutcome,
        instances: &[Instance],
        server: ServerId,
    ) -> Option<bool> {
        let RawOutcome::Containers { coverage, containers } = outcome else {
            return None;
        };
        let items = observed::items(containers, instances);
        let Some(item) = items.get(&server) else {
            return (*coverage == RawCoverage::Whole).then_some(self != Self::Running);
        };
        // By the words themselves: a container that was created and never started is starting to who watches it, and
        // paused ones hold their memory and ports, as nothing stopped does.
        let met: &[&str] = match self {
            Self::Running => &["running"],
            Self::Stopped => &["exited", "stopped", "created", "not_found"],
            Self::Gone => &["not_found"],
        };
        let word = item.word.trim();
        Some(met.iter().any(|met| word.eq_ignore_ascii_case(met)))
    }
}

#[cfg(test)]
mod tests {
    use domain::InstanceName;
    use uuid::Uuid;
    use wire::RawContainer;

    use super::*;

    const SERVER: ServerId = ServerId(Uuid::from_u128(1));

    fn shown(goal: Goal, coverage: RawCoverage, word: Option<&str>) -> Option<bool> {
        let instances = [Instance {
            id: SERVER,
            name: InstanceName::new("mcp-a"),
            monitored: true,
            seen: true,
            commanded: true,
        }];
        let item = |name: &str, word: &str| RawContainer {
            names: vec![name.to_owned()],
            word: word.to_owned(),
            ..RawContainer::default()
        };
        // Another container, in the state that every goal would take for its own in turn.
        let mut containers = vec![item("mcp-b", "running"), item("mcp-c", "exited")];
        containers.extend(word.map(|word| item("/mcp-a", word)));
        goal.shown(
            &RawOutcome::Containers { coverage, containers },
            &instances,
            SERVER,
        )
    }

    #[test]
    fn words_meet_goals() {
        use Goal::{Gone, Running, Stopped};
        use RawCoverage::{Partial, Whole};
        let table = [
            (Some("Running"), [true, false, false]),
            (Some("exited"), [false, true, false]),
            (Some(" stopped "), [false, true, false]),
            (Some("created"), [false, true, false]),
            (Some("not_found"), [false, true, true]),
            (Some("paused"), [false; 3]),
            (Some("dead"), [false; 3]),
            (Some("restarting"), [false; 3]),
            (Some("removing"), [false; 3]),
            (Some("error_inspecting"), [false; 3]),
            (Some("hibernating"), [false; 3]),
            (None, [false, true, true]),
        ];
        for (word, met) in table {
            for (goal, met) in [Running, Stopped, Gone].into_iter().zip(met) {
                assert_eq!(shown(goal, Whole, word), Some(met), "{goal:?} {word:?}");
                let partial = word.map(|_| met);
                assert_eq!(shown(goal, Partial, word), partial, "{goal:?} {word:?}");
            }
        }
    }

    #[test]
    fn an_agent_that_cannot_ask_docker_shows_nothing() {
        let alive = RawOutcome::Alive { problem: None };
        for goal in [Goal::Running, Goal::Stopped, Goal::Gone] {
            assert_eq!(goal.shown(&alive, &[], SERVER), None);
        }
    }
}
