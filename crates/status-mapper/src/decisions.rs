//! Decisions of the domain, made ready to be executed in one transaction.

use std::collections::HashMap;

use anyhow::Context as _;
use domain::{Cause, Change, Fold, Server, Toolbox};
use jiff::Timestamp;
use opentelemetry::Context;
use serde::Serialize;
use store::batch::Writes;
use store::{ChangeRow, Envelope};
use tracing::Span;
use uuid::Uuid;
use wire::{StatusEvent, ToolboxEvent, subjects};

use crate::ingest::Origin;
use crate::{clock, spans};

/// What was decided of some toolboxes and servers, all of them locked.
#[derive(Debug, Default)]
pub(crate) struct Decisions {
    writes: Writes,
    /// Kind and cause of each change, to be counted once it is committed.
    pub(crate) tally: Vec<(&'static str, &'static str)>,
    /// The spans of the changes, which end with this.
    spans: Vec<Span>,
    /// When the report came in that brought about a change, by the change's id.
    pub(crate) received: HashMap<Uuid, Timestamp>,
    /// Changes that a heartbeat should have brought first.
    pub(crate) found_by_poll: usize,
}

impl Decisions {
    /// Has the spans of the changes say that they came to nothing.
    pub(crate) fn failed(&self, error: &'static str) {
        self.spans.iter().for_each(|span| spans::fail(span, error));
    }

    /// What is to be written.
    pub(crate) fn writes(&self) -> &Writes {
        &self.writes
    }

    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        let Writes {
            toolboxes,
            servers,
            removed,
            changes,
        } = &self.writes;
        toolboxes.is_empty() && servers.is_empty() && removed.is_empty() && changes.is_empty()
    }

    /// Takes over what a fold decided. `of` finds the trace and the origin of what brought about a change; all others
    /// belong to the current trace.
    ///
    /// # Errors
    /// When a change cannot be told as an event; nothing of the batch may then be written.
    pub(crate) fn take_fold(
        &mut self,
        fold: Fold,
        of: impl Fn(&Change) -> (Context, Option<Origin>),
    ) -> anyhow::Result<()> {
        if fold.write_toolbox {
            self.writes.toolboxes.push(fold.toolbox);
        }
        self.writes.servers.extend(fold.write);
        self.writes.removed.extend(fold.remove);
        for change in &fold.changes {
            let (trace, origin) = of(change);
            let id = self.announce_in(change, &trace)?;
            if let (Some(origin), true) = (origin, is_reported(change)) {
                self.received.insert(id, origin.received_at);
                let found = origin.missed_heartbeat && matches!(change, Change::Server(_));
                self.found_by_poll += usize::from(found);
            }
        }
        Ok(())
    }

    /// Takes over a server that is to be written and what is to be told of it.
    ///
    /// # Errors
    /// When a change cannot be told as an event.
    pub(crate) fn take_server(&mut self, server: Server, changes: &[Change]) -> anyhow::Result<()> {
        self.writes.servers.push(server);
        changes.iter().try_for_each(|change| self.announce(change))
    }

    /// Takes over a toolbox that is to be written and what is to be told of it.
    ///
    /// # Errors
    /// When the change cannot be told as an event.
    pub(crate) fn take_toolbox(&mut self, toolbox: Toolbox, change: &Change) -> anyhow::Result<()> {
        self.writes.toolboxes.push(toolbox);
        self.announce(change)
    }

    /// Takes over a change of something whose row is not written with it.
    ///
    /// # Errors
    /// When the change cannot be told as an event.
    pub(crate) fn announce(&mut self, change: &Change) -> anyhow::Result<()> {
        self.announce_in(change, &bus::trace::current()).map(drop)
    }

    fn announce_in(&mut self, change: &Change, trace: &Context) -> anyhow::Result<Uuid> {
        let (kind, cause) = match change {
            Change::Server(change) => ("server", change.cause),
            Change::Removed { .. } => ("deleted", Cause::Registry),
            Change::Toolbox(_) => ("toolbox", Cause::Report),
        };
        let id = clock::new_id();
        let span = spans::change(change, cause, trace);
        // A process that traces nothing hands on what it was given.
        let own = bus::trace::traceparent_of(&bus::trace::context_of(&span));
        let traceparent = own.or_else(|| bus::trace::traceparent_of(trace));
        self.writes
            .changes
            .push(ChangeRow::new(id, change, envelope(change, traceparent)?));
        self.spans.push(span);
        self.tally.push((kind, cause.as_str()));
        Ok(id)
    }
}

/// Whether an agent's report brought it about.
fn is_reported(change: &Change) -> bool {
    match change {
        Change::Server(change) => change.cause == Cause::Report,
        Change::Toolbox(_) => true,
        Change::Removed { .. } => false,
    }
}

/// The event of a change, and where it goes.
fn envelope(change: &Change, traceparent: Option<String>) -> anyhow::Result<Envelope> {
    const UNDATED: &str = "a change has no instant";
    let (nats_subject, event) = match change {
        Change::Server(server) => (
            subjects::server_status(server.after.account, server.after.id),
            body(&StatusEvent::of(change).context(UNDATED)?)?,
        ),
        Change::Removed { server, account, .. } => (
            subjects::server_status(*account, *server),
            body(&StatusEvent::of(change).context(UNDATED)?)?,
        ),
        Change::Toolbox(toolbox) => (
            subjects::toolbox_status(toolbox.account, toolbox.id),
            body(&ToolboxEvent::of(toolbox).context(UNDATED)?)?,
        ),
    };
    Ok(Envelope {
        nats_subject,
        event,
        traceparent,
    })
}

fn body(event: &impl Serialize) -> anyhow::Result<Box<serde_json::value::RawValue>> {
    serde_json::value::to_raw_value(event).context("failed to write an event")
}

#[cfg(test)]
mod tests {
    use domain::{AccountId, InstanceName, ServerChange, ServerId, ToolboxId};

    use super::*;

    fn uuid(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    #[test]
    fn every_change_goes_to_its_own_subject() {
        let (server, toolbox, account) = (ServerId(uuid(1)), ToolboxId(uuid(2)), AccountId(uuid(3)));
        let at = Timestamp::UNIX_EPOCH;
        let mut after = Server::new(server, toolbox, account, InstanceName::new("mcp").unwrap());
        (after.version, after.changed_at) = (1, Some(at));
        let mut box_ = Toolbox::new(toolbox, account, "box");
        (box_.version, box_.changed_at) = (1, Some(at));
        let cases = [
            (
                Change::Server(Box::new(ServerChange {
                    before: None,
                    after,
                    cause: Cause::Report,
                })),
                subjects::server_status(account, server),
            ),
            (
                Change::Removed {
                    server,
                    toolbox,
                    account,
                    version: 2,
                    at,
                },
                subjects::server_status(account, server),
            ),
            (
                Change::Toolbox(Box::new(box_)),
                subjects::toolbox_status(account, toolbox),
            ),
        ];
        for (change, subject) in cases {
            let envelope = envelope(&change, Some("00-trace".to_owned())).unwrap();
            assert_eq!(envelope.nats_subject, subject);
            assert_eq!(envelope.traceparent.as_deref(), Some("00-trace"));
        }
    }

    #[test]
    fn a_change_without_an_instant_is_refused_before_anything_is_written() {
        let toolbox = Toolbox::new(ToolboxId(uuid(2)), AccountId(uuid(3)), "box");
        let mut decisions = Decisions::default();
        assert!(decisions.announce(&Change::Toolbox(Box::new(toolbox))).is_err());
        assert!(decisions.is_empty());
    }
}
