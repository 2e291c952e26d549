//! What travels: versioned messages, subjects and stream definitions.
//!
//! ```text
//!  Command ──(dtma-poller)─► agent ─► CommandOutcome ──► status-mapper
//!  agent JSON ─(dtma-poller)─► RawReport ──► domain::Report      StatusEvent ◄── domain::Change
//!                              PollPlan  ◄─► domain::PollPlan    ToolboxEvent ◄─┘
//! ```
//!
//! Wire types are not domain types: they are frozen per version (`proto/golden/v1`), the domain is free to change,
//! and the conversion between them is where bad input is refused. A reader ignores fields that it does not know, so
//! that a version may gain optional fields; anything else is a new version under a new subject.
//!
//! This crate must never do I/O, and no other crate may hold a subject, stream, bucket or header literal.

pub mod api;
pub mod asyncapi;
mod command;
mod cursor;
pub mod headers;
mod log;
mod message;
mod plan;
mod raw;
mod registry;
pub mod schema;
mod status;
pub mod stream;
pub mod streams;
pub mod subjects;
mod ticket;
mod webhook;

pub use command::{Command, CommandAction, CommandOutcome, CommandResult};
pub use cursor::{Cursor, NoCursor};
pub use log::{LogChange, LogChanged};
pub use message::{Message, Refused};
pub use plan::PollPlan;
pub use raw::{RawContainer, RawCoverage, RawOutcome, RawReason, RawReport, RawSource};
pub use registry::{ConnectionEntry, Entry, InstanceEntry, ToolboxEntry};
pub use status::{CommandUnderWay, LastError, Previous, ServerStatus, StatusEvent, Tombstone, ToolboxEvent};
pub use ticket::{SignInEntry, TicketEntry};
pub use webhook::{
    SealedSecret, WebhookAttempt, WebhookDeadLetter, WebhookDelivery, WebhookEntry, WebhookFilters,
    WebhookHeld, WebhookKind, WebhookLook, WebhookOptions, WebhookOutcome, WebhookTemplate,
};
