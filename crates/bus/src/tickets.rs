//! Tickets: issued by one service, redeemed by another, once.

use secrecy::SecretString;
use wire::TicketEntry;
use wire::streams::{TICKET_TTL, TICKETS};

use crate::one_use::{Code, OneUse};
use crate::publish::encode;
use crate::{Bus, BusError};

/// The tickets.
#[derive(Debug, Clone)]
pub struct Tickets(OneUse);

impl Bus {
    /// The tickets; their bucket is made where it is missing.
    ///
    /// # Errors
    /// As [`Bus::ensure_streams`], for the bucket alone.
    pub async fn tickets(&self) -> Result<Tickets, BusError> {
        Ok(Tickets(OneUse::new(self, &TICKETS).await?))
    }
}

impl Tickets {
    /// Issues a ticket that proves `entry`. Only its hash is kept; it can be redeemed once, within
    /// [`wire::streams::TICKET_TTL`].
    ///
    /// # Errors
    /// Those of publishing.
    pub async fn issue(&self, entry: &TicketEntry) -> Result<SecretString, BusError> {
        let ticket = Code::random()?;
        self.0.put(&ticket, TICKET_TTL, encode(entry)?).await?;
        Ok(ticket.expose().into())
    }

    /// Redeems a ticket: whom it proves, or `None` where there is no such ticket, or another was faster. Of any number of
    /// calls for one ticket, at any replica, at most one gets the entry. Whether its time has passed is the caller's to see.
    ///
    /// # Errors
    /// Those of requests and of publishing; then the ticket may or may not be used up.
    pub async fn redeem(&self, ticket: &str) -> Result<Option<TicketEntry>, BusError> {
        let Some(ticket) = Code::read(ticket) else {
            return Ok(None);
        };
        let Some(found) = self.0.take(&ticket).await? else {
            return Ok(None);
        };
        Ok(TicketEntry::decode(&found)
            .inspect_err(|refused| self.0.unreadable(refused))
            .ok())
    }
}
