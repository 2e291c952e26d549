//! Things that happen to containers by themselves: a random course of events that the seed decides.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rand::Rng as _;
use rand::rngs::StdRng;

use crate::action::ContainerAction;
use crate::clock::shift;
use crate::container::{DockerState, Health};
use crate::fleet::Fleet;
use crate::seed::{Lane, Seed};
use crate::sim::Shared;

/// How long a container takes to come back after chaos let it be started.
const RECOVERY: Duration = Duration::from_secs(3);

/// The events to come: when the next one is due, and the generator that chooses it.
#[derive(Debug)]
pub(crate) struct Chaos {
    rng: StdRng,
    per_minute: f64,
    next: Timestamp,
}

impl Chaos {
    /// A course of so many events a minute on average, from `start` on; none for a rate of 0.
    pub(crate) fn new(seed: Seed, per_minute: f64, start: Timestamp) -> Option<Self> {
        (per_minute > 0.0).then(|| {
            let mut chaos = Self {
                rng: seed.at(Lane::Chaos, 0).rng(),
                per_minute,
                next: start,
            };
            chaos.next = shift(start, chaos.gap());
            chaos
        })
    }

    /// When the next event is due.
    pub(crate) fn next(&self) -> Timestamp {
        self.next
    }

    /// Applies the next event at its own time. Events that find nothing to change pass without effect, so that the
    /// course does not depend on what scripts did meanwhile.
    pub(crate) fn step(&mut self, fleet: &Fleet) {
        let at = self.next;
        self.next = shift(at, self.gap());
        let toolbox = &fleet.toolboxes[self.rng.random_range(0..fleet.toolboxes.len())];
        let (place, dice): (usize, u32) = (self.rng.random_range(0..1_000), self.rng.random_range(0..100));
        let Some(name) = ({
            let state = toolbox.lock();
            let count = state.instances.len().max(1);
            state
                .instances
                .get(place % count)
                .map(|instance| instance.name.clone())
        }) else {
            return;
        };
        let view = toolbox.view_of(&name, at).ok();
        let action = choose(view.map(|view| (view.state, view.health)), dice);
        if let Err(error) = toolbox.act(&name, &action, at) {
            tracing::debug!(toolbox = %toolbox.id, %error, "chaos had no effect");
        }
    }

    /// The time until the next event of a Poisson process.
    fn gap(&mut self) -> SignedDuration {
        let unit: f64 = self.rng.random();
        // `1 - unit` is in (0, 1], whose logarithm is finite.
        SignedDuration::from_secs_f64(-(1.0 - unit).ln() * 60.0 / self.per_minute)
    }
}

/// What befalls a container in this state. Whatever is down comes back, so a fleet never decays.
fn choose(seen: Option<(DockerState, Option<Health>)>, dice: u32) -> ContainerAction {
    use ContainerAction as Do;
    let soon = Duration::from_millis(800);
    match seen {
        Some((DockerState::Running, Some(Health::Unhealthy))) if dice < 60 => Do::Health {
            status: Some(Health::Healthy),
        },
        Some((DockerState::Running, _)) => match dice {
            0..=19 => Do::Health {
                status: Some(Health::Unhealthy),
            },
            20..=34 => Do::Crash {
                exit_code: 1,
                oom: false,
            },
            35..=44 => Do::Crash {
                exit_code: 137,
                oom: true,
            },
            45..=59 => Do::Stop {
                exit_code: 0,
                delay: soon,
            },
            60..=69 => Do::Pause,
            70..=79 => Do::CrashLoop {
                exit_code: 2,
                oom: false,
                up: RECOVERY,
                down: RECOVERY * 3,
            },
            80..=93 => Do::Recreate {
                start: true,
                delay: RECOVERY,
            },
            94..=96 => Do::Remove { delay: soon },
            _ => Do::Dead { exit_code: 1 },
        },
        Some((DockerState::Paused, _)) => Do::Unpause,
        Some((DockerState::Dead | DockerState::Removing, _)) | None => Do::Recreate {
            start: true,
            delay: RECOVERY,
        },
        Some(_) => Do::Start { delay: RECOVERY },
    }
}

/// Applies events as they fall due, until the shutdown.
pub(crate) async fn drive(shared: Arc<Shared>, mut chaos: Chaos) {
    loop {
        let wait = chaos.next().duration_since(shared.clock.now());
        if let Ok(wait) = Duration::try_from(wait) {
            tokio::select! {
                () = shared.shutdown.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        } else {
            // Behind: catch up, but let others run and a shutdown through.
            tokio::task::yield_now().await;
            if shared.shutdown.is_cancelled() {
                return;
            }
        }
        if chaos.next() <= shared.clock.now() {
            chaos.step(&shared.fleet);
            shared.chaos_events.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::SimConfig;
    use crate::fleet::tests::{fleet, noon};

    fn course(seed: u64, minutes: i64) -> (usize, Vec<String>, BTreeMap<&'static str, usize>) {
        let config = SimConfig {
            toolboxes: 20,
            seed,
            ..SimConfig::default()
        };
        let fleet = fleet(&config);
        let end = shift(noon(), SignedDuration::from_mins(minutes));
        let mut chaos = Chaos::new(Seed(seed), 60.0, noon()).unwrap();
        let mut events = 0;
        while chaos.next() <= end {
            chaos.step(&fleet);
            events += 1;
        }
        let views: Vec<_> = fleet.toolboxes.iter().map(|toolbox| toolbox.views(end)).collect();
        let mut states = BTreeMap::new();
        for view in views.iter().flatten() {
            *states.entry(view.state.as_str()).or_default() += 1;
        }
        (
            events,
            views
                .iter()
                .map(|views| serde_json::to_string(views).unwrap())
                .collect(),
            states,
        )
    }

    #[test]
    fn the_seed_decides_the_course() {
        let (events, views, states) = course(5, 10);
        assert_eq!((events, &views), (course(5, 10).0, &course(5, 10).1));
        assert_ne!(views, course(6, 10).1);
        assert!(
            (500..700).contains(&events),
            "{events} events in ten minutes at 60 a minute"
        );
        assert!(states.len() >= 3, "{states:?}");
    }

    #[test]
    fn a_fleet_does_not_decay() {
        let (.., states) = course(5, 200);
        let running = states["running"];
        assert!(running > 30, "after many events most still run: {states:?}");
    }

    #[test]
    fn no_rate_is_no_chaos() {
        assert!(Chaos::new(Seed(1), 0.0, noon()).is_none());
    }
}
