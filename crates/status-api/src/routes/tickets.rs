//! Tickets: for who opens a stream of notifier and cannot set a header.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret as _;
use wire::TicketEntry;
use wire::api::Ticket;
use wire::streams::TICKET_TTL;

use crate::answer::secret;
use crate::app::App;
use crate::caller::Caller;
use crate::clock;
use crate::params::Params;
use crate::refusal::{Refusal, Result};

/// Get a ticket for a stream
///
/// It opens one stream of notifier, within seconds, as the caller, and until his token ends: for browsers, whose event
/// streams bear no header and whose URLs must hold no token. Never answered twice alike, so an Idempotency-Key is not heeded.
#[utoipa::path(post, path = "/v1/tickets", operation_id = "createTicket", tag = "fleet",
    responses((status = 201, description = "The ticket, which works once", body = Ticket)))]
pub(crate) async fn create_ticket(
    State(app): State<App>,
    Caller(principal): Caller,
    _: Params<()>,
) -> Result<Response> {
    let now = clock::now();
    let life = SignedDuration::try_from(TICKET_TTL).unwrap_or(SignedDuration::ZERO);
    let entry = TicketEntry {
        account_id: principal.account.map(|account| account.0),
        role: principal.role.as_str().to_owned(),
        actor: principal.actor,
        expires_at: principal.expires_at,
        valid_until: now.checked_add(life).unwrap_or(Timestamp::MAX),
    };
    let bus = app.bus()?;
    let issued = async { bus.tickets().await?.issue(&entry).await };
    let ticket = issued.await.map_err(|error| {
        tracing::debug!(%error, "a ticket could not be issued");
        Refusal::unavailable("tickets cannot be issued at the moment")
    })?;
    let ticket = Ticket {
        ticket: ticket.expose_secret().to_owned(),
        expires_in: TICKET_TTL.as_secs(),
    };
    secret(StatusCode::CREATED, &ticket)
}
