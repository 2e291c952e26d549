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
mod tests {
    use bytes::Bytes;
    use jiff::Timestamp;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn told(topic: Topic, account: u128, version: u64, sequence: u64, fate: Fate) -> Told {
        Told {
            topic,
            account: AccountId(Uuid::from_u128(account)),
            version,
            cursor: Cursor { epoch: 1, sequence },
            fate,
            elsewhere: false,
            changed_at: Timestamp::UNIX_EPOCH,
            published_at: Timestamp::UNIX_EPOCH,
            message: Bytes::new(),
        }
    }

    fn status(server: u128, account: u128, version: u64) -> ServerStatus {
        ServerStatus {
            server_id: Uuid::from_u128(server),
            toolbox_id: Uuid::from_u128(7),
            account_id: Uuid::from_u128(account),
            name: "mcp".to_owned(),
            version,
            state: "running".to_owned(),
            health: "healthy".to_owned(),
            uptime: None,
            last_started: None,
            last_error: None,
            status_on_toolbox: "running".to_owned(),
            container_id: None,
            as_of: None,
            changed_at: Timestamp::UNIX_EPOCH,
            previous: None,
            cause: None,
            monitored: true,
            command: None,
            override_until: None,
        }
    }

    fn server(id: u128) -> ServerId {
        ServerId(Uuid::from_u128(id))
    }

    /// Takes in a status or an end.
    fn take(
        picture: &mut Picture,
        id: u128,
        account: u128,
        version: u64,
        sequence: u64,
        gone: bool,
    ) -> Taken {
        let fate = if gone { Fate::Deleted } else { Fate::Is };
        let told = told(Topic::Server(server(id)), account, version, sequence, fate);
        picture.passed(sequence, Timestamp::UNIX_EPOCH);
        picture.take_server(server(id), (!gone).then(|| status(id, account, version)), told)
    }

    fn picture() -> Picture {
        Picture::begun(Cursor {
            epoch: 1,
            sequence: 0,
        })
    }

    /// What each account's owner holds who is told everything that concerns him.
    type Held = BTreeMap<(AccountId, Topic), u64>;

    fn hear(held: &mut Held, tolds: &[Arc<Told>]) {
        for told in tolds {
            match told.fate {
                Fate::Is => held.insert((told.account, told.topic), told.version),
                Fate::Deleted | Fate::Forgotten => held.remove(&(told.account, told.topic)),
            };
        }
    }

    fn owned(picture: &Picture) -> Held {
        let known = picture.servers.iter();
        known
            .map(|(id, known)| ((known.told.account, Topic::Server(*id)), known.told.version))
            .collect()
    }

    proptest! {
        #[test]
        fn the_newest_counts_and_whoever_is_told_or_resumes_holds_what_is(
            events in proptest::collection::vec((0..4_u128, 0..3_u128, 1..6_u64, any::<bool>()), 0..60),
            resume_at in 0..60_u64,
        ) {
            let mut picture = picture();
            let (mut held, mut resumed) = (Held::new(), Held::new());
            for (sequence, (id, account, version, gone)) in (1..).zip(events) {
                let before = picture.servers.get(&server(id)).map(|known| known.told.version);
                let taken = take(&mut picture, id, account, version, sequence, gone);
                prop_assert_eq!(taken.newer, before.is_none_or(|before| before < version));
                let now = picture.servers.get(&server(id)).map(|known| known.told.version);
                prop_assert_eq!(now, match (taken.newer, gone) {
                    (true, true) => None,
                    (true, false) => Some(version),
                    (false, _) => before,
                });
                let mut index = HashMap::<AccountId, BTreeSet<ServerId>>::new();
                for (id, known) in &picture.servers {
                    index.entry(known.told.account).or_default().insert(*id);
                }
                prop_assert_eq!(&index, &picture.servers_of);
                hear(&mut held, &taken.tell);
                prop_assert_eq!(&held, &owned(&picture));
                if sequence == resume_at {
                    resumed = held.clone();
                }
            }
            // Away since then: the newest of everything that changed, and what went.
            let mut missed: Vec<_> = picture.tolds().chain(picture.departed.after(0)).cloned().collect();
            missed.retain(|told| told.cursor.sequence > resume_at);
            missed.sort_unstable_by_key(|told| told.cursor);
            hear(&mut resumed, &missed);
            if resume_at <= picture.position().sequence {
                prop_assert_eq!(&resumed, &owned(&picture));
            }
        }

        #[test]
        fn a_picture_that_is_painted_anew_tells_what_has_changed(
            events in proptest::collection::vec((0..4_u128, 0..3_u128, any::<bool>()), 0..40),
            lost_at in 0..40_usize,
            forgets in any::<bool>(),
        ) {
            let mut before = picture();
            let mut last = BTreeMap::new();
            let mut versions = HashMap::new();
            for (place, (id, account, gone)) in events.iter().enumerate() {
                let version: &mut u64 = versions.entry(*id).or_default();
                *version += 1;
                let sequence = place as u64 + 1;
                last.insert((*account, *id), (sequence, *version, *gone));
                if place < lost_at {
                    take(&mut before, *id, *account, *version, sequence, *gone);
                }
            }
            let mut held = owned(&before);
            // The stream says where it stands, whatever is left in it.
            let mut anew = Picture::begun(Cursor { epoch: 1, sequence: events.len() as u64 });
            let mut last: Vec<_> = last.into_iter().collect();
            last.sort_unstable_by_key(|(_, (sequence, ..))| *sequence);
            for ((account, id), (sequence, version, gone)) in last {
                // Tombstones may have run out, and whole subjects been purged.
                if forgets && (gone || id == 0) {
                    continue;
                }
                take(&mut anew, id, account, version, sequence, gone);
            }
            let changed = anew.changed_since(&before);
            hear(&mut held, &changed);
            prop_assert_eq!(held, owned(&anew));
        }
    }

    #[test]
    fn a_toolbox_that_is_unseen_is_gone() {
        let id = ToolboxId(Uuid::from_u128(7));
        let event = |version| ToolboxEvent {
            toolbox_id: id.0,
            account_id: Uuid::from_u128(1),
            name: "box".to_owned(),
            version,
            status: "active".to_owned(),
            problem: None,
            agent_version: None,
            last_heartbeat: None,
            changed_at: Timestamp::UNIX_EPOCH,
        };
        let mut picture = picture();
        let of = |version, fate| told(Topic::Toolbox(id), 1, version, version, fate);
        assert!(picture.take_toolbox(id, Some(event(2)), of(2, Fate::Is)).newer);
        assert!(!picture.take_toolbox(id, None, of(2, Fate::Deleted)).newer);
        assert_eq!(picture.toolboxes.len(), 1);
        assert!(picture.take_toolbox(id, None, of(3, Fate::Deleted)).newer);
        assert!(picture.toolboxes.is_empty() && picture.toolboxes_of.is_empty());
        let owner = Viewer::Account(AccountId(Uuid::from_u128(1)));
        assert_eq!(picture.departed_of(owner, 2).count(), 1);
        assert_eq!(picture.departed_of(owner, 3).count(), 0);
    }
}
