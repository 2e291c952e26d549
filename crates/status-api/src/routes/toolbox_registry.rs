//! Toolboxes, entered and changed.

use access::{Viewer, may_command};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use domain::{AccountId, ToolboxId};
use store::entries::{self, ToolboxEntry};
use store::{Transaction, reading};
use uuid::Uuid;
use wire::api::{CommandKind, NewToolbox, Toolbox, ToolboxChange};

use crate::answer::json;
use crate::app::App;
use crate::ask::Ask;
use crate::caller::Caller;
use crate::clock;
use crate::entering::{self, About, taken};
use crate::params::{Id, Params};
use crate::refusal::{Refusal, Result};
use crate::repeat;
use crate::routes::toolboxes::of_row;

/// Register a toolbox
#[utoipa::path(post, path = "/v1/toolboxes", operation_id = "createToolbox", tag = "toolboxes",
    request_body = NewToolbox,
    responses((status = 201, description = "It is registered", body = Toolbox,
        headers(("Location" = String, description = "Where it is")))))]
pub(crate) async fn create_toolbox(
    State(app): State<App>,
    caller: Caller,
    _: Params<()>,
    ask: Ask,
) -> Result<Response> {
    let new: NewToolbox = ask.read()?;
    entering::name(&new.name)?;
    new.base_url.as_deref().map(entering::base_url).transpose()?;
    new.public_ip_address
        .as_deref()
        .map(entering::address)
        .transpose()?;
    new.token.as_ref().map(entering::token).transpose()?;
    let account = account(&caller, new.account_id)?;
    if let Some(again) = repeat::find(&app, &caller, &ask).await? {
        return Ok(again);
    }
    let entry = ToolboxEntry {
        id: ToolboxId(new.toolbox_id.unwrap_or_else(clock::new_id)),
        account,
        name: new.name,
        base_url: new.base_url,
        public_ip: new.public_ip_address,
        token: new.token,
    };
    let base = &app.base;
    let mut transaction = base.begin().await?;
    if base
        .write(entries::has_toolbox(&mut *transaction, entry.id))
        .await?
    {
        return Err(taken("toolboxId", "there is a toolbox of this id"));
    }
    if let Some(token) = &entry.token
        && base
            .write(entries::token_is_taken(&mut *transaction, entry.id, token))
            .await?
    {
        return Err(taken("token", "another toolbox has this token"));
    }
    base.write(entries::add_toolbox(&mut *transaction, &entry))
        .await
        .map_err(entering::collided)?;
    let mut answer = json(
        StatusCode::CREATED,
        &shown(&app, &mut transaction, entry.id).await?,
    )?;
    answer.location = Some(format!("/v1/toolboxes/{}", entry.id));
    let about = About {
        kind: CommandKind::Register,
        server: None,
        toolbox: Some(entry.id),
        account: Some(account),
        message: format!("toolbox {}", entry.name),
    };
    entering::finish(&app, &caller, &ask, transaction, about, answer).await
}

/// For whom something is entered: for the caller, unless he sees everything and says for whom.
pub(crate) fn account(caller: &Caller, given: Option<Uuid>) -> Result<AccountId> {
    match (caller.viewer(), given.map(AccountId)) {
        (Viewer::Account(own), None) => Ok(own),
        (Viewer::Account(own), Some(given)) if given == own => Ok(own),
        (Viewer::Account(_), Some(_)) => {
            Err(Refusal::forbidden("only who sees everything registers for others").naming("accountId"))
        }
        (Viewer::All, Some(given)) => Ok(given),
        (Viewer::All, None) => caller
            .0
            .account
            .ok_or_else(|| Refusal::field("accountId", "the account whose it is: the token names none")),
    }
}

async fn shown(app: &App, transaction: &mut Transaction, id: ToolboxId) -> Result<Toolbox> {
    let reading = reading::toolbox(&mut *transaction, id);
    let row = app
        .base
        .write(reading)
        .await?
        .ok_or_else(|| Refusal::not_found("toolbox"))?;
    Ok(of_row(&row, clock::now()))
}

