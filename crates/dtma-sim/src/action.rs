//! What a script can do to a container, and what that makes of its life.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock::{shift, signed};
use crate::container::{Container, Finish, Health, HealthCheck, Life};
use crate::fields::{BadField, Fields};

/// Exit code of a process the kernel killed for memory.
const OOM_EXIT: i32 = 137;

/// A scripted change of one container. It is done when the call returns; a delay, where one is given, is the time the
/// container then spends on the way, as a real one does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerAction {
    /// Start it: `running` at once, or `created`/`restarting` for `delay` first. Ends a crash loop. A container that
    /// runs already is left alone.
    Start {
        /// Time until it runs.
        delay: Duration,
    },
    /// Stop it: `exited` at once, or after `delay` of still running. One that does not run is left alone.
    Stop {
        /// The exit code it ends with.
        exit_code: i32,
        /// Time until it has stopped.
        delay: Duration,
    },
    /// End it as a failing process does; it stays down.
    Crash {
        /// The exit code it ends with.
        exit_code: i32,
        /// Whether the kernel killed it for memory (`OOMKilled`).
        oom: bool,
    },
    /// Crash now, and again after each restart, until it is started, stopped or crashed.
    CrashLoop {
        /// The exit code of each crash.
        exit_code: i32,
        /// Whether each crash is a kill for memory.
        oom: bool,
        /// How long it runs each time.
        up: Duration,
        /// How long it shows `restarting` each time.
        down: Duration,
    },
    /// Freeze a running container.
    Pause,
    /// Thaw a paused one.
    Unpause,
    /// Leave it `dead`, as a failed removal does.
    Dead {
        /// The exit code of its last run.
        exit_code: i32,
    },
    /// Take it off the machine behind the agent's back: absent at once, or `removing` for `delay` first.
    Remove {
        /// Time until it is absent.
        delay: Duration,
    },
    /// Give it another name. The agent's memory keeps the old one.
    Rename {
        /// The new container name.
        to: String,
    },
    /// Replace it by a new container of the same name and a new id; brings back a removed instance too.
    Recreate {
        /// Whether the new one is started; otherwise it stays `created`.
        start: bool,
        /// Time until it runs.
        delay: Duration,
    },
    /// Fix the verdict of its health check until the next start; none takes the check away.
    Health {
        /// The verdict.
        status: Option<Health>,
    },
    /// Let inspecting it fail, or work again: dialect A reports `error_inspecting`.
    InspectError {
        /// Whether inspecting fails.
        on: bool,
    },
}

impl ContainerAction {
    /// The action names of the control API.
    pub const NAMES: [&'static str; 12] = [
        "start",
        "stop",
        "crash",
        "crash-loop",
        "pause",
        "unpause",
        "dead",
        "remove",
        "rename",
        "recreate",
        "health",
        "inspect-error",
    ];

    /// Reads an action of the control API; `None` when there is none of that name.
    pub(crate) fn parse(name: &str, mut body: Fields) -> Option<Result<Self, BadField>> {
        Self::read(name, &mut body).map(|read| read.and_then(|action| body.finish().map(|()| action)))
    }

    fn read(name: &str, body: &mut Fields) -> Option<Result<Self, BadField>> {
        Some(match name {
            "start" => delay(body).map(|delay| Self::Start { delay }),
            "stop" => exit(body, 0).and_then(|exit_code| {
                Ok(Self::Stop {
                    exit_code,
                    delay: delay(body)?,
                })
            }),
            "crash" => crash(body).map(|(exit_code, oom)| Self::Crash { exit_code, oom }),
            "crash-loop" => crash(body).and_then(|(exit_code, oom)| {
                let up = body.millis("up_ms")?.unwrap_or(Duration::from_secs(20));
                let down = body.millis("down_ms")?.unwrap_or(Duration::from_secs(10));
                if up.is_zero() && down.is_zero() {
                    return Err(BadField::new("up_ms", "must not be 0 together with `down_ms`"));
                }
                Ok(Self::CrashLoop {
                    exit_code,
                    oom,
                    up,
                    down,
                })
            }),
            "pause" => Ok(Self::Pause),
            "unpause" => Ok(Self::Unpause),
            "dead" => exit(body, 1).map(|exit_code| Self::Dead { exit_code }),
            "remove" => delay(body).map(|delay| Self::Remove { delay }),
            "rename" => body.need::<String>("to", "a container name").and_then(|to| {
                if valid_name(&to) {
                    Ok(Self::Rename { to })
                } else {
                    Err(BadField::new(
                        "to",
                        "must be a container name: [a-zA-Z0-9][a-zA-Z0-9_.-]{1,127}",
                    ))
                }
            }),
            "recreate" => body.opt("start", "true or false").and_then(|start| {
                Ok(Self::Recreate {
                    start: start.unwrap_or(true),
                    delay: delay(body)?,
                })
            }),
            "health" => {
                let what = "one of `healthy`, `unhealthy`, `starting`, `none`";
                body.need::<String>("status", what)
                    .and_then(|status| match status.as_str() {
                        "none" => Ok(Self::Health { status: None }),
                        "healthy" => Ok(Self::Health {
                            status: Some(Health::Healthy),
                        }),
                        "unhealthy" => Ok(Self::Health {
                            status: Some(Health::Unhealthy),
                        }),
                        "starting" => Ok(Self::Health {
                            status: Some(Health::Starting),
                        }),
                        _ => Err(BadField::new("status", format!("must be {what}"))),
                    })
            }
            "inspect-error" => body.opt("on", "true or false").map(|on| Self::InspectError {
                on: on.unwrap_or(true),
            }),
            _ => return None,
        })
    }

