//! status-api: answers what the status of MCP servers is, and takes commands for them, over HTTP and over NATS alike.
//!
//! ```text
//!  MCP_STATUS, bucket connections ─► live::Fleet ──┐
//!  PostgreSQL ─(a second old at most)─► rows ──────┼─► view ─► HTTP ◄── people, services, /docs
//!                                                  │             ▲
//!                                                  │             └── bridge ◄── NATS: status.api.v1.{operation}
//!  HTTP ─► caller: who, how often ─► routes ───────┘
//!             │
//!             └─ commands: intent + record, one transaction ─► wake: the mapper announces ─► DTMA_COMMANDS
//!                                  ▲                                                             ▲
//!                                  └── relay: what a crash left ─────────────────────────────────┘
//! ```
//!
//! | module | what it is for |
//! |---|---|
//! | `boundary` | what every request has in common: span, measurement, time limit, problem documents |
//! | `caller`, `limits` | who asks, and how often |
//! | `params`, `ask`, `repeat` | what is asked, checked; and the same thing twice |
//! | `base`, `rows`, `view` | the database with little patience, rows in memory, and what is shown of them |
//! | `timeline`, `studies` | what was, drawn; and counts over time, kept for a few seconds |
//! | `accept`, `relay` | commands for agents, accepted, announced and handed on |
//! | `gates` | one forced poll however many ask |
//! | `entering` | changes of the registry with their record |
//! | `webhooks` | what may be said of a webhook, and its secret |
//! | `routes` | the operations |
//! | `openapi`, `bridge` | the document made of them, and the operations over NATS made of that |
//!
//! Replicas share nothing but the database and the bus; each answers alone.
//!
//! # What fails, and what happens then
//! | away | meanwhile |
//! |---|---|
//! | PostgreSQL | reads answer from memory, marked stale; what only it knows, and every command, is 503 with `Retry-After` |
//! | NATS | reads answer from memory and rows, marked stale; commands are 503 |
//! | status-mapper | a command is taken back, since nobody would announce it: 503 |
//! | dtma-poller | commands are accepted, and end at their deadline |
//! | this process, between accepting and handing on | another replica hands on |
//!
//! # What it must never do
//! - Write a status: only intents (`desired_state`, `monitored`, overrides), commands and entries of the registry.
//! - Answer differently to who may not know of something and to who asks for what does not exist.
//! - Say that something does not exist, or was accepted, without knowing it.
//! - Repeat a token or a value of a request, or show internal text.
//! - Write because of a read, or keep a pooled connection while somebody waits.

mod accept;
mod answer;
mod app;
mod ask;
mod base;
mod boundary;
mod bridge;
mod caller;
mod clock;
mod config;
mod entering;
mod gates;
#[cfg(test)]
mod latency;
mod limits;
mod metrics;
mod oldest;
pub mod openapi;
mod params;
mod records;
mod refusal;
mod relay;
mod repeat;
mod router;
mod routes;
mod rows;
mod run;
mod studies;
mod timeline;
mod view;
mod webhooks;

pub use config::{CommandOptions, Config, LimitOptions};
pub use metrics::METRICS;
pub use run::run;

/// This service's name on the bus, in the database and in telemetry.
const NAME: &str = "status-api";
