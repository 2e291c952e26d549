//! What pollers need to know of a toolbox: one entry of the `toolboxes` bucket.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::message::message;

/// One toolbox. Mirrored from the tables by status-mapper; watched by dtma-poller.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ToolboxEntry {
    /// Which one; equal to the key.
    pub toolbox_id: Uuid,
    /// Whose it is.
    pub account_id: Uuid,
    /// Where its agent is reached, without a trailing slash; absent while the toolbox has no address yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// The token for its agent, sealed (base64): readable only to who holds the sealing key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_token: Option<String>,
    /// SHA-256 of the toolbox's own token in hexadecimal: what names it when it pushes. Absent where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_hash: Option<String>,
    /// Its instances, by id.
    pub instances: Vec<InstanceEntry>,
}

/// One instance of a toolbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstanceEntry {
    /// Which server.
    pub server_id: Uuid,
    /// Its container's name.
    pub name: String,
    /// Whether anybody wants it watched.
    pub monitored: bool,
    /// Whether any report ever spoke of it: one that was never seen is being installed, and looked for more often.
    pub seen: bool,
}

message!(ToolboxEntry, "mcp-status.toolbox-entry.v1");

/// Neither the sealed token nor its hash belongs in a log.
impl fmt::Debug for ToolboxEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolboxEntry")
            .field("toolbox_id", &self.toolbox_id)
            .field("account_id", &self.account_id)
            .field("base_url", &self.base_url)
            .field("has_token", &self.sealed_token.is_some())
            .field("instances", &self.instances)
            .finish()
    }
}
