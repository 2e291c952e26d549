//! The only service that speaks to agents: it observes toolboxes by poll and by push and publishes what it saw, raw.
//!
//! ```text
//!  KV toolboxes ─► registry ─► timetable ─► POLLS: schedules ─┐
//!                     │                                       ▼ fire
//!  agents ◄─ GET ── client ◄── poll ◄──────────────────── POLLS: due polls     any replica takes the next
//!     │               └─► agent: one form ─┬─► report ─► DTMA_RAW
//!     └── POST /heartbeat ─► heartbeat ────┘      └────► POLLS: the schedule, replaced by the next plan
//! ```
//!
//! | module | what it is for |
//! |---|---|
//! | [`agent`] | reads every generation's answers and heartbeats into one form; pure |
//! | `client` | asks an agent, within bounds, and names what went wrong |
//! | `registry` | the toolboxes, and whom a token names |
//! | `timetable` | keeps the schedules in step with the registry |
//! | `poll` | one due poll: ask, report, plan |
//! | `heartbeat` | one heartbeat: authorise, read, report, push the dead-man's switch on |
//!
//! Reports are published and acknowledged before a schedule moves, and due polls are acknowledged last. Replicas share
//! nothing but the bus: what the next poll must know rides in its schedule.
//!
//! # What it must never do
//! - Map a status: the words of an agent are passed on, and read only to choose the next poll's time.
//! - Take the toolbox of a heartbeat from anything but its token.
//! - Show a token to anyone but the agent it is for: not in a log, a URL, an error, a span or a report.
//! - Follow a redirect, or read more of an answer or heartbeat than configured.
//! - Keep state that another replica would need, or use a database.
//! - End a schedule of a toolbox that it merely has not heard of yet.

pub mod agent;
mod client;
mod config;
mod heartbeat;
mod metrics;
mod observed;
mod poll;
mod registry;
mod report;
mod run;
mod timetable;

pub use config::{CadenceOptions, Config, HeartbeatOptions, PollingOptions, UpkeepOptions};
pub use run::run;

/// The clock and the randomness of the process, handed to whatever needs them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ambient {
    /// The time.
    pub(crate) now: fn() -> jiff::Timestamp,
    /// A fresh random number in `0.0..1.0`.
    pub(crate) random: fn() -> f64,
}
