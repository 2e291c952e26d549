//! What one-use codes stand for: tickets for streams, and sign-ins.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::message::message;

/// Whom a ticket proves, under the ticket's SHA-256: the ticket itself is nowhere kept. Written by status-api; taken away by
/// whichever notifier replica redeems it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TicketEntry {
    /// The account; absent for who has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<Uuid>,
    /// `user`, `admin` or `service_role`.
    pub role: String,
    /// Who it is, for logs.
    pub actor: String,
    /// When the token ends that the ticket was issued for: what is opened with the ticket ends then too.
    pub expires_at: Timestamp,
    /// Until when the ticket may be redeemed.
    pub valid_until: Timestamp,
}

message!(TicketEntry, "mcp-status.ticket-entry.v1");

/// A token left for whoever brings a code, under the code's SHA-256: the code itself is nowhere kept. Written and taken away
/// by status-api.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignInEntry {
    /// The token and its times, sealed (AES-256-GCM) under a key derived from the code: opaque to whoever reads the bucket.
    pub sealed: String,
}

message!(SignInEntry, "mcp-status.sign-in-entry.v1");
