//! Asking status-api, over HTTP.
//!
//! ```text
//!  a command ─► routes (typed) ─► Ask ─► transport: time-outs, bounds, retries under the same key ─► status-api
//!                  ▲                                   │
//!                  └── wire::api types ◄── 2xx ────────┤
//!                      Failure (exit code, one line) ◄─┴─ problem documents, and no answer at all
//! ```
//!
//! What fails for want of an answer is asked again where asking twice does no harm: reads, and commands, which bear an
//! `Idempotency-Key` that stays the same. What was answered is never asked again, save for "not so fast".

mod problem;
mod routes;
#[cfg(test)]
mod tests;
mod transport;
mod webhooks;

pub use routes::{ServerFilter, Verb};
pub(crate) use transport::bounded;
pub use transport::{Client, Limits};
