//! `statusctl`: what a person uses to run, watch and try out status synchronisation.
//!
//! ```text
//!  statusctl up     nats-server and PostgreSQL as child processes, the services and the simulated fleet in-process
//!                     └─► DATA/endpoints.json once everything works, gone when it ends
//!  statusctl watch  NATS status subjects ─► a table in a terminal, JSON lines in a pipe
//!  statusctl sim    simulated agents alone
//! ```
//!
//! It is the only crate that knows the services, and only to host them through their `run`. It must never write a
//! status, and what it prints never holds a secret.

pub mod cli;
pub mod endpoints;
pub mod up;
pub mod watch;
