//! How far behind a shared consumer is, measured by whoever takes from it.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use wire::streams::ConsumerSpec;

use crate::Bus;

/// Between two looks: as often as Prometheus mostly asks.
const EVERY: Duration = Duration::from_secs(10);

/// Does `taking`, and has its consumer looked at meanwhile. Beside it and not by what is delivered: who is stuck has
/// nothing delivered.
pub(crate) async fn measured<T>(bus: &Bus, spec: &ConsumerSpec, taking: impl Future<Output = T>) -> T {
    tokio::select! {
        biased;
        outcome = taking => outcome,
        never = look(bus, spec) => match never {},
    }
}

async fn look(bus: &Bus, spec: &ConsumerSpec) -> Infallible {
    let mut every = interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        // Without an answer the last number stands; that NATS does not answer is told elsewhere.
        if bus.is_connected()
            && let Ok(backlog) = bus.backlog(spec).await
        {
            bus.metrics().backlog(spec, backlog);
        }
    }
}
