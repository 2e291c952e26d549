//! What one replica does for all: mirroring the registry, ageing, and looking after the status stream.
//!
//! Whoever holds PostgreSQL's advisory lock has the duty; there is nothing to elect and nothing to configure. A holder
//! that cannot reach NATS steps back for a moment, again and again, so that one that can takes over; when there is none,
//! it does blind what can be done blind. So two replicas of which only one can see never contradict each other.

use std::time::Duration;

use bus::Line;
use store::Database;
use store::registry::MirrorLock;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::pace::{Rounds, Throttle};

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Duty {
    /// Nobody knows: the database is away.
    Unknown,
    /// Another replica's.
    Elsewhere,
    /// Ours.
    Here,
}

/// How often the lock is tried, or checked. A duty that changes hands is in them well within the 5 s in which its
/// effects are to show.
const EVERY: Duration = Duration::from_secs(1);
/// How long a holder without NATS keeps the duty before it steps back: long enough for one sweep.
const DEAF_FOR: Duration = Duration::from_secs(4);
/// How long it steps back: long enough for every other replica to try once.
const STEP_BACK: Duration = Duration::from_millis(1500);
/// Longest wait for the lock's connection: a database that hangs has, for all we know, given the lock to another.
const PATIENCE: Duration = Duration::from_secs(3);

/// Takes, keeps and gives back the duty until shutdown.
pub(crate) async fn run(
    database: Database,
    line: Line,
    duty: watch::Sender<Duty>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut rounds = Rounds::every(EVERY, shutdown);
    let mut lock: Option<MirrorLock> = None;
    let mut deaf = Deafness::default();
    let mut throttle = Throttle::default();
    while rounds.next().await {
        if let Some(mut held) = lock.take() {
            if !within_patience(held.check())
                .await
                .is_ok_and(|check| check.is_ok())
            {
                tracing::warn!("lost the duty: the connection that held it broke");
                tell(&duty, Duty::Unknown);
                continue;
            }
            if deaf.steps_back(line.is_up(), Instant::now()) {
                tracing::info!(
                    "NATS is away; stepping back from the duty for another replica that may reach it"
                );
                tell(&duty, Duty::Elsewhere);
                // A connection that breaks now gives it back as well.
                let _ = within_patience(held.release()).await;
                continue;
            }
            lock = Some(held);
        } else if deaf.may_try(Instant::now()) {
            match within_patience(store::registry::try_mirror_lock(&database)).await {
                Ok(Ok(Some(taken))) => {
                    deaf.taken();
                    lock = Some(taken);
                    tell(&duty, Duty::Here);
                }
                Ok(Ok(None)) => tell(&duty, Duty::Elsewhere),
                failed => {
                    tell(&duty, Duty::Unknown);
                    if let (Ok(Err(error)), Some(held_back)) = (failed, throttle.pass()) {
                        tracing::warn!(%error, held_back, "failed to ask whose duty it is");
                    }
                }
            }
        }
    }
    tell(&duty, Duty::Elsewhere);
    if let Some(held) = lock {
        let _ = within_patience(held.release()).await;
    }
    Ok(())
}

async fn within_patience<T>(asking: impl Future<Output = T>) -> Result<T, tokio::time::error::Elapsed> {
    tokio::time::timeout(PATIENCE, asking).await
}

fn tell(duty: &watch::Sender<Duty>, now: Duty) {
    duty.send_if_modified(|known| {
        let changed = *known != now;
        if changed && now == Duty::Here {
            tracing::info!("this replica has the duty: it mirrors the registry, ages and rebuilds");
        }
        *known = now;
        changed
    });
}

/// When a holder without NATS steps back, and when it may try again.
#[derive(Debug, Default)]
struct Deafness {
    since: Option<Instant>,
    stepped_back: Option<Instant>,
}

impl Deafness {
    /// Whether the duty is to be given up now.
    fn steps_back(&mut self, hears: bool, now: Instant) -> bool {
        if hears {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        let steps_back = now - since >= DEAF_FOR;
        if steps_back {
            self.stepped_back = Some(now);
        }
        steps_back
    }

    fn may_try(&self, now: Instant) -> bool {
        self.stepped_back.is_none_or(|at| now - at >= STEP_BACK)
    }

    fn taken(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_hear_gives_others_a_turn_and_then_tries_again() {
        let mut deaf = Deafness::default();
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        assert!(!deaf.steps_back(true, at(0)));
        assert!(!deaf.steps_back(false, at(1000)));
        assert!(!deaf.steps_back(true, at(2000)), "a moment's loss is forgotten");
        assert!(!deaf.steps_back(false, at(3000)));
        assert!(!deaf.steps_back(false, at(6000)));
        assert!(deaf.steps_back(false, at(7000)));
        assert!(!deaf.may_try(at(8000)));
        assert!(deaf.may_try(at(8500)));
        deaf.taken();
        assert!(!deaf.steps_back(false, at(9000)), "a new turn has its full time");
    }
}
