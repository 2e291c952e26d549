//! The simulator over real sockets: as a poller, a commander, a heartbeat receiver and a script meet it.

#![allow(missing_docs, reason = "a test binary has no readers of its API")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod agents;
mod binary;
mod commands;
mod control;
mod heartbeats;
mod misbehaviour;
mod sockets;
mod support;
