//! The bus against a real nats-server. Every test has a server of its own, in a folder that goes with it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers as well"
)]

mod batches;
mod buckets;
mod connect;
mod consume;
mod dead_letters;
mod follow;
mod ground;
mod healing;
mod hostile;
mod inspect;
mod later;
mod observe;
mod permissions;
mod present;
mod publish;
mod requests;
mod schedules;
mod sign_ins;
mod streams;
mod tickets;
mod tracing_context;
