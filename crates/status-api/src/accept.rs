//! Accepting what an agent is to do.
//!
//! ```text
//!  one transaction: intent + record ─► the mapper settles and announces ─► the pollers are told ─► marked
//!         │ busy: 409                        │ nobody there: taken back, 503        │ failed: the relay does it
//! ```
//!
//! Whoever reads the answer finds the transitional state in the database and on the bus already.

use std::time::Duration;

use access::may_command;
use axum::http::StatusCode;
use axum::response::Response;
use domain::{AccountId, Action, CommandId, Desired, Server, ServerId, StatusOnToolbox};
use jiff::Timestamp;
use store::commands::{self, Acceptance, NewCommand, Record};
use store::{intent, reading};
use tokio::time::{Instant, sleep, timeout_at};
use wire::api::{Accepted, CommandKind, CommandOutcomeLabel, CommandRecord};

use crate::answer::{json, respond};
use crate::app::App;
use crate::ask::Ask;
use crate::base::Trouble;
use crate::caller::Caller;
use crate::refusal::{Refusal, Result};
use crate::{clock, records, repeat};

/// How long the mapper may take to announce that something is being done.
pub(crate) const SETTLING: Duration = Duration::from_secs(3);
/// Between looks at a record that somebody waits for.
const LOOK: Duration = Duration::from_millis(100);

/// What is asked of an agent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish {
    pub(crate) server: ServerId,
    pub(crate) action: Action,
    /// Have it watched as well.
    pub(crate) monitor: bool,
    /// How long to wait for the outcome.
    pub(crate) wait: Duration,
}

/// What was written, to be taken back if need be.
struct Written {
    command: NewCommand,
    server: Server,
    desired: Desired,
    newly_monitored: bool,
}

/// Accepts it, has it announced and handed on, and answers.
///
/// # Errors
/// 404, 403, 409 while another command is under way, 503 where it cannot be accepted at present: then nothing was.
pub(crate) async fn agent_command(app: &App, caller: &Caller, ask: &Ask, wish: Wish) -> Result<Response> {
    let kind = kind_of(wish.action);
    app.command(caller.viewer(), wish.server).await?;
    if let Some(again) = repeat::find(app, caller, ask).await? {
        return Ok(again);
    }
    // Before anything is written: what nobody can be told of is not accepted.
    let bus = app.bus()?;
    let Some(written) = write(app, caller, ask, wish).await? else {
        return repeat::found(app, caller, ask).await;
    };
    let id = written.command.id;
    if !app.wake(written.server.toolbox, SETTLING).await && withdraw(app, &written).await {
        app.metrics.command(kind.as_str(), "withdrawn");
        return Err(Refusal::unavailable(
            "nobody announces it at present: nothing was accepted",
        ));
    }
    let message = wire::Command {
        command_id: id.0,
        toolbox_id: written.server.toolbox.0,
        server_id: Some(wish.server.0),
        name: Some(written.server.name.to_string()),
        action: wish.action.into(),
        requested_at: written.command.requested_at,
        deadline: written.command.deadline.unwrap_or(Timestamp::MAX),
    };
    let subject = wire::subjects::command(written.server.toolbox);
    match bus.publish(subject, &id.to_string(), &message).await {
        Ok(_) => {
            let marking = commands::mark_dispatched(app.base.database().pool(), id, clock::now());
            // What is not marked is handed on once more, which its id makes harmless.
            let _ = app.base.write(marking).await;
        }
        Err(error) => tracing::warn!(%error, command = %id, "failed to hand a command on; the relay will"),
    }
    app.metrics.command(kind.as_str(), "accepted");
    tracing::info!(command = %id, server = %wish.server, action = %wish.action, "command accepted");

    let accepted = Accepted {
        command: records::of(kind, &written.command),
        status: app.shown_now(wish.server).await,
    };
    let location = Some(format!("/v1/commands/{id}"));
    let mut answer = json(StatusCode::ACCEPTED, &accepted)?;
    answer.location.clone_from(&location);
    repeat::keep(app, ask, id, &answer).await;
    if !wish.wait.is_zero()
        && let Some(command) = finished(app, id, wish.wait).await
    {
        let status = app.shown_now(wish.server).await;
        answer = json(StatusCode::OK, &Accepted { command, status })?;
        answer.location = location;
        repeat::keep(app, ask, id, &answer).await;
    }
    Ok(respond(answer))
}

