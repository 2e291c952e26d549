//! One announced change on its way into the history, and out of it to the bus.

use domain::{AccountId, Change, ContainerId, Order, ToolboxId};
use jiff::Timestamp;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::error::{Result, StoreError};
use crate::instant::{Stored, uncount};

/// What a change was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// A server's view or incarnation is another, or it is new.
    Server,
    /// A server's row is gone. Counts on from the server's versions.
    Deleted,
    /// A toolbox answers again, or no longer.
    Toolbox,
}

impl ChangeKind {
    /// The label in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Deleted => "deleted",
            Self::Toolbox => "toolbox",
        }
    }

    fn read(label: &str, subject: Uuid) -> Result<Self> {
        [Self::Server, Self::Deleted, Self::Toolbox]
            .into_iter()
            .find(|kind| kind.as_str() == label)
            .ok_or_else(|| StoreError::UnknownLabel {
                column: "kind",
                subject,
                found: label.to_owned(),
            })
    }
}

/// What is published of a change. Nothing in it is looked into here.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// Where to.
    pub nats_subject: String,
    /// The body. Kept and given back byte for byte.
    pub event: Box<RawValue>,
    /// The trace that brought the change about.
    pub traceparent: Option<String>,
}

/// A row of `status_changes` to be written: the change, taken apart for those who ask the history, and its event.
#[derive(Debug, Clone)]
pub struct ChangeRow {
    pub(crate) id: Uuid,
    pub(crate) at: Timestamp,
    pub(crate) kind: ChangeKind,
    pub(crate) subject: Uuid,
    pub(crate) toolbox: ToolboxId,
    pub(crate) account: AccountId,
    pub(crate) version: u64,
    pub(crate) state: Option<&'static str>,
    pub(crate) previous_state: Option<&'static str>,
    pub(crate) health: Option<&'static str>,
    pub(crate) error_code: Option<&'static str>,
    pub(crate) container_id: Option<ContainerId>,
    pub(crate) cause: Option<&'static str>,
    pub(crate) order: Option<Order>,
    pub(crate) envelope: Envelope,
}

impl ChangeRow {
    /// The row for `change`. `id` (version 7, made by the caller) becomes the published message's id.
    pub fn new(id: Uuid, change: &Change, envelope: Envelope) -> Self {
        // Every change the domain makes has its instant; one without is filed where it cannot be lost.
        let filed = |at: Option<Timestamp>| at.unwrap_or(Timestamp::UNIX_EPOCH);
        match change {
            Change::Server(change) => {
                let after = &change.after;
                Self {
                    id,
                    at: filed(after.changed_at),
                    kind: ChangeKind::Server,
                    subject: after.id.0,
                    toolbox: after.toolbox,
                    account: after.account,
                    version: after.version,
                    state: Some(after.state.as_str()),
                    previous_state: change.before.map(|(state, _)| state.as_str()),
                    health: Some(after.health.as_str()),
                    error_code: after.last_error.as_ref().map(|error| error.reason.code.as_str()),
                    container_id: after.container_id.clone(),
                    cause: Some(change.cause.as_str()),
                    order: after.order,
                    envelope,
                }
            }
            Change::Removed {
                server,
                toolbox,
                account,
                version,
                at,
            } => Self {
                id,
                at: *at,
                kind: ChangeKind::Deleted,
                subject: server.0,
                toolbox: *toolbox,
                account: *account,
                version: *version,
                state: None,
                previous_state: None,
                health: None,
                error_code: None,
                container_id: None,
                cause: None,
                order: None,
                envelope,
            },
            Change::Toolbox(after) => Self {
                id,
                at: filed(after.changed_at),
                kind: ChangeKind::Toolbox,
                subject: after.id.0,
                toolbox: after.id,
                account: after.account,
                version: after.version,
                state: Some(after.status.as_str()),
                previous_state: None,
                health: None,
                error_code: after.problem.as_ref().map(|problem| problem.reason.code.as_str()),
                container_id: None,
                cause: None,
                order: after.order,
                envelope,
            },
        }
    }
}

/// A change that is committed and not yet known to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// The message id: publishing twice under it is publishing once.
    pub id: Uuid,
    /// What it is about.
    pub kind: ChangeKind,
    /// The server or toolbox.
    pub subject: Uuid,
    /// Its version; rows of one subject are to be published in this order.
    pub version: u64,
    /// When the change was decided, to the microsecond.
    pub at: Timestamp,
    /// Where to.
    pub nats_subject: String,
    /// The body, as it was given.
    pub event: String,
    /// The trace that brought the change about.
    pub traceparent: Option<String>,
}

/// The columns of an [`OutboxRow`] as they are read.
pub(crate) struct Unpublished {
    pub(crate) id: Uuid,
    pub(crate) kind: String,
    pub(crate) subject_id: Uuid,
    pub(crate) version: i64,
    pub(crate) at: Stored,
    pub(crate) nats_subject: String,
    pub(crate) event: String,
    pub(crate) traceparent: Option<String>,
}

impl TryFrom<Unpublished> for OutboxRow {
    type Error = StoreError;

    fn try_from(row: Unpublished) -> Result<Self> {
        Ok(Self {
            id: row.id,
            kind: ChangeKind::read(&row.kind, row.subject_id)?,
            subject: row.subject_id,
            version: uncount(row.version),
            at: row.at.to_jiff(),
            nats_subject: row.nats_subject,
            event: row.event,
            traceparent: row.traceparent,
        })
    }
}
