//! The present of everything, in memory: what every service holds that answers or tells without asking the database.
//!
//! ```text
//!  MCP_STATUS ─► follow_present ─┬─ Restarted: a new picture is begun ─┐
//!                                ├─ messages: into it, by version      ├─► Fleet: servers · toolboxes · connections
//!                                └─ Present: it takes the place ───────┘      │
//!  bucket connections ─► access::Connections ────────────────────────────────┤
//!                                                                   ├─► who may see what, in the order of ids
//!                                                                   └─► Watch: told of every change, as it is taken in
//! ```
//!
//! Of each server and toolbox the newest event counts, by version; a tombstone takes a server away, and `unseen` (which
//! nothing else announces) a toolbox. After a loss the picture is painted anew beside the old one, which goes on
//! answering until the new one is whole: what is not in that is gone.
//!
//! For those who pass changes on, each event is kept as it is told ([`Told`]): with its place in the stream, written once
//! and shared. What has gone is remembered for a week, per account that owned it, so that who was away until some
//! [`wire::Cursor`] can be told what changed since, or that it cannot be known. A stream that was made anew, or that has
//! lost what it told, is another: then everything is told anew.
//!
//! What it must never do: take an event for newer than its version says or for another's than its subject says, show
//! part of a picture for the whole, let one event that cannot be read hold up the others, or ask a database.

mod departed;
mod fleet;
mod metrics;
mod picture;
mod reach;
mod run;
mod told;
mod watch;

pub use fleet::Fleet;
pub use metrics::METRICS;
pub use picture::Picture;
pub use run::run;
pub use told::{Fate, Told, Topic};
pub use watch::{News, Watch};
