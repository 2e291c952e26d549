//! Delivers the status of MCP servers to whoever watches: at once, complete, in order, and only what they may see.
//!
//! ```text
//!  MCP_STATUS ─► live: Fleet ─ one event, written once ─► Hub ─┬─► Reader ─ woken ─► Session ─┬─► WebSocket /v1/ws
//!                  │  picture, tombstones, connections         ├─► Reader   …                 └─► SSE /v1/events
//!                  │                                           └─► by server · by account · by who sees all
//!                  └── snapshot, resume: under the same lock ──────────────────────────┘
//! ```
//!
//! | module | what it is for |
//! |---|---|
//! | `hub` | who wants to be told what: a change costs its readers and nobody else |
//! | `reader` | what waits for one connection: of each topic the newest, in the order of the stream |
//! | `session` | subscribing, resuming, looking again; without a socket |
//! | `socket` with `inbound`, `events` | the two kinds of stream |
//! | `gate` | tokens, tickets, origins |
//! | `places` | how many there may be |
//! | `pace` | pings, second looks, expiry |
//! | `ending` | why a stream ends, and its close code |
//! | `board` | the page that people look at, and what it may do |
//! | `webhooks` | changes posted to whoever asked for them, until he has them |
//!
//! The cursor of a message is its sequence in the stream. Events are told in that order, so whoever resumes after one has
//! been told all before it; an event that is overtaken before it is written moves back with the newer one. What waits is
//! therefore never more than what is subscribed to, and a slow reader loses nothing but states in between.
//!
//! # What it must never do
//! - Write a status, or anything else but the end of a ticket and what is on its way to webhooks; ask a database.
//! - Tell a byte of a server to who may not see it: that is looked at when subscribing, when writing each event, when
//!   connections change, and from time to time.
//! - Tell by words that a server exists that may not be seen.
//! - Take a token from a URL, or put one into a log, an error or a message.
//! - Hold more for a connection than the newest event of each topic it is subscribed to; wait for one connection while
//!   another could be told.
//! - Say that a picture is whole before it is, or let a client go on from a cursor that does not cover what has passed.

mod app;
mod board;
mod clock;
mod config;
mod ending;
mod events;
mod frame;
mod gate;
#[cfg(test)]
mod hot_path;
mod hub;
mod inbound;
mod metrics;
mod pace;
mod places;
mod reader;
mod run;
mod session;
mod socket;
mod webhooks;

pub use board::BoardOptions;
pub use config::{Config, StreamOptions};
pub use hub::{Hub, Waiting};
pub use metrics::METRICS;
pub use run::{run, run_at, run_on};
pub use webhooks::{METRICS as WEBHOOK_METRICS, Network, NoNetwork, WebhookOptions};
