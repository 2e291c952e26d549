//! One command at its agent: told, and where the answer leaves doubt, looked at.
//!
//! ```text
//!  start · stop · delete:  tell ─ 2xx ───────────────────────────────────────────► Executed
//!                           ├─ no connection ────────────────────────────────────► Unreached
//!                           └─ all else ─► is it as wanted? ─ yes ───────────────► Already
//!                                              └─ no, or nobody knows ─┬─ answered ─► Failed
//!                                                                      └─ silent ───► Unreached
//!  restart:  stop, as above ─► until it is shown stopped ─► start, as above
//! ```
//!
//! Nothing of it is remembered: a try that was cut short is made again from its beginning, so an agent may be told
//! the same thing twice. That what is wanted holds already is no reason to tell it nothing: what was observed may
//! have changed, and a restart of what runs is what was asked for.

use std::time::Duration;

use domain::{Action, Dialect, InstanceName, ReasonCode, ServerId};
use jiff::Timestamp;
use tokio::time::{Instant, sleep, timeout};

use super::goal::Goal;
use super::pace;
use crate::client::{Client, Failure, Told, Verb};
use crate::registry::Target;

/// How long a container may run on after its agent said that it is stopped: agents wait for Docker, which kills after
/// 10 s what does not go; some answer before that.
const STOPS_WITHIN: Duration = Duration::from_secs(20);
/// Between looks at whether it has stopped.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// What a command needs at its agent.
pub(super) struct Errand<'a> {
    pub(super) client: &'a Client,
    pub(super) target: &'a Target,
    pub(super) server: ServerId,
    pub(super) name: &'a InstanceName,
    /// The status route that the agent served last.
    pub(super) dialect: Option<Dialect>,
    /// Longest time for one answer.
    pub(super) limit: Duration,
    pub(super) deadline: Timestamp,
    pub(super) now: fn() -> Timestamp,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Carried {
    /// The agent says that it did it.
    Executed,
    /// It does not say so, and all is as it was to be.
    Already,
    /// It did not, and will not.
    Failed(Failed),
    /// Nobody knows, or nobody was there: to be tried again while there is time. Why, for people.
    Unreached(String),
}

/// Why it was not done.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failed {
    /// As a metric's attribute.
    pub(super) label: &'static str,
    /// For people; safe to show.
    pub(super) message: String,
}

impl Errand<'_> {
    /// Has it done.
    pub(super) async fn run(&self, action: Action) -> Carried {
        match action {
            Action::Start => self.step(Verb::Start).await,
            Action::Stop => self.step(Verb::Stop).await,
            Action::Delete => self.step(Verb::Delete).await,
            Action::Restart => self.restart().await,
        }
    }

    async fn restart(&self) -> Carried {
        match self.step(Verb::Stop).await {
            Carried::Executed if !self.has_stopped().await => {
                return Carried::Failed(Failed {
                    label: "refused",
                    message:
                        "the agent said that it stopped it and went on showing it otherwise, so it was not \
                              started again"
                            .to_owned(),
                });
            }
            // One that did not run is as good as stopped.
            Carried::Executed | Carried::Already => {}
            other => return other,
        }
        match self.step(Verb::Start).await {
            Carried::Failed(Failed { label, message }) => Carried::Failed(Failed {
                label,
                message: format!("it was stopped and could not be started again: {message}"),
            }),
            other => other,
        }
    }

    async fn step(&self, verb: Verb) -> Carried {
        let left = self.left();
        if left.is_zero() {
            return Carried::Failed(Failed {
                label: "expired",
                message: "its time was up before the agent could be told".to_owned(),
            });
        }
        let limit = pace::for_an_answer(self.limit, left);
        let told = self
            .client
            .tell(self.target, self.name.as_str(), verb, limit)
            .await;
        match told {
            Told::Executed => return Carried::Executed,
            // Asking where nobody listens tells nothing.
            Told::Unreached(Failure(reason)) => return Carried::Unreached(reason.message),
            Told::Unmanaged(_) | Told::Refused(_) | Told::Unanswered(_) => {}
        }
        if self.shows(Goal::of(verb)).await == Some(true) {
            return Carried::Already;
        }
        match told {
            Told::Unmanaged(said) => Carried::Failed(Failed {
                label: "refused",
                message: unmanaged(self.name, verb, said.as_deref()),
            }),
            Told::Refused(Failure(reason)) => Carried::Failed(Failed {
                label: match reason.code {
                    ReasonCode::AgentRejectedToken => "rejected_token",
                    _ => "refused",
                },
                message: reason.message,
            }),
            Told::Executed => Carried::Executed,
            Told::Unreached(Failure(reason)) | Told::Unanswered(Failure(reason)) => {
                Carried::Unreached(reason.message)
            }
        }
    }

    /// Whether the agent shows the goal met; `None` when it shows nothing of the instance.
    async fn shows(&self, goal: Goal) -> Option<bool> {
        let asking = self.client.ask(self.target, self.dialect, self.now);
        let asked = timeout(pace::for_a_look(self.left()), asking).await.ok()?;
        goal.shown(&asked.said.ok()?.outcome, &self.target.instances, self.server)
    }

    /// Waits until it is no longer shown running, and not for ever. An agent that cannot tell is believed.
    async fn has_stopped(&self) -> bool {
        let until = Instant::now() + STOPS_WITHIN.min(self.left() / 2);
        while self.shows(Goal::Stopped).await == Some(false) {
            if Instant::now() + LOOK_AGAIN > until {
                return false;
            }
            sleep(LOOK_AGAIN).await;
        }
        true
    }

    fn left(&self) -> Duration {
        pace::left(self.deadline, (self.now)())
    }
}

/// What it means that an agent knows no such container, and what it said of it.
fn unmanaged(name: &InstanceName, verb: Verb, said: Option<&str>) -> String {
    let done = match verb {
        Verb::Start => "started",
        Verb::Stop => "stopped",
        Verb::Delete => "removed",
    };
    let said = said.map(|said| format!(": {said}")).unwrap_or_default();
    format!(
        "the agent does not manage {name} (after a restart it has forgotten every container it had before), so it \
         cannot be {done} through it{said}"
    )
}
