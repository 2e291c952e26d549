//! `store` against a real PostgreSQL: every test has a database of its own on the server that `DATABASE_URL` names.

#![allow(missing_docs, reason = "a test binary has no readers of its API")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod batches;
mod census;
mod commands;
mod connection;
mod entries;
mod generate;
mod history;
mod inspect;
mod migrations;
mod outbox;
mod owner;
mod registry;
mod roles;
mod round_trip;
mod support;
mod sweeps;
mod timelines;
mod webhooks;
