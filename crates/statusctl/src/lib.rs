//! `statusctl`: what a person uses to run, watch, ask and command status synchronisation, and to find out what is wrong
//! with it.
//!
//! ```text
//!  statusctl up       nats-server and PostgreSQL as child processes, the services and the simulated fleet in-process
//!                       └─► DATA/endpoints.json once everything works, gone when it ends
//!  statusctl sim      simulated agents alone
//!
//!  get · list · history · fleet · toolbox · server · connection · command    ─► place: which installation, which token
//!  start · stop · restart · delete · refresh · monitor · unmonitor · override  ─► find: which servers are meant
//!                                                                              ─► api: status-api, over HTTP
//!                                                                              ─► show: text or JSON ─► exit code
//!  watch              NATS status subjects, else status-api every 2 s ─► a table in a terminal, JSON lines in a pipe
//!  doctor             NATS, PostgreSQL, the services, the agents, read only ─► findings, and what to do about them
//!  profile · token · completions
//! ```
//!
//! It is the only crate that knows the services, and only to host them through their `run`. It must never write a
//! status or a row of its own accord, and what it prints never holds a secret, save for `token`, which is for that.

pub mod api;
pub mod cli;
pub mod ctl;
pub mod dispatch;
pub mod doctor;
pub mod endpoints;
pub mod exit;
pub mod files;
mod find;
pub mod measured;
pub mod place;
pub mod show;
pub mod up;
pub mod watch;
