//! The present of everything, in memory: what every service holds that answers or tells without asking the database.
//!
//! ```text
//!  MCP_STATUS ─► follow_present ─┬─ Restarted: a new picture is begun ─┐
//!                                ├─ messages: into it, by version      ├─► Fleet: servers · toolboxes · connections
//!                                └─ Present: it takes the place ───────┘      │
//!  bucket connections ─► access::Connections ────────────────────────────────┘
//!                                                                   who may see what, in the order of ids
//! ```
//!
//! Of each server and toolbox the newest event counts, by version; a tombstone takes a server away, and `unseen` (which
//! nothing else announces) a toolbox. After a loss the picture is painted anew beside the old one, which goes on
//! answering until the new one is whole: what is not in that is gone.
//!
//! What it must never do: take an event for newer than its version says or for another's than its subject says, show
//! part of a picture for the whole, let one event that cannot be read hold up the others, or ask a database.

mod fleet;
mod metrics;
mod picture;
mod run;

pub use fleet::Fleet;
pub use run::run;
