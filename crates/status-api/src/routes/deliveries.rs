//! What was delivered to a webhook, what was not, and what is to be delivered once more.

use axum::extract::{RawPathParams, State};
use axum::http::StatusCode;
use axum::response::Response;
use bus::{Bus, BusError, Kept};
use utoipa::IntoParams;
use uuid::Uuid;
use wire::api::{CommandKind, DeadLetter, DeadLetterPage, WebhookLog, WebhookSent};
use wire::{WebhookAttempt, WebhookDeadLetter, WebhookDelivery, WebhookLook, streams, subjects};

use crate::answer::{json, ok};
use crate::app::App;
use crate::ask::Ask;
use crate::caller::Caller;
use crate::clock;
use crate::entering;
use crate::params::{FromQuery, Id, Params, Query, uuid};
use crate::refusal::{Refusal, Result};
use crate::repeat;
use crate::routes::webhooks::{about, find};

/// Attempts that are kept of a webhook.
const LOG: usize = 100;
/// Dead letters that are replayed at once; whoever has more asks again.
const REPLAYED: usize = 1000;
/// Dead letters that are looked through for one.
const LOOKED_THROUGH: usize = 10_000;
/// And how many of them at a time.
const PAGE: usize = 500;

/// Which dead letters.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct After {
    /// Most entries of the page.
    #[param(minimum = 1, maximum = 500, default = 100, value_type = Option<u16>)]
    limit: usize,
    /// What the page before gave as `next`.
    #[param(value_type = Option<String>, pattern = "^[0-9]{1,19}$")]
    cursor: Option<u64>,
}

impl FromQuery for After {
    fn take(query: &mut Query, app: &App) -> Result<Self> {
        let digits = |text: &str| {
            let fits = (1..=19).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
            fits.then(|| text.parse().ok()).flatten()
        };
        Ok(Self {
            limit: query.limit(app)?,
            cursor: query.read("cursor", "what the page before gave as next", digits)?,
        })
    }
}

/// List attempts to reach a webhook
///
/// The newest first: at most the last hundred, of at most seven days.
#[utoipa::path(get, path = "/v1/webhooks/{webhookId}/deliveries", operation_id = "listDeliveries", tag = "webhooks",
    params(("webhookId" = Uuid, Path, description = "Which webhook")),
    responses((status = 200, description = "The attempts", body = WebhookLog)))]
pub(crate) async fn list_deliveries(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    _: Params<()>,
) -> Result<Response> {
    let webhook = find(&app, &caller, id).await?;
    let subject = subjects::webhook_log(webhook.account, id);
    let kept = app.bus()?.kept(&streams::WEBHOOK_LOG, &subject, 0, LOG).await;
    let mut items: Vec<_> = kept
        .map_err(away)?
        .iter()
        .filter_map(|kept| WebhookAttempt::decode(&kept.body).ok())
        .collect();
    items.reverse();
    ok(&WebhookLog { items })
}

/// List what a webhook did not take
///
/// The oldest first: at most 10,000, of at most thirty days.
#[utoipa::path(get, path = "/v1/webhooks/{webhookId}/dead-letters", operation_id = "listDeadLetters", tag = "webhooks",
    params(("webhookId" = Uuid, Path, description = "Which webhook"), After),
    responses((status = 200, description = "The page", body = DeadLetterPage)))]
pub(crate) async fn list_dead_letters(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    Params(after): Params<After>,
) -> Result<Response> {
    let webhook = find(&app, &caller, id).await?;
    let subject = subjects::webhook_dead(webhook.account, id);
    let from = after.cursor.unwrap_or(0).saturating_add(1);
    let kept = app
        .bus()?
        .kept(&streams::WEBHOOK_DEAD, &subject, from, after.limit + 1)
        .await
        .map_err(away)?;
    let shown = &kept[..kept.len().min(after.limit)];
    let next = shown
        .last()
        .filter(|_| kept.len() > after.limit)
        .map(|last| last.sequence.to_string());
    let items = shown
        .iter()
        .filter_map(|kept| WebhookDeadLetter::decode(&kept.body).ok())
        .map(letter)
        .collect();
    ok(&DeadLetterPage { items, next })
}

fn letter(dead: WebhookDeadLetter) -> DeadLetter {
    let delivery = dead.delivery;
    DeadLetter {
        delivery_id: delivery.delivery_id,
        event_type: delivery.event_type,
        server_id: delivery.server_id,
        reason: dead.reason,
        at: dead.at,
        attempts: delivery.attempts,
        first_at: delivery.first_at,
        payload: delivery.payload,
    }
}

/// Send a test
///
/// Posts `mcp.webhook.test` once, also to a webhook that is switched off. The delivery log tells what came of it.
#[utoipa::path(post, path = "/v1/webhooks/{webhookId}/test", operation_id = "testWebhook", tag = "webhooks",
    params(("webhookId" = Uuid, Path, description = "Which webhook")),
    responses((status = 202, description = "It is on its way", body = WebhookSent)))]
pub(crate) async fn test_webhook(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    _: Params<()>,
    ask: Ask,
) -> Result<Response> {
    let webhook = find(&app, &caller, id).await?;
    if let Some(again) = repeat::find(&app, &caller, &ask).await? {
        return Ok(again);
    }
    let delivery_id = clock::new_id();
    let look = WebhookLook::Test {
        delivery_id,
        at: clock::now(),
    };
    let subject = subjects::webhook_look(id, None);
    let bus = app.bus()?;
    // Another id than the delivery's own, which is published to the same stream.
    let sent = bus.publish(subject, &format!("look-{delivery_id}"), &look).await;
    sent.map_err(away)?;
    let about = about(
        CommandKind::Change,
        webhook.account,
        format!("webhook {id}: test"),
    );
    finish(&app, &caller, &ask, about, vec![delivery_id]).await
}

