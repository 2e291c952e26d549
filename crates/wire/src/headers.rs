//! Header names: CloudEvents 1.0 in binary mode (CloudEvents NATS protocol binding, §3.1), and what a dead letter
//! bears beyond the original's headers.

/// CloudEvents: the version of the specification, always [`SPEC_VERSION`].
pub const CE_SPECVERSION: &str = "ce-specversion";
/// CloudEvents: the event's id, equal to `Nats-Msg-Id`.
pub const CE_ID: &str = "ce-id";
/// CloudEvents: which service published it.
pub const CE_SOURCE: &str = "ce-source";
/// CloudEvents: what kind of message, one of [`crate::Message::TYPE`].
pub const CE_TYPE: &str = "ce-type";
/// CloudEvents: when it was published, RFC 3339.
pub const CE_TIME: &str = "ce-time";
/// The body's media type.
pub const CONTENT_TYPE: &str = "content-type";
/// The version of CloudEvents used.
pub const SPEC_VERSION: &str = "1.0";
/// All bodies are JSON.
pub const JSON: &str = "application/json";

/// Dead letter: why the message could not be used.
pub const DLQ_REASON: &str = "dlq-reason";
/// Dead letter: the stream it was in.
pub const DLQ_STREAM: &str = "dlq-stream";
/// Dead letter: the subject it was published to.
pub const DLQ_SUBJECT: &str = "dlq-subject";
/// Dead letter: its sequence in that stream.
pub const DLQ_SEQUENCE: &str = "dlq-sequence";
/// Dead letter: how often it was delivered.
pub const DLQ_DELIVERIES: &str = "dlq-deliveries";
