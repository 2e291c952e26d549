//! The only service that speaks to agents: it observes toolboxes by poll and by push and publishes what it saw, raw; and
//! it carries out what people asked of their servers.
//!
//! ```text
//!  KV toolboxes ─► registry ─► timetable ─► POLLS: schedules ─┐
//!                     │                                       ▼ fire
//!  agents ◄─ GET ── client ◄── poll ◄──────────────────── POLLS: due polls     any replica takes the next
//!     │               └─► agent: one form ─┬─► report ─► DTMA_RAW
//!     └── POST /heartbeat ─► heartbeat ────┘      └────► POLLS: the schedule, replaced by the next plan
//!
//!  agents ◄─ POST, DELETE ── client ◄── command ◄──────── DTMA_COMMANDS        any replica takes the next
//!                                          └─► DTMA_OUTCOMES, then POLLS: due now
//! ```
//!
//! | module | what it is for |
//! |---|---|
//! | [`agent`] | reads every generation's answers and heartbeats into one form; pure |
//! | `client` | asks an agent, or tells it what to do, within bounds, and names what went wrong |
//! | `registry` | the toolboxes, and whom a token names |
//! | `timetable` | keeps the schedules in step with the registry |
//! | `poll` | one due poll: ask, report, plan |
//! | `command` | one command: tell the agent, look where its answer leaves doubt, say what came of it |
//! | `heartbeat` | one heartbeat: authorise, read, report, push the dead-man's switch on |
//!
//! Reports are published and acknowledged before a schedule moves, and due polls are acknowledged last; so are outcomes
//! of commands, and the commands. Replicas share nothing but the bus: what the next poll must know rides in its
//! schedule, and a command that was cut short is carried out again.
//!
//! # What it must never do
//! - Let anybody else speak to agents: what is wanted of one comes over the bus.
//! - Map a status: the words of an agent are passed on, and read only to choose the next poll's time and to see whether
//!   a command has what it wanted.
//! - Command a container that is not, by id *and* name, an instance of the toolbox in the registry; or carry out a
//!   command past its deadline.
//! - Say that a command was carried out without having told the agent, though all may be as wanted already.
//! - Take the toolbox of a heartbeat from anything but its token.
//! - Show a token to anyone but the agent it is for: not in a log, a URL, an error, a span or a report.
//! - Follow a redirect, or read more of an answer or heartbeat than configured.
//! - Keep state that another replica would need, or use a database.
//! - End a schedule of a toolbox that it merely has not heard of yet.

pub mod agent;
mod client;
mod command;
mod config;
mod ending;
mod heartbeat;
mod metrics;
mod observed;
mod poll;
mod registry;
mod report;
mod run;
mod timetable;

pub use config::{CadenceOptions, CommandOptions, Config, HeartbeatOptions, PollingOptions, UpkeepOptions};
pub use metrics::METRICS;
pub use run::run;

/// The clock and the randomness of the process, handed to whatever needs them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ambient {
    /// The time.
    pub(crate) now: fn() -> jiff::Timestamp,
    /// A fresh random number in `0.0..1.0`.
    pub(crate) random: fn() -> f64,
}
