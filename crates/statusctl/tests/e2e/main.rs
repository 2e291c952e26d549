//! The whole path on real servers: agents (simulated) → dtma-poller → NATS → status-mapper → PostgreSQL and NATS.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may panic and has a clock"
)]

mod captured;
mod delivery;
mod host;
mod outages;
mod silence;
mod world;
