//! One picture of the present: the newest of everything, whose it is, and what has lately gone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use access::Viewer;
use domain::{AccountId, ServerId, ToolboxId};
use jiff::Timestamp;
use wire::stream::ResetReason;
use wire::{Cursor, ServerStatus, ToolboxEvent};

use crate::departed::Departed;
use crate::reach::Reach;
use crate::told::{Fate, Told, Topic};

/// The newest of everything.
#[derive(Debug, Default)]
pub struct Picture {
    pub(crate) servers: BTreeMap<ServerId, Known<ServerStatus>>,
    pub(crate) servers_of: HashMap<AccountId, BTreeSet<ServerId>>,
    pub(crate) toolboxes: BTreeMap<ToolboxId, Known<ToolboxEvent>>,
    pub(crate) toolboxes_of: HashMap<AccountId, BTreeSet<ToolboxId>>,
    pub(crate) departed: Departed,
    pub(crate) position: Option<Cursor>,
    pub(crate) reach: Reach,
    /// When the newest message of it was published.
    published_at: Timestamp,
}

/// The newest event of something, as it is read and as it is told.
#[derive(Debug, Clone)]
pub(crate) struct Known<E> {
    pub(crate) event: Arc<E>,
    pub(crate) told: Arc<Told>,
}

/// What an event changed.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// It was newer than what was known of its topic.
    pub(crate) newer: bool,
    /// What is to be told, in this order.
    pub(crate) tell: Vec<Arc<Told>>,
}

/// What is kept of each kind of topic.
struct Shelf<'a, K, E> {
    known: &'a mut BTreeMap<K, Known<E>>,
    of: &'a mut HashMap<AccountId, BTreeSet<K>>,
    departed: &'a mut Departed,
    reach: &'a mut Reach,
}

impl Picture {
    /// A picture that is begun when the stream stands at `position`.
    pub(crate) fn begun(position: Cursor) -> Self {
        Self {
            position: Some(position),
            ..Self::default()
        }
    }

    /// Everything of the stream up to here is in it.
    pub fn position(&self) -> Cursor {
        self.position.unwrap_or(Cursor {
            epoch: 0,
            sequence: 0,
        })
    }

    /// Whether everything is known here that happened after `cursor`.
    ///
    /// # Errors
    /// Why not.
    pub fn covers(&self, cursor: Cursor, now: Timestamp) -> Result<(), ResetReason> {
        self.reach.covers(cursor, self.position(), now)
    }

    /// A server's newest status.
    pub fn server(&self, id: ServerId) -> Option<&Arc<Told>> {
        self.servers.get(&id).map(|known| &known.told)
    }

    /// Its end, as an account that owned it was told, while that is remembered.
    pub fn departed(&self, account: AccountId, topic: Topic) -> Option<&Arc<Told>> {
        self.departed.get(account, topic)
    }

    /// The end of what is nobody's any more, while that is remembered.
    pub fn end_of(&self, topic: Topic) -> Option<&Arc<Told>> {
        if self.has(topic) {
            None
        } else {
            self.departed.last_of(topic)
        }
    }

    /// Servers that a viewer owns; all for who sees all.
    pub fn servers_of(&self, viewer: Viewer) -> impl Iterator<Item = &Arc<Told>> {
        let (all, own) = match viewer {
            Viewer::All => (Some(self.servers.values()), None),
            Viewer::Account(account) => (None, self.servers_of.get(&account)),
        };
        let own = own.into_iter().flatten().filter_map(|id| self.servers.get(id));
        all.into_iter().flatten().chain(own).map(|known| &known.told)
    }

    /// Toolboxes that a viewer owns; all for who sees all.
    pub fn toolboxes_of(&self, viewer: Viewer) -> impl Iterator<Item = &Arc<Told>> {
        let (all, own) = match viewer {
            Viewer::All => (Some(self.toolboxes.values()), None),
            Viewer::Account(account) => (None, self.toolboxes_of.get(&account)),
        };
        let own = own.into_iter().flatten().filter_map(|id| self.toolboxes.get(id));
        all.into_iter().flatten().chain(own).map(|known| &known.told)
    }

    /// What a viewer owned and what went after `sequence`, in that order. Who sees all is not told of what goes on
    /// elsewhere.
    pub fn departed_of(&self, viewer: Viewer, sequence: u64) -> impl Iterator<Item = &Arc<Told>> {
        self.departed.after(sequence).filter(move |told| match viewer {
            Viewer::All => !told.elsewhere && !self.has(told.topic),
            Viewer::Account(account) => told.account == account,
        })
    }

    fn has(&self, topic: Topic) -> bool {
        match topic {
            Topic::Server(id) => self.servers.contains_key(&id),
            Topic::Toolbox(id) => self.toolboxes.contains_key(&id),
        }
    }

    /// The newest of everything, as it is told.
    fn tolds(&self) -> impl Iterator<Item = &Arc<Told>> {
        let servers = self.servers.values().map(|known| &known.told);
        servers.chain(self.toolboxes.values().map(|known| &known.told))
    }

