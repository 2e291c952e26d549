//! What servers were called that have just gone: a tombstone has no name, and people know servers by theirs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use access::Viewer;
use domain::{AccountId, ServerId};
use live::Fleet;
use tokio_util::sync::CancellationToken;

use crate::webhooks::endpoints::Endpoints;

/// Between looks at what they are called.
const EVERY: Duration = Duration::from_secs(10);

type Names = HashMap<ServerId, String>;

/// The names of all servers that somebody is told of, as of the last look and the one before, with what changed since.
#[derive(Debug, Clone)]
pub(crate) struct LastNames {
    fleet: Fleet,
    known: Arc<Mutex<[Names; 2]>>,
}

impl LastNames {
    pub(crate) fn new(fleet: Fleet) -> Self {
        Self {
            fleet,
            known: Arc::default(),
        }
    }

    /// What a server is or was called, where that is known.
    pub(crate) fn of(&self, server: ServerId) -> Option<String> {
        if let Some(status) = self.fleet.server(server) {
            return Some(status.name.clone());
        }
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().find_map(|names| names.get(&server)).cloned()
    }

    /// Learns what a server is called, from a change of it: it may be gone before the next look.
    pub(crate) fn learn(&self, server: ServerId, name: &str) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known[0].insert(server, name.to_owned());
    }

    /// Looks from time to time, until `shutdown`.
    pub(crate) async fn run(self, endpoints: Endpoints, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut rounds = tokio::time::interval(EVERY);
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                _ = rounds.tick() => self.look(&endpoints),
            }
        }
    }

    fn look(&self, endpoints: &Endpoints) {
        let mut names = Names::new();
        for account in endpoints.accounts() {
            let owner = Viewer::Account(AccountId(account));
            let own = |status: &wire::ServerStatus| status.account_id == account;
            for status in self.fleet.visible(owner, None, usize::MAX, own) {
                names.insert(ServerId(status.server_id), status.name.clone());
            }
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.swap(0, 1);
        known[0] = names;
    }
}
