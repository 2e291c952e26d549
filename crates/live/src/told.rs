//! One event of the stream as everybody is told it: read once, written once, shared.

use std::fmt;

use bus::Delivery;
use bytes::Bytes;
use domain::{AccountId, AgentStatus, Cause, ServerId, ToolboxId};
use jiff::Timestamp;
use wire::stream::{EventKind, GoneReason, StreamMessage, event_message};
use wire::{Cursor, StatusEvent, ToolboxEvent, subjects};

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// A server.
    Server(ServerId),
    /// A toolbox.
    Toolbox(ToolboxId),
}

/// What an event makes of its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// This is its status.
    Is,
    /// It was deleted, or its toolbox was, or it moved to another account.
    Deleted,
    /// It is not this account's any more, or nothing is known of it any more, without anybody having said so.
    Forgotten,
}

/// One event, shared by all who are told it.
pub struct Told {
    /// What it is about.
    pub topic: Topic,
    /// Whose that is, or was.
    pub account: AccountId,
    /// Counts the changes of the topic.
    pub version: u64,
    /// Where it stands in the stream.
    pub cursor: Cursor,
    /// What it makes of its topic.
    pub fate: Fate,
    /// It goes on as another account's: this is only for who saw it as its owner.
    pub elsewhere: bool,
    /// When the change was decided.
    pub changed_at: Timestamp,
    /// When it was observed, where an agent's report brought it about.
    pub observed_at: Option<Timestamp>,
    /// When the stream took it.
    pub published_at: Timestamp,
    /// The message that tells it ([`StreamMessage`]), as JSON in one line.
    pub message: Bytes,
}

/// Tells what it is, not what is in it.
impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Told")
            .field("topic", &self.topic)
            .field("account", &self.account)
            .field("version", &self.version)
            .field("cursor", &self.cursor)
            .field("fate", &self.fate)
            .finish_non_exhaustive()
    }
}

impl Told {
    /// The `type` of its message.
    pub fn kind(&self) -> &'static str {
        match (self.fate, self.topic) {
            (Fate::Forgotten, _) => "gone",
            (_, Topic::Toolbox(_)) => EventKind::Toolbox.as_str(),
            (Fate::Is, Topic::Server(_)) => EventKind::Status.as_str(),
            (Fate::Deleted, Topic::Server(_)) => EventKind::Deleted.as_str(),
        }
    }

    /// The same, only for who saw it as its owner.
    pub(crate) fn as_elsewhere(&self) -> Self {
        Self {
            elsewhere: true,
            message: self.message.clone(),
            ..*self
        }
    }

    /// That nothing is known any more of what this told, or that it is `elsewhere`, since the stream was at `cursor`.
    pub(crate) fn forgotten(&self, cursor: Cursor, at: Timestamp, elsewhere: bool) -> Self {
        let (server, toolbox) = match self.topic {
            Topic::Server(id) => (Some(id.0), None),
            Topic::Toolbox(id) => (None, Some(id.0)),
        };
        let message = StreamMessage::Gone {
            server_id: server,
            toolbox_id: toolbox,
            reason: if elsewhere {
                GoneReason::Moved
            } else {
                GoneReason::Forgotten
            },
        };
        Self {
            topic: self.topic,
            account: self.account,
            version: self.version,
            cursor,
            fate: Fate::Forgotten,
            elsewhere,
            changed_at: at,
            observed_at: None,
            published_at: at,
            message: serde_json::to_vec(&message).unwrap_or_default().into(),
        }
    }
}

/// An event as it was read.
#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every event is a server's, and none is kept"
)]
pub(crate) enum Event {
    Server(StatusEvent),
    Toolbox(ToolboxEvent),
}

impl Event {
    /// When an agent's report said so; `None` where something else brought it about.
    fn observed_at(&self) -> Option<Timestamp> {
        match self {
            Self::Server(StatusEvent::Status(status)) => {
                let reported = status.cause.as_deref() == Some(Cause::Report.as_str());
                status.as_of.filter(|_| reported)
            }
            Self::Server(StatusEvent::Deleted(_)) | Self::Toolbox(_) => None,
        }
    }
}

/// What a message says, where it can be read and speaks of what its subject says: by that, permissions are given.
pub(crate) fn read(delivery: &Delivery, epoch: u64) -> Option<(Event, Told)> {
    // Whoever is told gets it as text, unknown fields too.
    let body = std::str::from_utf8(&delivery.body).ok()?;
    let (event, account) = event_of(delivery)?;
    let cursor = Cursor {
        epoch,
        sequence: delivery.sequence,
    };
    let (topic, version, fate, kind, changed_at) = match &event {
        Event::Server(event) => {
            let (fate, kind, at) = match event {
                StatusEvent::Status(status) => (Fate::Is, EventKind::Status, status.changed_at),
                StatusEvent::Deleted(tombstone) => (Fate::Deleted, EventKind::Deleted, tombstone.changed_at),
            };
            (
                Topic::Server(ServerId(event.server_id())),
                event.version(),
                fate,
                kind,
                at,
            )
        }
        Event::Toolbox(event) => {
            // The end of a toolbox: nothing else announces this status.
            let gone = event.status == AgentStatus::Unseen.as_str();
            let fate = if gone { Fate::Deleted } else { Fate::Is };
            let topic = Topic::Toolbox(ToolboxId(event.toolbox_id));
            (topic, event.version, fate, EventKind::Toolbox, event.changed_at)
        }
    };
    // Where nothing is traced here, what is told belongs to the trace it was published in.
    let traceparent =
        bus::trace::current_traceparent().or_else(|| delivery.header("traceparent").map(str::to_owned));
    let told = Told {
        topic,
        account,
        version,
        cursor,
        fate,
        elsewhere: false,
        changed_at,
        observed_at: event.observed_at(),
        published_at: delivery.published_at,
        message: event_message(kind, cursor, traceparent.as_deref(), body).into(),
    };
    Some((event, told))
}

fn event_of(delivery: &Delivery) -> Option<(Event, AccountId)> {
    if let Some((account, server)) = subjects::server_of(&delivery.subject) {
        let event = StatusEvent::decode(&delivery.body).ok()?;
        let of = match &event {
            StatusEvent::Status(status) => status.account_id,
            StatusEvent::Deleted(tombstone) => tombstone.account_id,
        };
        let is_its = event.server_id() == server.0 && of == account.0;
        return is_its.then_some((Event::Server(event), account));
    }
    let event = ToolboxEvent::decode(&delivery.body).ok()?;
    let account = AccountId(event.account_id);
    let expected = subjects::toolbox_status(account, ToolboxId(event.toolbox_id));
    (delivery.subject == expected).then_some((Event::Toolbox(event), account))
}
