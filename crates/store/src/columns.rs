//! Domain values taken apart into columns, one array each, as `UNNEST` takes them.

use domain::{Server, Toolbox};
use serde_json::Value;
use uuid::Uuid;

use crate::change::ChangeRow;
use crate::instant::{Stored, count, stored, stored_order};
use crate::json::{write_detail, write_last_error};

/// What is written of servers. Not among it: whose they are, their names, and what people want of them.
#[derive(Default)]
pub(crate) struct ServerColumns<'a> {
    pub(crate) id: Vec<Uuid>,
    pub(crate) label: Vec<&'a str>,
    pub(crate) as_of: Vec<Option<Stored>>,
    pub(crate) as_of_seq: Vec<Option<i64>>,
    pub(crate) observed_status: Vec<Option<&'static str>>,
    pub(crate) observed_since: Vec<Option<Stored>>,
    pub(crate) observed_detail: Vec<Option<Value>>,
    pub(crate) container_id: Vec<Option<&'a str>>,
    pub(crate) last_started_at: Vec<Option<Stored>>,
    pub(crate) state: Vec<&'static str>,
    pub(crate) health: Vec<&'static str>,
    pub(crate) last_error: Vec<Option<Value>>,
    pub(crate) version: Vec<i64>,
    pub(crate) changed_at: Vec<Option<Stored>>,
}

impl<'a> ServerColumns<'a> {
    pub(crate) fn of(servers: &'a [Server]) -> Self {
        let mut columns = Self::default();
        for server in servers {
            let (as_of, as_of_seq) = stored_order(server.order);
            let seen = server.observation.as_ref();
            columns.id.push(server.id.0);
            columns.label.push(server.label.as_str());
            columns.as_of.push(as_of);
            columns.as_of_seq.push(as_of_seq);
            columns
                .observed_status
                .push(seen.map(|seen| seen.status.as_str()));
            columns.observed_since.push(seen.map(|seen| stored(seen.since)));
            columns.observed_detail.push(seen.map(write_detail));
            columns
                .container_id
                .push(server.container_id.as_ref().map(|id| id.as_str()));
            columns.last_started_at.push(server.last_started_at.map(stored));
            columns.state.push(server.state.as_str());
            columns.health.push(server.health.as_str());
            columns
                .last_error
                .push(server.last_error.as_ref().map(write_last_error));
            columns.version.push(count(server.version));
            columns.changed_at.push(server.changed_at.map(stored));
        }
        columns
    }
}

/// What is written of toolboxes.
#[derive(Default)]
pub(crate) struct ToolboxColumns<'a> {
    pub(crate) id: Vec<Uuid>,
    pub(crate) as_of: Vec<Option<Stored>>,
    pub(crate) as_of_seq: Vec<Option<i64>>,
    pub(crate) whole_as_of: Vec<Option<Stored>>,
    pub(crate) whole_as_of_seq: Vec<Option<i64>>,
    pub(crate) heard_at: Vec<Option<Stored>>,
    pub(crate) expected_by: Vec<Option<Stored>>,
    pub(crate) status: Vec<&'static str>,
    pub(crate) problem: Vec<Option<Value>>,
    pub(crate) agent_version: Vec<Option<&'a str>>,
    pub(crate) version: Vec<i64>,
    pub(crate) changed_at: Vec<Option<Stored>>,
}

impl<'a> ToolboxColumns<'a> {
    pub(crate) fn of(toolboxes: &'a [Toolbox]) -> Self {
        let mut columns = Self::default();
        for toolbox in toolboxes {
            let (as_of, as_of_seq) = stored_order(toolbox.order);
            let (whole_as_of, whole_as_of_seq) = stored_order(toolbox.whole_order);
            columns.id.push(toolbox.id.0);
            columns.as_of.push(as_of);
            columns.as_of_seq.push(as_of_seq);
            columns.whole_as_of.push(whole_as_of);
            columns.whole_as_of_seq.push(whole_as_of_seq);
            columns.heard_at.push(toolbox.heard_at.map(stored));
            columns.expected_by.push(toolbox.expected_by.map(stored));
            columns.status.push(toolbox.status.as_str());
            columns
                .problem
                .push(toolbox.problem.as_ref().map(write_last_error));
            columns.agent_version.push(toolbox.agent_version.as_deref());
            columns.version.push(count(toolbox.version));
            columns.changed_at.push(toolbox.changed_at.map(stored));
        }
        columns
    }
}

/// What is written of changes: all of it.
#[derive(Default)]
pub(crate) struct ChangeColumns<'a> {
    pub(crate) id: Vec<Uuid>,
    pub(crate) at: Vec<Stored>,
    pub(crate) kind: Vec<&'static str>,
    pub(crate) subject: Vec<Uuid>,
    pub(crate) toolbox: Vec<Uuid>,
    pub(crate) account: Vec<Uuid>,
    pub(crate) version: Vec<i64>,
    pub(crate) state: Vec<Option<&'static str>>,
    pub(crate) health: Vec<Option<&'static str>>,
    pub(crate) error_code: Vec<Option<&'static str>>,
    pub(crate) container_id: Vec<Option<&'a str>>,
    pub(crate) cause: Vec<Option<&'static str>>,
    pub(crate) as_of: Vec<Option<Stored>>,
    pub(crate) nats_subject: Vec<&'a str>,
    pub(crate) event: Vec<&'a str>,
    pub(crate) traceparent: Vec<Option<&'a str>>,
    pub(crate) previous_state: Vec<Option<&'a str>>,
}

impl<'a> ChangeColumns<'a> {
    pub(crate) fn of(changes: &'a [ChangeRow]) -> Self {
        let mut columns = Self::default();
        for change in changes {
            columns.id.push(change.id);
            columns.at.push(stored(change.at));
            columns.kind.push(change.kind.as_str());
            columns.subject.push(change.subject);
            columns.toolbox.push(change.toolbox.0);
            columns.account.push(change.account.0);
            columns.version.push(count(change.version));
            columns.state.push(change.state);
            columns.health.push(change.health);
            columns.error_code.push(change.error_code);
            columns
                .container_id
                .push(change.container_id.as_ref().map(|id| id.as_str()));
            columns.cause.push(change.cause);
            columns.as_of.push(stored_order(change.order).0);
            columns.nats_subject.push(&change.envelope.nats_subject);
            columns.event.push(change.envelope.event.get());
            columns.traceparent.push(change.envelope.traceparent.as_deref());
            columns.previous_state.push(change.previous_state);
        }
        columns
    }
}
