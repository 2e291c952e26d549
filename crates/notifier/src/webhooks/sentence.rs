//! What a person reads. Pure, and plain text: whoever shows it knows what is markup to him.

use std::collections::BTreeMap;

use wire::{Previous, ServerStatus, StatusEvent};

/// What has happened to a server. `name` is the server's, where the event does not have it.
pub(crate) fn of(event: &StatusEvent, name: Option<&str>) -> String {
    match event {
        StatusEvent::Status(status) => of_status(status, status.previous.as_ref()),
        StatusEvent::Deleted(end) => match name {
            Some(name) => format!("{name} was deleted"),
            None => format!("the server {} was deleted", end.server_id),
        },
    }
}

fn of_status(status: &ServerStatus, before: Option<&Previous>) -> String {
    let (name, state, health) = (&status.name, &status.state, &status.health);
    let why = why(status);
    if let Some(until) = status.override_until {
        return format!(
            "{name} is {} by an operator's word until {until}{why}",
            being(state)
        );
    }
    if !status.monitored && state == "unknown" {
        return format!("{name} is no longer watched");
    }
    let Some(before) = before else {
        return format!("{name} is new here and {}{why}", being(state));
    };
    let recovered = (before.state == "error" || before.health == "unhealthy")
        && state == "running"
        && health != "unhealthy";
    let recovered = if recovered { "recovered: it " } else { "" };
    if before.state != *state {
        format!("{name} {recovered}went from {} to {state}{why}", before.state)
    } else if before.health != *health {
        format!(
            "{name} {recovered}went from {} to {health} while {}{why}",
            before.health,
            being(state)
        )
    } else if !why.is_empty() {
        format!("{name} is {} for another reason{why}", being(state))
    } else {
        format!("{name} is {state} in another container")
    }
}

/// A state behind "is".
fn being(state: &str) -> &str {
    match state {
        "error" => "in error",
        state => state,
    }
}

/// The reason, where people will ask for one.
fn why(status: &ServerStatus) -> String {
    let fine = status.state == "running" && status.health == "healthy";
    match &status.last_error {
        Some(error) if !fine && !error.message.is_empty() => format!(": {}", error.message),
        _ => String::new(),
    }
}

/// What has happened to many: of each server the newest counts.
pub(crate) fn summary(events: &[StatusEvent]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for event in events {
        let state = match event {
            StatusEvent::Status(status) => status.state.as_str(),
            StatusEvent::Deleted(_) => "deleted",
        };
        *counts.entry(state).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|(one, ones), (other, others)| others.cmp(ones).then(one.cmp(other)));
    let parts: Vec<_> = counts
        .iter()
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    format!("{} servers changed: {}", events.len(), parts.join(", "))
}

/// What a test says.
pub(crate) const TEST: &str = "this is a test: messages about MCP servers arrive here";

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use wire::{LastError, Tombstone};

    use super::*;
    use crate::webhooks::decide::tests::status;

    fn event(from: Option<(&str, &str)>, to: (&str, &str), why: Option<&str>) -> ServerStatus {
        let before = from.map(|(state, health)| Previous {
            state: state.to_owned(),
            health: health.to_owned(),
        });
        let mut status = status(to.0, to.1, before);
        status.last_error = why.map(|message| LastError {
            code: "exit_code".to_owned(),
            message: message.to_owned(),
            at: status.changed_at,
        });
        status
    }

    #[test]
    fn what_people_read() {
        let gone = StatusEvent::Deleted(Tombstone {
            server_id: Uuid::from_u128(3),
            toolbox_id: Uuid::from_u128(2),
            account_id: Uuid::from_u128(1),
            version: 8,
            changed_at: jiff::Timestamp::UNIX_EPOCH,
        });
        let oom = Some("exit code 137 (out of memory)");
        let mut declared = event(
            Some(("running", "healthy")),
            ("stopped", "unknown"),
            Some("maintenance"),
        );
        declared.override_until = Some("2026-11-28T12:00:00Z".parse().unwrap());
        let mut unwatched = event(Some(("running", "healthy")), ("unknown", "unknown"), None);
        unwatched.monitored = false;
        let up = Some(("running", "healthy"));
        let lines: Vec<String> = [
            event(up, ("error", "unhealthy"), oom),
            event(up, ("stopped", "unknown"), None),
            event(up, ("stopped", "unknown"), Some("exit code 1")),
            event(Some(("error", "unhealthy")), ("running", "healthy"), oom),
            event(Some(("running", "unhealthy")), ("running", "healthy"), None),
            event(Some(("error", "unhealthy")), ("starting", "unknown"), None),
            event(
                up,
                ("running", "degraded"),
                Some("the agent was last heard 3 minutes ago"),
            ),
            event(
                Some(("error", "unhealthy")),
                ("error", "unhealthy"),
                Some("exit code 2"),
            ),
            event(up, ("running", "healthy"), None),
            event(up, ("unknown", "unknown"), Some("the agent does not answer")),
            event(None, ("running", "healthy"), None),
            declared,
            unwatched,
        ]
        .into_iter()
        .map(|status| of(&StatusEvent::Status(status), None))
        .chain([of(&gone, Some("mcp-github")), of(&gone, None), TEST.to_owned()])
        .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn many_at_once() {
        let mut events: Vec<_> = (0..9)
            .map(|_| StatusEvent::Status(event(None, ("unknown", "unknown"), None)))
            .collect();
        events.extend((0..3).map(|_| StatusEvent::Status(event(None, ("error", "unhealthy"), None))));
        assert_eq!(summary(&events), "12 servers changed: 9 unknown, 3 error");
    }
}
