//! Webhooks: who is told what and how, and what is on its way to whom.
//!
//! ```text
//!  WebhookEntry (bucket webhooks) ─► notifier ─┬─► WebhookDelivery on webhook.due, webhook.later ─► the endpoint
//!                                              ├─► WebhookLook on webhook.check ─► webhook.look
//!                                              ├─► WebhookAttempt on webhook.log
//!                                              └─► WebhookDeadLetter on webhook.dead
//! ```

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::StatusEvent;
use crate::message::message;
use crate::registry::Entry;
use crate::status::Previous;
use crate::streams::BucketSpec;

/// What about a server may have changed; one change may be several of these.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum WebhookKind {
    /// Its state is another, or it is new.
    State,
    /// Its health is another.
    Health,
    /// It went into the state error, became unhealthy, or its error is another.
    Error,
    /// It was in the state error or unhealthy, and is running and not unhealthy.
    Recovery,
    /// It is gone.
    Deleted,
}

impl WebhookKind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::State,
        Self::Health,
        Self::Error,
        Self::Recovery,
        Self::Deleted,
    ];

    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Health => "health",
            Self::Error => "error",
            Self::Recovery => "recovery",
            Self::Deleted => "deleted",
        }
    }

    /// The kind of a label.
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == label)
    }
}

/// What an endpoint is told of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookFilters {
    /// Only of these servers; absent or empty: of any. With `toolboxes`, a server of either list is told of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<Uuid>,
    /// Only of servers on these toolboxes; absent or empty: on any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub toolboxes: Vec<Uuid>,
    /// Only of these kinds of change; absent or empty: of any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<WebhookKind>,
}

/// What is posted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WebhookTemplate {
    /// `type`, `timestamp` and `data`, as Standard Webhooks recommends.
    #[default]
    Standard,
    /// `text`, as Slack and whatever is compatible takes it.
    Slack,
    /// A flat object with a sentence for people.
    Json,
}

impl WebhookTemplate {
    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Slack => "slack",
            Self::Json => "json",
        }
    }

    /// The template of a label.
    pub fn from_label(label: &str) -> Option<Self> {
        [Self::Standard, Self::Slack, Self::Json]
            .into_iter()
            .find(|template| template.as_str() == label)
    }
}

/// What keeps an endpoint quiet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookOptions {
    /// Tell of a change only when it still holds after so many seconds; 0: at once.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub after_seconds: u32,
    /// Do not tell of changes that a command brings about: those while one is being carried out, and the one that ends it,
    /// unless it ends in an error.
    #[serde(default, skip_serializing_if = "is_false")]
    pub not_during_own_commands: bool,
    /// Tell of one server at most once in so many seconds; what changes meanwhile is told at their end, if it still is
    /// another then. 0: of each change.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub at_most_every_seconds: u32,
    /// When so many servers change within `summaryWindow`, tell of them in one message; 0: never.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub summary_from: u32,
    /// Seconds that changes are gathered for, where `summaryFrom` is given: each waits so long. 0: 10 seconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub summary_window: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls it with")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls it with")]
fn is_false(value: &bool) -> bool {
    !value
}

/// A secret that deliveries are signed with, sealed for its endpoint.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SealedSecret {
    /// The secret, sealed (base64): readable only to who holds the sealing key.
    pub sealed: String,
    /// Until when it is signed with; absent: until it is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// A seal does not belong in a log.
impl fmt::Debug for SealedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedSecret")
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

/// One endpoint. Mirrored from the tables by status-mapper; watched by notifier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookEntry {
    /// Which one; equal to the key.
    pub webhook_id: Uuid,
    /// Whose it is: it is told of this account's servers and of nobody else's.
    pub account_id: Uuid,
    /// Where it is posted to.
    pub url: String,
    /// Whether it is told anything.
    pub enabled: bool,
    /// What it is signed with, the newest first.
    pub secrets: Vec<SealedSecret>,
    /// What it is told of.
    #[serde(default)]
    pub filters: WebhookFilters,
    /// What is posted.
    #[serde(default)]
    pub template: WebhookTemplate,
    /// What keeps it quiet.
    #[serde(default)]
    pub options: WebhookOptions,
    /// When it was made: it is told of what changes from then on.
    pub created_at: Timestamp,
}

