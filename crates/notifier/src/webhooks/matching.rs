//! From changes to what endpoints are told: each change is taken by one replica, and asked of each endpoint of its account.

use std::time::Duration;

use bus::{Before, BusError, Delivery, Verdict};
use domain::{AccountId, ServerId};
use wire::{Previous, StatusEvent, WebhookDelivery, WebhookHeld, WebhookLook, streams, subjects};

use crate::clock::now;
use crate::webhooks::Hooks;
use crate::webhooks::decide::{self, Past, Step, Waiting, Why};
use crate::webhooks::endpoints::Endpoint;
use crate::webhooks::pace::after;
use crate::webhooks::payload::{News, body};

/// Between tries of what the bus does not take.
const AGAIN: Duration = Duration::from_secs(2);
/// Messages that the stream keeps of a server, at most.
const KEPT: usize = 8;
/// How long changes are gathered for, where nobody says.
const WINDOW: u32 = 10;

/// Takes a change in.
pub(crate) async fn take(hooks: &Hooks, message: Delivery) -> Verdict {
    let Some((account, server)) = subjects::server_of(&message.subject) else {
        return Verdict::Done;
    };
    let endpoints = hooks.endpoints.of_account(account.0);
    if endpoints.is_empty() {
        return Verdict::Done;
    }
    let Some(event) = event_of(&message, account, server) else {
        // Others tell of it; here it would only be put among the dead letters once more.
        tracing::debug!(sequence = message.sequence, "a status event cannot be read");
        return Verdict::Done;
    };
    if let StatusEvent::Status(status) = &event {
        hooks.names.learn(server, &status.name);
    }
    match tell(hooks, &message, &event, &endpoints).await {
        Ok(()) => Verdict::Done,
        Err(error) => Verdict::Retry {
            after: AGAIN,
            reason: error.to_string(),
        },
    }
}

/// What a message says, where it speaks of what its subject says: by that, permissions are given.
fn event_of(message: &Delivery, account: AccountId, server: ServerId) -> Option<StatusEvent> {
    let event = StatusEvent::decode(&message.body).ok()?;
    let of = match &event {
        StatusEvent::Status(status) => status.account_id,
        StatusEvent::Deleted(end) => end.account_id,
    };
    (event.server_id() == server.0 && of == account.0).then_some(event)
}

async fn tell(
    hooks: &Hooks,
    message: &Delivery,
    event: &StatusEvent,
    endpoints: &[std::sync::Arc<Endpoint>],
) -> Result<(), BusError> {
    let past = past(hooks, message, event).await?;
    for endpoint in endpoints {
        match decide::concerns(&endpoint.entry, event, &past, now()) {
            Ok(()) => concern(hooks, endpoint, event).await?,
            Err(why) => hooks.metrics.ignored(label(why)),
        }
    }
    Ok(())
}

fn label(why: Why) -> &'static str {
    match why {
        Why::Disabled => "disabled",
        Why::Another => "another",
        Why::Stale => "stale",
        Why::Filtered => "filtered",
        Why::Own => "own_command",
    }
}

/// What came before a change: what it says itself, or, where it came out of a transitional state, what the stream still
/// has.
async fn past(hooks: &Hooks, message: &Delivery, event: &StatusEvent) -> Result<Past, BusError> {
    let mut past = Past::default();
    let StatusEvent::Status(status) = event else {
        return Ok(past);
    };
    let Some(before) = &status.previous else {
        return Ok(past);
    };
    if !decide::is_transitional(&before.state) {
        past.settled = Some(before.clone());
        return Ok(past);
    }
    let kept = hooks
        .bus
        .kept(&streams::MCP_STATUS, &message.subject, 0, KEPT)
        .await?;
    for one in kept.iter().rev().filter(|one| one.sequence < message.sequence) {
        let Ok(StatusEvent::Status(before)) = StatusEvent::decode(&one.body) else {
            break;
        };
        if !decide::look_back(&mut past, &before) {
            break;
        }
    }
    Ok(past)
}

/// Tells an endpoint of a change that concerns it, now or later.
async fn concern(hooks: &Hooks, endpoint: &Endpoint, event: &StatusEvent) -> Result<(), BusError> {
    let options = &endpoint.entry.options;
    let StatusEvent::Status(status) = event else {
        // Nothing comes after it that could overtake it.
        return told(hooks, endpoint, event).await;
    };
    if options.after_seconds == 0 && options.at_most_every_seconds == 0 {
        return told(hooks, endpoint, event).await;
    }
    let server = ServerId(event.server_id());
    let (waiting, before) = waiting(hooks, endpoint, server).await?;
    match decide::step(options, status.previous.as_ref(), waiting.as_ref(), now()) {
        Step::Tell => {
            // First the message, then the silence that follows it: who is killed in between repeats it under the same id.
            told(hooks, endpoint, event).await?;
            match decide::quiet_until(options, now()) {
                Some(until) => {
                    let is = Some(as_it_is(status));
                    look_at(hooks, endpoint, server, is, status.version, until, before).await
                }
                None => Ok(()),
            }
        }
        Step::Look { told, at } => look_at(hooks, endpoint, server, told, status.version, at, before).await,
        Step::Seen => Ok(()),
    }
}

