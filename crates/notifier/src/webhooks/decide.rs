//! Whether an endpoint is told of a change, and when. Pure.
//!
//! ```text
//!  event + what came before ─► kinds ─► concerns: the filters, and what the endpoint does not want to hear
//!  options + what is waited for already ─► step: now · later · with what is waited for
//! ```

use std::time::Duration;

use jiff::Timestamp;
use wire::{Previous, ServerStatus, StatusEvent, WebhookEntry, WebhookKind, WebhookOptions};

use crate::webhooks::pace::after;

/// Events that are older were meant for somebody else: a consumer that is made anew begins with all that is kept.
const STALE: Duration = Duration::from_secs(24 * 3600);

/// What came before a change, as far as the stream still has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Past {
    /// The last state that was not a transitional one.
    pub(crate) settled: Option<Previous>,
    /// A command was carried out in between.
    pub(crate) commanded: bool,
}

/// Why an endpoint is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    Disabled,
    Another,
    Stale,
    Filtered,
    Own,
}

/// Whether a state is on its way to another.
pub(crate) fn is_transitional(state: &str) -> bool {
    matches!(state, "starting" | "stopping")
}

/// What a predecessor says of the past of a change that came out of it. `false`: nothing further back matters.
pub(crate) fn look_back(past: &mut Past, before: &ServerStatus) -> bool {
    if is_transitional(&before.state) {
        past.commanded |= before.command.is_some();
        return true;
    }
    past.settled = Some(Previous {
        state: before.state.clone(),
        health: before.health.clone(),
    });
    false
}

/// What about a server is another than it was before.
pub(crate) fn kinds(
    now: &ServerStatus,
    before: Option<&Previous>,
    settled: Option<&Previous>,
) -> Vec<WebhookKind> {
    let mut kinds = Vec::new();
    let is_bad = |it: &Previous| it.state == "error" || it.health == "unhealthy";
    let same_state = before.is_some_and(|before| before.state == now.state);
    let same_health = before.is_some_and(|before| before.health == now.health);
    if !same_state {
        kinds.push(WebhookKind::State);
    }
    if !same_health {
        kinds.push(WebhookKind::Health);
    }
    let another_error = same_state && same_health && now.last_error.is_some();
    if (now.state == "error" && (!same_state || another_error))
        || (now.health == "unhealthy" && (!same_health || another_error))
    {
        kinds.push(WebhookKind::Error);
    }
    if settled.is_some_and(is_bad) && now.state == "running" && now.health != "unhealthy" {
        kinds.push(WebhookKind::Recovery);
    }
    kinds
}

/// Whether the endpoint wants to hear of kinds of change; those that have none (another container) are of no kind that can
/// be named.
pub(crate) fn wanted(entry: &WebhookEntry, kinds: &[WebhookKind]) -> bool {
    let filter = &entry.filters.kinds;
    filter.is_empty() || kinds.iter().any(|kind| filter.contains(kind))
}

/// Whether an endpoint is told of an event, at any time.
pub(crate) fn concerns(
    entry: &WebhookEntry,
    event: &StatusEvent,
    past: &Past,
    now: Timestamp,
) -> Result<(), Why> {
    let (account, toolbox, changed_at) = match event {
        StatusEvent::Status(status) => (status.account_id, status.toolbox_id, status.changed_at),
        StatusEvent::Deleted(end) => (end.account_id, end.toolbox_id, end.changed_at),
    };
    if !entry.enabled {
        return Err(Why::Disabled);
    }
    if entry.account_id != account {
        return Err(Why::Another);
    }
    if changed_at < entry.created_at || after(changed_at, STALE) < now {
        return Err(Why::Stale);
    }
    let filters = &entry.filters;
    let anywhere = filters.servers.is_empty() && filters.toolboxes.is_empty();
    if !(anywhere || filters.servers.contains(&event.server_id()) || filters.toolboxes.contains(&toolbox)) {
        return Err(Why::Filtered);
    }
    let kinds = match event {
        // It only says how things stand: the stream was made anew.
        StatusEvent::Status(status) if status.cause.is_none() => return Err(Why::Stale),
        StatusEvent::Status(status) => {
            if entry.options.not_during_own_commands && is_own(status, past) {
                return Err(Why::Own);
            }
            kinds(status, status.previous.as_ref(), past.settled.as_ref())
        }
        StatusEvent::Deleted(_) => vec![WebhookKind::Deleted],
    };
    if wanted(entry, &kinds) {
        Ok(())
    } else {
        Err(Why::Filtered)
    }
}

/// Whether a command brought a change about: one is being carried out, the change is its own, or it ends what a command
/// began. What ends in an error is news all the same.
fn is_own(status: &ServerStatus, past: &Past) -> bool {
    let by_command = status.cause.as_deref() == Some("command") || past.commanded;
    status.command.is_some() || (by_command && status.state != "error")
}

/// What is waited for already, of one server for one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// What the endpoint was told last.
    pub(crate) told: Option<Previous>,
    /// When it is looked at.
    pub(crate) at: Timestamp,
}

/// What is done about a change that concerns an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is told now.
    Tell,
    /// It is looked at then, and told if it is another than what was told last.
    Look {
        /// What was told last.
        told: Option<Previous>,
        /// When.
        at: Timestamp,
    },
    /// What is waited for already will see it.
    Seen,
}

/// When an endpoint is told of a change that concerns it.
pub(crate) fn step(
    options: &WebhookOptions,
    before: Option<&Previous>,
    waiting: Option<&Waiting>,
    now: Timestamp,
) -> Step {
    let holds = after(now, Duration::from_secs(options.after_seconds.into()));
    match (waiting, options.after_seconds) {
        (None, 0) => Step::Tell,
        (None, _) => Step::Look {
            told: before.cloned(),
            at: holds,
        },
        (Some(_), 0) => Step::Seen,
        (Some(waiting), _) => Step::Look {
            told: waiting.told.clone(),
            at: holds.max(waiting.at),
        },
    }
}

/// Until when an endpoint hears nothing more of a server that it was just told of.
pub(crate) fn quiet_until(options: &WebhookOptions, now: Timestamp) -> Option<Timestamp> {
    let every = Duration::from_secs(options.at_most_every_seconds.into());
    (!every.is_zero()).then(|| after(now, every))
}

#[cfg(test)]
#[path = "decide_tests.rs"]
pub(crate) mod tests;

#[cfg(test)]
#[path = "decide_when_tests.rs"]
mod when_tests;
