//! Hands on what was accepted by somebody who then did not: one who crashed, or could not reach the bus.

use std::time::Duration;

use bus::Outgoing;
use jiff::Timestamp;
use store::commands::{self, Dispatch};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use wire::Message as _;

use crate::accept::SETTLING;
use crate::app::App;
use crate::base::Trouble;
use crate::clock;

/// Between looks.
const EVERY: Duration = Duration::from_secs(1);
/// How old what is handed on must be. Longer than the mapper may take to announce it: until then whoever accepted it may
/// still take it back.
const AFTER: Duration = SETTLING.saturating_add(Duration::from_secs(2));
/// Most in one round.
const MOST: u32 = 100;

/// Looks until shutdown.
///
/// # Errors
/// Never; it has the form of a task.
pub(crate) async fn run(app: App, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut rounds = interval(EVERY);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(()),
            _ = rounds.tick() => {}
        }
        match round(&app).await {
            Ok(0) | Err(Trouble::Away) => {}
            Ok(relayed) => {
                tracing::info!(relayed, "commands were handed on for whoever did not");
                app.metrics.relayed(relayed);
            }
            Err(Trouble::Refused(error)) => tracing::warn!(%error, "failed to look for commands to hand on"),
        }
    }
}

async fn round(app: &App) -> Result<usize, Trouble> {
    let Some(bus) = app.line.get().filter(bus::Bus::is_connected) else {
        return Ok(0);
    };
    let now = clock::now();
    let older_than = now.checked_sub(AFTER).unwrap_or(Timestamp::MIN);
    let mut transaction = app.base.begin().await?;
    let left = app
        .base
        .write(commands::undispatched(&mut transaction, older_than, MOST))
        .await?;
    let mut handed_on = 0;
    let (ids, messages): (Vec<_>, Vec<_>) = left
        .iter()
        .filter_map(|dispatch| Some((dispatch.id, message(dispatch)?)))
        .unzip();
    for (id, published) in ids.into_iter().zip(bus.publish_all(messages).await) {
        match published {
            Ok(_) => {
                app.base
                    .write(commands::mark_dispatched(&mut *transaction, id, now))
                    .await?;
                handed_on += 1;
            }
            Err(error) => tracing::warn!(%error, command = %id, "failed to hand a command on"),
        }
    }
    app.base.commit(transaction).await?;
    Ok(handed_on)
}

fn message(dispatch: &Dispatch) -> Option<Outgoing> {
    let command = wire::Command {
        command_id: dispatch.id.0,
        toolbox_id: dispatch.toolbox.0,
        server_id: Some(dispatch.server.0),
        name: Some(dispatch.name.clone()),
        action: dispatch.action.into(),
        requested_at: dispatch.requested_at,
        deadline: dispatch.deadline,
    };
    Some(Outgoing {
        subject: wire::subjects::command(dispatch.toolbox),
        id: dispatch.id.to_string(),
        type_name: wire::Command::TYPE,
        // A struct of texts and times is always JSON.
        body: serde_json::to_vec(&command).ok()?.into(),
        traceparent: dispatch.traceparent.clone(),
        ttl: None,
        rollup: false,
    })
}