/// Reads a toolbox of the caller's within a transaction.
pub(crate) async fn own(
    app: &App,
    caller: &Caller,
    transaction: &mut Transaction,
    id: ToolboxId,
) -> Result<domain::Toolbox> {
    let reading = reading::toolbox(&mut *transaction, id);
    app.base
        .write(reading)
        .await?
        .map(|row| row.toolbox)
        .filter(|toolbox| may_command(caller.viewer(), toolbox.account))
        .ok_or_else(|| Refusal::not_found("toolbox"))
}

/// Change a toolbox
#[utoipa::path(patch, path = "/v1/toolboxes/{toolboxId}", operation_id = "changeToolbox", tag = "toolboxes",
    params(("toolboxId" = Uuid, Path, description = "Which toolbox")), request_body = ToolboxChange,
    responses((status = 200, description = "The toolbox as it is now", body = Toolbox)))]
pub(crate) async fn change_toolbox(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    _: Params<()>,
    ask: Ask,
) -> Result<Response> {
    let change: ToolboxChange = ask.read()?;
    change.name.as_deref().map(entering::name).transpose()?;
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    given(&change.base_url)
        .as_deref()
        .map(entering::base_url)
        .transpose()?;
    given(&change.public_ip_address)
        .as_deref()
        .map(entering::address)
        .transpose()?;
    change.token.as_ref().map(entering::token).transpose()?;
    if let Some(again) = repeat::find(&app, &caller, &ask).await? {
        return Ok(again);
    }
    let id = ToolboxId(id);
    let base = &app.base;
    let mut transaction = base.begin().await?;
    let before = own(&app, &caller, &mut transaction, id).await?;
    if let Some(token) = &change.token
        && base
            .write(entries::token_is_taken(&mut *transaction, id, token))
            .await?
    {
        return Err(taken("token", "another toolbox has this token"));
    }
    let named = [
        ("name", change.name.is_some()),
        ("baseUrl", change.base_url.is_some()),
        ("publicIpAddress", change.public_ip_address.is_some()),
        ("token", change.token.is_some()),
    ];
    let named: Vec<_> = named
        .iter()
        .filter(|(_, is)| *is)
        .map(|(name, _)| *name)
        .collect();
    let message = format!("toolbox {}: {}", before.name, named.join(", "));
    let change = entries::ToolboxChange {
        name: change.name,
        base_url: change.base_url,
        public_ip: change.public_ip_address,
        token: change.token,
    };
    let changed = base
        .write(entries::change_toolbox(&mut *transaction, id, &change))
        .await
        .map_err(entering::collided)?;
    if !changed {
        return Err(Refusal::not_found("toolbox"));
    }
    let answer = json(StatusCode::OK, &shown(&app, &mut transaction, id).await?)?;
    let about = About {
        kind: CommandKind::Change,
        server: None,
        toolbox: Some(id),
        account: Some(before.account),
        message,
    };
    entering::finish(&app, &caller, &ask, transaction, about, answer).await
}

/// Unregister a toolbox
///
/// Forgets it and its servers, and leaves its containers alone.
#[utoipa::path(delete, path = "/v1/toolboxes/{toolboxId}", operation_id = "unregisterToolbox", tag = "toolboxes",
    params(("toolboxId" = Uuid, Path, description = "Which toolbox")),
    responses((status = 204, description = "It is forgotten")))]
pub(crate) async fn unregister_toolbox(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    _: Params<()>,
    ask: Ask,
) -> Result<Response> {
    if let Some(again) = repeat::find(&app, &caller, &ask).await? {
        return Ok(again);
    }
    let id = ToolboxId(id);
    let base = &app.base;
    let mut transaction = base.begin().await?;
    let before = own(&app, &caller, &mut transaction, id).await?;
    let removing = entries::remove_toolbox(&mut *transaction, id);
    if !base.write(removing).await.map_err(entering::collided)? {
        return Err(Refusal::not_found("toolbox"));
    }
    let about = About {
        kind: CommandKind::Unregister,
        server: None,
        toolbox: Some(id),
        account: Some(before.account),
        message: format!("toolbox {}", before.name),
    };
    let answer = entering::finish(&app, &caller, &ask, transaction, about, entering::nothing()).await;
    app.wake(id, crate::accept::SETTLING).await;
    answer
}
