//! Who is told of changes by webhook: asked for, entered and changed.

use access::may_command;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use domain::AccountId;
use jiff::{SignedDuration, Timestamp};
use store::webhooks::{self, Wishes};
use uuid::Uuid;
use wire::api::{
    CommandKind, NewWebhook, Webhook, WebhookChange, WebhookFilters, WebhookOptions, WebhookPage,
    WebhookRotation, WebhookWithSecret,
};
use wire::{WebhookKind, WebhookTemplate};

use crate::answer::{json, ok};
use crate::app::App;
use crate::ask::Ask;
use crate::caller::Caller;
use crate::clock;
use crate::entering::{self, About, taken};
use crate::params::{Id, Params};
use crate::refusal::{Refusal, Result};
use crate::repeat;
use crate::routes::toolbox_registry::account;
use crate::routes::toolboxes::Page;
use crate::webhooks::{checked, new_secret};

/// Webhooks of one account: more are a list that should be one receiver.
const MOST: u64 = 100;
/// How long the former secret signs as well, where nothing else is asked for: a day to change over in.
const OVERLAP: u32 = 24 * 3600;
/// And at most.
const OVERLAP_MAX: u32 = 7 * 24 * 3600;

/// List webhooks
///
/// Those of the caller, in the order of their ids; everybody's, if he sees everything.
#[utoipa::path(get, path = "/v1/webhooks", operation_id = "listWebhooks", tag = "webhooks", params(Page),
    responses((status = 200, description = "The page", body = WebhookPage)))]
pub(crate) async fn list_webhooks(
    State(app): State<App>,
    caller: Caller,
    Params(page): Params<Page>,
) -> Result<Response> {
    let limit = u32::try_from(page.limit + 1).unwrap_or(u32::MAX);
    let reading = webhooks::list(app.base.database().pool(), caller.account(), page.cursor, limit);
    let rows = app.base.read(reading).await?;
    let more = rows.len() > page.limit;
    let mut items: Vec<_> = rows.into_iter().map(shown).collect();
    items.truncate(page.limit);
    let next = items
        .last()
        .filter(|_| more)
        .map(|last| last.webhook_id.to_string());
    ok(&WebhookPage { items, next })
}

/// Get a webhook
#[utoipa::path(get, path = "/v1/webhooks/{webhookId}", operation_id = "getWebhook", tag = "webhooks",
    params(("webhookId" = Uuid, Path, description = "Which webhook")),
    responses((status = 200, description = "The webhook", body = Webhook)))]
pub(crate) async fn get_webhook(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    _: Params<()>,
) -> Result<Response> {
    ok(&shown(find(&app, &caller, id).await?))
}

/// A webhook that the caller may see and change.
///
/// # Errors
/// 404 for another's as for none, 503 while the database is away.
pub(crate) async fn find(app: &App, caller: &Caller, id: Uuid) -> Result<webhooks::Webhook> {
    let reading = webhooks::get(app.base.database().pool(), id);
    own(caller, app.base.read(reading).await?)
}

fn own(caller: &Caller, found: Option<webhooks::Webhook>) -> Result<webhooks::Webhook> {
    found
        .filter(|webhook| may_command(caller.viewer(), webhook.account))
        .ok_or_else(|| Refusal::not_found("webhook"))
}

/// Register a webhook
///
/// The answer shows the secret that deliveries are signed with, this once.
#[utoipa::path(post, path = "/v1/webhooks", operation_id = "createWebhook", tag = "webhooks",
    request_body = NewWebhook,
    responses((status = 201, description = "It is registered", body = WebhookWithSecret,
        headers(("Location" = String, description = "Where it is")))))]
