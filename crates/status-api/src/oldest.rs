//! The oldest knowledge of an account: a look at the whole table, so that one answer serves for a while.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::{AccountId, ServerId};
use jiff::Timestamp;
use tokio::time::Instant;

use crate::base::{Base, Trouble};

/// How long an answer serves.
const SERVES: Duration = Duration::from_secs(5);
/// Accounts of which one is kept.
const MOST: usize = 1_000;

/// The watched server of which the least is known for the longest time.
type Known = Option<(ServerId, Timestamp)>;

/// The last answers.
#[derive(Debug, Default)]
pub(crate) struct Oldest(Mutex<HashMap<Option<AccountId>, (Instant, Known)>>);

impl Oldest {
    /// That of an account, or of all.
    pub(crate) async fn of(&self, base: &Base, account: Option<AccountId>) -> Result<Known, Trouble> {
        let now = Instant::now();
        let kept = self.lock().get(&account).copied();
        if let Some((_, known)) = kept.filter(|(at, _)| now - *at < SERVES) {
            return Ok(known);
        }
        let asking = store::reading::oldest_knowledge(base.database().pool(), account);
        let known = base.read(asking).await?;
        let mut kept = self.lock();
        if kept.len() >= MOST {
            kept.clear();
        }
        kept.insert(account, (now, known));
        Ok(known)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Option<AccountId>, (Instant, Known)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
