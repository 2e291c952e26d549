//! Looking again: what has become of a server that was left to settle, of all that was gathered; and tests.

use std::collections::BTreeMap;
use std::time::Duration;

use bus::{Before, BusError, Delivery, Verdict};
use domain::ServerId;
use wire::{Previous, ServerStatus, StatusEvent, WebhookHeld, WebhookLook, streams, subjects};

use crate::clock::now;
use crate::webhooks::Hooks;
use crate::webhooks::decide;
use crate::webhooks::endpoints::Endpoint;
use crate::webhooks::matching::{as_it_is, gather, look_at, post, told};
use crate::webhooks::pace::after;
use crate::webhooks::payload::News;

/// Deliveries of a message before an endpoint that nobody knows is taken for gone.
const UNKNOWN: u32 = 8;
/// Between tries.
const AGAIN: Duration = Duration::from_secs(1);
/// Held changes that are told at once; the rest is told right after.
const AT_ONCE: usize = 1000;

/// Takes a look that is due.
pub(crate) async fn take(hooks: &Hooks, message: Delivery) -> Verdict {
    let (look, webhook) = match WebhookLook::decode(&message.body) {
        Ok(look) => (look, subjects::webhook_of(&message.subject)),
        Err(refused) => {
            return Verdict::Reject {
                reason: refused.to_string(),
            };
        }
    };
    let Some(endpoint) = webhook.and_then(|webhook| hooks.endpoints.get(webhook)) else {
        return if message.deliveries < UNKNOWN {
            retry("the webhook is not known yet".to_owned())
        } else {
            Verdict::Done
        };
    };
    let done = match look {
        WebhookLook::Test { delivery_id, at } => {
            post(hooks, &endpoint, News::Test(at), &delivery_id.to_string(), None).await
        }
        _ if !endpoint.entry.enabled => Ok(()),
        WebhookLook::Gathered => gathered(hooks, &endpoint).await,
        WebhookLook::Server {
            server_id,
            told,
            version,
            ..
        } => {
            let server = ServerId(server_id);
            if !hooks.fleet.is_loaded() {
                return retry("the present is not known yet".to_owned());
            }
            match hooks.fleet.server(server) {
                // Its end was told at once.
                None => Ok(()),
                Some(status) if status.account_id != endpoint.entry.account_id => Ok(()),
                Some(status) if status.version < version => return retry("the present is behind".to_owned()),
                Some(status) => settled(hooks, &endpoint, &status, told, version).await,
            }
        }
    };
    match done {
        Ok(()) => Verdict::Done,
        Err(error) => retry(error.to_string()),
    }
}

fn retry(reason: String) -> Verdict {
    Verdict::Retry { after: AGAIN, reason }
}

/// Tells what a server is, if that is another than what was told last.
async fn settled(
    hooks: &Hooks,
    endpoint: &Endpoint,
    status: &ServerStatus,
    last: Option<Previous>,
    version: u64,
) -> Result<(), BusError> {
    let (options, server) = (&endpoint.entry.options, ServerId(status.server_id));
    let kinds = decide::kinds(status, last.as_ref(), last.as_ref());
    let is_another = last.as_ref() != Some(&as_it_is(status));
    if !is_another || !decide::wanted(&endpoint.entry, &kinds) {
        return Ok(());
    }
    let holds = Duration::from_secs(options.after_seconds.into());
    let since = now().duration_since(status.changed_at);
    if status.version > version && since < jiff::SignedDuration::try_from(holds).unwrap_or_default() {
        // It has changed again just now, and has to hold anew. Whoever took that change in may have said so already.
        let at = after(status.changed_at, holds);
        let again = look_at(hooks, endpoint, server, last, status.version, at, Before::None).await;
        return match again {
            Err(BusError::Conflict { .. }) => Ok(()),
            done => done,
        };
    }
    if let Some(until) = decide::quiet_until(options, now()) {
        let is = Some(as_it_is(status));
        let quiet = look_at(hooks, endpoint, server, is, status.version, until, Before::None).await;
        match quiet {
            Err(BusError::Conflict { .. }) => {}
            done => done?,
        }
    }
    let event = StatusEvent::Status(ServerStatus {
        previous: last,
        ..status.clone()
    });
    told(hooks, endpoint, &event).await
}

/// Tells what was gathered: one by one, or in a summary when it is much.
async fn gathered(hooks: &Hooks, endpoint: &Endpoint) -> Result<(), BusError> {
    let webhook = endpoint.entry.webhook_id;
    let subject = subjects::webhook_held(webhook);
    let kept = hooks.bus.kept(&streams::WEBHOOKS, &subject, 0, AT_ONCE).await?;
    let (Some(first), Some(last)) = (kept.first(), kept.last()) else {
        return Ok(());
    };
    let held: Vec<WebhookHeld> = kept
        .iter()
        .filter_map(|one| WebhookHeld::decode(&one.body).ok())
        .collect();
    // Of each server the newest, in the order in which they changed last.
    let mut newest: BTreeMap<uuid::Uuid, usize> = BTreeMap::new();
    for (place, one) in held.iter().enumerate() {
        newest.insert(one.event.server_id(), place);
    }
    let most = usize::try_from(endpoint.entry.options.summary_from).unwrap_or(usize::MAX);
    if most > 0 && newest.len() >= most {
        let mut places: Vec<_> = newest.into_values().collect();
        places.sort_unstable();
        let events: Vec<_> = places
            .into_iter()
            .map(|place| held[place].event.clone())
            .collect();
        let what = format!("summary/{}-{}", first.sequence, last.sequence);
        post(hooks, endpoint, News::Summary(&events), &what, None).await?;
    } else {
        for one in &held {
            let news = News::Changed(&one.event, one.name.as_deref());
            let what = format!("{}/{}", one.event.server_id(), one.event.version());
            post(hooks, endpoint, news, &what, Some(one.event.server_id())).await?;
        }
    }
    hooks
        .bus
        .remove_until(&streams::WEBHOOKS, &subject, last.sequence)
        .await?;
    if kept.len() == AT_ONCE {
        gather(hooks, endpoint).await?;
    }
    Ok(())
}
