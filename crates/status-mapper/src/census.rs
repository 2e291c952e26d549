//! How old what people see is, measured where it is known: in the rows. Heartbeats that change nothing publish no event, so
//! nobody downstream could tell old news from no news.
//!
//! The replica on duty counts; the others say nothing of it, so that nobody adds up what several would say.

use std::time::Duration;

use domain::Thresholds;
use store::StoreError;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::announcer::Announcer;
use crate::clock;
use crate::duty::Duty;
use crate::pace::{Rounds, Throttle};

/// Between two counts: as often as Prometheus mostly asks. Each reads the table of instances once.
const EVERY: Duration = Duration::from_secs(10);

/// The fleet in numbers.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Census {
    pub(crate) knowledge: store::census::Knowledge,
    /// State, health, how many.
    pub(crate) servers: Vec<(String, String, u64)>,
}

/// Counts until shutdown.
pub(crate) async fn run(
    announcer: Announcer,
    thresholds: Thresholds,
    grace: Duration,
    mut duty: watch::Receiver<Duty>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut rounds = Rounds::every(EVERY, shutdown.clone());
    let mut throttle = Throttle::default();
    loop {
        // Whoever takes over the duty says at once how it is, and whoever gives it up says no more.
        tokio::select! {
            next = rounds.next() => if !next { break },
            changed = duty.changed() => if changed.is_err() { break },
        }
        let here = *duty.borrow_and_update() == Duty::Here;
        let census = if here {
            count(&announcer, &thresholds, grace).await.map(Some)
        } else {
            Ok(None)
        };
        if let Err(error) = &census
            && let Some(held_back) = throttle.pass()
        {
            tracing::warn!(%error, held_back, "failed to count the fleet; trying again");
        }
        // What cannot be counted is not known, and old numbers would look like new ones.
        announcer.metrics.census(census.ok().flatten());
    }
    announcer.metrics.census(None);
    Ok(())
}

async fn count(
    announcer: &Announcer,
    thresholds: &Thresholds,
    grace: Duration,
) -> Result<Census, StoreError> {
    let pool = announcer.database.pool();
    Ok(Census {
        knowledge: store::census::knowledge(pool, clock::now(), thresholds, grace).await?,
        servers: store::census::servers(pool).await?,
    })
}
