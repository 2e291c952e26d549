//! What can go wrong, and what of it heals by itself.

use std::fmt;
use std::path::PathBuf;

use async_nats::jetstream::{self, ErrorCode};

/// Why the bus could not do what was asked. No text holds a credential or a part of a body.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    /// The configured address cannot be used. Only the kind of problem is told: addresses may hold passwords.
    #[error("the NATS URL cannot be used: {0}")]
    Url(&'static str),
    /// The credentials file cannot be read or holds none.
    #[error("failed to read NATS credentials from {}", path.display())]
    Credentials {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The server would silently ignore part of what is asked of it.
    #[error("nats-server {have} is too old: {} or newer is needed", version_text(*need))]
    ServerTooOld {
        /// The version it tells.
        have: String,
        /// The oldest that will do.
        need: (u64, u64, u64),
    },
    /// What exists on the server is not what is needed; nothing was changed.
    #[error(transparent)]
    Differs(#[from] Differences),
    /// A stream or consumer does not exist (any more).
    #[error("failed to {what}: it does not exist")]
    NotFound {
        /// What was tried.
        what: String,
    },
    /// Nobody listens where something was asked.
    #[error("failed to {what}: nobody listens there")]
    NoResponder {
        /// What was tried.
        what: String,
    },
    /// The server's permissions do not let this user ask that.
    #[error("failed to {what}: this NATS user may not")]
    Forbidden {
        /// What was tried.
        what: String,
    },
    /// No answer within the configured time.
    #[error("failed to {what}: no answer in time")]
    Timeout {
        /// What was tried.
        what: String,
    },
    /// There is no connection at present.
    #[error("failed to {what}: not connected to NATS")]
    Disconnected {
        /// What was tried.
        what: String,
    },
    /// The client's own task has ended: this [`crate::Bus`] will never work again.
    #[error("the NATS client has stopped")]
    Closed,
    /// The server answered with an error.
    #[error("failed to {what}: {error}")]
    Refused {
        /// What was tried.
        what: String,
        /// The server's answer.
        error: ServerAnswer,
    },
    /// Another message is the last of its subject than was expected.
    #[error("failed to {what}: another message came before it")]
    Conflict {
        /// What was tried.
        what: String,
    },
    /// The message with its headers is larger than the server takes.
    #[error("failed to {what}: the message is larger than the server takes")]
    TooLarge {
        /// What was tried.
        what: String,
    },
    /// A value cannot stand in a header (it holds a line break) or a subject (it holds a blank).
    #[error("failed to {what}: {field} holds characters that cannot be sent")]
    Unsendable {
        /// What was tried.
        what: String,
        /// Which value.
        field: &'static str,
    },
    /// A message could not be written as JSON.
    #[error("failed to encode a {type_name}")]
    Encode {
        /// Which kind of message.
        type_name: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// Anything else that the client reports.
    #[error("failed to {what}: {problem}")]
    Client {
        /// What was tried.
        what: String,
        /// The client's words.
        problem: String,
    },
}

impl BusError {
    /// Whether trying again later can succeed without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            // Who may not make a stream waits for who may; permissions are changed while servers run.
            Self::Forbidden { .. }
            | Self::NoResponder { .. }
            | Self::Timeout { .. }
            | Self::Disconnected { .. }
            | Self::NotFound { .. }
            | Self::Client { .. } => true,
            Self::Refused { error, .. } => error.is_transient(),
            Self::Url(_)
            | Self::Credentials { .. }
            | Self::ServerTooOld { .. }
            | Self::Differs(_)
            | Self::Closed
            | Self::Conflict { .. }
            | Self::TooLarge { .. }
            | Self::Unsendable { .. }
            | Self::Encode { .. } => false,
        }
    }

    /// What kind it is, as a span's `error.type`.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Url(_) => "url",
            Self::Credentials { .. } => "credentials",
            Self::ServerTooOld { .. } => "server_too_old",
            Self::Differs(_) => "differs",
            Self::NotFound { .. } => "not_found",
            Self::NoResponder { .. } => "no_responder",
            Self::Timeout { .. } => "timeout",
            Self::Disconnected { .. } => "disconnected",
            Self::Closed => "closed",
            Self::Refused { .. } => "refused",
            Self::Conflict { .. } => "conflict",
            Self::TooLarge { .. } => "too_large",
            Self::Unsendable { .. } => "unsendable",
            Self::Encode { .. } => "encode",
            Self::Client { .. } => "client",
            Self::Forbidden { .. } => "forbidden",
        }
    }

    /// The error for an answer of the JetStream API.
    pub(crate) fn answered(what: &str, error: &jetstream::Error) -> Self {
        let what = what.to_owned();
        match error.error_code() {
            ErrorCode::STREAM_NOT_FOUND | ErrorCode::CONSUMER_NOT_FOUND => Self::NotFound { what },
            ErrorCode::STREAM_WRONG_LAST_SEQUENCE | ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT => {
                Self::Conflict { what }
            }
            _ => Self::Refused {
                what,
                error: ServerAnswer(error.clone()),
            },
        }
    }
}

