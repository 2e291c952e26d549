//! Carrying deliveries out: one attempt each time one is due, and then it is done, put off, or given up.
//!
//! ```text
//!  webhook.due ─► known? on? in time? ─► place ─► door ─► circuit ─► sign, POST ─┬─ 2xx ─► log, done
//!       ▲                                  │ none          │ open                 ├─ fails ─► log ─► webhook.later, @at
//!       │                                  ▼               ▼                      └─ 410, or too late ─► webhook.dead, log
//!       └────(the server, at that time)── webhook.later: put off, no attempt
//! ```

use std::time::Duration;

use bus::{Before, BusError, Delivery, Verdict};
use domain::AccountId;
use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};
use wire::{WebhookAttempt, WebhookDeadLetter, WebhookDelivery, WebhookOutcome, headers, subjects};

use crate::clock::now;
use crate::webhooks::Hooks;
use crate::webhooks::client::Answer;
use crate::webhooks::endpoints::Endpoint;
use crate::webhooks::pace::after;
use crate::webhooks::sign::signatures;

/// Deliveries of a message before an endpoint that nobody knows is taken for gone: the mirror is seconds behind at most.
const UNKNOWN: u32 = 8;
/// How long a delivery waits for whom there is no place now, at first; then half of its age: what an endpoint is slow to
/// take does not go round and round meanwhile.
const BUSY: Duration = Duration::from_secs(5);
/// And at most.
const BUSY_MOST: Duration = Duration::from_secs(120);
/// Between tries of what the bus does not take.
const AGAIN: Duration = Duration::from_secs(2);

/// The headers of Standard Webhooks.
const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// What became of an attempt.
enum After {
    Delivered,
    Again(Timestamp),
    Dead(String),
}

/// Attempts a delivery that is due.
pub(crate) async fn attempt(hooks: &Hooks, message: Delivery) -> Verdict {
    let delivery = match WebhookDelivery::decode(&message.body) {
        Ok(delivery) if subjects::webhook_of(&message.subject) == Some(delivery.webhook_id) => delivery,
        Ok(_) => return reject("it is of another webhook than its subject".to_owned()),
        Err(refused) => return reject(refused.to_string()),
    };
    let Some(endpoint) = hooks.endpoints.get(delivery.webhook_id) else {
        if message.deliveries < UNKNOWN {
            return retry("the webhook is not known yet");
        }
        hooks.metrics.attempt("gone", Duration::ZERO);
        return Verdict::Done;
    };
    if endpoint.entry.account_id != delivery.account_id {
        return reject("it is of another account than its webhook".to_owned());
    }
    let done = carry_out(hooks, &endpoint, delivery).await;
    match done {
        Ok(()) => Verdict::Done,
        Err(error) if error.is_transient() => retry(&error.to_string()),
        Err(error) => reject(error.to_string()),
    }
}

fn retry(reason: &str) -> Verdict {
    Verdict::Retry {
        after: AGAIN,
        reason: reason.to_owned(),
    }
}

fn reject(reason: String) -> Verdict {
    Verdict::Reject { reason }
}

async fn carry_out(hooks: &Hooks, endpoint: &Endpoint, delivery: WebhookDelivery) -> Result<(), BusError> {
    if !delivery.test {
        let over = hooks.backoff.is_over(delivery.first_at, now());
        let why = match (endpoint.entry.enabled, over) {
            (false, _) => Some("the webhook is switched off"),
            (true, true) => Some("no attempt succeeded in time"),
            (true, false) => None,
        };
        if let Some(why) = why {
            let attempt = unmade(&delivery, now(), why);
            return give_up(hooks, delivery, attempt).await;
        }
    }
    let lane = hooks.lanes.of(delivery.webhook_id);
    let Some(_place) = lane.place() else {
        return put_off(hooks, &delivery, after(now(), spread(busy(&delivery))), "busy").await;
    };
    let _in_order = lane
        .door(delivery.server_id.unwrap_or(delivery.delivery_id))
        .lock()
        .await;
    // A test is somebody's wish to see it now.
    if !delivery.test {
        let admitted = lane.circuit().admit(now());
        if let Err(until) = admitted {
            let until = after(until, spread(Duration::from_secs(1)));
            return put_off(hooks, &delivery, until, "resting").await;
        }
    }
    let Ok(_permit) = hooks.permits.acquire().await else {
        return put_off(hooks, &delivery, after(now(), BUSY), "busy").await;
    };
    let (began, at) = (Instant::now(), now());
    let answer = post(hooks, endpoint, &delivery, at)
        .instrument(span(endpoint, &delivery))
        .await;
    let took = began.elapsed();
    if answer.refused {
        hooks.metrics.refused();
    }
    if answer.is_success() || answer.status == Some(410) {
        if lane.circuit().succeeded() {
            tracing::info!(webhook = %delivery.webhook_id, "a webhook answers again");
        }
    } else {
        let opened = lane.circuit().failed(now(), hooks.rest);
        if opened {
            let error = answer.error.as_deref();
            tracing::warn!(webhook = %delivery.webhook_id, error, "a webhook fails and is left alone for a while");
        }
    }
    finish(hooks, delivery, answer, at, took).await
}

