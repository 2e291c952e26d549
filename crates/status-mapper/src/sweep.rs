//! What the passing of time makes of servers that nobody speaks of.
//!
//! Every two seconds the database is asked for rows whose view is no longer what the domain would make of them; the
//! domain decides, the announcer executes. Whether silence may be held against a toolbox is [`crate::eyes`]' question.

use std::time::Duration;

use bus::Bus;
use domain::{Thresholds, observer_blind};
use jiff::Timestamp;
use store::sweep::Candidate;
use store::{ErrorKind, StoreError};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wire::streams;

use crate::announcer::Announcer;
use crate::clock;
use crate::config::{Ages, Pace};
use crate::decisions::Decisions;
use crate::duty::Duty;
use crate::eyes::{Cause, Eyes, Glance, Sight};
use crate::pace::{Rounds, Throttle};

/// Longest look at the bus. One that hangs must not make ages late.
const GLANCE: Duration = Duration::from_secs(1);
/// Servers decided on in one transaction.
const AT_ONCE: u32 = 1_000;
/// Transactions in one round: a fleet that ages at once takes several rounds, with a look at the bus in between.
const ROUNDS: usize = 20;

/// Sweeps until shutdown.
pub(crate) async fn run(
    announcer: Announcer,
    thresholds: Thresholds,
    ages: Ages,
    pace: Pace,
    duty: watch::Receiver<Duty>,
    told: Told,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut rounds = Rounds::every(pace.sweep_every, shutdown.clone());
    let mut sweep = Sweep {
        eyes: Eyes::new(thresholds.healthy_for, ages.behind_patience, ages.blind_recovery),
        announcer,
        thresholds,
        ages,
        told,
        alarm: None,
        throttle: Throttle::default(),
        shutdown,
    };
    while rounds.next().await {
        let on_duty = *duty.borrow() == Duty::Here;
        if let Err(error) = sweep.round(on_duty).await
            && let Some(held_back) = sweep.throttle.pass()
        {
            tracing::warn!(%error, held_back, "failed to sweep; trying again");
        }
    }
    Ok(())
}

/// What the others are told of what the sweep sees.
pub(crate) struct Told {
    /// Whether old reports are to be judged by the present: nobody may wait for newer ones any more.
    pub(crate) late: watch::Sender<bool>,
    /// Whether silence is our own fault.
    pub(crate) blind: watch::Sender<bool>,
}

struct Sweep {
    eyes: Eyes,
    announcer: Announcer,
    thresholds: Thresholds,
    ages: Ages,
    told: Told,
    /// Why the alarm is up, while it is.
    alarm: Option<Cause>,
    throttle: Throttle,
    shutdown: CancellationToken,
}

impl Sweep {
    /// Looks in any case, so that who takes over the duty has been looking; acts when on duty.
    async fn round(&mut self, on_duty: bool) -> Result<(), StoreError> {
        let glance = match self.announcer.line.get() {
            Some(bus) => glance(&bus).await,
            None => None,
        };
        let pool = self.announcer.database.pool();
        // One instant for both questions: between two, a fleet could grow old without being silent.
        let now = clock::now();
        // Toolboxes are heard in turn, so they cross an age in turn. Whether most have fallen silent is to be known
        // before the first of them does.
        let early = Thresholds {
            healthy_for: self.thresholds.healthy_for / 2,
            ..self.thresholds
        };
        let fleet = store::sweep::fleet_silence(pool, now, &early, self.ages.overdue_grace).await?;
        let silent = observer_blind(fleet, self.ages.blind_minimum);
        let sight = self.eyes.look(Instant::now(), glance, silent);
        self.tell_late(sight == Sight::Late, glance);
        if !on_duty {
            // One alarm, and it is for whoever has the duty to raise it.
            self.alarm = None;
            self.announcer.metrics.blind(false);
            return Ok(());
        }
        let blind = match sight {
            Sight::Wait => return Ok(()),
            Sight::See | Sight::Late => None,
            Sight::Blind(cause) => Some(cause),
        };
        self.sound(blind, fleet);
        self.told.blind.send_replace(blind.is_some());
        store::commands::end_orphans(self.announcer.database.pool(), now).await?;
        let announcer = match blind {
            // A bus that hangs must not make ages late.
            Some(Cause::Bus) => self.announcer.leaving_it_to_the_relay(),
            _ => self.announcer.clone(),
        };
        Act {
            now,
            announcer: &announcer,
            thresholds: &self.thresholds,
            blind: blind.is_some(),
        }
        .run(&self.shutdown)
        .await
    }

    fn tell_late(&self, late: bool, glance: Option<Glance>) {
        let changed = self
            .told
            .late
            .send_if_modified(|known| std::mem::replace(known, late) != late);
        if changed && late {
            let unread = glance.map(|glance| glance.unread);
            tracing::warn!(
                unread,
                "reports wait unread and do not become fewer; servers age by what is known of them"
            );
        }
    }