/// An error as the server words it.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerAnswer(jetstream::Error);

impl ServerAnswer {
    /// JetStream's own error code, for instance 10077.
    pub fn code(&self) -> u64 {
        self.0.error_code().0
    }

    /// Codes of the 500 class say that the server cannot *now*, with these exceptions that it never will.
    fn is_transient(&self) -> bool {
        let never = [
            ErrorCode::STREAM_INVALID_CONFIG,
            ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED,
            ErrorCode::STREAM_ROLLUP_FAILED,
        ];
        (self.0.code() >= 500 || self.0.code() == 429) && !never.contains(&self.0.error_code())
    }
}

impl fmt::Display for ServerAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Everything in which the server's configuration differs from the code's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differences(pub Vec<Difference>);

/// One setting that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// `stream POLLS` or `consumer dtma-poller of POLLS`.
    pub of: String,
    /// JetStream's name of the setting.
    pub field: String,
    /// What it is.
    pub have: String,
    /// What it must be.
    pub want: String,
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration on the NATS server is not the one needed (nothing was changed):")?;
        for Difference {
            of,
            field,
            have,
            want,
        } in &self.0
        {
            write!(f, "\n  {of}, {field}: have {have}, want {want}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Differences {}

fn version_text((major, minor, patch): (u64, u64, u64)) -> String {
    format!("{major}.{minor}.{patch}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: usize, err_code: u64) -> BusError {
        let error = serde_json::json!({ "code": code, "err_code": err_code, "description": "words" });
        BusError::answered("create stream X", &serde_json::from_value(error).unwrap())
    }

    #[test]
    fn what_heals_by_itself_is_transient() {
        assert!(answer(404, ErrorCode::STREAM_NOT_FOUND.0).is_transient());
        assert!(answer(503, ErrorCode::CLUSTER_NOT_AVAILABLE.0).is_transient());
        assert!(answer(500, ErrorCode::STORAGE_RESOURCES_EXCEEDED.0).is_transient());
        assert!(answer(429, ErrorCode::STREAM_TOO_MANY_REQUESTS.0).is_transient());
        assert!(
            BusError::Timeout {
                what: "publish".into()
            }
            .is_transient()
        );
        assert!(!answer(500, ErrorCode::STREAM_INVALID_CONFIG.0).is_transient());
        assert!(!answer(400, ErrorCode::MESSAGE_TTL_DISABLED.0).is_transient());
        assert!(!answer(400, ErrorCode::STREAM_WRONG_LAST_SEQUENCE.0).is_transient());
        assert!(!BusError::Closed.is_transient());
    }

    #[test]
    fn messages_name_what_was_tried_and_every_difference() {
        assert_eq!(
            answer(400, ErrorCode::MESSAGE_TTL_DISABLED.0).to_string(),
            "failed to create stream X: words (code 400, error code 10166)"
        );
        let one = |field: &str| Difference {
            of: "stream POLLS".into(),
            field: field.into(),
            have: "5".into(),
            want: "1".into(),
        };
        assert_eq!(
            BusError::from(Differences(vec![
                one("max_msgs_per_subject"),
                one("num_replicas")
            ]))
            .to_string(),
            "the configuration on the NATS server is not the one needed (nothing was changed):\
             \n  stream POLLS, max_msgs_per_subject: have 5, want 1\
             \n  stream POLLS, num_replicas: have 5, want 1"
        );
    }
}
