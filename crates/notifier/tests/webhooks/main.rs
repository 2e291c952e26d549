//! Webhooks over real sockets on a real nats-server. Every test has a server of its own, in a folder that goes with it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers as well"
)]

mod deliver;
mod ground;
mod quiet;
mod receiver;
mod retry;
mod verify;
