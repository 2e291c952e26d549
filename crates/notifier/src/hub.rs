//! Who wants to be told what. A change costs its readers, and nobody else.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use access::Viewer;
use domain::{AccountId, ServerId};
use live::{News, Told, Topic, Watch};
use tracing::Span;

use crate::metrics::Metrics;
use crate::reader::{Mark, Milestone, Reader};

/// All open connections. Cheap to clone; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Hub(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    index: Mutex<Index>,
    ids: AtomicU64,
    metrics: Metrics,
}

/// How much waits for one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Events that wait.
    pub pending: usize,
    /// Servers it is subscribed to by name.
    pub named: usize,
    /// Whether it is subscribed to all.
    pub all: bool,
}

type Readers = Vec<Arc<Reader>>;

/// By what each connection is found.
#[derive(Debug, Default)]
pub(crate) struct Index {
    readers: HashMap<u64, Arc<Reader>>,
    of_account: HashMap<AccountId, Readers>,
    named: HashMap<ServerId, Readers>,
    all: HashMap<Viewer, Readers>,
    toolboxes: HashMap<Viewer, Readers>,
    stale: bool,
}

impl Hub {
    /// What waits for each connection at this moment.
    pub fn waiting(&self) -> Vec<Waiting> {
        let index = self.lock();
        let waiting = index.readers.values().map(|reader| {
            let inbox = reader.inbox();
            Waiting {
                pending: inbox.pending(),
                named: inbox.named,
                all: inbox.all,
            }
        });
        waiting.collect()
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// A new connection, subscribed to nothing.
    pub(crate) fn join(&self, viewer: Viewer) -> Arc<Reader> {
        let reader = Arc::new(Reader::new(self.0.ids.fetch_add(1, Ordering::Relaxed), viewer));
        let mut index = self.lock();
        reader.inbox().stale = index.stale;
        index.readers.insert(reader.id, Arc::clone(&reader));
        if let Viewer::Account(account) = viewer {
            add(&mut index.of_account, account, &reader);
        }
        reader
    }

    /// Has subscriptions changed. Held briefly.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Index) -> T) -> T {
        change(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        // Every change leaves it whole, so a panic elsewhere while it was held does not spoil it.
        self.0.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    pub(crate) fn name(&mut self, server: ServerId, reader: &Arc<Reader>) {
        add(&mut self.named, server, reader);
    }

    pub(crate) fn unname(&mut self, server: ServerId, reader: &Arc<Reader>) {
        take(&mut self.named, &server, reader);
    }

    pub(crate) fn all(&mut self, reader: &Arc<Reader>) {
        add(&mut self.all, reader.viewer, reader);
    }

    pub(crate) fn not_all(&mut self, reader: &Arc<Reader>) {
        take(&mut self.all, &reader.viewer, reader);
    }

    pub(crate) fn toolboxes(&mut self, reader: &Arc<Reader>) {
        add(&mut self.toolboxes, reader.viewer, reader);
    }

    pub(crate) fn no_toolboxes(&mut self, reader: &Arc<Reader>) {
        take(&mut self.toolboxes, &reader.viewer, reader);
    }

    /// Forgets a connection that is subscribed to nothing by name any more.
    pub(crate) fn leave(&mut self, reader: &Arc<Reader>) {
        self.not_all(reader);
        self.no_toolboxes(reader);
        if let Viewer::Account(account) = reader.viewer {
            take(&mut self.of_account, &account, reader);
        }
        self.readers.remove(&reader.id);
    }

    /// Hands an event to all whom it concerns; how many older ones it took the place of.
    fn hand_out(&self, told: &Arc<Told>) -> u64 {
        let mut readers = 0_i64;
        let owner = Viewer::Account(told.account);
        let (by_kind, named) = match told.topic {
            Topic::Server(server) => (&self.all, self.named.get(&server)),
            Topic::Toolbox(_) => (&self.toolboxes, None),
        };
        let mut coalesced = 0;
        let of = |viewer| by_kind.get(&viewer).into_iter().flatten();
        for reader in of(owner) {
            readers += 1;
            coalesced += u64::from(reader.push(told));
        }
        // What goes on elsewhere is the end of it only for its former owner.
        if !told.elsewhere {
            for reader in of(Viewer::All) {
                readers += 1;
                coalesced += u64::from(reader.push(told));
            }
            for reader in named.into_iter().flatten() {
                readers += 1;
                coalesced += u64::from(reader.push_named(told));
            }
        }
        Span::current().record("deliver.readers", readers);
        coalesced
    }
}

impl Watch for Hub {
    fn told(&self, news: News<'_>) {
        let mut index = self.lock();
        match news {
            News::Told(told) => {
                let coalesced = index.hand_out(told);
                self.metrics().coalesced(coalesced);
            }
            News::Lost => {
                index.stale = true;
                for reader in index.readers.values() {
                    reader.note(crate::reader::Inbox::is_stale);
                }
            }
            News::Whole {
                reset,
                changed,
                position,
            } => {
                index.stale = false;
                let coalesced = changed.iter().map(|told| index.hand_out(told)).sum();
                self.metrics().coalesced(coalesced);
                for reader in index.readers.values() {
                    reader.note(|inbox| match reset {
                        Some(reason) => inbox.begin_anew(reason),
                        None if inbox.stale => {
                            inbox.stale = false;
                            inbox.mark(Mark {
                                at: position.sequence,
                                what: Milestone::Current,
                            });
                        }
                        None => {}
                    });
                }
            }
            News::Connections(account) => {
                let of_one = account.map(|account| index.of_account.get(&account));
                let of_all = account.is_none().then_some(index.readers.values());
                let concerned = of_one.into_iter().flatten().flatten();
                for reader in concerned.chain(of_all.into_iter().flatten()) {
                    reader.note(|inbox| inbox.recheck = true);
                }
            }
        }
    }
}

fn add<K: Eq + Hash>(readers: &mut HashMap<K, Readers>, key: K, reader: &Arc<Reader>) {
    readers.entry(key).or_default().push(Arc::clone(reader));
}

fn take<K: Eq + Hash>(readers: &mut HashMap<K, Readers>, key: &K, reader: &Arc<Reader>) {
    let Some(of_key) = readers.get_mut(key) else {
        return;
    };
    if let Some(place) = of_key.iter().position(|it| it.id == reader.id) {
        of_key.swap_remove(place);
    }
    if of_key.is_empty() {
        readers.remove(key);
    }
}