    /// Changes the container, at `now`. What concerns its place in the toolbox (removal at once, names, new ids) is
    /// the toolbox's part. The error says why Docker would have refused.
    pub(crate) fn apply(&self, target: &mut Container, now: Timestamp) -> Result<(), String> {
        let seen = target.observe(now);
        let started = seen.started.unwrap_or(now);
        let ended = |code, oom| Finish {
            started,
            finished: now,
            code,
            oom,
        };
        let refuse = |why: &str| {
            Err(format!(
                "container `{}` is {}: {why}",
                target.name,
                seen.state.as_str()
            ))
        };
        let gone = matches!(target.life, Life::Dead(_) | Life::Removing { .. });
        let last = seen.finished.map(|finished| Finish {
            started,
            finished,
            code: seen.exit_code,
            oom: seen.oom_killed,
        });
        match (self, target.life) {
            (Self::Start { .. }, Life::Paused { .. }) => return refuse("unpause it instead"),
            (Self::Start { .. }, _) if gone => return refuse("it cannot be started"),
            (Self::Start { .. }, Life::Running { .. }) => {}
            (Self::Start { delay }, life) => {
                let last = if matches!(life, Life::Created) { None } else { last };
                target.rise(*delay, last, now);
            }
            (Self::Stop { .. }, Life::Created | Life::Exited(_) | Life::Dead(_)) => {}
            (Self::Stop { .. }, Life::Removing { .. }) => return refuse("it cannot be stopped"),
            (Self::Stop { exit_code, delay }, _) => {
                target.life = if delay.is_zero() {
                    Life::Exited(ended(*exit_code, false))
                } else {
                    Life::Stopping {
                        since: started,
                        at: shift(now, signed(*delay)),
                        code: *exit_code,
                    }
                };
            }
            (Self::Crash { .. }, _) if !seen.counts_as_running() => {
                return refuse("only a running one can crash");
            }
            (Self::Crash { exit_code, oom }, _) => target.life = Life::Exited(ended(*exit_code, *oom)),
            (Self::CrashLoop { .. }, _) if gone => return refuse("only a running one can crash"),
            (
                Self::CrashLoop {
                    exit_code,
                    oom,
                    up,
                    down,
                },
                _,
            ) => {
                // It has just crashed: the first turn's running part lies behind it.
                let (up, down) = (signed(*up), signed(*down));
                target.life = Life::CrashLoop {
                    since: shift(now, -up),
                    up,
                    down,
                    code: *exit_code,
                    oom: *oom,
                };
            }
            (Self::Pause, Life::Running { since }) => target.life = Life::Paused { since },
            (Self::Pause, _) => return refuse("only a running one can be paused"),
            (Self::Unpause, Life::Paused { since }) => target.life = Life::Running { since },
            (Self::Unpause, _) => return refuse("only a paused one can be unpaused"),
            (Self::Dead { exit_code }, _) => target.life = Life::Dead(ended(*exit_code, false)),
            (Self::Remove { delay }, _) => {
                target.life = Life::Removing {
                    last,
                    gone: shift(now, signed(*delay)),
                };
            }
            (Self::Recreate { start, delay }, _) => {
                target.created = now;
                target.life = Life::Created;
                if *start {
                    target.rise(*delay, None, now);
                }
            }
            (Self::Rename { to }, _) => target.name.clone_from(to),
            (Self::Health { status }, _) => target.check = status.map(HealthCheck::Fixed),
            (Self::InspectError { on }, _) => target.uninspectable = *on,
        }
        Ok(())
    }
}

impl Container {
    /// Starts it, at once or through `created` (no `last` run) or `restarting`.
    fn rise(&mut self, delay: Duration, last: Option<Finish>, now: Timestamp) {
        self.check = self.check.map(|_| HealthCheck::Passes);
        self.life = if delay.is_zero() {
            Life::Running { since: now }
        } else {
            Life::Starting {
                ready: shift(now, signed(delay)),
                last,
            }
        };
    }
}

/// Whether Docker takes this as a container's name.
pub(crate) fn valid_name(name: &str) -> bool {
    let rest = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    (2..=128).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(rest)
}

fn delay(body: &mut Fields) -> Result<Duration, BadField> {
    Ok(body.millis("delay_ms")?.unwrap_or_default())
}

fn exit(body: &mut Fields, default: i32) -> Result<i32, BadField> {
    let what = "an exit code from 0 to 255";
    match body.opt::<i32>("exit_code", what)? {
        Some(code) if !(0..=255).contains(&code) => {
            Err(BadField::new("exit_code", format!("must be {what}")))
        }
        code => Ok(code.unwrap_or(default)),
    }
}

fn crash(body: &mut Fields) -> Result<(i32, bool), BadField> {
    let oom = body.opt("oom", "true or false")?.unwrap_or(false);
    Ok((exit(body, if oom { OOM_EXIT } else { 1 })?, oom))
}

#[cfg(test)]
mod tests;
