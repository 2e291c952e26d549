//! One simulated Docker container: a life that is a function of the time, and what the engine says of it at an instant.

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::clock::shift;
use crate::seed::hex;

/// How long Docker's health check says `starting` after a start.
const HEALTH_GRACE: SignedDuration = SignedDuration::from_secs(30);

/// The states Docker's engine gives a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DockerState {
    /// Made, never started.
    Created,
    /// Up.
    Running,
    /// Up and frozen.
    Paused,
    /// Ended and about to be started again by the engine.
    Restarting,
    /// Being deleted.
    Removing,
    /// Ended.
    Exited,
    /// Half deleted: the engine can neither start nor remove it.
    Dead,
}

impl DockerState {
    /// The word of Docker's API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Removing => "removing",
            Self::Exited => "exited",
            Self::Dead => "dead",
        }
    }
}

/// The verdict of a container's own health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Too young to tell.
    Starting,
    /// The check passes.
    Healthy,
    /// The check fails.
    Unhealthy,
}

impl Health {
    /// The word of Docker's API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// What the engine knows of a container at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Observed {
    pub(crate) state: DockerState,
    pub(crate) exit_code: i32,
    pub(crate) oom_killed: bool,
    pub(crate) started: Option<Timestamp>,
    pub(crate) finished: Option<Timestamp>,
    pub(crate) health: Option<Health>,
    pub(crate) restarts: i64,
}

impl Observed {
    /// Docker's `State.Running`, which is true of paused and restarting containers too.
    pub(crate) fn counts_as_running(&self) -> bool {
        matches!(
            self.state,
            DockerState::Running | DockerState::Paused | DockerState::Restarting
        )
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Finish {
    pub(crate) started: Timestamp,
    pub(crate) finished: Timestamp,
    pub(crate) code: i32,
    pub(crate) oom: bool,
}

/// A container's course. The variants with an instant in the future change by themselves when it passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Created,
    /// On its way up: `created` if it never ran, else `restarting`, and `running` from `ready` on.
    Starting {
        ready: Timestamp,
        last: Option<Finish>,
    },
    Running {
        since: Timestamp,
    },
    /// Told to stop and still running, as Docker shows it during the grace period.
    Stopping {
        since: Timestamp,
        at: Timestamp,
        code: i32,
    },
    /// Up for `up`, then restarting for `down`, for ever.
    CrashLoop {
        since: Timestamp,
        up: SignedDuration,
        down: SignedDuration,
        code: i32,
        oom: bool,
    },
    Paused {
        since: Timestamp,
    },
    Exited(Finish),
    Dead(Finish),
    /// `removing` until it is gone.
    Removing {
        last: Option<Finish>,
        gone: Timestamp,
    },
}

/// Where a container's health comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HealthCheck {
    /// `starting` for half a minute after each start, then healthy.
    Passes,
    /// What a script or the seed said, until the next start.
    Fixed(Health),
}

/// One container of one toolbox.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    pub(crate) id: [u8; 32],
    pub(crate) name: String,
    pub(crate) image: Cow<'static, str>,
    pub(crate) image_id: [u8; 32],
    pub(crate) command: Cow<'static, str>,
    pub(crate) created: Timestamp,
    /// Container port and host port, when one is published.
    pub(crate) port: Option<(u16, u16)>,
    pub(crate) life: Life,
    pub(crate) check: Option<HealthCheck>,
    /// The engine lists it, but an inspect of it fails.
    pub(crate) uninspectable: bool,
}

impl Container {
    /// The 64 hexadecimal digits of its id.
    pub(crate) fn hex_id(&self) -> String {
        hex(&self.id)
    }

    /// The process id the engine would show, 0 when nothing runs.
    pub(crate) fn pid(&self, seen: &Observed) -> u32 {
        match seen.state {
            DockerState::Running | DockerState::Paused => {
                300 + u32::from(u16::from_be_bytes([self.id[0], self.id[1]]))
            }
            _ => 0,
        }
    }

    /// Applies what the passing of time has brought; `false` when the container is gone.
    pub(crate) fn settle(&mut self, now: Timestamp) -> bool {
        match self.life {
            Life::Starting { ready, .. } if ready <= now => self.life = Life::Running { since: ready },
            Life::Stopping { since, at, code } if at <= now => {
                self.life = Life::Exited(Finish {
                    started: since,
                    finished: at,
                    code,
                    oom: false,
                });
            }
            Life::Removing { gone, .. } if gone <= now => return false,
            _ => {}
        }
        true
    }

