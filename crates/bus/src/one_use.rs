//! Entries that are read once: written by one service under the hash of a code that nobody keeps, and taken away with the
//! code by exactly one of whoever has it.
//!
//! ```text
//!  issue: 32 random bytes ─► hash ─► entry under the hash, gone after its time
//!  redeem: code ─► hash ─► read entry and revision ─► delete, expecting that revision ─┬─ taken: it was ours
//!                                                                                      └─ conflict: another's
//! ```

use std::fmt;
use std::time::Duration;

use async_nats::{HeaderMap, HeaderValue, header};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use wire::streams::BucketSpec;

use crate::publish::ttl_text;
use crate::streams::Target;
use crate::{Bus, BusError, TokenHash, bucket};

/// Bytes of randomness in a code: nobody guesses 256 bits.
const RANDOM: usize = 32;
/// Characters of a code: what is longer or shorter is none, and is not looked up.
const LENGTH: usize = 43;
/// How long the mark of a redeemed code stays. The entry is gone with it, so that it has to outlive nothing.
const MARK_TTL: Duration = Duration::from_secs(60);

/// A bucket of such entries.
#[derive(Debug, Clone)]
pub(crate) struct OneUse {
    bus: Bus,
    bucket: &'static BucketSpec,
}

/// A code. It is as good as what it opens, and nothing that is kept, logged or sent to the bus may hold it.
pub(crate) struct Code(String);

impl Code {
    /// A new one.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub(crate) fn random() -> Result<Self, BusError> {
        let mut bytes = [0; RANDOM];
        rand::fill(&mut bytes).map_err(|_| BusError::Client {
            what: "issue a one-use code".to_owned(),
            problem: "the system gives no random numbers".to_owned(),
        })?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// What somebody says is one; `None` where it cannot be.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let is_one = text.len() == LENGTH
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        is_one.then(|| Self(text.to_owned()))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// The key its entry is under.
    pub(crate) fn key(&self) -> String {
        TokenHash::of(&self.0).to_hex()
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(..)")
    }
}

impl OneUse {
    /// The bucket, made where it is missing.
    ///
    /// # Errors
    /// As [`Bus::ensure_streams`], for the bucket alone.
    pub(crate) async fn new(bus: &Bus, bucket: &'static BucketSpec) -> Result<Self, BusError> {
        bus.ensure(Target::Bucket(bucket)).await?;
        Ok(Self {
            bus: bus.clone(),
            bucket,
        })
    }

    /// Writes what a new code opens, for as long as `life`.
    ///
    /// # Errors
    /// Those of publishing.
    pub(crate) async fn put(&self, code: &Code, life: Duration, entry: Bytes) -> Result<(), BusError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::NATS_MESSAGE_TTL, ttl_text(life));
        // Nobody may put another under a hash that is there.
        headers.insert(header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, HeaderValue::from(0));
        self.bus
            .publish_raw(self.subject(code), headers, entry)
            .await
            .map(|_| ())
    }

    /// Takes what a code opens, or `None` where there is nothing, or another was faster. Of any number of calls for one
    /// code, at any replica, at most one gets the entry.
    ///
    /// # Errors
    /// Those of requests and of publishing; then the code may or may not be used up.
    pub(crate) async fn take(&self, code: &Code) -> Result<Option<Bytes>, BusError> {
        let (subject, stream) = (self.subject(code), bucket::stream_name(self.bucket));
        let Some(found) = self.bus.api().last(&stream, &subject).await? else {
            return Ok(None);
        };
        if bucket::is_deletion(&found.headers) {
            return Ok(None);
        }
        let mut headers = bucket::deletion();
        headers.insert(header::NATS_MESSAGE_TTL, ttl_text(MARK_TTL));
        headers.insert(
            header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE,
            HeaderValue::from(found.sequence),
        );
        match self.bus.publish_raw(subject, headers, Bytes::new()).await {
            Ok(_) => Ok(Some(found.payload)),
            Err(BusError::Conflict { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Tells of an entry that was taken and cannot be read.
    pub(crate) fn unreadable(&self, problem: &dyn fmt::Display) {
        self.bus.metrics().undecodable(self.bucket.name);
        tracing::warn!(bucket = self.bucket.name, %problem, "a one-use entry cannot be read");
    }

    fn subject(&self, code: &Code) -> String {
        bucket::subject_of(self.bucket, &code.key())
    }
}