pub(crate) async fn create_webhook(
    State(app): State<App>,
    caller: Caller,
    _: Params<()>,
    ask: Ask,
) -> Result<Response> {
    let new: NewWebhook = ask.read()?;
    let account = account(&caller, new.account_id)?;
    let wishes = checked(wishes(
        new.url,
        new.enabled.unwrap_or(true),
        new.filters,
        new.template,
        new.options,
    ))?;
    if let Some(again) = repeat::find(&app, &caller, &ask).await? {
        return Ok(again);
    }
    let id = new.webhook_id.unwrap_or_else(clock::new_id);
    let base = &app.base;
    let mut transaction = base.begin().await?;
    if base.write(webhooks::get(&mut *transaction, id)).await?.is_some() {
        return Err(taken("webhookId", "there is a webhook of this id"));
    }
    if base.write(webhooks::count(&mut *transaction, account)).await? >= MOST {
        return Err(Refusal::conflict(format!("an account may have {MOST} webhooks")));
    }
    let secret = new_secret()?;
    let adding = webhooks::add(&mut *transaction, id, account, &wishes, &secret, clock::now());
    base.write(adding).await.map_err(entering::collided)?;
    let webhook = shown(own(
        &caller,
        base.write(webhooks::get(&mut *transaction, id)).await?,
    )?);
    let about = about(CommandKind::Register, account, format!("webhook {id}"));
    let location = Some(format!("/v1/webhooks/{id}"));
    let (kept, mut told) = with_secret(StatusCode::CREATED, webhook, &secret)?;
    told.location.clone_from(&location);
    let kept = store::commands::Answer { location, ..kept };
    entering::finish_telling(&app, &caller, &ask, transaction, about, kept, told).await
}

/// The answer that is kept for who asks again, without the secret, and the one that is given.
fn with_secret(
    status: StatusCode,
    webhook: Webhook,
    secret: &secrecy::SecretString,
) -> Result<(store::commands::Answer, store::commands::Answer)> {
    use secrecy::ExposeSecret as _;
    let mut body = WebhookWithSecret {
        webhook,
        secret: None,
    };
    let kept = json(status, &body)?;
    body.secret = Some(secret.expose_secret().to_owned());
    Ok((kept, json(status, &body)?))
}

/// Change a webhook
#[utoipa::path(patch, path = "/v1/webhooks/{webhookId}", operation_id = "changeWebhook", tag = "webhooks",
    params(("webhookId" = Uuid, Path, description = "Which webhook")), request_body = WebhookChange,
    responses((status = 200, description = "The webhook as it is now", body = Webhook)))]
pub(crate) async fn change_webhook(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    _: Params<()>,
    ask: Ask,
) -> Result<Response> {
    let change: WebhookChange = ask.read()?;
    if let Some(again) = repeat::find(&app, &caller, &ask).await? {
        return Ok(again);
    }
    let base = &app.base;
    let mut transaction = base.begin().await?;
    let before = own(&caller, base.write(webhooks::get(&mut *transaction, id)).await?)?;
    let named = [
        ("url", change.url.is_some()),
        ("enabled", change.enabled.is_some()),
        ("filters", change.filters.is_some()),
        ("template", change.template.is_some()),
        ("options", change.options.is_some()),
    ];
    let named: Vec<_> = named
        .iter()
        .filter(|(_, is)| *is)
        .map(|(name, _)| *name)
        .collect();
    let Webhook {
        url,
        enabled,
        filters,
        template,
        options,
        ..
    } = shown(before.clone());
    let wishes = checked(wishes(
        change.url.unwrap_or(url),
        change.enabled.unwrap_or(enabled),
        change.filters.unwrap_or(filters),
        change.template.unwrap_or(template),
        change.options.unwrap_or(options),
    ))?;
    let changing = webhooks::change(&mut *transaction, id, &wishes);
    if !base.write(changing).await.map_err(entering::collided)? {
        return Err(Refusal::not_found("webhook"));
    }
    let answer = json(
        StatusCode::OK,
        &shown(webhooks::Webhook {
            wishes,
            ..before.clone()
        }),
    )?;
    let message = format!("webhook {id}: {}", named.join(", "));
    let about = about(CommandKind::Change, before.account, message);
    entering::finish(&app, &caller, &ask, transaction, about, answer).await
}

/// Unregister a webhook
///
/// What is on its way to it is dropped.
#[utoipa::path(delete, path = "/v1/webhooks/{webhookId}", operation_id = "unregisterWebhook", tag = "webhooks",
    params(("webhookId" = Uuid, Path, description = "Which webhook")),
    responses((status = 204, description = "It is forgotten")))]
