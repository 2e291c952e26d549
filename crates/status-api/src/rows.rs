//! Rows of servers through a memory that is a second old at most, and older where nothing newer can be had.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::ServerId;
use store::reading::{self, ServerReading};
use tokio::time::Instant;

use crate::base::{Base, Trouble};

/// How old a row may be and still be the answer.
const FRESH: Duration = Duration::from_secs(1);
/// Most rows kept, a kilobyte or so each.
const MOST: usize = 50_000;

/// The memory.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    kept: Mutex<HashMap<ServerId, Kept>>,
}

#[derive(Debug, Clone)]
struct Kept {
    read_at: Instant,
    /// To be read again, however young.
    due: bool,
    row: Arc<ServerReading>,
}

/// What was found of some servers.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) rows: HashMap<ServerId, Arc<ServerReading>>,
    /// The database was away: what is there is the last that was read, and what is not there may exist.
    pub(crate) stale: bool,
}

impl Rows {
    /// The rows of servers.
    pub(crate) async fn find(&self, base: &Base, ids: &[ServerId]) -> Result<Found, Trouble> {
        let now = Instant::now();
        let mut found = Found::default();
        let mut wanted = Vec::new();
        {
            let kept = self.lock();
            for id in ids {
                match kept.get(id) {
                    Some(known) if !known.due && now - known.read_at < FRESH => {
                        found.rows.insert(*id, Arc::clone(&known.row));
                    }
                    _ => wanted.push(*id),
                }
            }
        }
        if wanted.is_empty() {
            return Ok(found);
        }
        match self.read(base, &wanted).await {
            Ok(rows) => found.rows.extend(rows),
            Err(Trouble::Away) => {
                found.stale = true;
                let kept = self.lock();
                let old = wanted
                    .iter()
                    .filter_map(|id| Some((*id, Arc::clone(&kept.get(id)?.row))));
                found.rows.extend(old);
            }
            Err(refused) => return Err(refused),
        }
        Ok(found)
    }

    /// The rows of servers as they are now.
    pub(crate) async fn read(
        &self,
        base: &Base,
        ids: &[ServerId],
    ) -> Result<HashMap<ServerId, Arc<ServerReading>>, Trouble> {
        let rows = base
            .read(async {
                let mut connection = base.database().pool().acquire().await?;
                reading::servers(&mut connection, ids).await
            })
            .await?;
        let rows: HashMap<_, _> = rows
            .into_iter()
            .map(|row| (row.server.id, Arc::new(row)))
            .collect();
        self.keep(ids, &rows);
        Ok(rows)
    }

    /// What is kept of a server, however old.
    pub(crate) fn last(&self, id: ServerId) -> Option<Arc<ServerReading>> {
        self.lock().get(&id).map(|kept| Arc::clone(&kept.row))
    }

    /// Takes over rows that were read otherwise.
    pub(crate) fn take(&self, rows: Vec<ServerReading>) -> Vec<Arc<ServerReading>> {
        let rows: Vec<_> = rows.into_iter().map(Arc::new).collect();
        let by_id = rows.iter().map(|row| (row.server.id, Arc::clone(row))).collect();
        self.keep(&[], &by_id);
        rows
    }

    /// Has the next look be at the database, and what is kept be the last resort.
    pub(crate) fn forget_age(&self, id: ServerId) {
        if let Some(kept) = self.lock().get_mut(&id) {
            kept.due = true;
        }
    }

    fn keep(&self, asked: &[ServerId], rows: &HashMap<ServerId, Arc<ServerReading>>) {
        let read_at = Instant::now();
        let mut kept = self.lock();
        for id in asked.iter().filter(|id| !rows.contains_key(id)) {
            kept.remove(id);
        }
        if kept.len() + rows.len() > MOST {
            kept.retain(|_, known| read_at - known.read_at < FRESH);
        }
        if kept.len() + rows.len() > MOST {
            kept.clear();
        }
        for (id, row) in rows {
            let row = Arc::clone(row);
            let due = false;
            kept.insert(*id, Kept { read_at, due, row });
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ServerId, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