pub(crate) fn as_it_is(status: &wire::ServerStatus) -> Previous {
    Previous {
        state: status.state.clone(),
        health: status.health.clone(),
    }
}

/// What is waited for already, and what a schedule must come after to replace it.
async fn waiting(
    hooks: &Hooks,
    endpoint: &Endpoint,
    server: ServerId,
) -> Result<(Option<Waiting>, Before), BusError> {
    let check = subjects::webhook_check(endpoint.entry.webhook_id, Some(server));
    let Some(last) = hooks.bus.last(&streams::WEBHOOKS, &check).await? else {
        return Ok((None, Before::None));
    };
    let waiting = match WebhookLook::decode(&last.body) {
        Ok(WebhookLook::Server { told, at, .. }) => Some(Waiting { told, at }),
        Ok(WebhookLook::Gathered | WebhookLook::Test { .. }) | Err(_) => None,
    };
    Ok((waiting, Before::Sequence(last.sequence)))
}

/// Has it looked at later what became of a server.
///
/// # Errors
/// [`BusError::Conflict`] where another replica was faster: then it has to be decided anew.
pub(crate) async fn look_at(
    hooks: &Hooks,
    endpoint: &Endpoint,
    server: ServerId,
    told: Option<Previous>,
    version: u64,
    at: jiff::Timestamp,
    before: Before,
) -> Result<(), BusError> {
    let webhook = endpoint.entry.webhook_id;
    let look = WebhookLook::Server {
        server_id: server.0,
        told,
        version,
        at,
    };
    let check = subjects::webhook_check(webhook, Some(server));
    let target = subjects::webhook_look(webhook, Some(server));
    hooks
        .bus
        .send_at(check, target, at, &look, before)
        .await
        .map(drop)
}

/// Tells an endpoint of a change: alone, or with others.
pub(crate) async fn told(hooks: &Hooks, endpoint: &Endpoint, event: &StatusEvent) -> Result<(), BusError> {
    let name = match event {
        StatusEvent::Status(_) => None,
        StatusEvent::Deleted(end) => hooks.names.of(ServerId(end.server_id)),
    };
    if endpoint.entry.options.summary_from == 0 {
        let news = News::Changed(event, name.as_deref());
        let what = format!("{}/{}", event.server_id(), event.version());
        return post(hooks, endpoint, news, &what, Some(event.server_id())).await;
    }
    let webhook = endpoint.entry.webhook_id;
    let held = WebhookHeld {
        event: event.clone(),
        name,
    };
    let id = format!("{webhook}/{}/{}", event.server_id(), event.version());
    hooks
        .bus
        .publish(subjects::webhook_held(webhook), &id, &held)
        .await?;
    // After it is held: whoever looks finds it, or it finds nobody who will, and says so.
    gather(hooks, endpoint).await
}

/// Has what is held looked at when the window ends, unless somebody has already.
pub(crate) async fn gather(hooks: &Hooks, endpoint: &Endpoint) -> Result<(), BusError> {
    let webhook = endpoint.entry.webhook_id;
    let window = match endpoint.entry.options.summary_window {
        0 => WINDOW,
        seconds => seconds,
    };
    let at = after(now(), Duration::from_secs(window.into()));
    let (check, target) = (
        subjects::webhook_check(webhook, None),
        subjects::webhook_look(webhook, None),
    );
    let sent = hooks
        .bus
        .send_at(check, target, at, &WebhookLook::Gathered, Before::None)
        .await;
    match sent {
        Ok(_) | Err(BusError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Sends a delivery on its way. `what` names what is told, the same whoever tells it.
pub(crate) async fn post(
    hooks: &Hooks,
    endpoint: &Endpoint,
    news: News<'_>,
    what: &str,
    server: Option<uuid::Uuid>,
) -> Result<(), BusError> {
    let entry = &endpoint.entry;
    let delivery_id = match what.parse() {
        // A test has its id already.
        Ok(id) => id,
        Err(_) => uuid::Uuid::new_v5(&entry.webhook_id, what.as_bytes()),
    };
    let delivery = WebhookDelivery {
        delivery_id,
        webhook_id: entry.webhook_id,
        account_id: entry.account_id,
        event_type: news.event_type().to_owned(),
        server_id: server,
        payload: body(entry.template, news),
        attempts: 0,
        first_at: now(),
        test: matches!(news, News::Test(_)),
    };
    let subject = subjects::webhook_due(entry.webhook_id);
    hooks
        .bus
        .publish(subject, &delivery_id.to_string(), &delivery)
        .await
        .map(drop)
}
