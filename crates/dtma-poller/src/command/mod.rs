//! Commands: what people asked of a server, carried out through its agent.
//!
//! ```text
//!  dtma.command.v1.{toolbox} ─► order ─ refresh ───────────────────────────► POLLS: due now ─► Done
//!                                 │ past its deadline ─────────────────────────────────────► Done
//!                                 ▼
//!      registry: this toolbox, this instance by id *and* name? ─ no ─► Retry, twice ─┐
//!                                 ▼                                                  ▼
//!                              errand ─ executed, already so, failed ─► DTMA_OUTCOMES, acknowledged
//!                                 │                                                  ▼
//!                             unreached ─► Retry, or failed when          POLLS: due now ─► Done
//!                                          there is no time for more
//! ```
//!
//! A command is carried out at least once. The outcome is published and acknowledged before the message is, so a crash
//! anywhere costs a second try by whichever replica takes it over, and an agent that is told the same twice: to start
//! what runs and to stop what does not changes nothing, and a restart is made again. The poll that shows the effect is
//! asked for after the outcome, so that it begins later than what it is to show.

mod errand;
mod goal;
mod order;
mod pace;

use std::sync::Arc;
use std::time::Duration;

use bus::{Bus, Delivery, Schedules, Verdict};
use domain::{Action, InstanceName, ServerId};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};
use wire::streams::COMMANDER;
use wire::{CommandOutcome, CommandResult, subjects};

use crate::Ambient;
use crate::client::Client;
use crate::ending::{out_of_time, put_back};
use crate::metrics::Metrics;
use crate::poll::Memory;
use crate::registry::{Registry, Target};

use errand::{Carried, Errand, Failed};
use order::{Order, What};

/// When a command is taken up again whose outcome, or whose refresh, could not be published, times its tries so far.
const RETRY: Duration = Duration::from_secs(5);

/// How often a command is taken up again that the registry does not know the server of, and after how long each time. It
/// comes on another way than the registry's changes, and may be there before the one that it goes with.
const UNKNOWN: (u32, Duration) = (2, Duration::from_secs(1));

/// What carrying commands out works with.
pub(crate) struct Parts {
    pub(crate) bus: Bus,
    pub(crate) registry: Arc<Registry>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) client: Arc<Client>,
    pub(crate) ambient: Ambient,
    /// Longest time for one answer of an agent.
    pub(crate) limit: Duration,
    pub(crate) metrics: Metrics,
    /// What is under way goes on for a while when this comes, and is then left to another replica.
    pub(crate) shutdown: CancellationToken,
}

/// Carries commands out. One per process, shared by all commands under way.
pub(crate) struct Commander {
    parts: Parts,
    schedules: Schedules,
}

