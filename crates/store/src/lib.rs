//! The rows: what is known of every toolbox and server, what was announced of them, and what is still to be published.
//!
//! ```text
//!  batch::lock ──► domain::fold ──► batch::write ─────┐
//!  sweep::candidates ─► Server::sweep ─► batch::write ├─ one transaction: rows + status_changes
//!  registry::vanished ─► tombstone ────► batch::write ┘            │
//!                                                        commit, publish, outbox::mark_published
//!                                                                  ▲
//!                              outbox::unpublished (what a crash left over)
//!
//!  registry::read ──► the pollers' mirror        snapshot::* ──► the status stream, rebuilt
//!  census::* ──► metrics
//!  registration::*, entries::* ──► rows, where no application makes them     history::* ──► partitions, made and dropped
//! ```
//!
//! PostgreSQL is the truth: everything on the bus can be made again from here. The tables are those of the application
//! that owns the data, extended by the migrations at the workspace's root.
//!
//! Every query function takes the connection, so that the caller decides what is one transaction.
//!
//! This crate must never decide what a report means (that is `domain`), never look into an event (it stores and returns
//! the text), never let a report insert a row (a late one cannot bring back what was deleted) or write an intent
//! (`desired_state`, `monitored`, names), and never read a clock.

pub mod batch;
pub mod census;
mod change;
mod columns;
mod command_ends;
pub mod commands;
mod connected;
mod database;
pub mod entries;
mod error;
pub mod history;
pub mod inspect;
mod instant;
pub mod intent;
mod json;
mod lock_keys;
pub mod outbox;
pub mod reading;
pub mod registration;
pub mod registry;
mod repeats;
mod rows;
pub mod snapshot;
pub mod sweep;
pub mod timeline;
pub mod webhooks;

pub use change::{ChangeKind, ChangeRow, Envelope, OutboxRow};
pub use database::{Database, DatabaseOptions, MIGRATOR, Transaction, migrate};
pub use error::{Cause, ErrorKind, StoreError};
pub use sqlx::{PgConnection, PgExecutor, PgPool};
