//! How many requests there may be to one endpoint, and whether it is left alone. In the memory of each replica: what waits
//! here has a place in the stream as well.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Mutex as Door;
use uuid::Uuid;

use crate::webhooks::pace::Circuit;

/// Deliveries that wait for one endpoint in memory; more wait in the stream, so that they hold up nobody else's.
const WAITING: usize = 32;

/// The lanes of all endpoints.
#[derive(Debug)]
pub(crate) struct Lanes {
    /// Requests to one endpoint at once.
    width: usize,
    lanes: Mutex<HashMap<Uuid, Arc<Lane>>>,
}

/// The lanes of one endpoint. What is of one server always takes the same one, and they are passed in order.
#[derive(Debug)]
pub(crate) struct Lane {
    doors: Vec<Door<()>>,
    waiting: AtomicUsize,
    circuit: Mutex<Circuit>,
}

/// A place among those who wait for an endpoint, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<Lane>);

impl Lanes {
    pub(crate) fn new(width: usize) -> Self {
        Self {
            width: width.max(1),
            lanes: Mutex::default(),
        }
    }

    /// The lanes of an endpoint.
    pub(crate) fn of(&self, endpoint: Uuid) -> Arc<Lane> {
        let mut lanes = self.lock();
        let lane = lanes.entry(endpoint).or_insert_with(|| {
            Arc::new(Lane {
                doors: (0..self.width).map(|_| Door::new(())).collect(),
                waiting: AtomicUsize::new(0),
                circuit: Mutex::default(),
            })
        });
        Arc::clone(lane)
    }

    /// Forgets an endpoint that is gone.
    pub(crate) fn forget(&self, endpoint: Uuid) {
        self.lock().remove(&endpoint);
    }

    /// How many endpoints are left alone.
    pub(crate) fn open_circuits(&self) -> usize {
        let lanes = self.lock();
        lanes.values().filter(|lane| lane.circuit().is_open()).count()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<Lane>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    /// A place among those who wait; `None`: they are too many.
    pub(crate) fn place(self: &Arc<Self>) -> Option<Place> {
        let most = WAITING + self.doors.len();
        let taken = self
            .waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
                (waiting < most).then_some(waiting + 1)
            });
        taken.ok().map(|_| Place(Arc::clone(self)))
    }

    /// The door that everything about `topic` goes through.
    pub(crate) fn door(&self, topic: Uuid) -> &Door<()> {
        let mut hasher = DefaultHasher::new();
        topic.hash(&mut hasher);
        let doors = u64::try_from(self.doors.len()).unwrap_or(1);
        let at = usize::try_from(hasher.finish() % doors).unwrap_or(0);
        &self.doors[at]
    }

    /// Whether it is left alone.
    pub(crate) fn circuit(&self) -> MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_and_given_back() {
        let lanes = Lanes::new(4);
        let (one, other) = (lanes.of(Uuid::from_u128(1)), lanes.of(Uuid::from_u128(2)));
        let places: Vec<_> = (0..WAITING + 4).map(|_| one.place().unwrap()).collect();
        assert!(one.place().is_none());
        assert!(other.place().is_some(), "that is another's");
        drop(places);
        assert!(one.place().is_some());
        assert!(Arc::ptr_eq(&one, &lanes.of(Uuid::from_u128(1))));
        lanes.forget(Uuid::from_u128(1));
        assert!(!Arc::ptr_eq(&one, &lanes.of(Uuid::from_u128(1))));
    }

    #[test]
    fn what_is_of_one_server_goes_through_one_door() {
        let lanes = Lanes::new(4);
        let lane = lanes.of(Uuid::from_u128(1));
        let door = |topic| std::ptr::from_ref(lane.door(Uuid::from_u128(topic)));
        assert_eq!(door(7), door(7));
        let doors: std::collections::HashSet<_> = (0..100).map(door).collect();
        assert_eq!(doors.len(), 4);
    }
}
