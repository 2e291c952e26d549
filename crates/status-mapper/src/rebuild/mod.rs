//! The status stream, rebuilt from the rows when it was lost, cut short, or tampered with.
//!
//! ```text
//!  cheap, every 30 s: made anew? shorter? empty? ──┐
//!  at the start, after each reconnection ──────────┼─► read the last word on every subject
//!  in any case, every 10 min ──────────────────────┘                 │
//!                                  rows ─► compare ◄─────────────────┘
//!                                             ├─ stream behind ─► the standing event, same version
//!                                             ├─ row behind ────► goes on from the stream's version
//!                                             └─ no row ────────► departures, or a tombstone
//! ```
//!
//! What is right already is not told again. A rebuilt event carries no cause and nothing before it, and no history row
//! is written for it: nothing happened.

mod heard;
mod orphans;
mod repair;

use std::collections::{BTreeSet, HashMap};

use bus::{Bus, BusError, StreamState};
use domain::ToolboxId;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wire::{streams, subjects};

use crate::announcer::Announcer;
use crate::config::Pace;
use crate::duty::Duty;
use crate::pace::{Rounds, Throttle};
use crate::rebuild::heard::Heard;
use crate::rebuild::orphans::Orphans;
use crate::rebuild::repair::repair;

/// How often the connection is looked at.
const EVERY: std::time::Duration = std::time::Duration::from_secs(1);
/// Rows read at once.
const PAGE: u32 = 1_000;
/// Toolboxes whose rows are locked at once.
const AT_ONCE: usize = 32;

/// Looks after the status stream until shutdown; `once`: it was compared with the rows.
pub(crate) async fn run(
    announcer: Announcer,
    pace: Pace,
    duty: watch::Receiver<Duty>,
    once: watch::Sender<bool>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let Some(bus) = announcer.line.clone().first(&shutdown).await else {
        return Ok(());
    };
    let orphans = Orphans::new(announcer.clone(), bus.clone());
    let mut rebuild = Rebuild {
        announcer,
        bus,
        orphans,
        shutdown: shutdown.clone(),
    };
    let mut watched = Watched::new(pace);
    let mut rounds = Rounds::every(EVERY, shutdown);
    let mut throttle = Throttle::default();
    while rounds.next().await {
        let on_duty = *duty.borrow() == Duty::Here;
        let outcome = match watched.due(rebuild.bus.is_connected(), on_duty, Instant::now()) {
            Due::Nothing => Ok(()),
            Due::Glance => rebuild.glance(&mut watched).await,
            Due::Everything => rebuild.everything(&mut watched).await,
        };
        if outcome.is_ok() && !watched.owed {
            once.send_replace(true);
        }
        if let Err(error) = outcome
            && let Some(held_back) = throttle.pass()
        {
            let error = format!("{error:#}");
            tracing::warn!(
                error,
                held_back,
                "failed to compare the status stream with the rows; trying again"
            );
        }
    }
    Ok(())
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Nothing,
    Glance,
    Everything,
}

/// When the stream was last looked at, and how it was.
#[derive(Debug)]
struct Watched {
    pace: Pace,
    connected: bool,
    /// A full comparison is owed, whoever has the duty: our own connection was lost, and with it perhaps the order of
    /// what we had sent.
    owed: bool,
    tried: Option<Instant>,
    compared: Option<Instant>,
    state: Option<StreamState>,
}

impl Watched {
    fn new(pace: Pace) -> Self {
        Self {
            pace,
            connected: false,
            owed: true,
            tried: None,
            compared: None,
            state: None,
        }
    }

    fn due(&mut self, connected: bool, on_duty: bool, now: Instant) -> Due {
        let reconnected = connected && !self.connected;
        self.connected = connected;
        self.owed |= reconnected;
        if !connected || !(self.owed || on_duty) {
            return Due::Nothing;
        }
        let since = |last: Option<Instant>| last.map(|last| now - last);
        let everything =
            self.owed || since(self.compared).is_none_or(|since| since >= self.pace.rebuild_full_every);
        // What failed a moment ago is not tried again at once, unless the connection is a new one.
        if !reconnected && since(self.tried).is_some_and(|since| since < self.pace.rebuild_every) {
            return Due::Nothing;
        }
        self.tried = Some(now);
        if everything { Due::Everything } else { Due::Glance }
    }

    /// Whether the stream can no longer be what it was when it was last looked at.
    fn is_suspicious(&self, state: &StreamState) -> bool {
        state.messages == 0
            || self.state.as_ref().is_none_or(|before| {
                before.created_at != state.created_at || before.last_sequence > state.last_sequence
            })
    }

    fn compared(&mut self, state: StreamState, now: Instant) {
        self.owed = false;
        self.compared = Some(now);
        self.state = Some(state);
    }
}

struct Rebuild {
    announcer: Announcer,
    bus: Bus,
    orphans: Orphans,
    shutdown: CancellationToken,
}

impl Rebuild {
    async fn glance(&mut self, watched: &mut Watched) -> anyhow::Result<()> {
        let state = self.state().await?;
        if watched.is_suspicious(&state) {
            return self.everything(watched).await;
        }
        watched.state = Some(state);
        Ok(())
    }

