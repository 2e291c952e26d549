//! What is shown of a server: the newer of what was announced and what stands in its row, and ages as of now. Pure.

use domain::{Health, LastError, McpState};
use jiff::Timestamp;
use store::reading::ServerReading;
use wire::api::{HealthLabel, Override, Server, StateLabel};
use wire::{CommandUnderWay, ServerStatus};

/// A server as it is shown at `now`; `None` where neither tells of it.
pub(crate) fn server(
    event: Option<&ServerStatus>,
    row: Option<&ServerReading>,
    now: Timestamp,
    stale: bool,
) -> Option<Server> {
    let mut shown = match (event, row) {
        // Of one version the row knows more: when it was last confirmed, and what people want of it since.
        (Some(event), Some(row)) if event.version > row.server.version => {
            let mut shown = of_event(event, now);
            // What no event tells, because nobody but its owner changes it.
            shown.monitored = row.server.monitored;
            row.server.name.as_str().clone_into(&mut shown.name);
            shown
        }
        (_, Some(row)) => of_row(row, now),
        (Some(event), None) => of_event(event, now),
        (None, None) => return None,
    };
    shown.as_of = event
        .and_then(|event| event.as_of)
        .max(row.and_then(|row| row.as_of));
    shown.age = shown.as_of.map(|as_of| seconds(as_of, now));
    shown.stale = stale;
    Some(shown)
}

fn of_row(row: &ServerReading, now: Timestamp) -> Server {
    let server = &row.server;
    Server {
        server_id: server.id.0,
        toolbox_id: server.toolbox.0,
        account_id: server.account.0,
        name: server.name.to_string(),
        state: server.state.into(),
        health: server.health.into(),
        uptime: uptime(server.state, server.last_started_at, now),
        last_started: server.last_started_at,
        last_error: server.last_error.as_ref().map(of_error),
        status_on_toolbox: server.label.to_string(),
        container_id: server.container_id.as_ref().map(ToString::to_string),
        monitored: server.monitored,
        command: server.command_under_way().map(|command| CommandUnderWay {
            command_id: command.id.0,
            action: command.action.into(),
            requested_at: command.requested_at,
            deadline: command.deadline,
        }),
        r#override: server
            .override_in_force(now)
            .map(|word| Override { until: word.until }),
        as_of: None,
        age: None,
        changed_at: server.changed_at,
        version: server.version,
        stale: false,
    }
}

fn of_event(event: &ServerStatus, now: Timestamp) -> Server {
    // A label of a later version is not known to this one.
    let state = event.state.parse().unwrap_or(StateLabel::Unknown);
    Server {
        server_id: event.server_id,
        toolbox_id: event.toolbox_id,
        account_id: event.account_id,
        name: event.name.clone(),
        state,
        health: event.health.parse().unwrap_or(HealthLabel::Unknown),
        uptime: uptime(state.into(), event.last_started, now),
        last_started: event.last_started,
        last_error: event.last_error.clone(),
        status_on_toolbox: event.status_on_toolbox.clone(),
        container_id: event.container_id.clone(),
        monitored: event.monitored,
        command: event.command.clone(),
        r#override: event
            .override_until
            .filter(|until| now < *until)
            .map(|until| Override { until }),
        as_of: None,
        age: None,
        changed_at: Some(event.changed_at),
        version: event.version,
        stale: false,
    }
}

fn of_error(error: &LastError) -> wire::LastError {
    error.into()
}

fn uptime(state: McpState, started: Option<Timestamp>, now: Timestamp) -> Option<u64> {
    domain::uptime(state, started, now).map(|up| up.as_secs())
}

/// Whole seconds from then to now; none where clocks differ.
pub(crate) fn seconds(then: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(now.duration_since(then).as_secs()).unwrap_or(0)
}

