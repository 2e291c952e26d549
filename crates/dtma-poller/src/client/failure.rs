//! Why an agent did not answer as the protocol says: a code for programs and a sentence for people.
//!
//! | what happened | code |
//! |---|---|
//! | no connection, no such host, TLS refused, time-out, closed without an answer, an address that cannot be used | `agent_unreachable` |
//! | 401, 403 | `agent_rejected_token` |
//! | another status, a redirect, something that is no HTTP | `agent_bad_answer` |
//! | not JSON, cut off, of another shape, too large, not decompressible | `agent_bad_answer` |
//!
//! The sentences never hold the request's URL or token, and of the answer only what an agent puts in `message` and
//! `error`, sanitised.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use domain::{Reason, ReasonCode};
use http::StatusCode;

use crate::agent::Unreadable;
use crate::registry::Token;

/// What agents answer when they have no token of their own.
const NO_TOKEN_OF_ITS_OWN: &str = "DTMA configuration error";

/// A request that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure(pub(crate) Reason);

impl Failure {
    pub(super) fn unreachable(message: impl AsRef<str>) -> Self {
        Self(Reason::new(ReasonCode::AgentUnreachable, message))
    }

    /// Whether nobody answered: then nobody knows whether the request was heard.
    pub(super) fn is_silence(&self) -> bool {
        self.0.code == ReasonCode::AgentUnreachable
    }

    pub(super) fn bad_answer(message: impl AsRef<str>) -> Self {
        Self(Reason::new(ReasonCode::AgentBadAnswer, message))
    }

    pub(super) fn no_answer_within(limit: Duration) -> Self {
        Self::unreachable(format!("the agent did not answer within {limit:?}"))
    }

    pub(super) fn unreadable(path: &str, error: &Unreadable) -> Self {
        Self::bad_answer(format!("{path} is not what agents answer there: {error}"))
    }

    pub(super) fn too_large(path: &str, limit: usize) -> Self {
        Self::bad_answer(format!("{path} is larger than the {limit} bytes that are taken"))
    }

    pub(super) fn no_status_route(status: StatusCode) -> Self {
        Self::bad_answer(format!(
            "{status} for both /tools/status and /status: no agent answers there"
        ))
    }

    /// `said` is what the agent said of it, where it said something.
    pub(super) fn status(path: &str, status: StatusCode, said: Option<&str>, token: &Token) -> Self {
        match status {
            // "token" ends these sentences, because what follows the word is taken for one and redacted.
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Self(Reason::new(
                ReasonCode::AgentRejectedToken,
                match token {
                    Token::Opened(_) => {
                        format!("{status} for {path}: the agent does not accept the toolbox's token")
                    }
                    Token::Missing => {
                        format!("{status} for {path}: the agent wants one, and the toolbox has no token")
                    }
                    Token::Unopened => {
                        format!("{status} for {path}: our sealing key does not open the toolbox's token")
                    }
                },
            )),
            _ if status.is_redirection() => Self::bad_answer(format!(
                "{status} for {path}, expected 200: redirects are not followed, because they lead credentials astray"
            )),
            StatusCode::INTERNAL_SERVER_ERROR if said == Some(NO_TOKEN_OF_ITS_OWN) => {
                Self::bad_answer(format!(
                    "{status} for {path} ({NO_TOKEN_OF_ITS_OWN}): the agent refuses everyone until it is given its own token"
                ))
            }
            _ => {
                let said = said.map(|said| format!(" ({said})")).unwrap_or_default();
                Self::bad_answer(format!("{status} for {path}{said}, expected 200"))
            }
        }
    }

    /// Why there is no answer at all.
    pub(super) fn request(at: &str, error: &reqwest::Error, connect_timeout: Duration) -> Self {
        if error.is_timeout() {
            return Self::unreachable(format!("no connection to {at} within {connect_timeout:?}"));
        }
        if error.is_connect() {
            return Self::unreachable(match root(error) {
                _ if mentions(error, "dns error") => format!("no address is known for the host of {at}"),
                Some(cause) => format!("no connection to {at}: {cause}"),
                None => format!("no connection to {at}"),
            });
        }
        match find::<hyper::Error>(error) {
            Some(error) if error.is_parse() => {
                Self::bad_answer(format!("what answers at {at} does not speak HTTP"))
            }
            _ => Self::unreachable(format!("{at} closed the connection without an answer")),
        }
    }

    /// Why an answer ended before its end.
    pub(super) fn body(path: &str, error: &reqwest::Error) -> Self {
        if error.is_decode() && find::<hyper::Error>(error).is_none() {
            return Self::bad_answer(format!("{path} cannot be decompressed"));
        }
        Self::bad_answer(format!("{path} was cut off before its end"))
    }
}

/// What the operating system says, in words that do not depend on its errno.
fn root(error: &reqwest::Error) -> Option<String> {
    let io = find::<io::Error>(error)?;
    Some(match io.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
        io::ErrorKind::HostUnreachable => "host unreachable".to_owned(),
        io::ErrorKind::NetworkUnreachable => "network unreachable".to_owned(),
        io::ErrorKind::TimedOut => "timed out".to_owned(),
        io::ErrorKind::UnexpectedEof => "closed while connecting".to_owned(),
        _ => io.to_string(),
    })
}

fn chain<'a>(error: &'a reqwest::Error) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(error.source(), |error| (*error).source())
}

fn find<E: StdError + 'static>(error: &reqwest::Error) -> Option<&E> {
    chain(error).find_map(|error| error.downcast_ref())
}

fn mentions(error: &reqwest::Error, words: &str) -> bool {
    chain(error).any(|error| error.to_string().contains(words))
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    #[test]
    fn our_own_sentences_are_not_redacted() {
        let opened = Token::Opened(SecretString::from("t"));
        let mut sentences = vec![
            Failure::no_answer_within(Duration::from_secs(10)),
            Failure::too_large("/status", 4 << 20),
            Failure::no_status_route(StatusCode::NOT_FOUND),
            Failure::unreadable("/status", &Unreadable::NotJson("nothing".to_owned())),
        ];
        for token in [&opened, &Token::Missing, &Token::Unopened] {
            for status in [401, 403, 302, 500, 503] {
                let status = StatusCode::from_u16(status).unwrap();
                for said in [None, Some(NO_TOKEN_OF_ITS_OWN), Some("Docker is away")] {
                    sentences.push(Failure::status("/tools/status", status, said, token));
                }
            }
        }
        for Failure(reason) in sentences {
            assert!(!reason.message.contains("[redacted]"), "{}", reason.message);
        }
    }

    #[test]
    fn statuses_have_their_classes() {
        let class = |status, said| {
            let Failure(reason) = Failure::status(
                "/status",
                StatusCode::from_u16(status).unwrap(),
                said,
                &Token::Missing,
            );
            (reason.code, reason.message)
        };
        let (code, message) = class(401, None);
        assert_eq!(code, ReasonCode::AgentRejectedToken);
        assert_eq!(
            message,
            "401 Unauthorized for /status: the agent wants one, and the toolbox has no token"
        );
        assert_eq!(class(403, None).0, ReasonCode::AgentRejectedToken);
        let (code, message) = class(500, Some(NO_TOKEN_OF_ITS_OWN));
        assert_eq!(code, ReasonCode::AgentBadAnswer);
        assert!(message.contains("until it is given its own token"), "{message}");
        assert_eq!(class(502, None).1, "502 Bad Gateway for /status, expected 200");
        assert!(class(307, None).1.contains("redirects are not followed"));
    }
}