/// Posts a delivery as it is, with the time and the signatures of this attempt.
async fn post(hooks: &Hooks, endpoint: &Endpoint, delivery: &WebhookDelivery, at: Timestamp) -> Answer {
    let failed = |error: &str| Answer {
        error: Some(error.to_owned()),
        ..Answer::default()
    };
    let Some(url) = &endpoint.url else {
        return failed("the URL cannot be read");
    };
    let signature = signatures(&endpoint.secrets, delivery.delivery_id, at, &delivery.payload);
    if signature.is_empty() {
        return failed("our sealing key does not open the webhook's secret");
    }
    let mut map = HeaderMap::new();
    let texts = [
        (CONTENT_TYPE, headers::JSON.to_owned()),
        (ID, delivery.delivery_id.to_string()),
        (TIMESTAMP, at.as_second().to_string()),
        (SIGNATURE, signature),
    ];
    for (name, text) in texts {
        match HeaderValue::try_from(text) {
            Ok(value) => map.insert(name, value),
            Err(_) => return failed("a header cannot be written"),
        };
    }
    // The receiver's part of the trace hangs on this attempt.
    let traceparent = bus::trace::current_traceparent().and_then(|text| HeaderValue::try_from(text).ok());
    if let Some(traceparent) = traceparent {
        map.insert(HeaderName::from_static("traceparent"), traceparent);
    }
    let answer = hooks.client.post(url, map, delivery.payload.clone(), at).await;
    let span = Span::current();
    if let Some(status) = answer.status {
        span.record("http.response.status_code", i64::from(status));
    }
    if !answer.is_success() {
        span.record("otel.status_code", "ERROR");
    }
    answer
}

/// The span of an attempt, by OpenTelemetry's conventions for HTTP clients. Without the path of the URL, which may be as
/// good as a password.
fn span(endpoint: &Endpoint, delivery: &WebhookDelivery) -> Span {
    tracing::info_span!(
        "POST",
        otel.kind = "client",
        otel.status_code = Empty,
        http.request.method = "POST",
        http.request.resend_count = i64::from(delivery.attempts),
        http.response.status_code = Empty,
        server.address = endpoint.url.as_ref().and_then(url::Url::host_str),
        webhook.id = %delivery.webhook_id,
        webhook.delivery.id = %delivery.delivery_id,
    )
}

/// Writes down what came of an attempt, and what comes next.
async fn finish(
    hooks: &Hooks,
    mut delivery: WebhookDelivery,
    answer: Answer,
    at: Timestamp,
    took: Duration,
) -> Result<(), BusError> {
    delivery.attempts += 1;
    let what = what_next(hooks, &delivery, &answer);
    let outcome = match &what {
        After::Delivered => WebhookOutcome::Delivered,
        After::Again(_) => WebhookOutcome::Failed,
        After::Dead(_) => WebhookOutcome::Dead,
    };
    hooks.metrics.attempt(outcome.as_str(), took);
    let attempt = WebhookAttempt {
        delivery_id: delivery.delivery_id,
        webhook_id: delivery.webhook_id,
        event_type: delivery.event_type.clone(),
        server_id: delivery.server_id,
        at,
        attempt: delivery.attempts,
        outcome,
        status: answer.status,
        error: answer.error,
        response: answer.response,
        duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        next: None,
    };
    match what {
        After::Delivered => {
            log(hooks, &delivery, &attempt).await;
            Ok(())
        }
        // Nobody waits for a test but who asked for it.
        After::Dead(_) if delivery.test => {
            log(hooks, &delivery, &attempt).await;
            Ok(())
        }
        After::Again(next) => {
            later(hooks, &delivery, next).await?;
            hooks.metrics.put_off("failed");
            let attempt = WebhookAttempt {
                next: Some(next),
                ..attempt
            };
            log(hooks, &delivery, &attempt).await;
            Ok(())
        }
        After::Dead(reason) => {
            let error = attempt.error.unwrap_or_default();
            let attempt = WebhookAttempt {
                error: Some(format!("{reason}: {error}")),
                ..attempt
            };
            give_up(hooks, delivery, attempt).await
        }
    }
}