/// A weak validator: of everything but what merely passes with time.
pub(crate) fn etag(server: &Server) -> String {
    // FNV-1a: the same in every replica and version, and nothing secret depends on it.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut eat = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    let instant = |at: Option<Timestamp>| at.map_or(i64::MIN, Timestamp::as_microsecond).to_be_bytes();
    eat(&instant(server.as_of));
    eat(&instant(server.r#override.as_ref().map(|word| word.until)));
    eat(server
        .command
        .as_ref()
        .map_or(&[0; 16], |command| command.command_id.as_bytes()));
    eat(server.account_id.as_bytes());
    eat(&[u8::from(server.monitored), u8::from(server.stale)]);
    eat(server.name.as_bytes());
    format!("W/\"{:x}-{hash:016x}\"", server.version)
}

/// Whether an `If-None-Match` names the validator (RFC 9110 §13.1.2: weakly compared).
pub(crate) fn matches(header: &str, etag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    header.trim() == "*" || header.split(',').any(|tag| opaque(tag) == opaque(etag))
}

/// What an event shows without its row: for filters.
pub(crate) fn labels(event: &ServerStatus) -> (StateLabel, HealthLabel) {
    (
        event.state.parse().unwrap_or(McpState::Unknown.into()),
        event.health.parse().unwrap_or(Health::Unknown.into()),
    )
}

#[cfg(test)]
mod tests {
    use domain::{AccountId, InstanceName, ServerId, ToolboxId};
    use uuid::Uuid;

    use super::*;

    fn row(version: u64) -> ServerReading {
        let name = InstanceName::new("row").unwrap();
        let mut server = domain::Server::new(
            ServerId(Uuid::from_u128(1)),
            ToolboxId(Uuid::from_u128(2)),
            AccountId(Uuid::from_u128(3)),
            name,
        );
        server.version = version;
        server.state = McpState::Running;
        server.health = Health::Healthy;
        server.last_started_at = Some("2026-01-01T00:00:00Z".parse().unwrap());
        ServerReading {
            server,
            as_of: Some("2026-01-01T00:01:00Z".parse().unwrap()),
        }
    }

    fn event(version: u64) -> ServerStatus {
        let mut event = row(version);
        event.server.changed_at = Some("2026-01-01T00:00:30Z".parse().unwrap());
        let wire::StatusEvent::Status(mut status) = wire::StatusEvent::standing(&event.server).unwrap()
        else {
            panic!()
        };
        status.state = "stopped".to_owned();
        status.as_of = Some("2026-01-01T00:00:30Z".parse().unwrap());
        status
    }

    #[test]
    fn the_newer_speaks_and_the_later_observation_is_told() {
        let now = "2026-01-01T00:02:00Z".parse().unwrap();
        for (announced, stands, state) in [
            (Some(3), Some(2), StateLabel::Stopped),
            (Some(2), Some(2), StateLabel::Running),
            (Some(1), Some(2), StateLabel::Running),
            (Some(1), None, StateLabel::Stopped),
            (None, Some(0), StateLabel::Running),
        ] {
            let (announced, stands) = (announced.map(event), stands.map(row));
            let shown = server(announced.as_ref(), stands.as_ref(), now, false).unwrap();
            assert_eq!(shown.state, state);
            assert_eq!(shown.age, Some(if stands.is_some() { 60 } else { 90 }));
            assert_eq!(shown.uptime, (state == StateLabel::Running).then_some(120));
        }
        assert!(server(None, None, now, false).is_none());
    }

    #[test]
    fn the_validator_changes_with_what_counts_and_not_with_time() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let shown = |now, stale, version| server(None, Some(&row(version)), at(now), stale).unwrap();
        let first = etag(&shown("2026-01-01T00:02:00Z", false, 1));
        assert_eq!(first, etag(&shown("2026-01-01T00:09:00Z", false, 1)));
        assert_ne!(first, etag(&shown("2026-01-01T00:02:00Z", true, 1)));
        assert_ne!(first, etag(&shown("2026-01-01T00:02:00Z", false, 2)));
        let strong = first.trim_start_matches("W/").to_owned();
        for good in [first.as_str(), "*", strong.as_str(), &format!("\"x\", {first}")] {
            assert!(matches(good, &first), "{good}");
        }
        for bad in ["", "\"x\"", "W/\"1\""] {
            assert!(!matches(bad, &first), "{bad}");
        }
    }
}
