//! A due poll: ask, report, plan the next.
//!
//! ```text
//!  poll.due.{toolbox} ─► turn ─► ask the agent ─► publish the report, acknowledged
//!                                                      │
//!                        Done ◄─ replace the schedule ◄┘   only if the plan is another than the one that fired
//! ```
//!
//! The report is published before the schedule moves and the due message is acknowledged last, so a crash anywhere
//! costs a second observation and never one. Nothing of it is needed afterwards: what the next poll must know rides
//! in the schedule.

mod memory;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use bus::{Bus, Delivery, Schedules, Verdict};
use domain::{CadencePolicy, PollPlan, ReasonCode, ToolboxId, plan_after_poll};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};
use wire::{RawOutcome, RawReport, RawSource};

use crate::Ambient;
use crate::client::{Asked, Client, Failure};
use crate::ending::{out_of_time, put_back};
use crate::metrics::Metrics;
use crate::observed::interests;
use crate::registry::{Address, Registry, Target};
use crate::report;

pub(crate) use memory::Memory;
use turns::{Begin, Turn, Turns};

/// When a poll whose report could not be published is tried again, times its tries so far: the first soon, as a stream
/// that is gone is made again within seconds, and all of them over minutes, as agents are asked again each time.
const RETRY: Duration = Duration::from_secs(5);

/// What a poll works with.
pub(crate) struct Parts {
    pub(crate) bus: Bus,
    pub(crate) registry: Arc<Registry>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) client: Arc<Client>,
    pub(crate) policy: CadencePolicy,
    pub(crate) ambient: Ambient,
    /// Largest report, in bytes.
    pub(crate) report_limit: usize,
    pub(crate) metrics: Metrics,
    /// What waits for its turn gives up when this comes; what is under way goes on.
    pub(crate) shutdown: CancellationToken,
}

/// Polls what is due. One per process, shared by all polls under way.
pub(crate) struct Poller {
    parts: Parts,
    schedules: Schedules,
    turns: Turns,
}

/// What a due message carries.
#[derive(Debug, Clone, Copy)]
enum Fired {
    /// The schedule's plan.
    Scheduled(PollPlan),
    /// Nothing: somebody wants a fresh observation.
    Refresh,
}

impl Poller {
    pub(crate) fn new(parts: Parts) -> Self {
        let schedules = parts.bus.schedules();
        Self {
            parts,
            schedules,
            turns: Turns::default(),
        }
    }

    /// Handles one due message. To be called only when the registry is loaded: what is not in it is taken for gone.
    pub(crate) async fn handle(&self, due: Delivery) -> Verdict {
        let Some(toolbox) = wire::subjects::toolbox_of(&due.subject) else {
            self.parts.metrics.ignored("subject");
            return Verdict::Reject {
                reason: "the subject names no toolbox".to_owned(),
            };
        };
        let fired = self.read(toolbox, &due.body);
        if self.target(toolbox, fired).is_err() {
            return self.pass(toolbox, fired).await;
        }
        let _turn = match self.turn(toolbox, fired).await {
            Ok(turn) => turn,
            Err(verdict) => return verdict,
        };
        // Read again: while it waited for its turn the registry may have changed.
        let Ok(target) = self.target(toolbox, fired) else {
            return self.pass(toolbox, fired).await;
        };
        let span = tracing::info_span!(
            "poll",
            otel.kind = "internal",
            otel.status_code = Empty,
            error.type = Empty,
            toolbox.id = %toolbox,
            account.id = %target.account,
            server.address = target.host(),
            poll.refresh = matches!(fired, Fired::Refresh),
            poll.outcome = Empty,
        );
        tokio::select! {
            biased;
            verdict = self.poll(&target, fired, due.deliveries).instrument(span) => verdict,
            () = out_of_time(&self.parts.shutdown) => put_back(),
        }
    }

    fn read(&self, toolbox: ToolboxId, body: &[u8]) -> Fired {
        if body.is_empty() {
            return Fired::Refresh;
        }
        match wire::PollPlan::decode(body) {
            Ok(plan) => Fired::Scheduled(plan.into()),
            Err(error) => {
                self.parts.metrics.undecodable();
                tracing::warn!(%toolbox, %error, "due poll has an unreadable plan, polling by the default plan");
                Fired::Refresh
            }
        }
    }

