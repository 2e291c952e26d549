//! Raw reports in, rows and events out.
//!
//! ```text
//!  DTMA_RAW ─► batch ─► read ─┬─ unreadable ──────────────────────────────────► Reject
//!                             └─ by toolbox ─► lock ─► fold ─► execute ─► Done
//!                                   ▲ database away: hold, try again │ a row or report at fault
//!                                   └────────────────────────────────┤
//!                                               one toolbox at a time, then one report ─► Reject, others Done
//! ```
//!
//! While the database is away the batch in hand is held, and nothing more is pulled: no delivery is counted, so however
//! long the outage, nothing becomes a dead letter for it.

pub(crate) mod batch;
mod origins;

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bus::{Delivery, Verdict};
use domain::{Report, Thresholds, ToolboxId};
use store::{ErrorKind, StoreError};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wire::streams;

use crate::announcer::Announcer;
use crate::clock;
use crate::config::Pace;
use crate::decisions::Decisions;
use crate::ingest::batch::{Batch, Group};
pub(crate) use crate::ingest::origins::Origin;
use crate::metrics::ReportResult;
use crate::pace::{Backoff, Throttle};

/// A report that hit a set-up that is not right (a missing permission, a row of a newer version) comes again after
/// this: long enough for somebody to put it right before the deliveries are used up.
const RETRY_AFTER: Duration = Duration::from_secs(60);
/// A report that was in hand when the service stopped: another replica can take it at once.
const HAND_BACK_AFTER: Duration = Duration::from_millis(100);
/// Most ids of foreign instances in one log line.
const FOREIGN_SHOWN: usize = 10;

/// Takes reports until shutdown.
///
/// # Errors
/// When the consumer on the bus cannot be used, for reasons that no waiting mends.
pub(crate) async fn run(
    announcer: Announcer,
    thresholds: Thresholds,
    pace: Pace,
    late: watch::Receiver<bool>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let Some(bus) = announcer.line.clone().first(&shutdown).await else {
        return Ok(());
    };
    let ingest = Ingest {
        announcer,
        thresholds,
        late,
        shutdown: shutdown.clone(),
        foreign: Mutex::default(),
    };
    bus::consume_batches(
        &bus,
        &streams::MAPPER,
        pace.batch_max.into(),
        pace.batch_linger,
        shutdown,
        async move |deliveries: &[Delivery]| ingest.handle(deliveries).await,
    )
    .await?;
    Ok(())
}

struct Ingest {
    announcer: Announcer,
    thresholds: Thresholds,
    /// Whether reading does not get on, so that nobody may wait for newer reports any more.
    late: watch::Receiver<bool>,
    shutdown: CancellationToken,
    foreign: Mutex<Throttle>,
}

/// Why reports were not folded in.
enum Trouble {
    /// The service stops before the database is back.
    Stopped,
    /// The reports, or the rows they meet, are at fault: they will fail again.
    Data(String),
    /// The set-up is at fault; somebody has to do something about it.
    Setup(String),
}

impl Ingest {
    async fn handle(&self, deliveries: &[Delivery]) -> Vec<Verdict> {
        let started = Instant::now();
        let verdicts = self.verdicts(deliveries).await;
        self.announcer.metrics.batch(deliveries.len(), started.elapsed());
        verdicts
    }

    async fn verdicts(&self, deliveries: &[Delivery]) -> Vec<Verdict> {
        let batch = Batch::read(deliveries, clock::now());
        let mut verdicts: Vec<Verdict> = deliveries.iter().map(|_| Verdict::Done).collect();
        let reject = |verdicts: &mut Vec<Verdict>, place: usize, reason: &str| {
            self.announcer.metrics.reports(ReportResult::Rejected, 1);
            set(
                verdicts,
                place,
                Verdict::Reject {
                    reason: reason.to_owned(),
                },
            );
        };
        for (place, reason) in &batch.refused {
            reject(&mut verdicts, *place, reason);
        }
        match self.take(&batch.all(), &batch).await {
            Ok(()) => return verdicts,
            Err(Trouble::Stopped) => {
                for (_, group) in batch.groups() {
                    hand_back(&mut verdicts, &group.places);
                }
                return verdicts;
            }
            // One of them fails all. The others are not to wait for it.
            Err(Trouble::Data(problem) | Trouble::Setup(problem)) => {
                tracing::warn!(
                    problem,
                    reports = deliveries.len(),
                    "a batch failed; taking its toolboxes one by one"
                );
            }
        }
        for (toolbox, group) in batch.groups() {
            if self.shutdown.is_cancelled() {
                hand_back(&mut verdicts, &group.places);
                continue;
            }
            match self.take(&[(toolbox, &group.reports)], &batch).await {
                Ok(()) => {}
                Err(Trouble::Stopped) => hand_back(&mut verdicts, &group.places),
                Err(Trouble::Setup(problem)) => {
                    tracing::error!(%toolbox, problem, "reports of a toolbox cannot be stored");
                    for place in &group.places {
                        set(
                            &mut verdicts,
                            *place,
                            Verdict::Retry {
                                after: RETRY_AFTER,
                                reason: problem.clone(),
                            },
                        );
                    }
                }
                Err(Trouble::Data(_)) => {
                    for (place, problem) in self.one_by_one(toolbox, group, &batch, &mut verdicts).await {
                        tracing::error!(%toolbox, problem, "a report cannot be stored; it becomes a dead letter");
                        reject(&mut verdicts, place, &problem);
                    }
                }
            }
        }
        verdicts
    }

