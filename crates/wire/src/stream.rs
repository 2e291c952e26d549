//! What passes between notifier and whoever watches, by WebSocket (`/v1/ws`) and SSE (`/v1/events`), version 1.
//!
//! ```text
//!  client ── auth, subscribe, unsubscribe, ping ──► notifier                              (WebSocket only)
//!  client ◄─ hello · subscribed · snapshot, status …, present · status, deleted, toolbox, gone … · bye ─ notifier
//! ```

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::cursor::Cursor;
use crate::message::message;
use crate::status::{StatusEvent, ToolboxEvent};

/// The WebSocket subprotocol, and the version that `hello` tells.
pub const PROTOCOL: &str = "mcp-status.v1";

/// What notifier tells. Ignore types and fields that you do not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum StreamMessage {
    /// First of all: the client is known.
    Hello {
        /// Always `mcp-status.v1`.
        protocol: String,
        /// Seconds between the server's signs of life: pings, or comments of an event stream.
        ping_seconds: u64,
        /// When the token ends and the stream with it, unless another `auth` comes before.
        expires_at: Timestamp,
    },
    /// A subscription is in force. Its state follows, up to `present`.
    Subscribed {
        /// All that the client may see, now and later.
        #[serde(default, skip_serializing_if = "is_false")]
        all: bool,
        /// These servers.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        servers: Vec<Uuid>,
        /// Toolboxes too.
        #[serde(default, skip_serializing_if = "is_false")]
        toolboxes: bool,
    },
    /// A subscription has ended; nothing more of it will come.
    Unsubscribed {
        /// That to all.
        #[serde(default, skip_serializing_if = "is_false")]
        all: bool,
        /// Those to these servers.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        servers: Vec<Uuid>,
        /// That to toolboxes.
        #[serde(default, skip_serializing_if = "is_false")]
        toolboxes: bool,
    },
    /// The whole state of what was just subscribed follows, up to `present`: forget what was known of it.
    Snapshot,
    /// A server's status, whole; between `snapshot` and `present` its present one, else a change.
    Status {
        /// Resumes after this message, and after all before it.
        cursor: Cursor,
        /// The trace that the change belongs to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        traceparent: Option<String>,
        /// The event as it was published.
        event: StatusEvent,
    },
    /// A server is gone.
    Deleted {
        /// Resumes after this message, and after all before it.
        cursor: Cursor,
        /// The trace that the change belongs to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        traceparent: Option<String>,
        /// The event as it was published.
        event: StatusEvent,
    },
    /// A toolbox's status; `unseen`: it is gone.
    Toolbox {
        /// Resumes after this message, and after all before it.
        cursor: Cursor,
        /// The trace that the change belongs to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        traceparent: Option<String>,
        /// The event as it was published.
        event: ToolboxEvent,
    },
    /// The client sees this no longer: forget it. It may still exist.
    Gone {
        /// Which server, where it is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        server_id: Option<Uuid>,
        /// Which toolbox, where it is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        toolbox_id: Option<Uuid>,
        /// Why.
        reason: GoneReason,
    },
    /// All there was has been told; changes follow.
    Present {
        /// Resumes from here.
        cursor: Cursor,
        /// After a resumed subscription to all: every server that the client may see. Forget the others.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        servers: Option<Vec<Uuid>>,
    },
    /// The cursor cannot be resumed from, or what was told is no longer true: a snapshot of everything follows.
    Reset {
        /// Why.
        reason: ResetReason,
    },
    /// The source is away: what was told may be old. The stream stays open.
    Stale,
    /// The source is back, and what had changed meanwhile has been told.
    Current {
        /// Resumes from here.
        cursor: Cursor,
    },
    /// A request was not granted. The stream goes on.
    Error {
        /// What programs branch on.
        code: ErrorCode,
        /// What people read.
        message: String,
        /// Which servers, where it is about some.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        servers: Vec<Uuid>,
    },
    /// Answers `ping`.
    Pong,
    /// Last of all: the stream ends.
    Bye {
        /// The close code of a WebSocket.
        code: u16,
        /// Why.
        reason: String,
        /// Come again after this many milliseconds, where that makes sense: spread, so that not all come at once.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
}