    /// The toolbox, or why it is not polled.
    fn target(&self, toolbox: ToolboxId, fired: Fired) -> Result<Arc<Target>, &'static str> {
        let target = self.parts.registry.find(toolbox).ok_or("unknown")?;
        if target.address == Address::Missing {
            return Err("no_address");
        }
        // Whoever asks for an observation gets it, watched or not.
        if matches!(fired, Fired::Scheduled(_)) && !target.is_scheduled() {
            return Err("not_watched");
        }
        Ok(target)
    }

    /// Ends a schedule that should not be there.
    async fn pass(&self, toolbox: ToolboxId, fired: Fired) -> Verdict {
        let Err(reason) = self.target(toolbox, fired) else {
            // It has come into being this moment, and its schedule with it.
            return Verdict::Done;
        };
        self.parts.metrics.ignored(reason);
        tracing::debug!(%toolbox, reason, "due poll of a toolbox that is not to be polled");
        let purged = self.schedules.purge(toolbox).await;
        self.parts.metrics.schedule("purged", purged.is_ok());
        if let Err(error) = purged {
            tracing::warn!(%toolbox, error = %error, "failed to purge a schedule, the next reconciliation will");
        }
        Verdict::Done
    }

    async fn turn(&self, toolbox: ToolboxId, fired: Fired) -> Result<Turn, Verdict> {
        match self.turns.begin(toolbox, matches!(fired, Fired::Refresh)) {
            Begin::Now(turn) => Ok(turn),
            Begin::Coalesced => {
                self.parts.metrics.coalesced();
                Err(Verdict::Done)
            }
            Begin::After(turn) => tokio::select! {
                biased;
                () = self.parts.shutdown.cancelled() => Err(put_back()),
                turn = turn => turn.map_err(|_| put_back()),
            },
        }
    }

    async fn poll(&self, target: &Target, fired: Fired, tries: u32) -> Verdict {
        let parts = &self.parts;
        let _in_flight = parts.metrics.polling();
        let remembered = parts.memory.plan(target);
        let before = match fired {
            Fired::Scheduled(plan) => plan,
            Fired::Refresh => remembered.unwrap_or(PollPlan {
                every: parts.policy.running,
                failures: 0,
                dead_man: false,
                dialect: None,
            }),
        };
        let dialect = before.dialect.or(remembered.and_then(|plan| plan.dialect));

        let began = Instant::now();
        let asked = parts.client.ask(target, dialect, parts.ambient.now).await;
        let took = began.elapsed();
        let (mut report, next) = self.decide(target, before, asked);
        let scheduled = target.is_scheduled();
        report.next_within_seconds = scheduled.then(|| report::seconds(&next));
        report.missed_heartbeat = matches!(fired, Fired::Scheduled(plan) if plan.dead_man);
        if report.missed_heartbeat {
            parts.metrics.dead_man();
        }
        self.record(&report, took);

        let id = report::message_id(&report);
        if let Err(error) = parts
            .bus
            .publish(wire::subjects::raw(target.toolbox), &id, &report)
            .await
        {
            tracing::warn!(toolbox = %target.toolbox, error = %error, "failed to publish a report");
            return Verdict::Retry {
                after: RETRY.saturating_mul(tries.max(1)),
                reason: format!("report not published: {error}"),
            };
        }
        if scheduled {
            self.advance(target, fired, next).await;
        }
        Verdict::Done
    }

    /// The report of what came of asking, and the plan after it.
    fn decide(&self, target: &Target, before: PollPlan, asked: Asked) -> (RawReport, PollPlan) {
        let parts = &self.parts;
        let Asked { as_of, dialect, said } = asked;
        let said = said.map(|said| report::of_said(target.toolbox, RawSource::Poll, as_of, said));
        let reason = match said {
            Ok(report) if report::fits(&report, parts.report_limit) => {
                let interests = interests(&report.outcome, &target.instances);
                let next = plan_after_poll(
                    &parts.policy,
                    target.toolbox,
                    before,
                    Some(interests),
                    dialect,
                    0.0,
                );
                return (report, next);
            }
            Ok(_) => {
                parts.metrics.too_large("poll");
                report::too_large(parts.report_limit)
            }
            Err(Failure(reason)) => (&reason).into(),
        };
        let jitter = (parts.ambient.random)();
        let next = plan_after_poll(
            &parts.policy,
            target.toolbox,
            before,
            None::<[domain::Interest; 0]>,
            dialect,
            jitter,
        );
        (
            report::of_failure(target.toolbox, as_of, reason, next.failures),
            next,
        )
    }

    /// Replaces the schedule where the plan has become another.
    async fn advance(&self, polled: &Target, fired: Fired, next: PollPlan) {
        let toolbox = polled.toolbox;
        // What changed while the agent was asked has its own plan by now, made to look again soon.
        let now = self.parts.registry.find(toolbox);
        if !now.is_some_and(|now| now.is_scheduled() && now.looks == polled.looks) {
            return;
        }
        self.parts.memory.note(polled, next);
        let next = wire::PollPlan::from(next);
        // After a refresh nobody here knows which plan is in force.
        if matches!(fired, Fired::Scheduled(plan) if wire::PollPlan::from(plan) == next) {
            return;
        }
        let replaced = self.schedules.replace(toolbox, &next).await;
        self.parts.metrics.schedule("replaced", replaced.is_ok());
        if let Err(error) = replaced {
            // The present schedule goes on firing, and the poll after it plans anew.
            tracing::warn!(%toolbox, error = %error, "failed to replace a schedule");
        }
    }

    fn record(&self, report: &RawReport, took: Duration) {
        let outcome = match &report.outcome {
            RawOutcome::Containers { .. } => "containers",
            RawOutcome::Alive { .. } => "alive",
            RawOutcome::Failed { reason, .. } => {
                tracing::debug!(
                    toolbox = %report.toolbox_id,
                    code = reason.code,
                    reason = reason.message,
                    "poll failed"
                );
                label(&reason.code)
            }
        };
        self.parts.metrics.poll(outcome, took);
        let span = Span::current();
        span.record("poll.outcome", outcome);
        if matches!(report.outcome, RawOutcome::Failed { .. }) {
            span.record("otel.status_code", "ERROR");
            span.record("error.type", outcome);
        }
    }
}

/// A reason code as a metric's attribute.
fn label(code: &str) -> &'static str {
    code.parse().map_or("failed", ReasonCode::as_str)
}
