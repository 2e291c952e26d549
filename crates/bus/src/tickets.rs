//! One-use tickets: issued by one service, redeemed by another, by exactly one of its replicas.
//!
//! ```text
//!  issue: 32 random bytes ─► hash ─► entry under the hash, gone after seconds
//!  redeem: ticket ─► hash ─► read entry and revision ─► delete, expecting that revision ─┬─ taken: it was ours
//!                                                                                        └─ conflict: another's
//! ```

use std::time::Duration;

use async_nats::{HeaderMap, HeaderValue, header};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use wire::TicketEntry;
use wire::streams::{TICKET_TTL, TICKETS};

use crate::publish::{encode, ttl_text};
use crate::streams::Target;
use crate::{Bus, BusError, TokenHash, bucket};

/// Bytes of randomness in a ticket: nobody guesses 256 bits in half a minute.
const RANDOM: usize = 32;
/// Characters of a ticket: what is longer or shorter is none, and is not looked up.
const LENGTH: usize = 43;
/// How long the mark of a redeemed ticket stays: longer than any ticket lives.
const MARK_TTL: Duration = Duration::from_secs(60);

/// The tickets.
#[derive(Debug, Clone)]
pub struct Tickets {
    bus: Bus,
}

impl Bus {
    /// The tickets; their bucket is made where it is missing.
    ///
    /// # Errors
    /// As [`Bus::ensure_streams`], for the bucket alone.
    pub async fn tickets(&self) -> Result<Tickets, BusError> {
        self.ensure(Target::Bucket(&TICKETS)).await?;
        Ok(Tickets { bus: self.clone() })
    }
}

impl Tickets {
    /// Issues a ticket that proves `entry`. Only its hash is kept; it can be redeemed once, within
    /// [`wire::streams::TICKET_TTL`].
    ///
    /// # Errors
    /// Those of publishing.
    pub async fn issue(&self, entry: &TicketEntry) -> Result<SecretString, BusError> {
        let mut bytes = [0; RANDOM];
        rand::fill(&mut bytes).map_err(|_| BusError::Client {
            what: "issue a ticket".to_owned(),
            problem: "the system gives no random numbers".to_owned(),
        })?;
        let ticket = URL_SAFE_NO_PAD.encode(bytes);
        let mut headers = HeaderMap::new();
        headers.insert(header::NATS_MESSAGE_TTL, ttl_text(TICKET_TTL));
        // Nobody may put another under a hash that is there.
        headers.insert(header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, HeaderValue::from(0));
        self.bus
            .publish_raw(subject(&ticket), headers, encode(entry)?)
            .await?;
        Ok(ticket.into())
    }

    /// Redeems a ticket: whom it proves, or `None` where there is no such ticket, or another was faster. Of any number of
    /// calls for one ticket, at any replica, at most one gets the entry. Whether its time has passed is the caller's to see.
    ///
    /// # Errors
    /// Those of requests and of publishing; then the ticket may or may not be used up.
    pub async fn redeem(&self, ticket: &str) -> Result<Option<TicketEntry>, BusError> {
        let is_one = ticket.len() == LENGTH
            && ticket
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if !is_one {
            return Ok(None);
        }
        let (subject, stream) = (subject(ticket), bucket::stream_name(&TICKETS));
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
        match self.bus.publish_raw(subject, headers, bytes::Bytes::new()).await {
            Ok(_) => {}
            Err(BusError::Conflict { .. }) => return Ok(None),
            Err(error) => return Err(error),
        }
        match TicketEntry::decode(&found.payload) {
            Ok(entry) => Ok(Some(entry)),
            Err(refused) => {
                self.bus.metrics().undecodable(TICKETS.name);
                tracing::warn!(%refused, "a ticket's entry cannot be read");
                Ok(None)
            }
        }
    }
}

/// Where a ticket's entry is. The ticket is as good as a token, and nothing that is kept, logged or sent may hold it.
fn subject(ticket: &str) -> String {
    bucket::subject_of(&TICKETS, &TokenHash::of(ticket).to_hex())
}