    /// Raises the alarm when sight is lost and ends it when it is back: one line each.
    fn sound(&mut self, blind: Option<Cause>, fleet: domain::FleetSilence) {
        self.announcer.metrics.blind(blind.is_some());
        match (self.alarm, blind) {
            (None, Some(cause)) => tracing::warn!(
                cause = cause.as_str(),
                toolboxes = fleet.population,
                silent = fleet.silent,
                "blind: silence is taken for our own fault, and no server is called unhealthy for it"
            ),
            (Some(_), None) => tracing::warn!(
                toolboxes = fleet.population,
                silent = fleet.silent,
                "no longer blind: silence is the toolboxes' again"
            ),
            (None, None) | (Some(_), Some(_)) => {}
        }
        self.alarm = blind;
    }
}

/// One round of sweeping.
struct Act<'a> {
    now: Timestamp,
    announcer: &'a Announcer,
    thresholds: &'a Thresholds,
    blind: bool,
}

impl Act<'_> {
    async fn run(&self, shutdown: &CancellationToken) -> Result<(), StoreError> {
        for _ in 0..ROUNDS {
            if shutdown.is_cancelled() {
                break;
            }
            let (found, announced) = match self.once().await {
                Err(error) if error.kind() != ErrorKind::Transient => {
                    tracing::error!(%error, "a sweep failed; taking its servers one by one");
                    self.one_by_one(shutdown).await?
                }
                outcome => outcome?,
            };
            self.announcer.metrics.sweep_changes(announced as u64);
            // Candidates of which the domain says nothing would come again for ever.
            if found < AT_ONCE as usize || announced == 0 {
                break;
            }
        }
        Ok(())
    }

    /// One transaction: how many candidates there were, and how many changes came of them.
    async fn once(&self) -> Result<(usize, usize), StoreError> {
        let mut transaction = self.announcer.database.begin().await?;
        let candidates =
            store::sweep::candidates(&mut transaction, self.now, self.thresholds, self.blind, AT_ONCE)
                .await?;
        let mut decisions = Decisions::default();
        for candidate in &candidates {
            let decided =
                candidate
                    .server
                    .sweep(candidate.circumstances(self.blind), self.now, self.thresholds);
            if let Some((server, change)) = decided
                && let Err(error) = decisions.take_server(server, change.as_slice())
            {
                tracing::error!(server = %candidate.server.id, error = format!("{error:#}"), "failed to sweep a server");
            }
        }
        if decisions.is_empty() {
            return Ok((candidates.len(), 0));
        }
        let announced = self.announcer.execute(transaction, &decisions).await?;
        Ok((candidates.len(), announced))
    }

    /// The same, each server in a transaction of its own: one that cannot be written must not hold up the others.
    async fn one_by_one(&self, shutdown: &CancellationToken) -> Result<(usize, usize), StoreError> {
        let mut transaction = self.announcer.database.begin().await?;
        let candidates =
            store::sweep::candidates(&mut transaction, self.now, self.thresholds, self.blind, AT_ONCE)
                .await?;
        // Gives the locks back; each is taken again below, with its row as it is then.
        drop(transaction);
        let mut announced = 0;
        for candidate in &candidates {
            if shutdown.is_cancelled() {
                break;
            }
            let server = &candidate.server;
            match self.one(candidate).await {
                Ok(count) => announced += count,
                Err(error) if error.is_transient() => return Err(error),
                Err(error) => tracing::error!(server = %server.id, %error, "a server cannot be swept"),
            }
        }
        Ok((candidates.len(), announced))
    }

    async fn one(&self, candidate: &Candidate) -> Result<usize, StoreError> {
        let mut transaction = self.announcer.database.begin().await?;
        let locked = store::batch::lock(&mut transaction, &[candidate.server.toolbox]).await?;
        let mut decisions = Decisions::default();
        let servers = locked.into_iter().flat_map(|(_, servers)| servers);
        for server in servers.filter(|server| server.id == candidate.server.id) {
            if let Some((server, change)) =
                server.sweep(candidate.circumstances(self.blind), self.now, self.thresholds)
                && let Err(error) = decisions.take_server(server, change.as_slice())
            {
                tracing::error!(error = format!("{error:#}"), "failed to sweep a server");
            }
        }
        if decisions.is_empty() {
            return Ok(0);
        }
        self.announcer.execute(transaction, &decisions).await
    }
}

/// How the raw reports stand; `None` when the bus does not say in time.
async fn glance(bus: &Bus) -> Option<Glance> {
    if !bus.is_connected() {
        return None;
    }
    let asking = async {
        tokio::join!(
            bus.backlog(&streams::MAPPER),
            bus.stream_state(&streams::DTMA_RAW)
        )
    };
    let (backlog, state) = tokio::time::timeout(GLANCE, asking).await.ok()?;
    let (backlog, state) = (backlog.ok()?, state.ok()?);
    Some(Glance {
        unread: backlog.pending + backlog.ack_pending,
        last_sequence: state.last_sequence,
    })
}