    /// What the engine says at `now`. Call [`Self::settle`] first.
    pub(crate) fn observe(&self, now: Timestamp) -> Observed {
        let idle = |state, last: Option<Finish>| Observed {
            state,
            exit_code: last.map_or(0, |finish| finish.code),
            oom_killed: last.is_some_and(|finish| finish.oom),
            started: last.map(|finish| finish.started),
            finished: last.map(|finish| finish.finished),
            health: None,
            restarts: 0,
        };
        let up = |state, since| Observed {
            state,
            exit_code: 0,
            oom_killed: false,
            started: Some(since),
            finished: None,
            health: self.health(since, now),
            restarts: 0,
        };
        match self.life {
            Life::Created => idle(DockerState::Created, None),
            Life::Starting { last: None, .. } => idle(DockerState::Created, None),
            Life::Starting { last, .. } => idle(DockerState::Restarting, last),
            Life::Running { since } | Life::Stopping { since, .. } => up(DockerState::Running, since),
            Life::Paused { since } => up(DockerState::Paused, since),
            Life::Exited(finish) => idle(DockerState::Exited, Some(finish)),
            Life::Dead(finish) => idle(DockerState::Dead, Some(finish)),
            Life::Removing { last, .. } => idle(DockerState::Removing, last),
            Life::CrashLoop {
                since,
                up: run,
                down,
                code,
                oom,
            } => {
                let cycle = (run + down).as_millis().max(1);
                let elapsed = now.duration_since(since).as_millis().max(0);
                let turn = i64::try_from(elapsed / cycle).unwrap_or(i64::MAX);
                let into = elapsed % cycle;
                let begun = shift(
                    now,
                    SignedDuration::from_millis(-i64::try_from(into).unwrap_or(0)),
                );
                if into < run.as_millis() {
                    Observed {
                        restarts: turn,
                        ..up(DockerState::Running, begun)
                    }
                } else {
                    let finish = Finish {
                        started: begun,
                        finished: shift(begun, run),
                        code,
                        oom,
                    };
                    Observed {
                        restarts: turn,
                        ..idle(DockerState::Restarting, Some(finish))
                    }
                }
            }
        }
    }

    fn health(&self, since: Timestamp, now: Timestamp) -> Option<Health> {
        Some(match self.check? {
            HealthCheck::Fixed(health) => health,
            HealthCheck::Passes if now.duration_since(since) < HEALTH_GRACE => Health::Starting,
            HealthCheck::Passes => Health::Healthy,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_795_000_000 + seconds).unwrap()
    }

    pub(crate) fn container(life: Life) -> Container {
        Container {
            id: [0xab; 32],
            name: "mcp-github".to_owned(),
            image: Cow::Borrowed("mcp/github:1.2"),
            image_id: [0xcd; 32],
            command: Cow::Borrowed("node server.js"),
            created: at(-100),
            port: None,
            life,
            check: None,
            uninspectable: false,
        }
    }

    #[test]
    fn a_first_start_passes_through_created_and_a_later_one_through_restarting() {
        let mut first = container(Life::Starting {
            ready: at(5),
            last: None,
        });
        assert!(first.settle(at(4)));
        assert_eq!(first.observe(at(4)).state, DockerState::Created);
        assert_eq!(first.observe(at(4)).started, None);
        first.settle(at(6));
        let seen = first.observe(at(6));
        assert_eq!((seen.state, seen.started), (DockerState::Running, Some(at(5))));

        let last = Finish {
            started: at(-50),
            finished: at(-10),
            code: 143,
            oom: false,
        };
        let again = container(Life::Starting {
            ready: at(5),
            last: Some(last),
        });
        let seen = again.observe(at(0));
        assert_eq!((seen.state, seen.exit_code), (DockerState::Restarting, 143));
        assert!(seen.counts_as_running());
    }

    #[test]
    fn a_stop_runs_out_into_exited() {
        let mut stopping = container(Life::Stopping {
            since: at(-60),
            at: at(10),
            code: 143,
        });
        stopping.settle(at(9));
        assert_eq!(stopping.observe(at(9)).state, DockerState::Running);
        stopping.settle(at(10));
        let seen = stopping.observe(at(11));
        assert_eq!(
            (seen.state, seen.exit_code, seen.finished),
            (DockerState::Exited, 143, Some(at(10)))
        );
        assert_eq!(stopping.pid(&seen), 0);
    }

    #[test]
    fn a_crash_loop_turns_for_ever_and_counts() {
        let looping = container(Life::CrashLoop {
            since: at(0),
            up: SignedDuration::from_secs(20),
            down: SignedDuration::from_secs(10),
            code: 1,
            oom: true,
        });
        let up = looping.observe(at(65));
        assert_eq!(
            (up.state, up.started, up.restarts, up.oom_killed),
            (DockerState::Running, Some(at(60)), 2, false)
        );
        let down = looping.observe(at(85));
        assert_eq!(
            (down.state, down.exit_code, down.oom_killed),
            (DockerState::Restarting, 1, true)
        );
        assert_eq!((down.started, down.finished), (Some(at(60)), Some(at(80))));
    }

    #[test]
    fn health_starts_grows_up_and_can_be_fixed() {
        let mut checked = container(Life::Running { since: at(0) });
        checked.check = Some(HealthCheck::Passes);
        assert_eq!(checked.observe(at(29)).health, Some(Health::Starting));
        assert_eq!(checked.observe(at(30)).health, Some(Health::Healthy));
        checked.check = Some(HealthCheck::Fixed(Health::Unhealthy));
        assert_eq!(checked.observe(at(1)).health, Some(Health::Unhealthy));
    }

    #[test]
    fn removing_ends_in_absence() {
        let mut leaving = container(Life::Removing {
            last: None,
            gone: at(3),
        });
        assert!(leaving.settle(at(2)));
        assert_eq!(leaving.observe(at(2)).state, DockerState::Removing);
        assert!(!leaving.settle(at(3)));
    }
}
