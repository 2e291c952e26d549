//! The notifier over real sockets on a real nats-server. Every test has a server of its own, in a folder that goes with it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers as well"
)]

mod browser;
mod client;
mod fence;
mod ground;
mod limits;
mod resume;
mod slow;
mod storm;
mod streams;
mod tickets;
