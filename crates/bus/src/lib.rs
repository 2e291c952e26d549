//! The bus: everything that passes between the services, over NATS JetStream.
//!
//! ```text
//!   publish · publish_all ──► stream ──► shared durable consumer ──► consume · consume_batches
//!    (CloudEvents headers,      │ │                                     │ handler ─► Verdict
//!     message id, trace)        │ │                                     ▼
//!                               │ │        Done ─► ack     Retry ─► nak with delay     Reject ─► DTMA_DLQ, then ack
//!                               │ └──► ordered reader ──► follow · follow_present (notifier, `watch`)
//!   Schedules ──► POLLS: poll.schedule.{toolbox} ──(the server, every N s)──► poll.due.{toolbox} ──► consume
//!   send_at ──► WEBHOOKS: a schedule ──(the server, at its time, once)──► its target ──► consume
//!   Bucket ──► toolboxes, connections, webhooks ──► ordered reader ──► Snapshot, then Put · Deleted
//!   Tickets, SignIns ──► tickets, sign_ins: written once, taken by exactly one
//!   request ──► answer · serve_api: no stream, answered now or not at all
//! ```
//!
//! Subjects, streams and headers are those of [`wire`]; this crate makes the streams, verifies them, and holds the
//! one ack policy ([`Verdict`]). It is the only crate that knows the NATS client.
//!
//! # What heals by itself, and what does not
//!
//! | what happens | what the bus does |
//! |---|---|
//! | no server at start | [`Bus::connect`] tries for ever, with growing pauses; drop the future to give up |
//! | connection lost | the client reconnects for ever; consumers, followers and watchers attach again at once |
//! | server frozen, requests or heartbeats lost | consumers notice within 12 s and attach again |
//! | stream or consumer deleted | consumers, followers and watchers make it again and go on |
//! | connection lost while asking | [`BusError::Disconnected`] or a time-out; answerers listen again when it is back |
//! | more asked than can be worked on | answered 503 by [`serve_api`], dropped by [`Bus::answer`], and counted |
//! | publish without an answer | an error, [transient](BusError::is_transient): publish again under the same id |
//! | acknowledgement lost | the message comes again: handlers must stand that |
//! | handler says `Retry` | comes again after the delay, [`max_deliver`] times in all, then a dead letter |
//! | handler takes longer than `ack_wait` | nothing: the server is told that it is under way |
//! | handler panics | the caller's task panics; the message comes again after `ack_wait`, and becomes a dead letter when it does so [`max_deliver`] times |
//! | dead letter cannot be stored | the message stays and comes again after 5 s |
//! | headers that the client cannot read | the message becomes a dead letter, at the cost of a connection |
//! | follower or watcher lost its place | starts again from the last message per subject, or from a new snapshot |
//! | permissions do not allow to make what is missing | [`BusError::Forbidden`], transient: who may makes it |
//! | configuration differs, server too old, request refused | an error, not transient; nothing is changed or deleted |
//! | the client's own task ended | [`BusError::Closed`], from everything, for ever: end the process |
//!
//! [`max_deliver`]: wire::streams::ConsumerSpec::max_deliver
//!
//! # What it must never do
//! - Delete a stream, or change one that is there.
//! - Acknowledge a message before its handler is done with it, or before its dead letter is stored.
//! - Let the server give up on a message: its own `max_deliver` is unlimited.
//! - Take anything in a message for more than data: neither its headers nor its body decide what becomes of another.
//! - Put a password, a token or a body into a log or an error.
//! - Hold more than it was told to: messages under way, requests waiting, bytes asked for and publishes in flight
//!   are bounded.
//!
//! # A limit that is not ours to lift
//! The NATS server stores whatever bytes a publisher sends as headers. The client closes its connection on headers
//! that are not text of the form `name: value`, and its task ends on a lone carriage return within one. Consumers,
//! followers and watchers find such a message by what was delivered and never arrived, make it a dead letter, take it
//! out of its stream and go on; a task that ended is [`BusError::Closed`], and consumers of the process that takes over get past it. A
//! follower of a process that takes over does not: who may publish has to be restricted by NATS permissions, as it
//! has to be anyway.

mod api;
mod backlog;
mod backoff;
mod batches;
mod bucket;
mod buckets;
mod connection;
mod consume;
mod dead_letter;
mod delivery;
mod error;
mod follow;
mod inspect;
mod intake;
mod later;
mod line;
mod log;
mod metrics;
mod micro;
mod one_use;
mod options;
pub mod permissions;
mod policy;
mod present;
mod publish;
mod pull;
mod reply;
mod request;
mod schedules;
mod seal;
mod sign_ins;
mod source;
mod spans;
mod streams;
mod tickets;
mod token;
pub mod trace;
mod unreadable;
mod verify;
mod version;

/// Headers of a message, as [`trace`] reads and writes them.
pub use async_nats::HeaderMap;
pub use batches::consume_batches;
pub use buckets::{Bucket, BucketChange};
pub use connection::Bus;
pub use consume::consume;
pub use delivery::Delivery;
pub use error::{BusError, Difference, Differences, ServerAnswer};
pub use follow::{Backlog, From, StreamState};
pub use inspect::{Found, Inspected, Inspection};
pub use later::{Before, Kept};
pub use line::{Dial, Line};
pub use metrics::METRICS;
pub use micro::{OperationSpec, ServiceSpec, serve_api};
pub use options::BusOptions;
pub use policy::Verdict;
pub use present::Step;
pub use publish::{Outgoing, Receipt};
pub use reply::Reply;
pub use request::Request;
pub use schedules::Schedules;
pub use seal::{SealError, SealingKey};
pub use sign_ins::{IssuedSignIn, SignIn, SignIns};
pub use tickets::Tickets;
pub use token::TokenHash;