message!(StreamMessage, "mcp-status.stream-message.v1");

/// Why something is no longer seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GoneReason {
    /// The connection that showed it has ended.
    Revoked,
    /// It is another account's now.
    Moved,
    /// The source knows nothing of it any more.
    Forgotten,
}

/// Why a cursor is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResetReason {
    /// It is not one that was given out here.
    Malformed,
    /// It is of another incarnation of the source.
    Epoch,
    /// It is further than the source.
    Future,
    /// So much has passed since that deletions may be missing.
    TooOld,
    /// The source has lost what it had told.
    Rewound,
}

/// Why a request was not granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// There is no such server, or none that the client may see.
    NotFound,
    /// More than is granted to one connection.
    Limit,
    /// Nothing that could be done: the message says what.
    Unsupported,
    /// The new token is not taken; the former one stays in force.
    Unauthorized,
}

/// What a client asks over a WebSocket. Fields that are not known are refused.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum StreamRequest {
    /// Who is asking: the first message of whoever could not say it in a header; later a newer token of the same account.
    Auth {
        /// A bearer token.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<String>,
        /// Or a ticket (`POST /v1/tickets` of status-api).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ticket: Option<String>,
    },
    /// Adds to what is subscribed.
    Subscribe {
        /// To what.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        servers: Option<Selection>,
        /// Toolboxes of one's own too.
        #[serde(default, skip_serializing_if = "is_false")]
        toolboxes: bool,
        /// Resume from here; it must cover all that is named: not what was `not_found` or `gone` since. Absent: begin with a
        /// snapshot.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cursor: Option<String>,
    },
    /// Takes from what is subscribed.
    Unsubscribe {
        /// From what. `all` ends the subscription to all, not those to servers by id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        servers: Option<Selection>,
        /// From toolboxes too.
        #[serde(default, skip_serializing_if = "is_false")]
        toolboxes: bool,
    },
    /// Asks for a `pong`: browsers cannot send pings.
    Ping,
}

message!(StreamRequest, "mcp-status.stream-request.v1");

/// Which servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Selection {
    /// All that the client may see, now and later.
    All(All),
    /// These.
    Servers(Vec<Uuid>),
}

/// The word `all`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum All {
    /// The word `all`.
    All,
}

/// Tells what is asked, and neither tokens nor tickets.
impl std::fmt::Debug for StreamRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Auth { .. } => "Auth",
            Self::Subscribe { .. } => "Subscribe",
            Self::Unsubscribe { .. } => "Unsubscribe",
            Self::Ping => "Ping",
        })
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls it with")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Which message an event is told by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// `status`.
    Status,
    /// `deleted`.
    Deleted,
    /// `toolbox`.
    Toolbox,
}

impl EventKind {
    /// The message's `type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Deleted => "deleted",
            Self::Toolbox => "toolbox",
        }
    }
}

/// Writes a `status`, `deleted` or `toolbox` message around an event's body as it was published, which must be JSON: the
/// body is not read and written again. In one line, as event streams need it.
pub fn event_message(kind: EventKind, cursor: Cursor, traceparent: Option<&str>, body: &str) -> String {
    let mut text = String::with_capacity(body.len() + 160);
    text.push_str(r#"{"type":""#);
    text.push_str(kind.as_str());
    text.push_str(r#"","cursor":""#);
    text.push_str(&cursor.to_string());
    // A stranger's text: anything but hexadecimal digits and dashes is left out rather than escaped.
    if let Some(traceparent) = traceparent.filter(|text| is_traceparent(text)) {
        text.push_str(r#"","traceparent":""#);
        text.push_str(traceparent);
    }
    text.push_str(r#"","event":"#);
    // Outside of strings, where JSON has no raw line breaks, one blank is as good as another.
    text.extend(
        body.trim()
            .chars()
            .map(|c| if matches!(c, '\n' | '\r') { ' ' } else { c }),
    );
    text.push('}');
    text
}

fn is_traceparent(text: &str) -> bool {
    text.len() == 55 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}