/// Replay one dead letter
///
/// It is posted as it would have been, under the same id, and tried for another day.
#[utoipa::path(post, path = "/v1/webhooks/{webhookId}/dead-letters/{deliveryId}/replay",
    operation_id = "replayDeadLetter", tag = "webhooks",
    params(("webhookId" = Uuid, Path, description = "Which webhook"),
        ("deliveryId" = Uuid, Path, description = "Which delivery")),
    responses((status = 202, description = "It is on its way", body = WebhookSent)))]
pub(crate) async fn replay_dead_letter(
    State(app): State<App>,
    caller: Caller,
    path: RawPathParams,
    _: Params<()>,
    ask: Ask,
) -> Result<Response> {
    let named = |name| path.iter().find(|(have, _)| *have == name);
    let id = |name| {
        let (name, value) = named(name).ok_or_else(|| Refusal::not_found("route"))?;
        uuid(name, value)
    };
    let (webhook_id, delivery_id) = (id("webhookId")?, id("deliveryId")?);
    let webhook = find(&app, &caller, webhook_id).await?;
    if let Some(again) = repeat::find(&app, &caller, &ask).await? {
        return Ok(again);
    }
    let bus = app.bus()?;
    let subject = subjects::webhook_dead(webhook.account, webhook_id);
    let (mut from, mut seen) = (0, 0);
    let found = 'found: loop {
        let kept = bus.kept(&streams::WEBHOOK_DEAD, &subject, from, PAGE).await;
        let kept = kept.map_err(away)?;
        for one in &kept {
            if let Ok(dead) = WebhookDeadLetter::decode(&one.body)
                && dead.delivery.delivery_id == delivery_id
            {
                break 'found Some((one.clone(), dead));
            }
        }
        seen += kept.len();
        match kept.last() {
            Some(last) if kept.len() == PAGE && seen < LOOKED_THROUGH => from = last.sequence + 1,
            _ => break None,
        }
    };
    let (kept, dead) = found.ok_or_else(|| Refusal::not_found("dead letter"))?;
    replay(&bus, &kept, dead).await?;
    let message = format!("webhook {webhook_id}: replay {delivery_id}");
    let about = about(CommandKind::Change, webhook.account, message);
    finish(&app, &caller, &ask, about, vec![delivery_id]).await
}

/// Replay all dead letters
///
/// At most a thousand at once, the oldest first; ask again while `deliveryIds` is not empty.
#[utoipa::path(post, path = "/v1/webhooks/{webhookId}/dead-letters/replay", operation_id = "replayDeadLetters",
    tag = "webhooks", params(("webhookId" = Uuid, Path, description = "Which webhook")),
    responses((status = 202, description = "They are on their way", body = WebhookSent)))]
pub(crate) async fn replay_dead_letters(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    _: Params<()>,
    ask: Ask,
) -> Result<Response> {
    let webhook = find(&app, &caller, id).await?;
    if let Some(again) = repeat::find(&app, &caller, &ask).await? {
        return Ok(again);
    }
    let bus = app.bus()?;
    let subject = subjects::webhook_dead(webhook.account, id);
    let kept = bus.kept(&streams::WEBHOOK_DEAD, &subject, 0, REPLAYED).await;
    let mut sent = Vec::new();
    for one in kept.map_err(away)? {
        if let Ok(dead) = WebhookDeadLetter::decode(&one.body) {
            sent.push(dead.delivery.delivery_id);
            replay(&bus, &one, dead).await?;
        }
    }
    let message = format!("webhook {id}: replay of {} dead letters", sent.len());
    let about = about(CommandKind::Change, webhook.account, message);
    finish(&app, &caller, &ask, about, sent).await
}

/// Sends a dead letter on its way again. Removed only then: who is killed in between sends it twice, under one id.
async fn replay(bus: &Bus, kept: &Kept, dead: WebhookDeadLetter) -> Result<()> {
    let delivery = WebhookDelivery {
        attempts: 0,
        first_at: clock::now(),
        ..dead.delivery
    };
    let subject = subjects::webhook_due(delivery.webhook_id);
    // Another id than the first time: the stream may remember that one still.
    let id = format!("{}-{}", delivery.delivery_id, kept.sequence);
    bus.publish(subject, &id, &delivery).await.map_err(away)?;
    bus.remove(&streams::WEBHOOK_DEAD, kept.sequence)
        .await
        .map_err(away)
}

/// Records what was done, and answers.
async fn finish(
    app: &App,
    caller: &Caller,
    ask: &Ask,
    about: entering::About,
    delivery_ids: Vec<Uuid>,
) -> Result<Response> {
    let answer = json(StatusCode::ACCEPTED, &WebhookSent { delivery_ids })?;
    let transaction = app.base.begin().await?;
    entering::finish(app, caller, ask, transaction, about, answer).await
}

fn away(error: BusError) -> Refusal {
    if error.is_transient() {
        tracing::debug!(%error, "the bus is away");
        return Refusal::unavailable("NATS is away; ask again later");
    }
    tracing::error!(%error, "the bus refused what was asked of it");
    Refusal::internal()
}
