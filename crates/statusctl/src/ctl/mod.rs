//! The commands that ask and tell status-api: arguments in, calls, text out.
//!
//! Each command is three steps with a seam between them: what is meant ([`crate::place`], [`crate::find`]), the calls
//! ([`crate::api`]), what is shown ([`crate::show`]). Here is only what connects them.

pub mod act;
pub mod board;
pub mod connections;
mod context;
mod failures;
pub mod log;
pub mod migrate;
pub mod overrides;
pub mod profiles;
pub mod refresh;
pub mod registry;
pub mod servers;
pub mod sim;
pub mod token;
pub mod toolboxes;
pub mod webhooks;

pub use context::{Context, Global, Terminal};
pub(crate) use failures::Failures;