fn what_next(hooks: &Hooks, delivery: &WebhookDelivery, answer: &Answer) -> After {
    if answer.is_success() {
        return After::Delivered;
    }
    if answer.status == Some(410) {
        return After::Dead("the endpoint says that it is gone".to_owned());
    }
    if delivery.test {
        return After::Dead("a test is tried once".to_owned());
    }
    // Others may say so too, but only of these it is said that it means when to come again.
    let asked = answer
        .retry_after
        .filter(|_| matches!(answer.status, Some(429 | 503)));
    let next = hooks.backoff.next(
        delivery.attempts,
        delivery.first_at,
        now(),
        asked,
        rand::random::<f64>(),
    );
    next.map_or_else(|| After::Dead("given up".to_owned()), After::Again)
}

/// The entry of a delivery that was given up without an attempt.
fn unmade(delivery: &WebhookDelivery, at: Timestamp, why: &str) -> WebhookAttempt {
    WebhookAttempt {
        delivery_id: delivery.delivery_id,
        webhook_id: delivery.webhook_id,
        event_type: delivery.event_type.clone(),
        server_id: delivery.server_id,
        at,
        attempt: 0,
        outcome: WebhookOutcome::Dead,
        status: None,
        error: Some(why.to_owned()),
        response: None,
        duration_ms: 0,
        next: None,
    }
}

/// How long a delivery waits for whom there is no place.
fn busy(delivery: &WebhookDelivery) -> Duration {
    let age = Duration::try_from(now().duration_since(delivery.first_at)).unwrap_or_default();
    (age / 2).clamp(BUSY, BUSY_MOST)
}

/// A little more by chance, so that not all come back at once.
fn spread(wait: Duration) -> Duration {
    wait.mul_f64(1.0 + rand::random::<f64>())
}

/// Puts a delivery off that was not attempted.
async fn put_off(
    hooks: &Hooks,
    delivery: &WebhookDelivery,
    until: Timestamp,
    why: &'static str,
) -> Result<(), BusError> {
    hooks.metrics.put_off(why);
    later(hooks, delivery, until).await
}

async fn later(hooks: &Hooks, delivery: &WebhookDelivery, at: Timestamp) -> Result<(), BusError> {
    let schedule = subjects::webhook_later(delivery.webhook_id, delivery.delivery_id);
    let target = subjects::webhook_due(delivery.webhook_id);
    let sent = hooks
        .bus
        .send_at(schedule, target, at, delivery, Before::Any)
        .await;
    sent.map(drop)
}

/// Keeps a delivery for whoever wants to see it or to have it replayed.
async fn give_up(hooks: &Hooks, delivery: WebhookDelivery, attempt: WebhookAttempt) -> Result<(), BusError> {
    let dead = WebhookDeadLetter {
        reason: attempt.error.clone().unwrap_or_default(),
        at: attempt.at,
        delivery,
    };
    let delivery = &dead.delivery;
    let subject = subjects::webhook_dead(AccountId(delivery.account_id), delivery.webhook_id);
    // Its id with the number of attempts: what was replayed may end here again.
    let id = format!("{}-{}", delivery.delivery_id, delivery.first_at.as_millisecond());
    hooks.bus.publish(subject, &id, &dead).await?;
    hooks.metrics.dead();
    let (webhook, reason) = (delivery.webhook_id, &dead.reason);
    tracing::warn!(%webhook, delivery = %delivery.delivery_id, reason, "a webhook's delivery is given up");
    log(hooks, delivery, &attempt).await;
    Ok(())
}

/// Keeps an attempt in the delivery log. What it lacks then is no reason to post twice.
async fn log(hooks: &Hooks, delivery: &WebhookDelivery, attempt: &WebhookAttempt) {
    let subject = subjects::webhook_log(AccountId(delivery.account_id), delivery.webhook_id);
    if let Err(error) = hooks.bus.publish(subject, "", attempt).await {
        tracing::warn!(%error, webhook = %delivery.webhook_id, "an attempt is missing in the delivery log");
    }
}
