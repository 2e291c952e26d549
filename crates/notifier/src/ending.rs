//! Why a stream ends, and how its client is told.

use std::time::Duration;

use wire::stream::StreamMessage;

use crate::places::Full;

/// Why a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The client left, or the network did.
    Left,
    /// Something that is no message of the protocol.
    BadMessage(&'static str),
    /// Nobody said in time who it is.
    NotAuthenticated,
    /// The token or ticket is not taken.
    Unauthorized,
    /// The token has ended.
    Expired,
    /// Another account's token on an open stream.
    Forbidden,
    /// Two pings in a row were not answered.
    Silent,
    /// Nothing was subscribed to for a long time.
    Idle,
    /// Takes nothing of what is written to it.
    Slow,
    /// A limit on connections is reached.
    Full(Full),
    /// Asks too much in too short a time.
    TooManyMessages,
    /// Nothing can be told yet, or who is asking cannot be found out now.
    Unavailable,
    /// This replica stops.
    Restart,
}

/// Longest that a client is asked to wait before it comes back: spread, all of them are gentle on those that remain.
const SPREAD: Duration = Duration::from_secs(5);

impl Ending {
    /// The close code of a WebSocket.
    pub(crate) fn code(self) -> u16 {
        match self {
            Self::Left => 1000,
            Self::BadMessage(_) => 4400,
            Self::NotAuthenticated | Self::Unauthorized | Self::Expired => 4401,
            Self::Forbidden => 4403,
            Self::Silent | Self::Idle => 4408,
            Self::Slow => 4413,
            Self::Full(_) | Self::TooManyMessages => 4429,
            Self::Unavailable => 1013,
            Self::Restart => 1012,
        }
    }

    /// For clients and metrics.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::BadMessage(problem) => problem,
            Self::NotAuthenticated => "authentication_timeout",
            Self::Unauthorized => "unauthorized",
            Self::Expired => "token_expired",
            Self::Forbidden => "another_account",
            Self::Silent => "no_answer_to_pings",
            Self::Idle => "no_subscription",
            Self::Slow => "too_slow",
            Self::Full(full) => full.as_str(),
            Self::TooManyMessages => "too_many_messages",
            Self::Unavailable => "unavailable",
            Self::Restart => "restart",
        }
    }

    /// The last message. `random` is in `0.0..1.0`.
    pub(crate) fn bye(self, random: f64) -> StreamMessage {
        let worth_another_try = matches!(
            self,
            Self::Restart | Self::Unavailable | Self::Full(_) | Self::Slow
        );
        let wait = SPREAD.mul_f64(0.1 + 0.9 * random.clamp(0.0, 1.0));
        StreamMessage::Bye {
            code: self.code(),
            reason: self.reason().to_owned(),
            retry_after_ms: worth_another_try.then(|| u64::try_from(wait.as_millis()).unwrap_or_default()),
        }
    }
}
