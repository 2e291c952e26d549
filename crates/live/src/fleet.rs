//! The picture, shared.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use access::{Connections, Viewer};
use bus::Bus;
use domain::{ServerId, ToolboxId};
use tokio::sync::watch;
use wire::{ServerStatus, StatusEvent, ToolboxEvent};

use crate::metrics::Metrics;
use crate::picture::Picture;

/// The present of everything. Cheap to clone; clones share it.
#[derive(Debug, Clone)]
pub struct Fleet(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    picture: RwLock<Picture>,
    connections: Connections,
    progress: watch::Sender<Progress>,
    loaded: watch::Sender<bool>,
    metrics: Metrics,
}

/// What of it was read.
#[derive(Debug, Default, Clone, Copy)]
struct Progress {
    /// The statuses are whole, and nothing was lost since.
    statuses: bool,
    /// They were whole once.
    statuses_loaded: bool,
    connections_loaded: bool,
}

impl Default for Fleet {
    fn default() -> Self {
        Self(Arc::new(Inner {
            picture: RwLock::default(),
            connections: Connections::default(),
            progress: watch::Sender::default(),
            loaded: watch::Sender::default(),
            metrics: Metrics::new(),
        }))
    }
}

impl Fleet {
    /// Whether there was a whole picture, ever: before that, what is not here may well exist.
    pub fn is_loaded(&self) -> bool {
        *self.0.loaded.borrow()
    }

    /// Tells when there is a whole picture for the first time.
    pub fn loaded(&self) -> watch::Receiver<bool> {
        self.0.loaded.subscribe()
    }

    /// Whether the picture is whole and nothing that changes it can be missing.
    pub fn is_current(&self, bus: &Bus) -> bool {
        self.is_loaded() && self.0.progress.borrow().statuses && bus.is_connected()
    }

    /// A server's newest event; `None`: nothing is announced of it.
    pub fn server(&self, id: ServerId) -> Option<Arc<ServerStatus>> {
        self.read().servers.get(&id).cloned()
    }

    /// A toolbox's newest event.
    pub fn toolbox(&self, id: ToolboxId) -> Option<Arc<ToolboxEvent>> {
        self.read().toolboxes.get(&id).cloned()
    }

    /// Who is connected to what.
    pub fn connections(&self) -> &Connections {
        &self.0.connections
    }

    /// The servers that a viewer may see, in the order of their ids, after `after`, that pass `filter`, at most `limit`.
    pub fn visible(
        &self,
        viewer: Viewer,
        after: Option<ServerId>,
        limit: usize,
        mut filter: impl FnMut(&ServerStatus) -> bool,
    ) -> Vec<Arc<ServerStatus>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let range = (from, Bound::Unbounded);
        match viewer {
            Viewer::All => {
                let picture = self.read();
                let all = picture.servers.range(range).map(|(_, server)| server);
                all.filter(|server| filter(server)).take(limit).cloned().collect()
            }
            Viewer::Account(account) => {
                // Before the lock: it is another one.
                let granted = self.0.connections.servers_of(account);
                let none = BTreeSet::new();
                let picture = self.read();
                let own = picture.servers_of.get(&account).unwrap_or(&none);
                let mut own = own.range(range).peekable();
                let mut granted = granted.range(range).peekable();
                let mut found = Vec::new();
                while found.len() < limit {
                    let next = match (own.peek(), granted.peek()) {
                        (Some(mine), Some(theirs)) if mine > theirs => granted.next(),
                        (Some(mine), Some(theirs)) => {
                            if mine == theirs {
                                granted.next();
                            }
                            own.next()
                        }
                        (Some(_), None) => own.next(),
                        (None, _) => granted.next(),
                    };
                    let Some(next) = next else { break };
                    if let Some(server) = picture.servers.get(next)
                        && filter(server)
                    {
                        found.push(Arc::clone(server));
                    }
                }
                found
            }
        }
    }

    /// The toolboxes that belong to a viewer, in the order of their ids, after `after`, at most `limit`. A connection
    /// shows a server, not the toolbox it is on.
    pub fn toolboxes(
        &self,
        viewer: Viewer,
        after: Option<ToolboxId>,
        limit: usize,
    ) -> Vec<Arc<ToolboxEvent>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let range = (from, Bound::Unbounded);
        let picture = self.read();
        match viewer {
            Viewer::All => {
                let all = picture.toolboxes.range(range);
                all.take(limit).map(|(_, toolbox)| Arc::clone(toolbox)).collect()
            }
            Viewer::Account(account) => {
                let own = picture.toolboxes_of.get(&account).into_iter();
                own.flat_map(|ids| ids.range(range))
                    .filter_map(|id| picture.toolboxes.get(id).cloned())
                    .take(limit)
                    .collect()
            }
        }
    }

    /// How many servers and toolboxes are known.
    pub fn counts(&self) -> (usize, usize) {
        let picture = self.read();
        (picture.servers.len(), picture.toolboxes.len())
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Puts a whole picture in place of the present one.
    pub(crate) fn swap(&self, picture: Picture) {
        *self.write() = picture;
        self.progress(|progress| {
            progress.statuses = true;
            progress.statuses_loaded = true;
        });
    }

    pub(crate) fn take_server(&self, event: StatusEvent) -> bool {
        self.write().take_server(event)
    }

    pub(crate) fn take_toolbox(&self, event: ToolboxEvent) -> bool {
        self.write().take_toolbox(event)
    }

    /// From now on something may be missing.
    pub(crate) fn statuses_lost(&self) {
        self.progress(|progress| progress.statuses = false);
    }

    pub(crate) fn connections_loaded(&self) {
        self.progress(|progress| progress.connections_loaded = true);
    }

    fn progress(&self, change: impl FnOnce(&mut Progress)) {
        self.0.progress.send_modify(change);
        let progress = *self.0.progress.borrow();
        self.0.loaded.send_if_modified(|loaded| {
            let is = progress.statuses_loaded && progress.connections_loaded;
            is != std::mem::replace(loaded, *loaded || is)
        });
    }

    // Every change leaves the maps whole, so a panic elsewhere while they were held does not spoil them.
    fn read(&self) -> RwLockReadGuard<'_, Picture> {
        self.0.picture.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Picture> {
        self.0.picture.write().unwrap_or_else(PoisonError::into_inner)
    }
}