message!(WebhookEntry, "mcp-status.webhook-entry.v1");

impl Entry for WebhookEntry {
    const BUCKET: &'static BucketSpec = &crate::streams::WEBHOOK_ENTRIES;

    fn key(&self) -> Uuid {
        self.webhook_id
    }
}

/// Something to be posted, as it will be signed: the same body, to the byte, at every attempt.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookDelivery {
    /// Which one: the header `webhook-id`, the same at every attempt.
    pub delivery_id: Uuid,
    /// To which endpoint.
    pub webhook_id: Uuid,
    /// Whose that is.
    pub account_id: Uuid,
    /// What it tells of.
    pub event_type: String,
    /// Of which server, where it is of one: its deliveries go one after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_id: Option<Uuid>,
    /// The body.
    pub payload: String,
    /// Attempts made so far.
    #[serde(default)]
    pub attempts: u32,
    /// When it was to be posted first.
    pub first_at: Timestamp,
    /// Asked for by a person: posted to an endpoint that is switched off too, and not tried again.
    #[serde(default, skip_serializing_if = "is_false")]
    pub test: bool,
}

message!(WebhookDelivery, "mcp-status.webhook-delivery.v1");

/// Tells what it is, not what is in it.
impl fmt::Debug for WebhookDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookDelivery")
            .field("delivery_id", &self.delivery_id)
            .field("webhook_id", &self.webhook_id)
            .field("event_type", &self.event_type)
            .field("server_id", &self.server_id)
            .field("payload_bytes", &self.payload.len())
            .field("attempts", &self.attempts)
            .field("first_at", &self.first_at)
            .finish_non_exhaustive()
    }
}

/// What is to be looked at later: what has become of a server, or of what was gathered; or now: a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum WebhookLook {
    /// Whether a server is another than the endpoint was told last.
    Server {
        /// Which server.
        server_id: Uuid,
        /// What it was when the endpoint was told last; absent: it was never told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        told: Option<Previous>,
        /// The version of the change that is waited for.
        version: u64,
        /// Not before this.
        at: Timestamp,
    },
    /// Everything that was gathered.
    Gathered,
    /// A test is asked for.
    Test {
        /// Under which id it is posted.
        delivery_id: Uuid,
        /// When it was asked for.
        at: Timestamp,
    },
}

message!(WebhookLook, "mcp-status.webhook-look.v1");

/// A change that waits for others to be told with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookHeld {
    /// The change.
    pub event: StatusEvent,
    /// The server's name, where the event does not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

message!(WebhookHeld, "mcp-status.webhook-held.v1");

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WebhookOutcome {
    /// The endpoint took it.
    Delivered,
    /// It did not; another attempt follows.
    Failed,
    /// It did not; no other attempt follows.
    Dead,
}

impl WebhookOutcome {
    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Dead => "dead",
        }
    }
}

/// One attempt, as the delivery log keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookAttempt {
    /// Of which delivery.
    pub delivery_id: Uuid,
    /// To which endpoint.
    pub webhook_id: Uuid,
    /// What it told of.
    pub event_type: String,
    /// Of which server, where it was of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_id: Option<Uuid>,
    /// When.
    pub at: Timestamp,
    /// The how-many-eth; 0: none was made.
    pub attempt: u32,
    /// What came of it.
    pub outcome: WebhookOutcome,
    /// What the endpoint answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The beginning of what the endpoint answered, where it failed. Plain text, never markup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<String>,
    /// Milliseconds it took.
    pub duration_ms: u64,
    /// When the next attempt is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Timestamp>,
}

message!(WebhookAttempt, "mcp-status.webhook-attempt.v1");

/// A delivery that will not be tried again by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookDeadLetter {
    /// The delivery.
    pub delivery: WebhookDelivery,
    /// Why.
    pub reason: String,
    /// Since when.
    pub at: Timestamp,
}

message!(WebhookDeadLetter, "mcp-status.webhook-dead-letter.v1");
