//! Telling an agent to do something. What came of it is told apart by what the next step hangs on: whether it was done,
//! certainly was not, or may have been.
//!
//! ```text
//!  tell ─► no connection ───────────────────────────────► Unreached    nothing was sent
//!      └─► sent ─┬─ no answer in time, connection closed ─► Unanswered   it may have been done
//!                ├─ 2xx ──────────────────────────────────► Executed
//!                ├─ 404 ──────────────────────────────────► Unmanaged
//!                └─ anything else ────────────────────────► Refused
//! ```

use std::fmt::Write as _;
use std::time::Duration;

use http::{Method, StatusCode};
use reqwest::RequestBuilder;
use tokio::time::timeout;
use tracing::Instrument as _;
use url::Url;

use super::{Client, ERROR_BODY, Failure, beneath, error_text, headers, place, read, span};
use crate::registry::Target;

/// How long the body of an answer may take to come whose status has said all that matters.
const BODY: Duration = Duration::from_secs(2);

/// What an agent can be told to do with a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Start,
    Stop,
    Delete,
}

/// What came of telling it.
#[derive(Debug)]
pub(crate) enum Told {
    /// It says that it is done.
    Executed,
    /// It manages no container of that name; what it said besides.
    Unmanaged(Option<String>),
    /// It answered, and did not do it; or it must not be asked at all.
    Refused(Failure),
    /// There was no connection: it was told nothing.
    Unreached(Failure),
    /// It was told, and did not answer: it may have done it.
    Unanswered(Failure),
}

impl Client {
    /// Tells an agent to do something with a container of the target's, within `limit`.
    pub(crate) async fn tell(&self, target: &Target, name: &str, verb: Verb, limit: Duration) -> Told {
        let unsendable = |why| Told::Refused(Failure::unreachable(why));
        let base = match target.address.url() {
            Ok(base) => base,
            Err(why) => return unsendable(why),
        };
        let Some(url) = verb.url(base, name) else {
            return unsendable("no request can name a container of that name");
        };
        let headers = match headers(&target.token) {
            Ok(headers) => headers,
            Err(failure) => return Told::Refused(failure),
        };
        let span = span::request(&verb.method(), verb.route(), base);
        let told = self.told(
            target,
            base,
            verb,
            limit,
            self.http.request(verb.method(), url).headers(headers),
        );
        told.instrument(span).await
    }

    async fn told(
        &self,
        target: &Target,
        base: &Url,
        verb: Verb,
        limit: Duration,
        request: RequestBuilder,
    ) -> Told {
        let sending = request.send();
        let response = match timeout(limit, sending).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                let failure = Failure::request(&place(base), &error, self.limits.connect);
                span::failed(failure.0.code);
                return match failure {
                    _ if error.is_connect() => Told::Unreached(failure),
                    failure if failure.is_silence() => Told::Unanswered(failure),
                    failure => Told::Refused(failure),
                };
            }
            Err(_) => {
                let failure = Failure::no_answer_within(limit);
                span::failed(failure.0.code);
                return Told::Unanswered(failure);
            }
        };
        let status = response.status();
        span::answered(status);
        if !status.is_success() {
            span::refused(status);
        }
        // Read to its end in any case, so that the connection serves the next request.
        let body = timeout(BODY, read(response, verb.route(), ERROR_BODY)).await;
        let said = body
            .ok()
            .and_then(Result::ok)
            .and_then(|body| error_text(&body, &target.token));
        match status {
            _ if status.is_success() => Told::Executed,
            StatusCode::NOT_FOUND => Told::Unmanaged(said),
            _ => Told::Refused(Failure::status(
                verb.route(),
                status,
                said.as_deref(),
                &target.token,
            )),
        }
    }
}

impl Verb {
    fn method(self) -> Method {
        match self {
            Self::Start | Self::Stop => Method::POST,
            Self::Delete => Method::DELETE,
        }
    }

    /// The route, for people. Names are left out: they are somebody's, and may look like secrets.
    fn route(self) -> &'static str {
        match self {
            Self::Start => "/tools/{name}/start",
            Self::Stop => "/tools/{name}/stop",
            Self::Delete => "/tools/{name}",
        }
    }

    /// Where it is told; `None` for the two names that mean another place in any URL, however they are written.
    fn url(self, base: &Url, name: &str) -> Option<Url> {
        if matches!(name, "." | "..") {
            return None;
        }
        Some(beneath(base, &self.route().replace("{name}", &segment(name))))
    }
}

/// A name as one segment of a path: whatever is in it, it neither ends the segment nor the path.
fn segment(name: &str) -> String {
    name.bytes().fold(String::new(), |mut segment, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            segment.push(char::from(byte));
        } else {
            // Writing to a string never fails.
            let _ = write!(segment, "%{byte:02X}");
        }
        segment
    })
}
