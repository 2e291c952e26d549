//! Counts over time: looks at much of the history, so that one answer serves for a while, and few are made at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::AccountId;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use wire::api::FleetTimeline;

use crate::base::Trouble;
use crate::refusal::Result;

/// How long an answer serves.
const SERVES: Duration = Duration::from_secs(5);
/// Answers kept, some kilobytes each.
const MOST: usize = 1_000;
/// Looks made at once: so many connections are all they take of the pool.
const AT_ONCE: usize = 2;

/// Whose counts, over how many steps of how many seconds.
pub(crate) type Question = (Option<AccountId>, u32, u32);

/// The last answers.
#[derive(Debug)]
pub(crate) struct Studies {
    kept: Mutex<HashMap<Question, (Instant, Arc<FleetTimeline>)>>,
    places: Semaphore,
}

impl Default for Studies {
    fn default() -> Self {
        Self {
            kept: Mutex::default(),
            places: Semaphore::new(AT_ONCE),
        }
    }
}

impl Studies {
    /// The answer to a question: one that was given lately, else what `look` finds; where the database is away the last
    /// there was, marked stale.
    ///
    /// # Errors
    /// What `look` says, where there is no last one.
    pub(crate) async fn of(
        &self,
        question: Question,
        look: impl AsyncFnOnce() -> Result<std::result::Result<FleetTimeline, Trouble>>,
    ) -> Result<Arc<FleetTimeline>> {
        if let Some(known) = self.fresh(question) {
            return Ok(known);
        }
        // Never closed.
        let _place = self.places.acquire().await;
        // Whoever had the place before may have asked the same.
        if let Some(known) = self.fresh(question) {
            return Ok(known);
        }
        match look().await? {
            Ok(found) => {
                let found = Arc::new(found);
                let mut kept = self.lock();
                if kept.len() >= MOST {
                    kept.clear();
                }
                kept.insert(question, (Instant::now(), Arc::clone(&found)));
                Ok(found)
            }
            Err(Trouble::Away) => {
                let last = self.lock().get(&question).map(|(_, last)| Arc::clone(last));
                let last = last.ok_or(Trouble::Away)?;
                Ok(Arc::new(FleetTimeline {
                    stale: true,
                    ..(*last).clone()
                }))
            }
            Err(refused) => Err(refused.into()),
        }
    }

    fn fresh(&self, question: Question) -> Option<Arc<FleetTimeline>> {
        let (at, known) = self.lock().get(&question).cloned()?;
        (at.elapsed() < SERVES).then_some(known)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Question, (Instant, Arc<FleetTimeline>)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
