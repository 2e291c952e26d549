//! What a report means for the next look: the instances that somebody watches, or that a command is under way for.

use std::collections::HashMap;

use domain::{DtmaStatus, InstanceName, Interest, ServerId, dtma_status};
use wire::{RawContainer, RawOutcome};

use crate::registry::Instance;

/// Why the toolbox's instances are looked at, as far as that sets the cadence.
///
/// An item is an instance's by id where it has one, else by the first name that is any instance's, and the first
/// item counts: as [`domain::fold`] reads it. An instance that no item speaks of is gone when it was ever seen;
/// one that never was is being installed and looked for as often as one that runs. An agent that is alive and could
/// not speak of containers is looked at as one with an error. While a command is under way for an instance that alone
/// counts, watched or not and whatever is said of it.
pub(crate) fn interests(outcome: &RawOutcome, instances: &[Instance]) -> Vec<Interest> {
    let RawOutcome::Containers { containers, .. } = outcome else {
        let commanded = instances.iter().filter(|instance| instance.commanded);
        return std::iter::once(Interest::Watched(DtmaStatus::Error))
            .chain(commanded.map(|_| Interest::Commanded))
            .collect();
    };
    let spoken_of = items(containers, instances);
    let watched = instances.iter().filter(|instance| instance.is_watched());
    watched
        .map(|instance| match spoken_of.get(&instance.id) {
            _ if instance.commanded => Interest::Commanded,
            Some(item) => Interest::Watched(dtma_status(&item.word).0),
            None if instance.seen => Interest::Watched(DtmaStatus::Exited),
            None => Interest::Watched(DtmaStatus::Running),
        })
        .collect()
}

/// What is said of each instance, by the rule above. Items of nobody here are left out.
pub(crate) fn items<'a>(
    containers: &'a [RawContainer],
    instances: &[Instance],
) -> HashMap<ServerId, &'a RawContainer> {
    let by_name: HashMap<&InstanceName, ServerId> = instances
        .iter()
        .filter_map(|instance| Some((instance.name.as_ref()?, instance.id)))
        .collect();
    let mut items = HashMap::new();
    for container in containers {
        let id = match container.server_id {
            Some(id) => Some(ServerId(id)),
            None => container
                .names
                .iter()
                .filter_map(|name| InstanceName::new(name))
                .find_map(|name| by_name.get(&name).copied()),
        };
        if let Some(id) = id {
            items.entry(id).or_insert(container);
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use domain::{CadencePolicy, plan_after_heartbeat};
    use uuid::Uuid;
    use wire::RawCoverage;

    use super::*;

    fn instance(id: u128, name: &str, seen: bool) -> Instance {
        Instance {
            id: ServerId(Uuid::from_u128(id)),
            name: InstanceName::new(name),
            monitored: true,
            seen,
            commanded: false,
        }
    }

    fn item(id: Option<u128>, names: &[&str], word: &str) -> RawContainer {
        RawContainer {
            server_id: id.map(Uuid::from_u128),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            word: word.to_owned(),
            ..RawContainer::default()
        }
    }

    fn interests_in(containers: Vec<RawContainer>, instances: &[Instance]) -> Vec<Interest> {
        interests(
            &RawOutcome::Containers {
                coverage: RawCoverage::Whole,
                containers,
            },
            instances,
        )
    }

    #[test]
    fn items_find_their_instances() {
        use DtmaStatus::{Error, Exited, Running, Starting};
        let one = [instance(1, "mcp-a", true)];
        let table: [(Vec<RawContainer>, DtmaStatus); 9] = [
            (vec![item(Some(1), &[], "running")], Running),
            (vec![item(None, &["/mcp-a"], "created")], Starting),
            (vec![item(None, &["other", "mcp-a"], "dead")], Error),
            (
                vec![item(None, &["mcp-a"], "dead"), item(None, &["mcp-a"], "running")],
                Error,
            ),
            // With an id the names do not count.
            (vec![item(Some(7), &["mcp-a"], "running")], Exited),
            (
                vec![
                    item(Some(7), &["mcp-a"], "dead"),
                    item(None, &["mcp-a"], "running"),
                ],
                Running,
            ),
            (vec![item(None, &["mcp-b", "\u{0}"], "running")], Exited),
            (vec![item(None, &[], "running")], Exited),
            (vec![], Exited),
        ];
        for (containers, expected) in table {
            assert_eq!(
                interests_in(containers.clone(), &one),
                [Interest::Watched(expected)],
                "{containers:?}"
            );
        }
    }

    #[test]
    fn one_that_was_never_seen_is_looked_for_and_one_that_nobody_watches_is_not() {
        assert_eq!(
            interests_in(vec![], &[instance(1, "mcp-a", false)]),
            [Interest::Watched(DtmaStatus::Running)]
        );
        let unwatched = Instance {
            monitored: false,
            ..instance(1, "mcp-a", true)
        };
        assert_eq!(
            interests_in(vec![item(Some(1), &[], "starting")], &[unwatched]),
            []
        );
    }

    #[test]
    fn one_that_a_command_is_under_way_for_is_looked_at_for_that_watched_or_not() {
        for monitored in [true, false] {
            let commanded = Instance {
                monitored,
                commanded: true,
                ..instance(1, "mcp-a", true)
            };
            for said in [vec![item(Some(1), &[], "running")], vec![]] {
                let interests = interests_in(said, std::slice::from_ref(&commanded));
                assert_eq!(interests, [Interest::Commanded]);
                // One that pushes is polled all the same meanwhile.
                let policy = CadencePolicy::default();
                assert_eq!(
                    plan_after_heartbeat(&policy, interests, None).every,
                    policy.commanded
                );
            }
            let alive = RawOutcome::Alive { problem: None };
            assert!(interests(&alive, &[commanded]).contains(&Interest::Commanded));
        }
    }

    #[test]
    fn an_agent_without_docker_is_looked_at_as_an_error() {
        assert_eq!(
            interests(&RawOutcome::Alive { problem: None }, &[]),
            [Interest::Watched(DtmaStatus::Error)]
        );
    }
}
