//! One forced poll of a toolbox at a time, however many ask.
//!
//! ```text
//!  ask ─┬─ within --refresh-every of the last ─► joins it
//!       └─ else ─► fires, under an id of toolbox and time: of several replicas one is heard
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bus::Bus;
use domain::ToolboxId;
use jiff::Timestamp;
use uuid::Uuid;

use crate::refusal::{Refusal, Result};

/// The last forced poll of each toolbox.
#[derive(Debug)]
pub(crate) struct Gates {
    every: Duration,
    gates: Mutex<HashMap<ToolboxId, Gate>>,
}

/// When a toolbox was last fired for; held while that is being done.
type Gate = Arc<tokio::sync::Mutex<Option<Timestamp>>>;

/// What became of a request for a poll.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fired {
    /// An observation made after this is what was asked for.
    pub(crate) since: Timestamp,
    /// Somebody else had asked a moment before.
    pub(crate) joined: bool,
}

/// Gates kept before those that are long open are let go.
const MANY: usize = 10_000;

impl Gates {
    pub(crate) fn new(every: Duration) -> Self {
        Self {
            every,
            gates: Mutex::default(),
        }
    }

    /// Has a toolbox polled, or joins who has.
    ///
    /// # Errors
    /// 503 where NATS does not take it.
    pub(crate) async fn fire(
        &self,
        bus: &Bus,
        toolbox: ToolboxId,
        now: impl Fn() -> Timestamp,
    ) -> Result<Fired> {
        let gate = self.gate(toolbox);
        let mut last = gate.lock().await;
        // After the wait for whoever fires just now.
        let at = now();
        if let Some(since) = last.filter(|since| at.duration_since(*since).unsigned_abs() < self.every) {
            return Ok(Fired { since, joined: true });
        }
        let (id, begun) = self.turn(toolbox, at);
        let receipt = bus.schedules().fire_once(toolbox, &id).await.map_err(|error| {
            tracing::warn!(%error, %toolbox, "failed to ask for a poll");
            Refusal::unavailable("NATS is away; ask again later")
        })?;
        // Another replica fired in the same span: at its beginning, at the earliest.
        let since = if receipt.duplicate { begun } else { at };
        *last = Some(since);
        Ok(Fired {
            since,
            joined: receipt.duplicate,
        })
    }

    /// The id that all replicas give to a poll of that toolbox at that time, and when that span began.
    fn turn(&self, toolbox: ToolboxId, at: Timestamp) -> (String, Timestamp) {
        let every = i64::try_from(self.every.as_millis()).unwrap_or(i64::MAX).max(1);
        let number = at.as_millisecond().div_euclid(every);
        let id = Uuid::new_v5(&toolbox.0, format!("refresh {every} {number}").as_bytes());
        let begun = Timestamp::from_millisecond(number.saturating_mul(every)).unwrap_or(at);
        (id.to_string(), begun)
    }

    fn gate(&self, toolbox: ToolboxId) -> Gate {
        let mut gates = self.lock();
        if gates.len() >= MANY && !gates.contains_key(&toolbox) {
            // Those that nobody is at; at worst one poll more than there might be.
            gates.retain(|_, gate| Arc::strong_count(gate) > 1);
        }
        Arc::clone(gates.entry(toolbox).or_default())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ToolboxId, Gate>> {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_name_the_same_turn_alike() {
        let gates = Gates::new(Duration::from_secs(2));
        let toolbox = ToolboxId(Uuid::from_u128(7));
        let at = |millis: i64| Timestamp::from_millisecond(1_700_000_000_000 + millis).unwrap();
        let (first, begun) = gates.turn(toolbox, at(100));
        assert_eq!(begun, at(0));
        assert_eq!(first, gates.turn(toolbox, at(1_999)).0);
        assert_ne!(first, gates.turn(toolbox, at(2_000)).0);
        assert_ne!(first, gates.turn(ToolboxId(Uuid::from_u128(8)), at(100)).0);
    }
}
