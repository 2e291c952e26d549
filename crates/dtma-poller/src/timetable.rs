//! Keeps the poll schedules in step with the registry.
//!
//! ```text
//!  registry change ─► touched ─┐
//!  reconcile: existing ≠ wanted ┴─► what does the registry say *now*? ─► create, replace or purge, retried
//! ```
//!
//! Level, not edge: a touched toolbox is looked up when its turn comes, so the order and number of changes before
//! that do not matter, and reconciling heals whatever was missed: a lost schedule, a stream that was deleted.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bus::{BucketChange, Bus, BusError, Schedules};
use domain::{CadencePolicy, ToolboxId, first_plan};
use futures_util::{StreamExt as _, stream};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use wire::ToolboxEntry;

use crate::metrics::Metrics;
use crate::poll::Memory;
use crate::registry::{Look, Registry};

/// Schedules changed at once: enough to hide the way to the server, few enough to leave it to others.
const AT_ONCE: usize = 32;
/// When failed changes, and a failed reconciliation, are tried again.
const RETRY: Duration = Duration::from_secs(2);

/// The timetable's keeper. One per process.
pub(crate) struct Timetable {
    schedules: Schedules,
    registry: Arc<Registry>,
    memory: Arc<Memory>,
    policy: CadencePolicy,
    metrics: Metrics,
    /// Toolboxes to see to; bounded by the registry and what it has just lost.
    touched: Mutex<HashMap<ToolboxId, Look>>,
    work: Notify,
    reconcile: Notify,
}

impl Timetable {
    pub(crate) fn new(
        schedules: Schedules,
        registry: Arc<Registry>,
        memory: Arc<Memory>,
        policy: CadencePolicy,
        metrics: Metrics,
    ) -> Self {
        Self {
            schedules,
            registry,
            memory,
            policy,
            metrics,
            touched: Mutex::default(),
            work: Notify::new(),
            reconcile: Notify::new(),
        }
    }

    /// Compares all schedules with the registry soon, before its time.
    pub(crate) fn reconcile_soon(&self) {
        self.reconcile.notify_one();
    }

    /// Follows the registry until `shutdown`.
    pub(crate) async fn follow(&self, bus: &Bus, shutdown: CancellationToken) -> anyhow::Result<()> {
        let toolboxes = loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                bucket = bus.bucket::<ToolboxEntry>() => match bucket {
                    Ok(bucket) => break bucket,
                    Err(error) => tracing::warn!(error = %error, "failed to open the registry, trying again"),
                },
            }
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = tokio::time::sleep(RETRY) => {}
            }
        };
        let mut changes = pin!(toolboxes.watch(shutdown.clone()));
        while let Some(change) = changes.next().await {
            let whole = matches!(change, BucketChange::Snapshot(_));
            let looks = self.registry.apply(change);
            if whole {
                // The comparison with what exists finds all else that is new or gone, and touches nothing that stands.
                self.touch(looks.into_iter().filter(|(_, look)| *look == Look::Soon));
                self.memory
                    .retain(|toolbox| self.registry.find(toolbox).is_some());
                self.reconcile_soon();
            } else {
                self.touch(looks);
            }
        }
        anyhow::ensure!(shutdown.is_cancelled(), "the registry's watch ended");
        Ok(())
    }

    /// Changes schedules as they are touched, until `shutdown`.
    pub(crate) async fn keep(&self, shutdown: CancellationToken) -> anyhow::Result<()> {
        loop {
            let idle = self.touched().is_empty();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                () = self.work.notified() => {}
                () = tokio::time::sleep(RETRY), if !idle => {}
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                () = self.see_to_touched() => {}
            }
        }
    }

    /// Compares all schedules with the registry `every` so often, on each snapshot, and when asked to.
    pub(crate) async fn reconcile(&self, every: Duration, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut loaded = self.registry.loaded();
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            loaded = loaded.wait_for(|loaded| *loaded) => drop(loaded?),
        }
        loop {
            let compared = tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                compared = self.compare() => compared,
            };
            let next = match compared {
                Ok(()) => every,
                Err(error) => {
                    tracing::warn!(error = %error, "failed to compare schedules with the registry, trying again");
                    RETRY.min(every)
                }
            };
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                () = self.reconcile.notified() => {}
                () = tokio::time::sleep(next) => {}
            }
        }
    }

    async fn compare(&self) -> Result<(), BusError> {
        let existing = self.schedules.existing().await?;
        // Read after the schedules: one that was made meanwhile is made again if absent, which does nothing.
        let wanted = self.registry.scheduled();
        let differing: HashSet<ToolboxId> = existing.symmetric_difference(&wanted).copied().collect();
        if !differing.is_empty() {
            tracing::info!(
                missing = wanted.difference(&existing).count(),
                surplus = existing.difference(&wanted).count(),
                "schedules differ from the registry"
            );
        }
        self.touch(differing.into_iter().map(|toolbox| (toolbox, Look::InItsTurn)));
        self.memory
            .retain(|toolbox| self.registry.find(toolbox).is_some());
        Ok(())
    }

    fn touch(&self, looks: impl IntoIterator<Item = (ToolboxId, Look)>) {
        let mut touched = self.touched();
        for (toolbox, look) in looks {
            let kept = touched.entry(toolbox).or_insert(look);
            if look == Look::Soon {
                *kept = Look::Soon;
            }
        }
        let work = !touched.is_empty();
        drop(touched);
        if work {
            self.work.notify_one();
        }
    }

    async fn see_to_touched(&self) {
        let batch = std::mem::take(&mut *self.touched());
        // Should this be dropped half-way, the process is stopping, and another replica reconciles.
        let planned = batch.len();
        let failed = AtomicBool::new(false);
        stream::iter(batch)
            .for_each_concurrent(AT_ONCE, async |(toolbox, look)| {
                if let Err(error) = self.see_to(toolbox, look, planned).await {
                    if !failed.swap(true, Ordering::Relaxed) {
                        tracing::warn!(%toolbox, error = %error, "failed to change schedules, trying again");
                    }
                    let mut touched = self.touched();
                    let kept = touched.entry(toolbox).or_insert(look);
                    if look == Look::Soon {
                        *kept = Look::Soon;
                    }
                }
            })
            .await;
    }

    /// Brings one schedule in line with the registry as it is now. `planned` is how many are seen to together.
    async fn see_to(&self, toolbox: ToolboxId, look: Look, planned: usize) -> Result<(), BusError> {
        let wanted = self
            .registry
            .find(toolbox)
            .is_some_and(|target| target.is_scheduled());
        let plan = wire::PollPlan::from(first_plan(&self.policy, toolbox, planned));
        let (action, outcome) = match (wanted, look) {
            (false, _) => ("purged", self.schedules.purge(toolbox).await),
            (true, Look::Soon) => ("replaced", self.schedules.replace(toolbox, &plan).await),
            (true, Look::InItsTurn) => match self.schedules.create_if_absent(toolbox, &plan).await {
                Ok(true) => ("created", Ok(())),
                Ok(false) => ("kept", Ok(())),
                Err(error) => ("created", Err(error)),
            },
        };
        self.metrics.schedule(action, outcome.is_ok());
        outcome
    }

    fn touched(&self) -> MutexGuard<'_, HashMap<ToolboxId, Look>> {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
