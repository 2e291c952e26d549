//! Who may do what on the bus: one table, and the server's configuration that is made of it (`deploy/nats`).
//!
//! ```text
//!                    makes       publishes                            takes              reads            writes
//!  status-mapper     everything  statuses, schedules                  reports, outcomes  buckets, status  3 buckets
//!  dtma-poller                   reports, outcomes, schedules, polls  polls, commands    toolboxes
//!  status-api                    commands, wakes, polls, looks        questions          status, letters  tickets, sign-ins
//!  notifier                      what is on its way to webhooks       changes, webhooks  buckets, status  tickets
//!  statusctl                     questions                                               toolboxes, status
//!  client                        questions                                               status
//!  a tenant, in an account of his own: questions; hears his own statuses
//! ```
//!
//! # What permissions cannot tell apart
//! - A consumer delivers to where its maker says, and the server answers a request to where the asker says, both without
//!   looking at what the maker or asker may publish. So nobody but the mapper makes a consumer on a stream he writes
//!   to: what anybody could have delivered elsewhere was written by somebody else, for that stream. And a tenant, who is
//!   trusted with nothing, has an account of his own without JetStream, into which only his own statuses are
//!   imported: what he asks is answered there, and nowhere else.
//! - Whoever may publish to a stream can have its acknowledgement sent to any subject. Its text is the server's own: as a
//!   status it cannot be read, is skipped, and repaired from the rows when all of them are compared.

mod render;
mod table;

use std::borrow::Cow;

pub use render::{accounts_file, permissions_file, tenant_file, whole};
pub use table::{ALL, User};

/// Where answers to a user come: to listen there is permitted to him alone.
pub fn inbox(user: &str) -> String {
    format!("_INBOX.{user}")
}

/// Subjects that a user may use, wildcards included; anything else is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    /// To publish to, requests included.
    pub publish: Vec<Cow<'static, str>>,
    /// To listen on.
    pub subscribe: Vec<Cow<'static, str>>,
}
