//! status-api on a real nats-server and a real PostgreSQL. The mapper is played by the tests: they publish status events
//! and settle toolboxes when they are asked to.

#![allow(missing_docs, reason = "a test binary has no readers of its API")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod access;
mod commands;
mod connections;
mod documents;
mod ground;
mod nats;
mod outages;
mod queries;
mod refreshing;
mod registry;
mod replicas;
mod sign_ins;
mod stand_in;
mod tickets;
mod timelines;
mod webhooks;
