//! What waits for one connection: of each topic at most the newest event, whatever happens and however slow it reads.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use access::Viewer;
use domain::AccountId;
use live::{Told, Topic};
use tokio::sync::Notify;
use uuid::Uuid;
use wire::stream::ResetReason;

/// One connection, as those see it who have something for it.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) id: u64,
    pub(crate) viewer: Viewer,
    /// Woken when there is something.
    pub(crate) wake: Notify,
    inbox: Mutex<Inbox>,
}

/// What waits.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    pending: Pending,
    marks: Vec<Mark>,
    /// Subscribed to all, which its own servers come by.
    pub(crate) all: bool,
    /// How many servers it is subscribed to by name.
    pub(crate) named: usize,
    /// The source is away.
    pub(crate) stale: bool,
    /// What was told is no longer true.
    pub(crate) reset: Option<ResetReason>,
    /// What may be seen may be something else now.
    pub(crate) recheck: bool,
}

/// What is to be said once everything up to `at` has been told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) at: u64,
    pub(crate) what: Milestone,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Milestone {
    /// All of a subscription; of a resumed one with all there is to see.
    Present(Option<Vec<Uuid>>),
    /// All that changed while the source was away.
    Current,
}

/// The next of what waits.
#[derive(Debug)]
pub(crate) enum Next {
    Told(Arc<Told>),
    Mark(Mark),
}

/// The newest event of each topic, in the order of the stream. In that order they are told, so that whoever was told one
/// has been told all before it; one that is overtaken moves back, and goes on being one.
#[derive(Debug, Default)]
struct Pending {
    in_order: BTreeMap<(u64, Topic), Arc<Told>>,
    of: HashMap<Topic, u64>,
}

impl Reader {
    pub(crate) fn new(id: u64, viewer: Viewer) -> Self {
        Self {
            id,
            viewer,
            wake: Notify::new(),
            inbox: Mutex::default(),
        }
    }

    /// What waits. Held briefly, and no other lock is taken meanwhile.
    pub(crate) fn inbox(&self) -> MutexGuard<'_, Inbox> {
        // Every change leaves it whole, so a panic elsewhere while it was held does not spoil it.
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what an account owns comes to it by its subscription to all.
    fn owns(&self, account: AccountId) -> bool {
        self.viewer == Viewer::All || self.viewer == Viewer::Account(account)
    }

    /// Takes an event for a subscription to all. `true`: it took the place of an older one.
    pub(crate) fn push(&self, told: &Arc<Told>) -> bool {
        let coalesced = self.inbox().put(told);
        self.wake.notify_one();
        coalesced
    }

    /// Takes an event for a subscription by name, unless it comes by the other one.
    pub(crate) fn push_named(&self, told: &Arc<Told>) -> bool {
        let mut inbox = self.inbox();
        if inbox.all && self.owns(told.account) {
            return false;
        }
        let coalesced = inbox.put(told);
        drop(inbox);
        self.wake.notify_one();
        coalesced
    }

    /// Changes something else that its connection must see to.
    pub(crate) fn note(&self, change: impl FnOnce(&mut Inbox)) {
        change(&mut self.inbox());
        self.wake.notify_one();
    }
}

impl Inbox {
    /// Takes an event in. `true`: it took the place of an older one.
    pub(crate) fn put(&mut self, told: &Arc<Told>) -> bool {
        let sequence = told.cursor.sequence;
        let overtaken = match self.pending.of.get(&told.topic) {
            Some(waiting) if *waiting >= sequence => return false,
            waiting => waiting.copied(),
        };
        if let Some(overtaken) = overtaken {
            self.pending.in_order.remove(&(overtaken, told.topic));
            // What was to be told before a mark still is.
            for mark in self.marks.iter_mut().filter(|mark| mark.at >= overtaken) {
                mark.at = mark.at.max(sequence);
            }
        }
        self.pending
            .in_order
            .insert((sequence, told.topic), Arc::clone(told));
        self.pending.of.insert(told.topic, sequence);
        overtaken.is_some()
    }

    pub(crate) fn mark(&mut self, mark: Mark) {
        self.marks.push(mark);
    }

    pub(crate) fn marks(&self) -> usize {
        self.marks.len()
    }

    /// The source went away again before its return was told.
    pub(crate) fn is_stale(&mut self) {
        self.stale = true;
        self.marks.retain(|mark| mark.what != Milestone::Current);
    }

