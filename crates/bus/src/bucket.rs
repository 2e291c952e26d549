//! How a NATS key-value bucket lies in a stream (ADR-8), so that `nats kv` and every client library read it as one.

use std::sync::LazyLock;
use std::time::Duration;

use async_nats::jetstream::stream::{self, DiscardPolicy, StorageType};
use async_nats::{HeaderMap, HeaderName, header};
use domain::ToolboxId;
use wire::streams;

/// Says what a message without a value means.
const OPERATION: HeaderName = HeaderName::from_static("KV-Operation");
const PURGE: &str = "PURGE";
/// How long the marker of a deleted key stays: long enough for every watcher that is connected. Who was away gets a
/// snapshot; a marker that stayed for ever would be a leak.
const MARKER_TTL: Duration = Duration::from_secs(3600);

static STREAM: LazyLock<String> = LazyLock::new(|| format!("KV_{}", streams::TOOLBOXES.name));
static PREFIX: LazyLock<String> = LazyLock::new(|| format!("$KV.{}.", streams::TOOLBOXES.name));

/// The stream behind the bucket.
pub(crate) fn stream_name() -> &'static str {
    &STREAM
}

/// All its keys.
pub(crate) fn all_keys() -> String {
    format!("{}>", *PREFIX)
}

/// The subject of a toolbox's entry.
pub(crate) fn subject(toolbox: ToolboxId) -> String {
    format!("{}{toolbox}", *PREFIX)
}

/// The toolbox whose entry a subject is.
pub(crate) fn toolbox_of(subject: &str) -> Option<ToolboxId> {
    subject.strip_prefix(PREFIX.as_str())?.parse().ok()
}

/// The stream behind the bucket, as client libraries make it, with time to live allowed for markers.
pub(crate) fn stream_config(replicas: usize) -> stream::Config {
    stream::Config {
        name: STREAM.clone(),
        description: Some("What pollers need to know of each toolbox; mirrored from the tables".to_owned()),
        subjects: vec![all_keys()],
        max_messages_per_subject: streams::TOOLBOXES.history.into(),
        max_messages: -1,
        max_bytes: -1,
        max_message_size: -1,
        max_consumers: -1,
        discard: DiscardPolicy::New,
        storage: StorageType::File,
        num_replicas: replicas,
        duplicate_window: Duration::from_secs(120),
        allow_rollup: true,
        deny_delete: true,
        allow_direct: true,
        allow_message_ttl: true,
        ..Default::default()
    }
}

/// The headers that delete a key and all its history, and themselves after a while.
pub(crate) fn deletion() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(OPERATION, PURGE);
    headers.insert(header::NATS_ROLLUP, crate::publish::ROLLUP_SUBJECT);
    headers.insert(header::NATS_MESSAGE_TTL, crate::publish::ttl_text(MARKER_TTL));
    headers
}

/// Whether a message marks a deleted key: written by a client, or by the server for what it removed.
pub(crate) fn is_deletion(headers: &HeaderMap) -> bool {
    let operation = headers.get(OPERATION).map(async_nats::HeaderValue::as_str);
    matches!(operation, Some("DEL" | PURGE)) || headers.get(header::NATS_MARKER_REASON).is_some()
}
