//! Have a look now.

use std::time::Duration;

use access::may_command;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use domain::{AccountId, ServerId, ToolboxId};
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use store::commands::{self, Acceptance};
use store::reading;
use tokio::time::{Instant, sleep, timeout_at};
use wire::api::{Accepted, CommandKind};

use crate::accept;
use crate::answer::{json, respond};
use crate::app::App;
use crate::ask::Ask;
use crate::base::Trouble;
use crate::caller::Caller;
use crate::clock;
use crate::params::{Id, Params};
use crate::refusal::{Refusal, Result};
use crate::routes::commands::Waiting;
use crate::{records, repeat};

/// Between looks at whether the observation has come.
const LOOK: Duration = Duration::from_millis(100);
/// Toolboxes fired for at once.
const AT_ONCE: usize = 32;
/// Toolboxes read at once.
const PAGE: u32 = 500;

/// Observe a server now
///
/// Has its toolbox polled, which observes all servers there. Several that ask at once are one poll.
#[utoipa::path(post, path = "/v1/servers/{serverId}/refresh", operation_id = "refreshServer", tag = "commands",
    params(("serverId" = Uuid, Path, description = "Which server"), Waiting),
    responses((status = 200, description = "It was waited for, and was observed", body = Accepted),
        (status = 202, description = "A poll is asked for", body = Accepted)))]
pub(crate) async fn refresh_server(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    Params(waiting): Params<Waiting>,
    ask: Ask,
) -> Result<Response> {
    let server = app.command(caller.viewer(), ServerId(id)).await?;
    let of = Of {
        server: Some(ServerId(id)),
        toolbox: ToolboxId(server.toolbox_id),
        account: AccountId(server.account_id),
    };
    refresh(&app, &caller, &ask, of, waiting.wait).await
}

/// Observe a toolbox now
///
/// Has it polled, which observes all its servers. Several that ask at once are one poll.
#[utoipa::path(post, path = "/v1/toolboxes/{toolboxId}/refresh", operation_id = "refreshToolbox", tag = "commands",
    params(("toolboxId" = Uuid, Path, description = "Which toolbox"), Waiting),
    responses((status = 200, description = "It was waited for, and was observed", body = Accepted),
        (status = 202, description = "A poll is asked for", body = Accepted)))]
pub(crate) async fn refresh_toolbox(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    Params(waiting): Params<Waiting>,
    ask: Ask,
) -> Result<Response> {
    let toolbox = crate::routes::toolboxes::find(&app, &caller, ToolboxId(id)).await?;
    let of = Of {
        server: None,
        toolbox: ToolboxId(id),
        account: toolbox.toolbox.account,
    };
    refresh(&app, &caller, &ask, of, waiting.wait).await
}

/// What is to be observed.
struct Of {
    server: Option<ServerId>,
    toolbox: ToolboxId,
    account: AccountId,
}

async fn refresh(app: &App, caller: &Caller, ask: &Ask, of: Of, wait: Duration) -> Result<Response> {
    if let Some(again) = repeat::find(app, caller, ask).await? {
        return Ok(again);
    }
    let bus = app.bus()?;
    let record = accept::done(
        caller,
        ask,
        CommandKind::Refresh,
        (of.server, Some(of.toolbox), Some(of.account)),
        None,
    );
    // Whoever repeats it is answered from the record, so this comes first.
    if !recorded(app, &record).await? {
        return repeat::found(app, caller, ask).await;
    }
    let fired = app.gates.fire(&bus, of.toolbox, clock::now).await?;
    if fired.joined {
        app.metrics.refresh_joined();
    }
    app.metrics.command(CommandKind::Refresh.as_str(), "done");
    let command = records::of(CommandKind::Refresh, &record);
    let seen = !wait.is_zero() && observed(app, of.toolbox, fired.since, wait).await;
    let status = match of.server {
        Some(server) => app.shown_now(server).await,
        None => None,
    };
    let status_code = if seen {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    let answer = json(status_code, &Accepted { command, status })?;
    repeat::keep(app, ask, record.id, &answer).await;
    Ok(respond(answer))
}

/// Writes the record. `false`: the same request was made a moment ago.
async fn recorded(app: &App, record: &commands::NewCommand) -> Result<bool> {
    let mut transaction = app.base.begin().await?;
    match app.base.write(commands::accept(&mut transaction, record)).await {
        Ok(Acceptance::Accepted) => {}
        Ok(Acceptance::Repeated) => return Ok(false),
        Ok(Acceptance::Busy(other)) => return Err(accept::busy(&other)),
        Err(trouble) => return Err(accept::overtaken(trouble)),
    }
    app.base.commit(transaction).await?;
    Ok(true)
}

/// Waits until a report of the toolbox is there that was made after `since`: one that tells of a failure, too.
async fn observed(app: &App, toolbox: ToolboxId, since: Timestamp, wait: Duration) -> bool {
    let until = Instant::now() + wait;
    let looking = async {
        loop {
            let asking = reading::toolbox_as_of(app.base.database().pool(), toolbox);
            if let Ok(Some(as_of)) = app.base.read(asking).await
                && as_of >= since
            {
                return;
            }
            sleep(LOOK).await;
        }
    };
    timeout_at(until, looking).await.is_ok()
}

/// Observe everything now
///
/// Has all toolboxes of the caller polled; those of everybody, if he sees everything.
#[utoipa::path(post, path = "/v1/refresh", operation_id = "refreshAll", tag = "commands",
    responses((status = 202, description = "Polls are asked for", body = Accepted)))]
pub(crate) async fn refresh_all(
    State(app): State<App>,
    caller: Caller,
    _: Params<()>,
    ask: Ask,
) -> Result<Response> {
    if let Some(again) = repeat::find(&app, &caller, &ask).await? {
        return Ok(again);
    }
    let bus = app.bus()?;
    let toolboxes = all(&app, &caller).await?;
    let message = Some(format!("{} toolboxes", toolboxes.len()));
    let of = (None, None, caller.account());
    let record = accept::done(&caller, &ask, CommandKind::Refresh, of, message);
    if !recorded(&app, &record).await? {
        return repeat::found(&app, &caller, &ask).await;
    }
    let mut fired = stream::iter(toolboxes)
        .map(|toolbox| app.gates.fire(&bus, toolbox, clock::now))
        .buffer_unordered(AT_ONCE);
    while let Some(outcome) = fired.next().await {
        if outcome?.joined {
            app.metrics.refresh_joined();
        }
    }
    app.metrics.command(CommandKind::Refresh.as_str(), "done");
    let command = records::of(CommandKind::Refresh, &record);
    let answer = json(
        StatusCode::ACCEPTED,
        &Accepted {
            command,
            status: None,
        },
    )?;
    repeat::keep(&app, &ask, record.id, &answer).await;
    Ok(respond(answer))
}

async fn all(app: &App, caller: &Caller) -> Result<Vec<ToolboxId>> {
    let mut found: Vec<ToolboxId> = Vec::new();
    loop {
        let after = found.last().copied();
        let page = app
            .base
            .read(async {
                let mut connection = app.base.database().pool().acquire().await?;
                reading::toolboxes(&mut connection, caller.account(), after, PAGE).await
            })
            .await
            .map_err(|trouble: Trouble| Refusal::from(trouble))?;
        let last = page.len() < PAGE as usize;
        found.extend(
            page.into_iter()
                .filter(|row| may_command(caller.viewer(), row.toolbox.account))
                .map(|row| row.toolbox.id),
        );
        if last {
            return Ok(found);
        }
    }
}
