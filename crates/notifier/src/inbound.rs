//! What comes over a WebSocket: a request, a sign of life, or the reason why it ends.

use axum::extract::ws::{Message, Utf8Bytes};
use wire::stream::StreamRequest;

use crate::ending::Ending;

/// The text of what was received; `None`: nothing to answer.
pub(crate) fn received(message: Option<Result<Message, axum::Error>>) -> Result<Option<Utf8Bytes>, Ending> {
    match message {
        None | Some(Ok(Message::Close(_))) => Err(Ending::Left),
        Some(Ok(Message::Text(text))) => Ok(Some(text)),
        Some(Ok(Message::Binary(_))) => Err(Ending::BadMessage("binary_message")),
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
        Some(Err(error)) => Err(broken(&error)),
    }
}

/// Why a socket cannot be read or written any more.
pub(crate) fn broken(error: &axum::Error) -> Ending {
    let mut source: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return match error.kind() {
                std::io::ErrorKind::TimedOut => Ending::Slow,
                _ => Ending::Left,
            };
        }
        source = error.source();
    }
    // Not the network: what came is no WebSocket message that is taken, by its form, text or length.
    let text = error.to_string();
    if text.contains("too long") || text.contains("too big") {
        Ending::BadMessage("message_too_long")
    } else if text.contains("closed") || text.contains("without closing") {
        Ending::Left
    } else {
        Ending::BadMessage("no_websocket_message")
    }
}

pub(crate) fn read(text: &str) -> Result<StreamRequest, Ending> {
    StreamRequest::decode(text.as_bytes()).map_err(|refused| {
        tracing::debug!(%refused, "a client's message cannot be read");
        Ending::BadMessage("bad_message")
    })
}
