//! What every service's process is made of: options, telemetry, health endpoints, supervised tasks, ordered shutdown.
//!
//! ```text
//!  main() ─ command_line ─┬─► health: asks the one that serves ► exit 0 or 1
//!                         └─► main ─► telemetry up ─► run(config, lifecycle) ─┬─ Tasks: one ends early ► all end, exit 1
//!                                                      ▲                      ├─ Readiness ► /readyz
//!             SIGINT, SIGTERM ─► shutdown token ───────┘                      └─ drains, then telemetry is flushed
//! ```
//!
//! This crate knows nothing of status, NATS or PostgreSQL; it must never depend on `domain`, `wire`, `bus` or `store`.

mod command_line;
mod health;
pub mod http;
mod lifecycle;
pub mod options;
mod process;
mod readiness;
pub mod secret_files;
mod tasks;
mod telemetry;

pub use command_line::command_line;
pub use lifecycle::Lifecycle;
pub use options::duration;
pub use process::{main, shutdown_on_signals};
pub use readiness::{METRICS as READINESS_METRICS, Readiness};
pub use tasks::Tasks;
pub use telemetry::{Telemetry, log};