pub(crate) async fn unregister_webhook(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    _: Params<()>,
    ask: Ask,
) -> Result<Response> {
    if let Some(again) = repeat::find(&app, &caller, &ask).await? {
        return Ok(again);
    }
    let base = &app.base;
    let mut transaction = base.begin().await?;
    let before = own(&caller, base.write(webhooks::get(&mut *transaction, id)).await?)?;
    if !base.write(webhooks::remove(&mut *transaction, id)).await? {
        return Err(Refusal::not_found("webhook"));
    }
    let about = about(CommandKind::Unregister, before.account, format!("webhook {id}"));
    entering::finish(&app, &caller, &ask, transaction, about, entering::nothing()).await
}

/// Replace a webhook's secret
///
/// The answer shows the new one, this once. Both sign until the overlap ends, so that the receiver can change over.
#[utoipa::path(post, path = "/v1/webhooks/{webhookId}/rotate", operation_id = "rotateWebhook", tag = "webhooks",
    params(("webhookId" = Uuid, Path, description = "Which webhook")), request_body = WebhookRotation,
    responses((status = 200, description = "It has another secret", body = WebhookWithSecret)))]
pub(crate) async fn rotate_webhook(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    _: Params<()>,
    ask: Ask,
) -> Result<Response> {
    let rotation: WebhookRotation = ask.read()?;
    let overlap = rotation.overlap_seconds.unwrap_or(OVERLAP);
    if overlap > OVERLAP_MAX {
        let expected = format!("a number of seconds, at most {OVERLAP_MAX}");
        return Err(Refusal::field("overlapSeconds", expected));
    }
    if let Some(again) = repeat::find(&app, &caller, &ask).await? {
        return Ok(again);
    }
    let base = &app.base;
    let mut transaction = base.begin().await?;
    let before = own(&caller, base.write(webhooks::get(&mut *transaction, id)).await?)?;
    let secret = new_secret()?;
    let until = clock::now()
        .checked_add(SignedDuration::from_secs(overlap.into()))
        .unwrap_or(Timestamp::MAX);
    let rotating = webhooks::rotate(&mut *transaction, id, &secret, until);
    if !base.write(rotating).await? {
        return Err(Refusal::not_found("webhook"));
    }
    let account = before.account;
    let webhook = shown(webhooks::Webhook {
        previous_until: Some(until),
        ..before
    });
    let (kept, told) = with_secret(StatusCode::OK, webhook, &secret)?;
    let about = about(CommandKind::Change, account, format!("webhook {id}: secret"));
    entering::finish_telling(&app, &caller, &ask, transaction, about, kept, told).await
}

pub(crate) fn about(kind: CommandKind, account: AccountId, message: String) -> About {
    About {
        kind,
        server: None,
        toolbox: None,
        account: Some(account),
        message,
    }
}

fn wishes(
    url: String,
    enabled: bool,
    filters: WebhookFilters,
    template: WebhookTemplate,
    options: WebhookOptions,
) -> Wishes {
    let mut kinds: Vec<_> = filters.kinds;
    kinds.sort_unstable();
    kinds.dedup();
    Wishes {
        url,
        enabled,
        servers: filters.servers,
        toolboxes: filters.toolboxes,
        kinds: kinds.iter().map(|kind| kind.as_str().to_owned()).collect(),
        template: template.as_str().to_owned(),
        after_seconds: options.after_seconds,
        not_during_own_commands: options.not_during_own_commands,
        at_most_every_seconds: options.at_most_every_seconds,
        summary_from: options.summary_from,
        summary_window: options.summary_window,
    }
}

/// A row as it is shown.
fn shown(row: webhooks::Webhook) -> Webhook {
    let wishes = row.wishes;
    Webhook {
        webhook_id: row.id,
        account_id: row.account.0,
        url: wishes.url,
        enabled: wishes.enabled,
        filters: WebhookFilters {
            servers: wishes.servers,
            toolboxes: wishes.toolboxes,
            kinds: wishes
                .kinds
                .iter()
                .filter_map(|kind| WebhookKind::from_label(kind))
                .collect(),
        },
        template: WebhookTemplate::from_label(&wishes.template).unwrap_or_default(),
        options: WebhookOptions {
            after_seconds: wishes.after_seconds,
            not_during_own_commands: wishes.not_during_own_commands,
            at_most_every_seconds: wishes.at_most_every_seconds,
            summary_from: wishes.summary_from,
            summary_window: wishes.summary_window,
        },
        previous_secret_until: row.previous_until.filter(|until| *until > clock::now()),
        created_at: row.created_at,
    }
}
