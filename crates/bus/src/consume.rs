//! Consuming one by one.

use std::future::Future;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use wire::streams::ConsumerSpec;

use crate::policy::Policy;
use crate::source::{Event, Origin, Source};
use crate::{Bus, BusError, Delivery, Verdict, backlog, spans};

/// Takes messages of a shared durable consumer, each through `handler`, at most `concurrency` at once (at least 1).
///
/// Creates the consumer where it is missing and verifies it otherwise; survives every loss of connection, consumer
/// and stream. Ends when `shutdown` is cancelled: asks for no more, puts back what was not begun with, finishes what
/// is under way. All handlers run in the caller's task; a panic in one is the caller's panic.
///
/// # Errors
/// Only what no waiting heals: [`BusError::Differs`] for the consumer or its stream, [`BusError::Closed`], or a
/// request that the server will never grant. What is under way is finished first.
pub async fn consume<F, Fut>(
    bus: &Bus,
    spec: &'static ConsumerSpec,
    concurrency: usize,
    shutdown: CancellationToken,
    handler: F,
) -> Result<(), BusError>
where
    F: Fn(Delivery) -> Fut,
    Fut: Future<Output = Verdict>,
{
    // Boxed: it is large, and there is one.
    let taking = Box::pin(taken(bus, spec, concurrency, shutdown, handler));
    backlog::measured(bus, spec, taking).await
}

async fn taken<F, Fut>(
    bus: &Bus,
    spec: &'static ConsumerSpec,
    concurrency: usize,
    shutdown: CancellationToken,
    handler: F,
) -> Result<(), BusError>
where
    F: Fn(Delivery) -> Fut,
    Fut: Future<Output = Verdict>,
{
    let policy = Policy::new(bus, spec);
    let concurrency = concurrency.max(1);
    let mut source = Source::new(bus, Origin::Shared(spec), concurrency);
    let mut under_way = FuturesUnordered::new();
    let outcome = loop {
        let free = concurrency - under_way.len();
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break Ok(()),
            Some(()) = under_way.next() => {}
            event = source.next(free), if free > 0 => match event {
                Ok(Event::Message(delivery)) => under_way.push(attend(&policy, delivery, &handler, spec)),
                Ok(Event::Attached { .. } | Event::Idle | Event::Lost) => {}
                Err(error) => break Err(error),
            },
        }
    };
    // Both at once: what was on its way goes back while the rest is finished.
    let release = async {
        for delivery in source.close().await {
            policy.release(&delivery).await;
        }
    };
    futures_util::future::join(release, async { while under_way.next().await.is_some() {} }).await;
    bus.flush().await;
    outcome
}

/// One message from delivery to acknowledgement.
async fn attend<F, Fut>(policy: &Policy, delivery: Delivery, handler: &F, spec: &'static ConsumerSpec)
where
    F: Fn(Delivery) -> Fut,
    Fut: Future<Output = Verdict>,
{
    let verdict = match policy.foregone(&delivery) {
        Some(verdict) => verdict,
        None => {
            let handling = async {
                let verdict = handler(delivery.clone()).await;
                spans::settle(&verdict);
                verdict
            };
            let handling = handling.instrument(spans::process(spec, &delivery));
            tokio::select! {
                biased;
                verdict = handling => verdict,
                never = policy.keep(&delivery) => match never {},
            }
        }
    };
    policy.settle(&delivery, verdict).await;
}
