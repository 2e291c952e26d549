//! A private nats-server and a private PostgreSQL as child processes: what `statusctl up` runs on, and what every
//! test uses that must be free to stop, restart or kill a server.
//!
//! ```text
//!            Programs ── finds the two programs (override, project cache, PATH, /usr/lib/postgresql)
//!               │
//!   start ──► data folder ── locked (one instance), a stale child of an earlier run is stopped first
//!               │
//!               ├─ setpriv --pdeathsig ─► nats-server -c DIR/nats-server.conf ──► INFO line read = ready
//!               └─ setpriv --pdeathsig ─► postgres -D DIR/cluster ──► answers a query = ready
//!                        │ (spawned by one thread that lives as long as the process)
//!                        └─ output ─► bounded log file in the data folder, its tail in every error
//! ```
//!
//! # What it promises
//! - **No orphans.** A child dies with this process, `kill -9` included: `setpriv` arms the kernel's parent-death
//!   signal after it has changed the user (a change of credentials disarms it). That signal fires when the *thread*
//!   that spawned the child ends, so all children are spawned by one thread that never ends.
//! - **Ordered shutdown is the caller's.** Children have their own process group: a Ctrl-C in the terminal reaches
//!   only the host, which stops them when it no longer needs them.
//! - **A data folder has one owner**, held by an OS file lock that the kernel releases however the owner ends.
//! - **PostgreSQL never runs as root** ([`Postgres`] tells where its cluster goes then).
//!
//! # What it must never do
//! - Listen anywhere but on the address asked for; the default is the loopback address. nats-server runs without
//!   a password there: whoever may connect to this machine's loopback interface may use the bus. PostgreSQL asks
//!   for a random password kept in a 0600 file.
//! - Put a password in a log, an error or a `Debug` output. ([`Postgres::url`] is the one place that gives it out.)
//! - Be a client for others: it knows as much of both protocols as readiness and preparing a database need, and
//!   depends on no client library, so that every crate's tests can use it.
//! - Download anything: `scripts/setup` does.
//!
//! Linux only (`/proc`, the parent-death signal). Start servers under real time: with tokio's clock paused, every
//! time-out fires at once.

mod child;
mod files;
mod lock;
mod log;
mod nats;
mod port;
mod postgres;
mod programs;
mod spawner;
mod spec;
mod stale;

pub use nats::{NatsOptions, NatsServer};
pub use postgres::{Postgres, PostgresOptions, collect_abandoned_clusters};
pub use programs::{NatsProgram, PostgresPrograms, Programs, Search, Version};
