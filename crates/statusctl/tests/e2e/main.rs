//! The whole path on real servers: agents (simulated) → dtma-poller → NATS → status-mapper → PostgreSQL and NATS, and back
//! again: status-api → NATS → dtma-poller → agents.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may panic and has a clock"
)]

mod captured;
mod client;
mod commands;
mod delivery;
mod document;
mod host;
mod outages;
mod owner;
mod processes;
mod silence;
mod webhooks;
mod world;
