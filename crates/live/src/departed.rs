//! What has lately gone, per account that owned it, in the order of the stream.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::{AccountId, ServerId};
use jiff::SignedDuration;
use wire::streams::TOMBSTONE_TTL;

use crate::reach::Reach;
use crate::told::{Told, Topic};

/// Most that are remembered, at half a kilobyte each: of more, the oldest go, and who was away for so long begins anew.
const MOST: usize = 100_000;

#[derive(Debug, Default)]
pub(crate) struct Departed {
    by_topic: BTreeMap<(Topic, AccountId), Arc<Told>>,
    in_order: BTreeSet<(u64, Topic, AccountId)>,
}

impl Departed {
    pub(crate) fn get(&self, account: AccountId, topic: Topic) -> Option<&Arc<Told>> {
        self.by_topic.get(&(topic, account))
    }

    /// The newest end of a topic, whoever owned it.
    pub(crate) fn last_of(&self, topic: Topic) -> Option<&Arc<Told>> {
        let (first, last) = (AccountId(uuid::Uuid::nil()), AccountId(uuid::Uuid::max()));
        let of_topic = self.by_topic.range((topic, first)..=(topic, last));
        of_topic.map(|(_, told)| told).max_by_key(|told| told.cursor)
    }

    /// What went after `sequence`.
    pub(crate) fn after(&self, sequence: u64) -> impl Iterator<Item = &Arc<Told>> {
        let nil = uuid::Uuid::nil();
        // Sorts before everything of its sequence.
        let from = (
            sequence.saturating_add(1),
            Topic::Server(ServerId(nil)),
            AccountId(nil),
        );
        let range = self.in_order.range(from..);
        range.filter_map(|(_, topic, account)| self.by_topic.get(&(*topic, *account)))
    }

    /// Remembers one. `false`: as much or more is known.
    pub(crate) fn put(&mut self, told: Arc<Told>, reach: &mut Reach) -> bool {
        let key = (told.topic, told.account);
        let known = self.by_topic.get(&key);
        if known.is_some_and(|known| known.cursor >= told.cursor || known.version > told.version) {
            return false;
        }
        self.remove(told.account, told.topic);
        self.in_order
            .insert((told.cursor.sequence, told.topic, told.account));
        let now = told.published_at;
        self.by_topic.insert(key, told);
        let life = SignedDuration::try_from(TOMBSTONE_TTL).unwrap_or(SignedDuration::MAX);
        while let Some(&(sequence, topic, account)) = self.in_order.first() {
            let over = self.by_topic.len() > MOST;
            let old = self
                .by_topic
                .get(&(topic, account))
                .is_none_or(|told| now.duration_since(told.published_at) > life);
            if !over && !old {
                break;
            }
            self.in_order.pop_first();
            self.by_topic.remove(&(topic, account));
            reach.dropped(sequence);
        }
        true
    }

    pub(crate) fn remove(&mut self, account: AccountId, topic: Topic) {
        if let Some(told) = self.by_topic.remove(&(topic, account)) {
            self.in_order.remove(&(told.cursor.sequence, topic, account));
        }
    }
}
