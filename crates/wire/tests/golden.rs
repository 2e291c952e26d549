//! Frozen payloads of version 1. A golden that has to be changed is a bug in the change: add version 2.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::path::PathBuf;

use domain::{
    AccountId, Cause, Change, ContainerId, Health, InstanceName, McpState, Order, Outcome, Reason,
    ReasonCode, Server, ServerChange, ServerId, StatusOnToolbox, ToolboxId,
};
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;
use wire::stream::{EventKind, StreamMessage, StreamRequest, event_message};
use wire::{
    Command, CommandOutcome, ConnectionEntry, Message, PollPlan, RawReport, Refused, SignInEntry,
    StatusEvent, TicketEntry, ToolboxEntry, ToolboxEvent, WebhookAttempt, WebhookDeadLetter, WebhookDelivery,
    WebhookEntry, WebhookHeld, WebhookLook, schema,
};

fn proto() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../proto")
}

fn golden(name: &str) -> Vec<u8> {
    let path = proto().join("golden/v1").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Decodes a golden, checks it against the published schema, and that encoding it again loses and adds nothing.
fn round_trip<M: Message + std::fmt::Debug>(name: &str, schema_name: &str) -> M {
    let bytes = golden(name);
    let value: Value = serde_json::from_slice(&bytes).unwrap();
    let published = schema::all()
        .into_iter()
        .find(|schema| schema.name == schema_name)
        .unwrap();
    assert_eq!(published.type_name, M::TYPE);
    let validator = jsonschema::validator_for(&published.body).unwrap();
    if let Err(error) = validator.validate(&value) {
        panic!("{name} against {schema_name}: {error}");
    }
    let message: M = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(serde_json::to_value(&message).unwrap(), value, "{name}");
    message
}

#[test]
fn every_golden_is_read_and_written_unchanged() {
    let mut names: Vec<_> = std::fs::read_dir(proto().join("golden/v1"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    for name in &names {
        match name.split('.').next().unwrap() {
            "raw-report" => drop(round_trip::<RawReport>(name, "raw-report")),
            "command" => drop(round_trip::<Command>(name, "command")),
            "command-outcome" => drop(round_trip::<CommandOutcome>(name, "command-outcome")),
            "connection-entry" => drop(round_trip::<ConnectionEntry>(name, "connection-entry")),
            "poll-plan" => drop(round_trip::<PollPlan>(name, "poll-plan")),
            "server-status" => drop(round_trip::<StatusEvent>(name, "server-status")),
            "toolbox-status" => drop(round_trip::<ToolboxEvent>(name, "toolbox-status")),
            "stream-message" => drop(round_trip::<StreamMessage>(name, "stream-message")),
            "stream-request" => drop(round_trip::<StreamRequest>(name, "stream-request")),
            "sign-in-entry" => drop(round_trip::<SignInEntry>(name, "sign-in-entry")),
            "ticket-entry" => drop(round_trip::<TicketEntry>(name, "ticket-entry")),
            "webhook-attempt" => drop(round_trip::<WebhookAttempt>(name, "webhook-attempt")),
            "webhook-dead-letter" => drop(round_trip::<WebhookDeadLetter>(name, "webhook-dead-letter")),
            "webhook-delivery" => drop(round_trip::<WebhookDelivery>(name, "webhook-delivery")),
            "webhook-entry" => drop(round_trip::<WebhookEntry>(name, "webhook-entry")),
            "webhook-held" => drop(round_trip::<WebhookHeld>(name, "webhook-held")),
            "webhook-look" => drop(round_trip::<WebhookLook>(name, "webhook-look")),
            "toolbox-entry" => drop(round_trip::<ToolboxEntry>(name, "toolbox-entry")),
            other => panic!("no message is called {other}"),
        }
    }
    for schema in schema::all() {
        assert!(
            names
                .iter()
                .any(|name| name.starts_with(&format!("{}.", schema.name))),
            "{} has a golden",
            schema.name
        );
    }
}

#[test]
fn generated_files_are_fresh() {
    for (path, text) in schema::files() {
        let committed = std::fs::read_to_string(proto().join(&path)).unwrap_or_default();
        assert!(
            committed == text,
            "proto/{path} differs from the types: run scripts/generate"
        );
    }
}

#[test]
fn raw_reports_mean_what_they_say() {
    let report = round_trip::<RawReport>("raw-report.containers.json", "raw-report")
        .into_report(42)
        .unwrap();
    assert_eq!(report.order.sequence, 42);
    let Outcome::Containers { items, .. } = report.outcome else {
        panic!("containers")
    };
    assert_eq!(items[0].text.as_ref().unwrap().exit_code, Some(137));
    let failed = round_trip::<RawReport>("raw-report.failed.json", "raw-report")
        .into_report(1)
        .unwrap();
    let Outcome::Failed(failure) = failed.outcome else {
        panic!("failed")
    };
    assert_eq!(
        (failure.reason.code, failure.in_a_row),
        (ReasonCode::AgentUnreachable, 2)
    );
}

#[test]
fn a_change_becomes_the_golden_event() {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let mut server = Server::new(
        ServerId(Uuid::from_u128(0x5b2d_7f0e_3c1a_4f6b_9a41_0d6f_4c1e_2a02)),
        ToolboxId(Uuid::from_u128(0x11)),
        AccountId(Uuid::from_u128(0x22)),
        InstanceName::new("mcp-postgres").unwrap(),
    );
    server.version = 7;
    server.state = McpState::Stopped;
    server.health = Health::Unknown;
    server.label = StatusOnToolbox::Stopped;
    server.order = Some(Order {
        as_of: at("2026-11-22T17:18:20.451Z"),
        sequence: 9,
    });
    server.changed_at = Some(at("2026-11-22T17:18:20.5Z"));
    server.last_started_at = Some(at("2026-11-22T17:17:49.902Z"));
    server.container_id =
        ContainerId::new("86bccadd99198b1c5cf9264e3dc4dd2632cb67be021bf5341d4c1a07f4d77896");
    server.last_error = Some(domain::LastError {
        reason: Reason::new(ReasonCode::OomKilled, "exit code 137 (out of memory)"),
        at: at("2026-11-22T17:18:20.451Z"),
    });
    let before = Some((McpState::Running, Health::Healthy));
    let change = Change::Server(Box::new(ServerChange {
        before,
        after: server,
        cause: Cause::Report,
    }));
    let event = StatusEvent::of(&change).unwrap();
    assert_eq!(
        event,
        round_trip::<StatusEvent>("server-status.stopped.json", "server-status")
    );
}

#[test]
fn readers_ignore_fields_they_do_not_know() {
    let mut value: Value = serde_json::from_slice(&golden("server-status.stopped.json")).unwrap();
    value["addedLater"] = Value::from(1);
    let body = serde_json::to_vec(&value).unwrap();
    assert_eq!(
        StatusEvent::decode(&body),
        StatusEvent::decode(&golden("server-status.stopped.json"))
    );
}

#[test]
fn refusals_name_the_field_and_never_repeat_the_body() {
    let secret = "s3cr3t-s3cr3t";
    for (body, want) in [
        (format!("{secret} not json"), "Syntax"),
        (String::new(), "Eof"),
        (r#"{"toolboxId":"#.to_owned(), "Eof"),
        (format!(r#"{{"toolboxId":"{secret}"}}"#), "UUID parsing failed"),
        (
            r#"{"toolboxId":"00000000-0000-0000-0000-000000000011"}"#.to_owned(),
            "missing field",
        ),
        (r#"[1,2]"#.to_owned(), "line 1"),
    ] {
        let refused = RawReport::decode(body.as_bytes()).unwrap_err().to_string();
        assert!(
            refused.contains(want) && !refused.contains(secret),
            "{body}: {refused}"
        );
    }
    let mut report: RawReport = serde_json::from_slice(&golden("raw-report.failed.json")).unwrap();
    report.outcome = wire::RawOutcome::Failed {
        reason: wire::RawReason {
            code: "bad_mood".to_owned(),
            message: secret.to_owned(),
        },
        failures_in_a_row: 1,
    };
    let refused = report.into_report(1).unwrap_err();
    assert_eq!(
        refused,
        Refused::Invalid {
            field: "outcome.reason.code",
            expected: "a known reason code"
        }
    );
}

#[test]
fn plans_survive_the_trip() {
    for dialect in [None, Some(domain::Dialect::Tools), Some(domain::Dialect::Status)] {
        let plan = domain::PollPlan {
            every: std::time::Duration::from_secs(28),
            failures: 3,
            dead_man: dialect.is_none(),
            dialect,
        };
        assert_eq!(domain::PollPlan::from(PollPlan::from(plan)), plan);
    }
    let later = PollPlan {
        every_seconds: 0,
        failures: 0,
        dead_man: false,
        dialect: Some("grpc".to_owned()),
    };
    let plan = domain::PollPlan::from(later);
    assert_eq!(
        (plan.every.as_secs(), plan.dialect),
        (1, None),
        "what a later version wrote is no reason to stop"
    );
}

#[test]
fn an_event_is_told_as_it_was_published() {
    let cursor = "18f203a4b5c6d7e8.42".parse().unwrap();
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for (kind, name) in [
        (EventKind::Status, "server-status.running.json"),
        (EventKind::Deleted, "server-status.deleted.json"),
        (EventKind::Toolbox, "toolbox-status.unresponsive.json"),
    ] {
        let body = String::from_utf8(golden(name)).unwrap();
        let text = event_message(kind, cursor, Some(trace), &body);
        assert!(!text.contains(['\n', '\r']), "{text}");
        let told: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(told["event"], serde_json::from_str::<Value>(&body).unwrap());
        assert_eq!(told["traceparent"], trace);
        let message = StreamMessage::decode(text.as_bytes()).unwrap();
        assert_eq!(serde_json::to_value(&message).unwrap(), told, "{name}");
        let without = event_message(kind, cursor, Some("\",\"x\":\""), &body);
        assert!(
            serde_json::from_str::<Value>(&without)
                .unwrap()
                .get("traceparent")
                .is_none()
        );
    }
}
