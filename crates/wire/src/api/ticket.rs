//! Tickets for streams.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A ticket: opens one stream of notifier as whoever asked for it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ticket {
    /// The ticket, for `GET /v1/events?ticket=` or the `auth` message of a WebSocket. Works once.
    pub ticket: String,
    /// Seconds until it works no more.
    pub expires_in: u64,
}

/// As good as a token for as long as it lives: not for logs.
impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}
