//! How a NATS key-value bucket lies in a stream (ADR-8), so that `nats kv` and every client library read it as one.

use std::time::Duration;

use async_nats::jetstream::stream::{self, DiscardPolicy, StorageType};
use async_nats::{HeaderMap, HeaderName, header};
use uuid::Uuid;
use wire::streams::BucketSpec;

/// Says what a message without a value means.
const OPERATION: HeaderName = HeaderName::from_static("KV-Operation");
const PURGE: &str = "PURGE";
/// How long the marker of a deleted key stays: long enough for every watcher that is connected. Who was away gets a
/// snapshot; a marker that stayed for ever would be a leak.
const MARKER_TTL: Duration = Duration::from_secs(3600);

/// The stream behind a bucket.
pub(crate) fn stream_name(bucket: &BucketSpec) -> String {
    format!("KV_{}", bucket.name)
}

/// All its keys.
pub(crate) fn all_keys(bucket: &BucketSpec) -> String {
    format!("{}>", prefix(bucket))
}

/// The subject of an entry.
pub(crate) fn subject(bucket: &BucketSpec, key: Uuid) -> String {
    subject_of(bucket, &key.to_string())
}

/// The subject of an entry whose key is no id.
pub(crate) fn subject_of(bucket: &BucketSpec, key: &str) -> String {
    format!("{}{key}", prefix(bucket))
}

/// The key of the entry that a subject is.
pub(crate) fn key_of(bucket: &BucketSpec, subject: &str) -> Option<Uuid> {
    subject.strip_prefix(&prefix(bucket))?.parse().ok()
}

/// The name of the bucket that a subject belongs to, ours or not.
pub(crate) fn name_of(subject: &str) -> Option<&str> {
    Some(subject.strip_prefix("$KV.")?.split_once('.')?.0)
}

fn prefix(bucket: &BucketSpec) -> String {
    format!("$KV.{}.", bucket.name)
}

/// The stream behind a bucket, as client libraries make it, with time to live allowed for markers.
pub(crate) fn stream_config(bucket: &BucketSpec, replicas: usize) -> stream::Config {
    stream::Config {
        name: stream_name(bucket),
        description: Some(bucket.description.to_owned()),
        subjects: vec![all_keys(bucket)],
        max_messages_per_subject: bucket.history.into(),
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
