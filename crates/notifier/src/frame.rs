//! One message on its way to a client.

use std::sync::Arc;

use axum::extract::ws::Utf8Bytes;
use bytes::{BufMut as _, Bytes, BytesMut};
use live::Told;
use wire::Cursor;
use wire::stream::{ErrorCode, StreamMessage};

/// One message: an event, which all its readers share, or one for this client alone.
#[derive(Debug, Clone)]
pub(crate) enum Frame {
    Told(Arc<Told>),
    Own(Box<StreamMessage>),
}

impl From<StreamMessage> for Frame {
    fn from(message: StreamMessage) -> Self {
        Self::Own(Box::new(message))
    }
}

impl Frame {
    /// The message's type, for event streams and metrics.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Told(told) => told.kind(),
            Self::Own(message) => match &**message {
                StreamMessage::Hello { .. } => "hello",
                StreamMessage::Subscribed { .. } => "subscribed",
                StreamMessage::Unsubscribed { .. } => "unsubscribed",
                StreamMessage::Snapshot => "snapshot",
                StreamMessage::Status { .. } => "status",
                StreamMessage::Deleted { .. } => "deleted",
                StreamMessage::Toolbox { .. } => "toolbox",
                StreamMessage::Gone { .. } => "gone",
                StreamMessage::Present { .. } => "present",
                StreamMessage::Reset { .. } => "reset",
                StreamMessage::Stale => "stale",
                StreamMessage::Current { .. } => "current",
                StreamMessage::Error { .. } => "error",
                StreamMessage::Pong => "pong",
                StreamMessage::Bye { .. } => "bye",
            },
        }
    }

    /// Where a client resumes who was told this last.
    fn cursor(&self) -> Option<Cursor> {
        match self {
            Self::Told(told) => Some(told.cursor),
            Self::Own(message) => match &**message {
                StreamMessage::Present { cursor, .. } | StreamMessage::Current { cursor } => Some(*cursor),
                _ => None,
            },
        }
    }

    /// The message as JSON in one line.
    fn json(&self) -> Bytes {
        match self {
            Self::Told(told) => told.message.clone(),
            // Of plain fields: cannot fail.
            Self::Own(message) => serde_json::to_vec(message).unwrap_or_default().into(),
        }
    }

    /// For a WebSocket.
    pub(crate) fn text(&self) -> Utf8Bytes {
        // Was made of text.
        Utf8Bytes::try_from(self.json()).unwrap_or_default()
    }

    /// For an event stream.
    pub(crate) fn write_event(&self, into: &mut BytesMut) {
        let json = self.json();
        into.reserve(json.len() + 96);
        into.put_slice(b"event: ");
        into.put_slice(self.kind().as_bytes());
        if let Some(cursor) = self.cursor() {
            into.put_slice(b"\nid: ");
            into.put_slice(cursor.to_string().as_bytes());
        }
        into.put_slice(b"\ndata: ");
        into.put_slice(&json);
        into.put_slice(b"\n\n");
    }

    /// Of a request that was not granted, why.
    pub(crate) fn error_code(&self) -> Option<&'static str> {
        match self {
            Self::Own(message) => match &**message {
                StreamMessage::Error { code, .. } => Some(match code {
                    ErrorCode::NotFound => "not_found",
                    ErrorCode::Limit => "limit",
                    ErrorCode::Unsupported => "unsupported",
                    ErrorCode::Unauthorized => "unauthorized",
                }),
                _ => None,
            },
            Self::Told(_) => None,
        }
    }

    /// The event that this tells.
    pub(crate) fn told(&self) -> Option<&Told> {
        match self {
            Self::Told(told) => Some(told),
            Self::Own(_) => None,
        }
    }
}
