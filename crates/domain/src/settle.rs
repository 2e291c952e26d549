//! From facts and the time to what people see.

use std::time::Duration;

use jiff::Timestamp;

use crate::docker::DockerHealth;
use crate::reason::{Reason, ReasonCode};
use crate::server::Server;
use crate::status::{DtmaStatus, Health, McpState, StatusOnToolbox, state_for};
use crate::thresholds::Thresholds;
use crate::time::age;

/// What is known about the surroundings of a server.
#[derive(Debug, Clone, Copy, Default)]
pub struct Circumstances<'a> {
    /// What is wrong with its toolbox's agent, if anything.
    pub problem: Option<&'a Reason>,
    /// When the agent last gave any sign of life.
    pub agent_heard_at: Option<Timestamp>,
    /// When its toolbox's newest whole list was made, which speaks of every server that was ever seen.
    pub whole_as_of: Option<Timestamp>,
    /// Whether most toolboxes fell silent at once.
    pub blind: bool,
}

/// What people see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The row's label, which a start time-out can change.
    pub label: StatusOnToolbox,
    /// The state.
    pub state: McpState,
    /// The health.
    pub health: Health,
    /// Why, where people will ask.
    pub reason: Option<Reason>,
}

impl View {
    fn unknown(label: StatusOnToolbox, reason: Option<Reason>) -> Self {
        Self {
            label,
            state: McpState::Unknown,
            health: Health::Unknown,
            reason,
        }
    }
}

/// Time since `last_started_at` of a running server. Derived whenever it is read, never stored.
pub fn uptime(state: McpState, last_started_at: Option<Timestamp>, now: Timestamp) -> Option<Duration> {
    (state == McpState::Running)
        .then_some(last_started_at)
        .flatten()
        .map(|started| age(now, started))
}

/// The view that the facts of `server` give at `now`. Pure: two calls with equal arguments are equal, and a
/// server is never [`Health::Healthy`] when its newest report is older than [`Thresholds::healthy_for`], unless an
/// operator says so.
///
/// Who speaks first: an operator, then a command that is under way or has failed just now, then what was observed.
pub fn settle(server: &Server, around: Circumstances<'_>, now: Timestamp, thresholds: &Thresholds) -> View {
    if let Some(word) = server.override_in_force(now) {
        return View {
            label: server.label.clone(),
            state: word.state,
            health: word.health,
            reason: Some(word.reason()),
        };
    }
    if let Some(command) = server.command_under_way() {
        let label = command.action.label_under_way();
        return View {
            state: state_for(&label, None),
            label,
            health: Health::Unknown,
            reason: None,
        };
    }
    if let Some((command, ended)) = server.command_shown_failed() {
        return View {
            label: command.action.label_failed(),
            state: McpState::Error,
            health: Health::Unhealthy,
            reason: Some(ended.reason(command.action)),
        };
    }
    let view = observed(server, around, now, thresholds);
    if server.monitored { view } else { unwatched(view) }
}

/// What was observed of a server that nobody has watched any more may still be true; that it is well, nobody can say.
fn unwatched(view: View) -> View {
    let last = view
        .reason
        .map(|reason| format!("; last known: {}", reason.message))
        .unwrap_or_default();
    View {
        health: Health::Unknown,
        reason: Some(Reason::new(
            ReasonCode::NotMonitored,
            format!("it is not being monitored{last}"),
        )),
        ..view
    }
}

fn observed(server: &Server, around: Circumstances<'_>, now: Timestamp, thresholds: &Thresholds) -> View {
    let label = server.label.clone();
    let (Some(seen), Some(order)) = (&server.observation, server.order) else {
        // Nobody has observed it, so whatever its label claims, only its coming end can be told.
        let state = match label {
            StatusOnToolbox::PendingDelete => McpState::Stopping,
            _ => McpState::Unknown,
        };
        return View {
            label,
            state,
            health: Health::Unknown,
            reason: None,
        };
    };

    let silence = age(now, order.as_of);
    if silence > thresholds.unknown_after {
        return View::unknown(label, Some(silence_reason(order.as_of, around, thresholds)));
    }
    let (label, mut reason) = match start_overdue(server, now, thresholds) {
        Some(late) => (StatusOnToolbox::ErrorStarting, Some(late)),
        None => (label, seen.reason.clone()),
    };
    let state = state_for(&label, Some(seen.status));
    let health = match state {
        McpState::Error => Health::Unhealthy,
        McpState::Running => {
            let (health, running_reason) =
                running_health(seen.docker_health, silence, order.as_of, around, thresholds);
            reason = running_reason;
            health
        }
        _ => Health::Unknown,
    };
    View {
        label,
        state,
        health,
        reason,
    }
}

fn running_health(
    docker: Option<DockerHealth>,
    silence: Duration,
    heard_at: Timestamp,
    around: Circumstances<'_>,
    thresholds: &Thresholds,
) -> (Health, Option<Reason>) {
    let fresh = silence <= thresholds.healthy_for;
    let failing = || {
        Reason::new(
            ReasonCode::HealthCheckFailing,
            "the container's health check fails",
        )
    };
    match docker {
        _ if !fresh && around.blind => (
            Health::Unknown,
            Some(silence_reason(heard_at, around, thresholds)),
        ),
        Some(DockerHealth::Unhealthy) => (Health::Unhealthy, Some(failing())),
        Some(DockerHealth::Starting) if fresh => (
            Health::Degraded,
            Some(Reason::new(
                ReasonCode::HealthCheckStarting,
                "the container's health check has not passed yet",
            )),
        ),
        _ if fresh => (Health::Healthy, None),
        _ if silence <= thresholds.degraded_for => (
            Health::Degraded,
            Some(silence_reason(heard_at, around, thresholds)),
        ),
        _ => (
            Health::Unhealthy,
            Some(silence_reason(heard_at, around, thresholds)),
        ),
    }
}

/// Why nothing has been heard of a server since `heard_at`.
fn silence_reason(heard_at: Timestamp, around: Circumstances<'_>, thresholds: &Thresholds) -> Reason {
    if around.blind {
        return Reason::new(
            ReasonCode::ObserverBlind,
            format!("most toolboxes fell silent at once; nothing heard since {heard_at:.0}"),
        );
    }
    if let Some(problem) = around.problem {
        return problem.clone();
    }
    // A sign of life well after the server was last spoken of: the agent is there and leaves it out.
    match around.agent_heard_at {
        Some(alive) if age(alive, heard_at) > thresholds.healthy_for => Reason::new(
            ReasonCode::NotReported,
            format!("the agent has not reported it since {heard_at:.0}"),
        ),
        _ => Reason::new(
            ReasonCode::AgentUnreachable,
            format!("nothing heard since {heard_at:.0}"),
        ),
    }
}

fn start_overdue(server: &Server, now: Timestamp, thresholds: &Thresholds) -> Option<Reason> {
    let seen = server.observation.as_ref()?;
    let overdue = seen.status == DtmaStatus::Starting
        && server.label != StatusOnToolbox::PendingDelete
        && age(now, seen.since) > thresholds.start_timeout;
    overdue.then(|| {
        let last = seen
            .reason
            .as_ref()
            .map(|reason| format!(" ({})", reason.message))
            .unwrap_or_default();
        let limit =
            jiff::SignedDuration::try_from(thresholds.start_timeout).unwrap_or(jiff::SignedDuration::MAX);
        Reason::new(
            ReasonCode::StartTimeout,
            format!("not started within {limit:#}{last}"),
        )
    })
}
