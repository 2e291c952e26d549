//! What was asked of servers shows at once: whoever writes an intent asks for its toolbox to be settled, and is answered
//! when what follows from the rows has been written and published.
//!
//! The rows are read and not the request: a wake that is lost costs the sweep's two seconds and nothing else, and one that
//! nobody had reason to send finds nothing to say. Only the replica on duty answers, so that two never do the same work.

use std::sync::Arc;

use bus::Request;
use bytes::Bytes;
use domain::{Circumstances, Thresholds, ToolboxId};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use wire::subjects;

use crate::announcer::Announcer;
use crate::clock;
use crate::decisions::Decisions;
use crate::duty::Duty;

/// Toolboxes settled at once; more wait, and who waits too long goes on without.
const AT_ONCE: usize = 16;

/// Settles what it is asked for until shutdown. `blind` is whether silence is our own fault; `soon` is told that the
/// registry may have changed.
///
/// # Errors
/// When the bus can no longer be listened to.
pub(crate) async fn run(
    announcer: Announcer,
    thresholds: Thresholds,
    duty: watch::Receiver<Duty>,
    blind: watch::Receiver<bool>,
    soon: Arc<Notify>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let Some(bus) = announcer.line.clone().first(&shutdown).await else {
        return Ok(());
    };
    let intents = Intents {
        announcer,
        thresholds,
        blind,
    };
    bus.answer(
        subjects::WAKES.to_owned(),
        None,
        AT_ONCE,
        shutdown,
        async |request: Request| {
            if *duty.borrow() != Duty::Here {
                return None;
            }
            let toolbox = subjects::toolbox_of(&request.subject)?;
            let settled = intents.settle(toolbox).await;
            soon.notify_one();
            match settled {
                Ok(()) => Some(Bytes::new()),
                Err(error) => {
                    // Who asked is not answered, and the sweep tries again.
                    tracing::warn!(%toolbox, error = format!("{error:#}"), "failed to settle a toolbox at once");
                    None
                }
            }
        },
    )
    .await?;
    Ok(())
}

struct Intents {
    announcer: Announcer,
    thresholds: Thresholds,
    blind: watch::Receiver<bool>,
}

impl Intents {
    /// Announces what follows from the rows of a toolbox as they stand.
    async fn settle(&self, toolbox: ToolboxId) -> anyhow::Result<()> {
        self.announcer.metrics.settled();
        let mut transaction = self.announcer.database.begin().await?;
        let locked = store::batch::lock(&mut transaction, &[toolbox]).await?;
        let now = clock::now();
        let blind = *self.blind.borrow();
        let mut decisions = Decisions::default();
        for (toolbox, servers) in locked {
            let around = Circumstances {
                problem: toolbox.problem.as_ref().map(|problem| &problem.reason),
                agent_heard_at: toolbox.heard_at,
                whole_as_of: toolbox.whole_order.map(|order| order.as_of),
                blind,
            };
            for server in servers {
                if let Some((after, change)) = server.sweep(around, now, &self.thresholds) {
                    decisions.take_server(after, change.as_slice())?;
                }
            }
        }
        if !decisions.is_empty() {
            self.announcer.execute(transaction, &decisions).await?;
        }
        Ok(())
    }
}
