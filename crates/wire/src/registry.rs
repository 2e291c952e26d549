//! What is mirrored from the tables: what pollers need to know of a toolbox (bucket `toolboxes`), and which agent of whom
//! is connected to which server (bucket `connections`).

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::message::message;
use crate::streams::BucketSpec;

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
    /// Whether a command is under way for it: then it is looked at as often as one that starts or stops, watched or not.
    #[serde(default, skip_serializing_if = "is_false")]
    pub commanded: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls it with")]
fn is_false(value: &bool) -> bool {
    !value
}

message!(ToolboxEntry, "mcp-status.toolbox-entry.v1");

/// One connection of an agent to a server, by whoever reads statuses for others: what lets somebody see a server that is
/// not his own. Mirrored from the tables by status-mapper; watched by status-api and notifier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionEntry {
    /// Which one; equal to the key.
    pub connection_id: Uuid,
    /// Which agent.
    pub agent_id: Uuid,
    /// Whose agent it is; absent where the tables do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<Uuid>,
    /// To which server.
    pub server_id: Uuid,
    /// Whether it is in force.
    pub active: bool,
}

message!(ConnectionEntry, "mcp-status.connection-entry.v1");

/// An entry of a bucket that mirrors a table: one key a row, its id.
pub trait Entry: crate::Message + Clone + PartialEq + std::fmt::Debug + Send + 'static {
    /// The bucket.
    const BUCKET: &'static BucketSpec;

    /// The row's id.
    fn key(&self) -> Uuid;

    /// Reads an entry's body.
    ///
    /// # Errors
    /// [`crate::Refused`], naming what was expected and never repeating the body.
    fn read(body: &[u8]) -> Result<Self, crate::Refused> {
        crate::message::decode(body)
    }
}

impl Entry for ToolboxEntry {
    const BUCKET: &'static BucketSpec = &crate::streams::TOOLBOXES;

    fn key(&self) -> Uuid {
        self.toolbox_id
    }
}

impl Entry for ConnectionEntry {
    const BUCKET: &'static BucketSpec = &crate::streams::CONNECTIONS;

    fn key(&self) -> Uuid {
        self.connection_id
    }
}

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
