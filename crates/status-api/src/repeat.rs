//! The same request twice: done once, answered alike.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use domain::{CommandId, ServerId};
use jiff::Timestamp;
use store::commands::{self, Answer};
use wire::api::Accepted;

use crate::answer::{REPLAYED, json, respond};
use crate::app::App;
use crate::ask::Ask;
use crate::caller::Caller;
use crate::clock;
use crate::records;
use crate::refusal::{Refusal, Result};

/// How long accepting may take. What has no answer after that was cut short, and is answered from its record.
const ACCEPTING: Duration = Duration::from_secs(15);

/// The answer that was given before to the same request under the same key; `None`: it is new, or has no key.
///
/// # Errors
/// 422 where the key was used for something else, 409 while the first request is being accepted.
pub(crate) async fn find(app: &App, caller: &Caller, ask: &Ask) -> Result<Option<Response>> {
    let Some(idempotency) = &ask.idempotency else {
        return Ok(None);
    };
    let asking = commands::find_repeat(app.base.database().pool(), &caller.0.actor, &idempotency.key);
    let Some(repeat) = app.base.read(asking).await? else {
        return Ok(None);
    };
    if repeat.fingerprint != idempotency.fingerprint {
        return Err(Refusal::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "unprocessable content",
            "the Idempotency-Key was used for another request",
        )
        .naming(crate::ask::KEY));
    }
    let answer = match repeat.answer {
        Some(answer) => answer,
        None if is_under_way(repeat.requested_at, clock::now()) => {
            return Err(
                Refusal::conflict("the first request under this Idempotency-Key is being accepted")
                    .because_of(repeat.id)
                    .again_in(Duration::from_secs(1)),
            );
        }
        None => of_record(app, repeat.id).await?,
    };
    app.metrics.command("any", "repeated");
    let mut response = respond(answer);
    response
        .headers_mut()
        .insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(Some(response))
}

/// As [`find`], where the database says that the key was used a moment ago.
///
/// # Errors
/// As [`find`].
pub(crate) async fn found(app: &App, caller: &Caller, ask: &Ask) -> Result<Response> {
    find(app, caller, ask).await?.ok_or_else(|| {
        Refusal::conflict("the first request under this Idempotency-Key is being taken back")
            .again_in(Duration::from_secs(1))
    })
}

/// Keeps an answer, to be repeated. One that cannot be kept is made from the record later.
pub(crate) async fn keep(app: &App, ask: &Ask, id: CommandId, answer: &Answer) {
    if ask.idempotency.is_none() {
        return;
    }
    let keeping = commands::keep_answer(app.base.database().pool(), id, answer);
    if app.base.write(keeping).await.is_err() {
        tracing::warn!(command = %id, "failed to keep an answer");
    }
}

async fn of_record(app: &App, id: CommandId) -> Result<Answer> {
    let asking = commands::get(app.base.database().pool(), id);
    let record = app.base.read(asking).await?;
    let command = record.and_then(records::shown).ok_or_else(Refusal::internal)?;
    let status = match command.server_id {
        Some(server) => app.shown_now(ServerId(server)).await,
        None => None,
    };
    json(StatusCode::ACCEPTED, &Accepted { command, status })
}

fn is_under_way(requested_at: Timestamp, now: Timestamp) -> bool {
    now.duration_since(requested_at).unsigned_abs() < ACCEPTING
}
