//! The picture, shared.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use access::{Connections, Viewer};
use bus::{Bus, Delivery};
use domain::{AccountId, ServerId, ToolboxId};
use jiff::Timestamp;
use tokio::sync::watch;
use tracing::Span;
use wire::stream::ResetReason;
use wire::{Cursor, ServerStatus, StatusEvent, ToolboxEvent};

use crate::metrics::Metrics;
use crate::picture::{Picture, Taken};
use crate::told::{self, Event, Fate, Told};
use crate::watch::{News, Watch};

/// The present of everything. Cheap to clone; clones share it.
#[derive(Debug, Clone)]
pub struct Fleet(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    picture: RwLock<Picture>,
    connections: Connections,
    progress: watch::Sender<Progress>,
    loaded: watch::Sender<bool>,
    position: watch::Sender<Cursor>,
    watch: Option<Arc<dyn Watch>>,
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
        Self::new(None)
    }
}

impl Fleet {
    /// A fleet of which `watch` is told what changes.
    pub fn watched(watch: Arc<dyn Watch>) -> Self {
        Self::new(Some(watch))
    }

    fn new(watch: Option<Arc<dyn Watch>>) -> Self {
        Self(Arc::new(Inner {
            picture: RwLock::default(),
            connections: Connections::default(),
            progress: watch::Sender::default(),
            loaded: watch::Sender::default(),
            position: watch::Sender::new(Cursor {
                epoch: 0,
                sequence: 0,
            }),
            watch,
            metrics: Metrics::new(),
        }))
    }

    /// Looks at the picture. Nothing is taken in meanwhile, so look briefly.
    pub fn look<T>(&self, look: impl FnOnce(&Picture) -> T) -> T {
        look(&self.read())
    }

    /// Waits until everything up to `cursor` is here; for ever, where it is of another stream.
    pub async fn reached(&self, cursor: Cursor) {
        let mut position = self.0.position.subscribe();
        let reached = |at: &Cursor| at.epoch == cursor.epoch && at.sequence >= cursor.sequence;
        // Fails only when the fleet is gone, and then nobody waits.
        let _ = position.wait_for(reached).await;
    }

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
        self.read().servers.get(&id).map(|known| Arc::clone(&known.event))
    }

    /// A toolbox's newest event.
    pub fn toolbox(&self, id: ToolboxId) -> Option<Arc<ToolboxEvent>> {
        self.read()
            .toolboxes
            .get(&id)
            .map(|known| Arc::clone(&known.event))
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
                let all = picture.servers.range(range).map(|(_, known)| &known.event);
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
                    if let Some(known) = picture.servers.get(next)
                        && filter(&known.event)
                    {
                        found.push(Arc::clone(&known.event));
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
                all.take(limit)
                    .map(|(_, known)| Arc::clone(&known.event))
                    .collect()
            }
            Viewer::Account(account) => {
                let own = picture.toolboxes_of.get(&account).into_iter();
                own.flat_map(|ids| ids.range(range))
                    .filter_map(|id| Some(Arc::clone(&picture.toolboxes.get(id)?.event)))
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
    pub(crate) fn swap(&self, mut picture: Picture) {
        let mut now = self.write();
        let (before, position) = (now.position(), picture.position());
        let reset = if now.position.is_none() {
            None
        } else if before.epoch != position.epoch {
            Some(ResetReason::Epoch)
        } else if position.sequence < before.sequence {
            // What it had acknowledged is gone, and the numbers are given again.
            picture.reach.remember(&now.reach);
            picture.reach.rewound(position.sequence, before.sequence);
            Some(ResetReason::Rewound)
        } else {
            None
        };
        let changed = match reset {
            None => picture.changed_since(&now),
            Some(_) => Vec::new(),
        };
        *now = picture;
        self.tell(News::Whole {
            reset,
            changed: &changed,
            position,
        });
        drop(now);
        self.0.position.send_replace(position);
        self.progress(|progress| {
            progress.statuses = true;
            progress.statuses_loaded = true;
        });
    }

    /// Takes in a message that a whole picture is followed by, and tells who watches. `false`: as much is known; `None`: it
    /// cannot be read.
    pub fn take_in(&self, delivery: &Delivery, epoch: u64) -> Option<bool> {
        // One span for all who watch: a reader more must cost a pointer and no span, and all are told by the same bytes, with
        // one `traceparent`.
        let watched = self.0.watch.is_some();
        let deliver = if watched {
            bus::trace::deliver(delivery)
        } else {
            Span::none()
        };
        let _in = deliver.enter();
        let Some((event, told)) = told::read(delivery, epoch) else {
            self.pass(delivery.sequence, delivery.published_at);
            return None;
        };
        Some(self.take(event, told))
    }

    fn take(&self, event: Event, told: Told) -> bool {
        let cursor = told.cursor;
        let mut picture = self.write();
        picture.passed(cursor.sequence, told.published_at);
        let taken = take(&mut picture, event, told);
        for told in &taken.tell {
            self.tell(News::Told(told));
        }
        drop(picture);
        self.0.position.send_replace(cursor);
        taken.newer
    }

    /// Passes over a message that cannot be read.
    fn pass(&self, sequence: u64, published_at: Timestamp) {
        self.write().passed(sequence, published_at);
    }

    /// Tells that an account's connections are others; `None`: all may be.
    pub(crate) fn connections_changed(&self, account: Option<AccountId>) {
        self.tell(News::Connections(account));
    }

    fn tell(&self, news: News<'_>) {
        if let Some(watch) = &self.0.watch {
            watch.told(news);
        }
    }

    /// From now on something may be missing.
    pub(crate) fn statuses_lost(&self) {
        self.progress(|progress| progress.statuses = false);
        self.tell(News::Lost);
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

/// Takes an event into a picture.
pub(crate) fn take(picture: &mut Picture, event: Event, told: Told) -> Taken {
    match event {
        Event::Server(StatusEvent::Status(status)) => {
            picture.take_server(ServerId(status.server_id), Some(status), told)
        }
        Event::Server(StatusEvent::Deleted(tombstone)) => {
            picture.take_server(ServerId(tombstone.server_id), None, told)
        }
        Event::Toolbox(event) => {
            let id = ToolboxId(event.toolbox_id);
            let is = told.fate == Fate::Is;
            picture.take_toolbox(id, is.then_some(event), told)
        }
    }
}