    /// How the stream is; made anew where it is missing.
    async fn state(&self) -> Result<StreamState, BusError> {
        match self.bus.stream_state(&streams::MCP_STATUS).await {
            Err(BusError::NotFound { .. }) => {
                self.bus.ensure_streams().await?;
                self.bus.stream_state(&streams::MCP_STATUS).await
            }
            state => state,
        }
    }

    async fn everything(&mut self, watched: &mut Watched) -> anyhow::Result<()> {
        let state = self.state().await?;
        let mut heard = match state.messages {
            0 => HashMap::new(),
            _ => heard::read_all(&self.bus, &self.shutdown).await,
        };
        let wrong: Vec<ToolboxId> = self.compare(&mut heard).await?.into_iter().collect();
        // First, because what moved to another account is told there by its departure, with a version of its own.
        let tombstones = self.orphans.end(heard, &self.shutdown).await?;
        self.announcer.metrics.rebuild_published("tombstone", tombstones);
        let (mut published, mut renumbered) = (0, 0);
        for toolboxes in wrong.chunks(AT_ONCE) {
            if self.shutdown.is_cancelled() {
                return Ok(());
            }
            let repaired = repair(&self.announcer, &self.bus, &state, toolboxes).await?;
            self.announcer
                .metrics
                .rebuild_published("standing", repaired.published);
            self.announcer
                .metrics
                .rebuild_published("renumbered", repaired.renumbered);
            published += repaired.published;
            renumbered += repaired.renumbered;
        }
        if published + renumbered + tombstones > 0 {
            tracing::info!(
                published,
                renumbered,
                tombstones,
                "rebuilt the status stream from the rows"
            );
        }
        watched.compared(state, Instant::now());
        Ok(())
    }

    /// Takes out of `heard` what rows stand behind, and returns the toolboxes of which something is not right.
    async fn compare(&self, heard: &mut HashMap<String, Heard>) -> anyhow::Result<BTreeSet<ToolboxId>> {
        let pool = self.announcer.database.pool();
        let mut wrong = BTreeSet::new();
        let mut check = |subject: String, version: u64, toolbox: ToolboxId| {
            let right = match heard.remove(&subject) {
                Some(heard) => heard.says(version),
                None => version == 0,
            };
            if !right {
                wrong.insert(toolbox);
            }
        };
        let mut after = None;
        loop {
            let page = store::snapshot::toolboxes(pool, after, PAGE).await?;
            for row in &page.items {
                check(subjects::toolbox_status(row.account, row.id), row.version, row.id);
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let mut after = None;
        loop {
            let page = store::snapshot::servers(pool, after, PAGE).await?;
            for row in &page.items {
                check(
                    subjects::server_status(row.account, row.id),
                    row.version,
                    row.toolbox,
                );
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(wrong)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser as _;

    use super::*;

    fn pace() -> Pace {
        #[derive(clap::Parser)]
        struct Only {
            #[command(flatten)]
            pace: Pace,
        }
        Only::parse_from(["test"]).pace
    }

    #[test]
    fn everything_at_the_start_and_after_a_reconnection_else_a_glance() {
        let mut watched = Watched::new(pace());
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let state = |last_sequence| StreamState {
            messages: 1,
            first_sequence: 1,
            last_sequence,
            created_at: jiff::Timestamp::UNIX_EPOCH,
        };
        assert_eq!(watched.due(false, true, at(0)), Due::Nothing);
        assert_eq!(
            watched.due(true, false, at(1)),
            Due::Everything,
            "owed, whoever has the duty"
        );
        assert_eq!(
            watched.due(true, false, at(2)),
            Due::Nothing,
            "it failed a second ago"
        );
        assert_eq!(watched.due(true, false, at(31)), Due::Everything);
        watched.compared(state(5), at(31));
        assert_eq!(watched.due(true, false, at(100)), Due::Nothing, "another's duty");
        assert_eq!(watched.due(true, true, at(101)), Due::Glance);
        assert_eq!(watched.due(true, true, at(110)), Due::Nothing);
        assert_eq!(watched.due(true, true, at(631)), Due::Everything);
        watched.compared(state(5), at(631));
        assert_eq!(watched.due(false, true, at(640)), Due::Nothing);
        assert_eq!(watched.due(true, false, at(641)), Due::Everything, "reconnected");
    }

    #[test]
    fn what_makes_a_stream_suspicious() {
        let state = |messages, last_sequence, created| StreamState {
            messages,
            first_sequence: 1,
            last_sequence,
            created_at: jiff::Timestamp::from_second(created).unwrap(),
        };
        let mut watched = Watched::new(pace());
        assert!(
            watched.is_suspicious(&state(5, 5, 1)),
            "nothing to compare it with"
        );
        watched.state = Some(state(5, 5, 1));
        assert!(!watched.is_suspicious(&state(5, 5, 1)));
        assert!(!watched.is_suspicious(&state(4, 9, 1)), "old messages leave");
        assert!(watched.is_suspicious(&state(4, 4, 1)), "its end was lost");
        assert!(watched.is_suspicious(&state(9, 9, 2)), "it is another");
        assert!(watched.is_suspicious(&state(0, 5, 1)), "it was purged");
    }
}