/// Writes intent and record. `None`: the same request was made a moment ago.
async fn write(app: &App, caller: &Caller, ask: &Ask, wish: Wish) -> Result<Option<Written>> {
    let base = &app.base;
    let mut transaction = base.begin().await?;
    let id = wish.server;
    let mut read = base.write(reading::servers(&mut transaction, &[id])).await?;
    let Some(before) = read.pop().map(|row| row.server) else {
        return Err(Refusal::not_found("server"));
    };
    // What memory said may be a second old.
    if !may_command(caller.viewer(), before.account) {
        return Err(Refusal::not_found("server"));
    }
    let now = clock::now();
    let kind = kind_of(wish.action);
    let command = NewCommand {
        id: clock::new_command(),
        kind: kind.as_str(),
        server: Some(id),
        toolbox: Some(before.toolbox),
        account: Some(before.account),
        requested_by: caller.0.actor.clone(),
        requested_at: now,
        deadline: Some(app.deadline(wish.action, now)),
        idempotency: ask.idempotency.clone(),
        done: false,
        message: None,
        traceparent: bus::trace::current_traceparent(),
    };
    let desired = match wish.action {
        Action::Start | Action::Restart => Desired::Running,
        Action::Stop | Action::Delete => Desired::Stopped,
    };
    if !base
        .write(intent::set_desired(&mut *transaction, id, desired))
        .await?
    {
        return Err(Refusal::not_found("server"));
    }
    match base.write(commands::accept(&mut transaction, &command)).await {
        Ok(Acceptance::Accepted) => {}
        Ok(Acceptance::Repeated) => return Ok(None),
        Ok(Acceptance::Busy(other)) => {
            app.metrics.command(kind.as_str(), "conflict");
            return Err(busy(&other));
        }
        Err(trouble) => return Err(overtaken(trouble)),
    }
    if before.label == StatusOnToolbox::PendingDelete {
        app.metrics.command(kind.as_str(), "conflict");
        return Err(Refusal::conflict("the server is being deleted"));
    }
    let newly_monitored = wish.monitor
        && base
            .write(intent::set_monitored(&mut *transaction, id, true))
            .await?
            == Some(true);
    base.commit(transaction).await?;
    Ok(Some(Written {
        command,
        server: before,
        desired,
        newly_monitored,
    }))
}

/// Takes it all back. `false`: too late, or nobody knows.
async fn withdraw(app: &App, written: &Written) -> bool {
    let base = &app.base;
    let (id, server) = (written.command.id, written.server.id);
    let taking_back = async {
        let mut transaction = base.begin().await?;
        // The server before its command, as everybody locks them.
        let before = written.server.desired;
        base.write(intent::restore_desired(
            &mut *transaction,
            server,
            written.desired,
            before,
        ))
        .await?;
        if written.newly_monitored {
            base.write(intent::set_monitored(&mut *transaction, server, false))
                .await?;
        }
        let why = "nobody announced it";
        if !base
            .write(commands::withdraw(&mut *transaction, id, clock::now(), why))
            .await?
        {
            return Ok(false);
        }
        base.commit(transaction).await?;
        Ok::<_, Trouble>(true)
    };
    taking_back.await.unwrap_or(false)
}

/// Waits for a command to be finished, at most `wait`. Holds no connection while it waits.
pub(crate) async fn finished(app: &App, id: CommandId, wait: Duration) -> Option<CommandRecord> {
    let until = Instant::now() + wait;
    let looking = async {
        loop {
            // The database may be away for a while.
            if let Ok(Some(record)) = app.base.read(commands::get(app.base.database().pool(), id)).await
                && let Some(shown) = records::shown(record)
                && shown.outcome != CommandOutcomeLabel::UnderWay
            {
                return shown;
            }
            sleep(LOOK).await;
        }
    };
    timeout_at(until, looking).await.ok()
}

/// Another command stands in the way.
pub(crate) fn busy(other: &Record) -> Refusal {
    let detail = format!("another command is under way on this server: {}", other.kind);
    Refusal::conflict(detail).because_of(other.id)
}

/// What stood in the way has ended this very moment.
pub(crate) fn overtaken(trouble: Trouble) -> Refusal {
    match trouble {
        Trouble::Refused(store::StoreError::Overtaken { .. }) => {
            Refusal::conflict("another command has just ended; ask again").again_in(Duration::from_secs(1))
        }
        trouble => trouble.into(),
    }
}

fn kind_of(action: Action) -> CommandKind {
    match action {
        Action::Start => CommandKind::Start,
        Action::Stop => CommandKind::Stop,
        Action::Restart => CommandKind::Restart,
        Action::Delete => CommandKind::Delete,
    }
}

/// A record of something that is done with being written.
pub(crate) fn done(
    caller: &Caller,
    ask: &Ask,
    kind: CommandKind,
    of: (Option<ServerId>, Option<domain::ToolboxId>, Option<AccountId>),
    message: Option<String>,
) -> NewCommand {
    let (server, toolbox, account) = of;
    NewCommand {
        id: clock::new_command(),
        kind: kind.as_str(),
        server,
        toolbox,
        account,
        requested_by: caller.0.actor.clone(),
        requested_at: clock::now(),
        deadline: None,
        idempotency: ask.idempotency.clone(),
        done: true,
        message,
        traceparent: bus::trace::current_traceparent(),
    }
}