    /// A message of the stream was read, whatever is in it.
    pub(crate) fn passed(&mut self, sequence: u64, published_at: Timestamp) {
        self.reach.saw(sequence, published_at);
        self.published_at = self.published_at.max(published_at);
        if let Some(position) = &mut self.position {
            position.sequence = position.sequence.max(sequence);
        }
    }

    /// Takes in what happened to a server; `None`: it is gone.
    pub(crate) fn take_server(&mut self, id: ServerId, status: Option<ServerStatus>, told: Told) -> Taken {
        let shelf = Shelf {
            known: &mut self.servers,
            of: &mut self.servers_of,
            departed: &mut self.departed,
            reach: &mut self.reach,
        };
        shelf.take(id, status, told)
    }

    /// Takes in what happened to a toolbox; `None`: it is gone.
    pub(crate) fn take_toolbox(&mut self, id: ToolboxId, event: Option<ToolboxEvent>, told: Told) -> Taken {
        let shelf = Shelf {
            known: &mut self.toolboxes,
            of: &mut self.toolboxes_of,
            departed: &mut self.departed,
            reach: &mut self.reach,
        };
        shelf.take(id, event, told)
    }

    /// What is to be told to who knows `before`, a picture of the same stream, in the order of the stream.
    pub(crate) fn changed_since(&mut self, before: &Self) -> Vec<Arc<Told>> {
        self.reach.remember(&before.reach);
        let position = self.position();
        let mut vanished = Vec::new();
        for told in before.tolds() {
            let now = match told.topic {
                Topic::Server(id) => self.servers.get(&id).map(|known| &known.told),
                Topic::Toolbox(id) => self.toolboxes.get(&id).map(|known| &known.told),
            };
            let is_here = now.is_some_and(|now| now.account == told.account);
            if !is_here && self.departed.get(told.account, told.topic).is_none() {
                vanished.push(Arc::new(told.forgotten(
                    position,
                    self.published_at,
                    now.is_some(),
                )));
            }
        }
        for told in vanished {
            self.departed.put(told, &mut self.reach);
        }
        let same = |a: Option<&Arc<Told>>, b: &Arc<Told>| a.is_some_and(|a| a.cursor == b.cursor);
        let news = self.tolds().filter(|told| match told.topic {
            Topic::Server(id) => !same(before.server(id), told),
            Topic::Toolbox(id) => !same(before.toolboxes.get(&id).map(|known| &known.told), told),
        });
        let gone = self.departed.after(0);
        let gone = gone.filter(|told| !same(before.departed.get(told.account, told.topic), told));
        let gone = gone.map(|told| {
            // Announced before it was told where it went.
            if self.has(told.topic) && !told.elsewhere {
                Arc::new(told.as_elsewhere())
            } else {
                Arc::clone(told)
            }
        });
        let mut changed: Vec<_> = news.cloned().chain(gone).collect();
        changed.sort_unstable_by_key(|told| (told.cursor, told.topic));
        changed
    }
}

impl<K: Ord + Copy, E> Shelf<'_, K, E> {
    /// Of one topic the newest event counts, by version. Within a subject events come in order; of something that moved
    /// to another account the end of the old one is the older of the two, and still news to who owned it.
    fn take(self, id: K, event: Option<E>, told: Told) -> Taken {
        let known = self.known.get(&id).map(|known| Arc::clone(&known.told));
        let moved = known.as_ref().filter(|known| known.account != told.account);
        if known.as_ref().is_some_and(|known| known.version >= told.version) {
            let mut tell = Vec::new();
            if moved.is_some() && told.fate != Fate::Is {
                let told = Arc::new(Told {
                    elsewhere: true,
                    ..told
                });
                if self.departed.put(Arc::clone(&told), self.reach) {
                    tell.push(told);
                }
            }
            return Taken { newer: false, tell };
        }
        let mut tell = Vec::new();
        if let Some(moved) = moved {
            // Should its end never be announced.
            let end = moved.forgotten(told.cursor, told.published_at, told.fate == Fate::Is);
            let end = Arc::new(end);
            if self.departed.put(Arc::clone(&end), self.reach) {
                tell.push(end);
            }
        }
        if let Some(known) = known {
            leave(self.of, known.account, &id);
        }
        let told = Arc::new(told);
        match event {
            Some(event) => {
                self.departed.remove(told.account, told.topic);
                self.of.entry(told.account).or_default().insert(id);
                let known = Known {
                    event: Arc::new(event),
                    told: Arc::clone(&told),
                };
                self.known.insert(id, known);
            }
            None => {
                self.known.remove(&id);
                self.departed.put(Arc::clone(&told), self.reach);
            }
        }
        tell.push(told);
        Taken { newer: true, tell }
    }
}

fn leave<T: Ord>(of: &mut HashMap<AccountId, BTreeSet<T>>, account: AccountId, id: &T) {
    if let Some(ids) = of.get_mut(&account) {
        ids.remove(id);
        if ids.is_empty() {
            of.remove(&account);
        }
    }
}

#[cfg(test)]
mod tests;
