//! The database, asked with little patience: whoever reads has something else to answer with, and nobody waits in line for
//! what is away.
//!
//! ```text
//!  ask ─► breaker ─┬─ closed ─► within a second ─┬─ answered ─► closed
//!                  └─ open: away, at once        └─ failed ──► open for a second, then one may try
//! ```

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use store::{Database, ErrorKind, StoreError, Transaction};
use tokio::time::{Instant, timeout};

use crate::metrics::Metrics;

/// Longest wait of a read for the database.
pub(crate) const READ: Duration = Duration::from_secs(1);
/// Longest wait of one step of a write: it may wait for a row that the mapper holds.
pub(crate) const WRITE: Duration = Duration::from_secs(3);
/// Longest wait for a read of much: less than the database's own limit of time for a statement.
const STUDY: Duration = Duration::from_millis(2_500);
/// How long what failed is left alone.
const REST: Duration = Duration::from_secs(1);

/// Why the database could not be asked.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It is away.
    Away,
    /// It objects to what was asked.
    Refused(StoreError),
}

/// The database behind its breaker.
#[derive(Debug)]
pub(crate) struct Base {
    database: Database,
    breaker: Mutex<Breaker>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Breaker {
    /// Until when nobody may ask; `None`: it answers.
    open_until: Option<Instant>,
}

impl Breaker {
    fn admits(&mut self, now: Instant) -> bool {
        match self.open_until {
            Some(until) if now < until => false,
            // This one tries; the others wait for what comes of it.
            Some(_) => {
                self.open_until = Some(now + READ + REST);
                true
            }
            None => true,
        }
    }
}

impl Base {
    pub(crate) fn new(database: Database, metrics: Metrics) -> Self {
        Self {
            database,
            breaker: Mutex::default(),
            metrics,
        }
    }

    /// The database, for queries that are run by [`Base::read`] or [`Base::write`].
    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// Runs a read.
    pub(crate) async fn read<T>(
        &self,
        asking: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Trouble> {
        self.admit()?;
        self.judge(timeout(READ, asking).await.ok())
    }

    /// Runs a read that looks at much. That it takes too long says nothing of the database, and keeps nobody else from it.
    pub(crate) async fn study<T>(
        &self,
        asking: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Trouble> {
        self.admit()?;
        match timeout(STUDY, asking).await {
            Ok(outcome) => self.judge(Some(outcome)),
            Err(_) => Err(Trouble::Away),
        }
    }

    /// Begins a transaction.
    pub(crate) async fn begin(&self) -> Result<Transaction, Trouble> {
        self.read(self.database.begin()).await
    }

    /// Runs a step of a transaction that was begun, or another write.
    pub(crate) async fn write<T>(
        &self,
        asking: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Trouble> {
        self.judge(timeout(WRITE, asking).await.ok())
    }

    /// Commits.
    pub(crate) async fn commit(&self, transaction: Transaction) -> Result<(), Trouble> {
        self.write(async { Ok(transaction.commit().await?) }).await
    }

    fn admit(&self) -> Result<(), Trouble> {
        if self.lock().admits(Instant::now()) {
            Ok(())
        } else {
            Err(Trouble::Away)
        }
    }

    fn judge<T>(&self, outcome: Option<Result<T, StoreError>>) -> Result<T, Trouble> {
        let outcome = match outcome {
            Some(Ok(value)) => Ok(value),
            // Of the transaction, not of the database.
            Some(Err(error @ StoreError::Overtaken { .. })) => Err(Trouble::Refused(error)),
            Some(Err(error)) if error.kind() == ErrorKind::Data => Err(Trouble::Refused(error)),
            Some(Err(error)) => {
                tracing::debug!(%error, "the database failed");
                Err(Trouble::Away)
            }
            None => Err(Trouble::Away),
        };
        let away = matches!(outcome, Err(Trouble::Away));
        let before = {
            let mut breaker = self.lock();
            std::mem::replace(&mut breaker.open_until, away.then(|| Instant::now() + REST))
        };
        // Once: an outage is not news at every request.
        if away && before.is_none() {
            tracing::warn!("the database does not answer: answering from what is known");
        } else if !away && before.is_some() {
            tracing::info!("the database answers again");
        }
        self.metrics.away(away);
        outcome
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn after_a_failure_nobody_waits_and_then_one_tries() {
        let mut breaker = Breaker::default();
        assert!(breaker.admits(Instant::now()));
        breaker.open_until = Some(Instant::now() + REST);
        assert!(!breaker.admits(Instant::now()));
        tokio::time::advance(REST).await;
        assert!(breaker.admits(Instant::now()));
        assert!(!breaker.admits(Instant::now()), "only one at a time");
        tokio::time::advance(READ + REST).await;
        assert!(
            breaker.admits(Instant::now()),
            "one whose try was dropped holds nobody up"
        );
    }
}