    /// Takes a toolbox's reports each by itself and returns those that fail alone.
    async fn one_by_one(
        &self,
        toolbox: ToolboxId,
        group: &Group,
        batch: &Batch,
        verdicts: &mut [Verdict],
    ) -> Vec<(usize, String)> {
        let mut culprits = Vec::new();
        for (report, place) in group.reports.iter().zip(&group.places) {
            match self.take(&[(toolbox, std::slice::from_ref(report))], batch).await {
                Ok(()) => {}
                Err(Trouble::Stopped) => hand_back(verdicts, &[*place]),
                Err(Trouble::Setup(problem)) => {
                    set(
                        verdicts,
                        *place,
                        Verdict::Retry {
                            after: RETRY_AFTER,
                            reason: problem,
                        },
                    );
                }
                Err(Trouble::Data(problem)) => culprits.push((*place, problem)),
            }
        }
        culprits
    }

    /// Folds reports into their rows in one transaction, for as long as it takes the database to be there. The
    /// toolboxes are in the order of their ids, each once.
    async fn take(&self, toolboxes: &[(ToolboxId, &[Report])], batch: &Batch) -> Result<(), Trouble> {
        if toolboxes.is_empty() {
            return Ok(());
        }
        let mut backoff = Backoff::new();
        let mut throttle = Throttle::default();
        loop {
            let error = match self.attempt(toolboxes, batch).await {
                Ok(()) => return Ok(()),
                Err(Failed::Untold(problem)) => return Err(Trouble::Data(format!("{problem:#}"))),
                Err(Failed::Store(error)) => error,
            };
            match error.kind() {
                ErrorKind::Data => return Err(Trouble::Data(error.to_string())),
                ErrorKind::Setup => return Err(Trouble::Setup(error.to_string())),
                ErrorKind::Transient => {
                    if let Some(held_back) = throttle.pass() {
                        tracing::warn!(%error, held_back, "failed to store a batch; trying again until it succeeds");
                    }
                    if !backoff.wait(&self.shutdown).await {
                        return Err(Trouble::Stopped);
                    }
                }
            }
        }
    }

    async fn attempt(&self, toolboxes: &[(ToolboxId, &[Report])], batch: &Batch) -> Result<(), Failed> {
        let ids: Vec<ToolboxId> = toolboxes.iter().map(|(toolbox, _)| *toolbox).collect();
        let mut transaction = self.announcer.database.begin().await?;
        let locked = store::batch::lock(&mut transaction, &ids).await?;
        // Only now: waiting for the locks may have taken a while, and what was written meanwhile must not be younger.
        let now = clock::now();
        let known_until = if *self.late.borrow() {
            now
        } else {
            batch.known_until.min(now)
        };
        let mut decisions = Decisions::default();
        let mut folded = Vec::with_capacity(locked.len());
        for (toolbox, servers) in locked {
            let id = toolbox.id;
            let given = toolboxes.binary_search_by_key(&id, |(toolbox, _)| *toolbox).ok();
            let Some((_, reports)) = given.and_then(|at| toolboxes.get(at)) else {
                continue;
            };
            let fold = domain::fold(toolbox, servers, reports, known_until, now, &self.thresholds);
            folded.push((id, fold.counts.clone()));
            decisions
                .take_fold(fold, |change| batch.cause(change, reports))
                .map_err(Failed::Untold)?;
        }
        if !decisions.is_empty() {
            self.announcer.execute(transaction, &decisions).await?;
        }
        // Counted last, so that what is tried again is counted once.
        for (toolbox, counts) in &folded {
            self.announcer.metrics.fold(counts);
            self.tell_foreign(*toolbox, counts);
        }
        let known: HashSet<ToolboxId> = folded.iter().map(|(toolbox, _)| *toolbox).collect();
        let unknown = toolboxes.iter().filter(|(toolbox, _)| !known.contains(toolbox));
        let unknown: usize = unknown.map(|(_, reports)| reports.len()).sum();
        self.announcer
            .metrics
            .reports(ReportResult::UnknownToolbox, unknown as u64);
        Ok(())
    }

    /// An agent that names instances of others is misled or hostile: somebody should know, but not a thousand times.
    fn tell_foreign(&self, toolbox: ToolboxId, counts: &domain::Counts) {
        if counts.foreign_instance.is_empty() {
            return;
        }
        let mut throttle = self.foreign.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held_back) = throttle.pass() {
            let shown: Vec<String> = counts
                .foreign_instance
                .iter()
                .take(FOREIGN_SHOWN)
                .map(ToString::to_string)
                .collect();
            tracing::warn!(
                %toolbox,
                count = counts.foreign_instance.len(),
                instances = shown.join(","),
                held_back,
                "a report named instances that are not of its toolbox"
            );
        }
    }
}

/// Why one attempt failed.
enum Failed {
    Store(StoreError),
    /// A change could not be told as an event.
    Untold(anyhow::Error),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

fn set(verdicts: &mut [Verdict], place: usize, verdict: Verdict) {
    if let Some(slot) = verdicts.get_mut(place) {
        *slot = verdict;
    }
}

fn hand_back(verdicts: &mut [Verdict], places: &[usize]) {
    for place in places {
        let reason = "the service stopped before it was stored".to_owned();
        set(
            verdicts,
            *place,
            Verdict::Retry {
                after: HAND_BACK_AFTER,
                reason,
            },
        );
    }
}
