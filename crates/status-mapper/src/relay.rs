//! Publishes what was committed and left unpublished: by a crash, or because the bus was away.
//!
//! Any replica may relay; an advisory lock keeps two from doing the same work. That they would do no harm is the
//! announcer's doing, see [`crate::announcer`].

use std::time::Duration;

use store::StoreError;
use tokio_util::sync::CancellationToken;

use crate::announcer::Announcer;
use crate::clock;
use crate::config::Pace;
use crate::pace::{Rounds, Throttle};

/// Rows taken at once: a transaction that is held while they are published, so not many.
const ROWS: u32 = 1_000;

/// Relays until shutdown.
pub(crate) async fn run(announcer: Announcer, pace: Pace, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut rounds = Rounds::every(pace.relay_every, shutdown.clone());
    let mut throttle = Throttle::default();
    while rounds.next().await {
        if let Err(error) = round(&announcer, pace.relay_after, &shutdown).await
            && let Some(held_back) = throttle.pass()
        {
            tracing::warn!(%error, held_back, "failed to relay changes; trying again");
        }
    }
    Ok(())
}

async fn round(
    announcer: &Announcer,
    after: Duration,
    shutdown: &CancellationToken,
) -> Result<(), StoreError> {
    let pool = announcer.database.pool();
    loop {
        let now = clock::now();
        let age = match store::outbox::oldest_unpublished(pool).await? {
            Some(oldest) => Duration::try_from(now.duration_since(oldest)).unwrap_or(Duration::ZERO),
            None => Duration::ZERO,
        };
        announcer.metrics.outbox_age(age.as_secs_f64());
        // A change that is still being published by whoever made it is none of ours.
        if age < after || age.is_zero() || !announcer.line.is_up() || shutdown.is_cancelled() {
            return Ok(());
        }
        let mut transaction = announcer.database.begin().await?;
        if !store::outbox::try_relay_lock(&mut transaction).await? {
            return Ok(());
        }
        let older_than = now.checked_sub(after).unwrap_or(now);
        let rows = store::outbox::unpublished(&mut *transaction, older_than, ROWS).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let published = announcer.publish(rows).await;
        store::outbox::mark_published(&mut *transaction, &published.acknowledged, clock::now()).await?;
        transaction.commit().await?;
        announcer.metrics.relay_late(published.stored);
        tracing::info!(
            published = published.acknowledged.len(),
            known_before = published.acknowledged.len() as u64 - published.stored,
            left = published.left,
            "relayed changes that were left unpublished"
        );
        if published.left > 0 {
            return Ok(());
        }
    }
}
