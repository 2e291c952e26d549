//! What agents made of commands: told to the server's row, and from there by what is observed.
//!
//! An outcome moves a command on; it never says what state a server is in. Whether a command that was carried out has had
//! its effect is for a report to show, which may have come before its outcome: both ways lead through the same decision.

use std::time::Duration;

use bus::{Delivery, Verdict};
use domain::{Circumstances, CommandId, Execution, ServerId, Thresholds, ToolboxId};
use store::{ErrorKind, StoreError};
use tokio_util::sync::CancellationToken;
use wire::{CommandOutcome, CommandResult, streams, subjects};

use crate::announcer::Announcer;
use crate::clock;
use crate::decisions::Decisions;
use crate::metrics::OutcomeResult;
use crate::pace::{Backoff, Throttle};

/// Outcomes taken at once: each is a transaction on one toolbox.
const AT_ONCE: usize = 16;
/// An outcome that hit a set-up that is not right comes again after this.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// Takes outcomes until shutdown.
///
/// # Errors
/// When the consumer on the bus cannot be used, for reasons that no waiting mends.
pub(crate) async fn run(
    announcer: Announcer,
    thresholds: Thresholds,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let Some(bus) = announcer.line.clone().first(&shutdown).await else {
        return Ok(());
    };
    let outcomes = Outcomes {
        announcer,
        thresholds,
        shutdown: shutdown.clone(),
    };
    bus::consume(&bus, &streams::OUTCOMES, AT_ONCE, shutdown, async |delivery| {
        outcomes.handle(delivery).await
    })
    .await?;
    Ok(())
}

struct Outcomes {
    announcer: Announcer,
    thresholds: Thresholds,
    shutdown: CancellationToken,
}

/// An outcome that can be used.
struct Told {
    toolbox: ToolboxId,
    server: ServerId,
    command: CommandId,
    at: jiff::Timestamp,
    execution: Execution,
}

impl Outcomes {
    async fn handle(&self, delivery: Delivery) -> Verdict {
        let told = match read(&delivery.subject, &delivery.body) {
            Ok(told) => told,
            Err(reason) => {
                self.announcer.metrics.outcome(OutcomeResult::Rejected);
                return Verdict::Reject { reason };
            }
        };
        let mut backoff = Backoff::new();
        let mut throttle = Throttle::default();
        loop {
            let error = match self.take(&told).await {
                Ok(result) => {
                    self.announcer.metrics.outcome(result);
                    return Verdict::Done;
                }
                Err(error) => error,
            };
            let kind = error.downcast_ref::<StoreError>().map(StoreError::kind);
            let reason = format!("{error:#}");
            match kind {
                Some(ErrorKind::Transient) => {}
                Some(ErrorKind::Setup) => {
                    tracing::error!(command = %told.command, reason, "an outcome cannot be stored");
                    let after = RETRY_AFTER;
                    return Verdict::Retry { after, reason };
                }
                Some(ErrorKind::Data) | None => {
                    self.announcer.metrics.outcome(OutcomeResult::Rejected);
                    return Verdict::Reject { reason };
                }
            }
            // Held, and not put back: however long the database is away, it must not use up its deliveries.
            if let Some(held_back) = throttle.pass() {
                tracing::warn!(
                    reason,
                    held_back,
                    "failed to store an outcome; trying again until it succeeds"
                );
            }
            if !backoff.wait(&self.shutdown).await {
                return Verdict::Retry {
                    after: Duration::ZERO,
                    reason: "the service stopped before it was stored".to_owned(),
                };
            }
        }
    }

    async fn take(&self, told: &Told) -> anyhow::Result<OutcomeResult> {
        let mut transaction = self.announcer.database.begin().await?;
        let locked = store::batch::lock(&mut transaction, &[told.toolbox]).await?;
        let now = clock::now();
        let Some((toolbox, server)) = locked.into_iter().find_map(|(toolbox, servers)| {
            let server = servers.into_iter().find(|server| server.id == told.server)?;
            Some((toolbox, server))
        }) else {
            return Ok(OutcomeResult::Late);
        };
        let around = Circumstances {
            problem: toolbox.problem.as_ref().map(|problem| &problem.reason),
            agent_heard_at: toolbox.heard_at,
            whole_as_of: toolbox.whole_order.map(|order| order.as_of),
            blind: false,
        };
        // A clock ahead of ours must not put the effect off.
        let at = told.at.min(now);
        let Some((after, change)) =
            server.executed(told.command, &told.execution, at, around, now, &self.thresholds)
        else {
            return Ok(OutcomeResult::Late);
        };
        let mut decisions = Decisions::default();
        decisions.take_server(after, change.as_slice())?;
        self.announcer.execute(transaction, &decisions).await?;
        Ok(OutcomeResult::Taken)
    }
}

/// Reads an outcome; the error is what the dead letter says, and never repeats the body.
fn read(subject: &str, body: &[u8]) -> Result<Told, String> {
    let toolbox = subjects::toolbox_of(subject).ok_or_else(|| "the subject names no toolbox".to_owned())?;
    let outcome = CommandOutcome::decode(body).map_err(|refused| refused.to_string())?;
    outcome.of_server().map_err(|refused| refused.to_string())?;
    if outcome.toolbox_id != toolbox.0 {
        return Err("field toolboxId: expected the toolbox that the subject names".to_owned());
    }
    Ok(Told {
        toolbox,
        server: ServerId(outcome.server_id),
        command: CommandId(outcome.command_id),
        at: outcome.at,
        execution: match outcome.result {
            CommandResult::Executed => Execution::Done,
            CommandResult::Failed { message } => Execution::Refused(message),
        },
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn outcome(action: &str) -> Vec<u8> {
        let (command, toolbox, server) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
        format!(
            r#"{{"commandId":"{command}","toolboxId":"{toolbox}","serverId":"{server}","action":"{action}",
                "at":"2026-11-22T10:00:00Z","result":{{"kind":"failed","message":"no"}}}}"#
        )
        .into_bytes()
    }

    #[test]
    fn an_outcome_speaks_for_the_toolbox_of_its_subject_alone() {
        let subject = |toolbox| subjects::outcome(ToolboxId(Uuid::from_u128(toolbox)));
        let told = read(&subject(2), &outcome("start")).unwrap_or_else(|problem| panic!("{problem}"));
        assert_eq!(told.execution, Execution::Refused("no".to_owned()));
        assert_eq!(
            (told.command.0, told.server.0),
            (Uuid::from_u128(1), Uuid::from_u128(3))
        );
        for (subject, body, field) in [
            (subject(9), outcome("start"), "toolboxId"),
            (subject(2), outcome("refresh"), "action"),
            (subject(2), b"{".to_vec(), "command-outcome"),
            ("dtma.outcome.v1.nobody".to_owned(), outcome("start"), "subject"),
        ] {
            let problem = read(&subject, &body).err().unwrap();
            assert!(problem.contains(field), "{problem}");
        }
    }
}