/// How a message was dealt with: as a metric's attribute, and what becomes of it.
type Dealt = (&'static str, Verdict);

impl Commander {
    pub(crate) fn new(parts: Parts) -> Self {
        let schedules = parts.bus.schedules();
        Self { parts, schedules }
    }

    /// Handles one command. To be called only when the registry is loaded: what is not in it is taken for gone.
    pub(crate) async fn handle(&self, delivery: Delivery) -> Verdict {
        let order = match Order::read(&delivery.subject, &delivery.body) {
            Ok(order) => order,
            Err(reason) => return Verdict::Reject { reason },
        };
        let span = tracing::info_span!(
            "command",
            otel.kind = "internal",
            otel.status_code = Empty,
            error.type = Empty,
            toolbox.id = %order.toolbox,
            account.id = Empty,
            server.id = Empty,
            server.address = Empty,
            command.id = %order.id,
            command.action = order.action(),
            command.outcome = Empty,
        );
        let dealing = async {
            let _in_flight = self.parts.metrics.commanding();
            let (outcome, verdict) = self.deal_with(&order, delivery.deliveries).await;
            self.record(&order, outcome);
            verdict
        };
        tokio::select! {
            biased;
            verdict = dealing.instrument(span) => verdict,
            () = out_of_time(&self.parts.shutdown) => put_back(),
        }
    }

    async fn deal_with(&self, order: &Order, tries: u32) -> Dealt {
        if self.left(order).is_zero() {
            // Whoever shows commands sees the time pass without us.
            return ("expired", Verdict::Done);
        }
        match &order.what {
            What::Refresh => match self.schedules.fire_now(order.toolbox).await {
                Ok(()) => ("executed", Verdict::Done),
                Err(error) => again(tries, format!("refresh not asked for: {error}")),
            },
            What::Do { action, server, name } => {
                Span::current().record("server.id", tracing::field::display(server));
                self.carry_out(order, *action, *server, name, tries).await
            }
        }
    }

    async fn carry_out(
        &self,
        order: &Order,
        action: Action,
        server: ServerId,
        name: &str,
        tries: u32,
    ) -> Dealt {
        let (target, name) = match self.target(order, server, name) {
            Ok(found) => found,
            Err(Failed { label, message }) => {
                let (times, after) = UNKNOWN;
                if tries <= times && after < self.left(order) {
                    let reason = message;
                    return ("retried", Verdict::Retry { after, reason });
                }
                let result = CommandResult::Failed { message };
                return self.conclude(order, action, server, label, result, tries).await;
            }
        };
        let span = Span::current();
        span.record("account.id", tracing::field::display(target.account));
        span.record("server.address", target.host());
        let parts = &self.parts;
        let errand = Errand {
            client: &parts.client,
            target: &target,
            server,
            name: &name,
            dialect: parts.memory.dialect(&target),
            limit: parts.limit,
            deadline: order.deadline,
            now: parts.ambient.now,
        };
        let began = Instant::now();
        let carried = errand.run(action).await;
        parts.metrics.command_took(action.as_str(), began.elapsed());
        let (label, result) = match carried {
            Carried::Executed => ("executed", CommandResult::Executed),
            Carried::Already => ("already", CommandResult::Executed),
            Carried::Failed(Failed { label, message }) => (label, CommandResult::Failed { message }),
            Carried::Unreached(reason) => {
                let last = tries >= u32::from(COMMANDER.max_deliver);
                match pace::before_next_try(tries, self.left(order)).filter(|_| !last) {
                    Some(after) => return ("retried", Verdict::Retry { after, reason }),
                    None => {
                        let message = format!("the agent could not be reached: {reason}");
                        ("unreachable", CommandResult::Failed { message })
                    }
                }
            }
        };
        self.conclude(order, action, server, label, result, tries).await
    }

    /// The toolbox, and the name of the instance that is meant; or why no agent may be told anything.
    fn target(
        &self,
        order: &Order,
        server: ServerId,
        name: &str,
    ) -> Result<(Arc<Target>, InstanceName), Failed> {
        let failed = |label, message: &str| Failed {
            label,
            message: message.to_owned(),
        };
        let target = self
            .parts
            .registry
            .find(order.toolbox)
            .ok_or_else(|| failed("foreign", "the toolbox is not registered"))?;
        // Both: an id alone could name a container that is another's by now, a name alone another's server.
        let name = InstanceName::new(name).filter(|name| {
            let mut instances = target.instances.iter();
            instances.any(|instance| instance.id == server && instance.name.as_ref() == Some(name))
        });
        let name = name.ok_or_else(|| {
            failed(
                "foreign",
                "the toolbox has no such instance of that name, and no other is commanded in its place",
            )
        })?;
        target.address.url().map_err(|why| failed("unreachable", why))?;
        Ok((target, name))
    }

    /// Publishes what came of it, then has the toolbox looked at.
    async fn conclude(
        &self,
        order: &Order,
        action: Action,
        server: ServerId,
        label: &'static str,
        result: CommandResult,
        tries: u32,
    ) -> Dealt {
        let kind = match &result {
            CommandResult::Executed => "executed",
            CommandResult::Failed { message } => {
                tracing::debug!(toolbox = %order.toolbox, %server, reason = message, "command failed");
                "failed"
            }
        };
        let id = format!("{}-{kind}", order.id);
        let outcome = CommandOutcome {
            command_id: order.id.0,
            toolbox_id: order.toolbox.0,
            server_id: server.0,
            action: action.into(),
            at: (self.parts.ambient.now)(),
            result,
        };
        let subject = subjects::outcome(order.toolbox);
        if let Err(error) = self.parts.bus.publish(subject, &id, &outcome).await {
            tracing::warn!(toolbox = %order.toolbox, error = %error, "failed to publish a command's outcome");
            return again(tries, format!("outcome not published: {error}"));
        }
        // Of a toolbox that is not ours to command there is nothing new to see.
        if label != "foreign"
            && let Err(error) = self.schedules.fire_now(order.toolbox).await
        {
            // Its schedule looks at it often enough while a command is under way.
            tracing::warn!(toolbox = %order.toolbox, error = %error, "failed to ask for a look after a command");
        }
        (label, Verdict::Done)
    }

    fn record(&self, order: &Order, outcome: &'static str) {
        self.parts.metrics.command(order.action(), outcome);
        tracing::info!(
            toolbox = %order.toolbox,
            command = %order.id,
            action = order.action(),
            outcome,
            "command dealt with"
        );
        let span = Span::current();
        span.record("command.outcome", outcome);
        if !matches!(outcome, "executed" | "already") {
            span.record("otel.status_code", "ERROR");
            span.record("error.type", outcome);
        }
    }

    fn left(&self, order: &Order) -> Duration {
        pace::left(order.deadline, (self.parts.ambient.now)())
    }
}

fn again(tries: u32, reason: String) -> Dealt {
    let after = RETRY.saturating_mul(tries.max(1));
    ("retried", Verdict::Retry { after, reason })
}
