//! status-mapper against a real NATS server and a real PostgreSQL, in one process.
//!
//! Every test has a NATS server of its own, since stream names are fixed, and a database of its own: on the server that
//! `DATABASE_URL` names where it is set, else on a private one. Nothing waits for a duration: every wait is for a
//! condition, with a limit.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers as well"
)]

mod aging;
mod commands;
mod events;
mod ground;
mod jetstream;
mod outages;
mod rebuilding;
mod registry;
mod replicas;
mod reports;
mod waiting;
mod webhooks;
