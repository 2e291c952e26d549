//! At most one poll of a toolbox at a time in this process, and at most one more waiting.
//!
//! A poll that is due while another is under way has its answer when that one is done. A refresh that somebody asked
//! for does not: the poll under way may have begun before what they want to see, so one more follows, for all who
//! ask meanwhile together.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use domain::ToolboxId;
use tokio::sync::oneshot;

/// Who polls, and who waits to. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns {
    /// One entry a poll under way, with the one that waits for its end.
    under_way: Arc<Mutex<HashMap<ToolboxId, Option<oneshot::Sender<Turn>>>>>,
}

/// The right to poll a toolbox, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Turns,
    toolbox: ToolboxId,
}

/// What there is to do about a due poll.
#[derive(Debug)]
pub(super) enum Begin {
    /// Poll.
    Now(Turn),
    /// Wait for the poll under way to end, then poll.
    After(oneshot::Receiver<Turn>),
    /// Nothing: another poll answers this one.
    Coalesced,
}

impl Turns {
    /// `refresh`: somebody wants an observation that begins after now.
    pub(super) fn begin(&self, toolbox: ToolboxId, refresh: bool) -> Begin {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        match under_way.entry(toolbox) {
            Entry::Vacant(vacant) => {
                vacant.insert(None);
                Begin::Now(Turn {
                    turns: self.clone(),
                    toolbox,
                })
            }
            Entry::Occupied(mut occupied) => {
                let waiting = occupied
                    .get()
                    .as_ref()
                    .is_some_and(|waiting| !waiting.is_closed());
                if !refresh || waiting {
                    return Begin::Coalesced;
                }
                let (next, turn) = oneshot::channel();
                occupied.insert(Some(next));
                Begin::After(turn)
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut under_way = self
            .turns
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let next = match under_way.get_mut(&self.toolbox) {
            Some(waiting) => waiting.take(),
            None => None,
        };
        if next.is_none() {
            under_way.remove(&self.toolbox);
        }
        drop(under_way);
        if let Some(next) = next {
            // One that waits no longer gives the turn back, and its end comes here again.
            drop(next.send(Turn {
                turns: self.turns.clone(),
                toolbox: self.toolbox,
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const ONE: ToolboxId = ToolboxId(Uuid::from_u128(1));
    const TWO: ToolboxId = ToolboxId(Uuid::from_u128(2));

    fn now(begin: Begin) -> Turn {
        match begin {
            Begin::Now(turn) => turn,
            other => panic!("expected a turn, got {other:?}"),
        }
    }

    fn after(begin: Begin) -> oneshot::Receiver<Turn> {
        match begin {
            Begin::After(turn) => turn,
            other => panic!("expected to wait, got {other:?}"),
        }
    }

    #[test]
    fn toolboxes_do_not_wait_for_each_other() {
        let turns = Turns::default();
        let _one = now(turns.begin(ONE, false));
        let _two = now(turns.begin(TWO, false));
    }

    #[test]
    fn a_due_poll_is_answered_by_the_one_under_way() {
        let turns = Turns::default();
        let first = now(turns.begin(ONE, false));
        assert!(matches!(turns.begin(ONE, false), Begin::Coalesced));
        drop(first);
        now(turns.begin(ONE, false));
    }

    #[test]
    fn several_refreshes_are_one_more_poll() {
        let turns = Turns::default();
        let first = now(turns.begin(ONE, false));
        let mut second = after(turns.begin(ONE, true));
        assert!(matches!(turns.begin(ONE, true), Begin::Coalesced));
        assert!(second.try_recv().is_err(), "the first poll is under way");
        drop(first);
        let second = second.try_recv().unwrap();
        let third = after(turns.begin(ONE, true));
        drop(second);
        drop(third.blocking_recv().unwrap());
        assert!(turns.under_way.lock().unwrap().is_empty());
    }

    #[test]
    fn one_that_waits_no_longer_is_in_nobody_s_way() {
        let turns = Turns::default();
        let first = now(turns.begin(ONE, false));
        drop(after(turns.begin(ONE, true)));
        let second = after(turns.begin(ONE, true));
        drop(second);
        drop(first);
        now(turns.begin(ONE, false));
        assert!(turns.under_way.lock().unwrap().is_empty());
    }
}