    /// Everything is to be told anew.
    pub(crate) fn begin_anew(&mut self, reason: ResetReason) {
        self.pending = Pending::default();
        self.marks = Vec::new();
        self.stale = false;
        self.reset = Some(reason);
    }

    /// Keeps only topics that `keep` says.
    pub(crate) fn retain(&mut self, keep: impl Fn(Topic) -> bool) {
        self.pending.in_order.retain(|(_, topic), _| keep(*topic));
        self.pending.of.retain(|topic, _| keep(*topic));
    }

    /// How many events wait.
    pub(crate) fn pending(&self) -> usize {
        self.pending.in_order.len()
    }

    /// Takes out what is next, at most `most` of it.
    pub(crate) fn take(&mut self, most: usize) -> Vec<Next> {
        let mut taken = Vec::new();
        while taken.len() < most {
            let first = self.pending.in_order.first_key_value();
            let next = first.map_or(u64::MAX, |((sequence, _), _)| *sequence);
            let due = self
                .marks
                .iter()
                .position(|mark| mark.at < next || first.is_none());
            if let Some(due) = due {
                taken.push(Next::Mark(self.marks.remove(due)));
                continue;
            }
            let Some(((_, topic), told)) = self.pending.in_order.pop_first() else {
                // Room that a storm took is given back.
                *self = Self {
                    pending: Pending::default(),
                    marks: Vec::new(),
                    ..*self
                };
                break;
            };
            self.pending.of.remove(&topic);
            taken.push(Next::Told(told));
        }
        taken
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.pending.in_order.is_empty() && self.marks.is_empty() && self.reset.is_none() && !self.recheck
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use bytes::Bytes;
    use domain::ServerId;
    use jiff::Timestamp;
    use live::Fate;
    use wire::Cursor;

    use super::*;

    pub(crate) fn told(server: u128, sequence: u64) -> Arc<Told> {
        Arc::new(Told {
            topic: Topic::Server(ServerId(Uuid::from_u128(server))),
            account: AccountId(Uuid::from_u128(1)),
            version: sequence,
            cursor: Cursor { epoch: 1, sequence },
            fate: Fate::Is,
            elsewhere: false,
            changed_at: Timestamp::UNIX_EPOCH,
            observed_at: None,
            published_at: Timestamp::UNIX_EPOCH,
            message: Bytes::new(),
        })
    }

    fn shown(taken: Vec<Next>) -> Vec<String> {
        let show = |next| match next {
            Next::Told(told) => format!("{}", told.cursor.sequence),
            Next::Mark(mark) => format!("present {}", mark.at),
        };
        taken.into_iter().map(show).collect()
    }

    fn present(at: u64) -> Mark {
        Mark {
            at,
            what: Milestone::Present(None),
        }
    }

    #[test]
    fn of_each_topic_the_newest_waits_in_the_order_of_the_stream() {
        let mut inbox = Inbox::default();
        assert!(!inbox.put(&told(1, 10)));
        assert!(!inbox.put(&told(2, 11)));
        assert!(inbox.put(&told(1, 12)));
        assert!(!inbox.put(&told(1, 12)), "the same again");
        assert!(!inbox.put(&told(2, 9)), "an older one");
        assert_eq!(inbox.pending(), 2);
        assert_eq!(shown(inbox.take(1)), ["11"]);
        assert_eq!(shown(inbox.take(9)), ["12"]);
        assert!(inbox.is_empty());
        assert_eq!(inbox.pending.of.capacity(), 0, "room is given back");
    }

    #[test]
    fn a_mark_comes_after_all_that_was_there_also_when_that_was_overtaken() {
        let mut inbox = Inbox::default();
        inbox.put(&told(1, 3));
        inbox.put(&told(2, 5));
        inbox.mark(present(7));
        inbox.put(&told(3, 8));
        inbox.put(&told(1, 9));
        assert_eq!(shown(inbox.take(9)), ["5", "8", "9", "present 9"]);
        inbox.mark(present(7));
        inbox.put(&told(3, 8));
        assert_eq!(shown(inbox.take(9)), ["present 7", "8"]);
    }

    #[test]
    fn what_is_no_longer_wanted_goes_and_marks_stay() {
        let mut inbox = Inbox::default();
        inbox.put(&told(1, 3));
        inbox.put(&told(2, 5));
        inbox.mark(present(7));
        let one = Topic::Server(ServerId(Uuid::from_u128(1)));
        inbox.retain(|topic| topic != one);
        assert_eq!(shown(inbox.take(9)), ["5", "present 7"]);
    }
}
