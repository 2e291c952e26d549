//! Consuming in batches.

use std::collections::VecDeque;
use std::future::Future;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use wire::streams::ConsumerSpec;

use crate::policy::Policy;
use crate::source::{Event, Origin, Source};
use crate::{Bus, BusError, Delivery, Verdict, backlog, spans};

/// Wait before a message comes again for which a handler returned no verdict.
const NO_VERDICT: Duration = Duration::from_secs(1);

/// Takes messages of a shared durable consumer in batches, one batch at a time: up to `max` messages (at least 1), and
/// at most `linger` after the first of them arrived. `handler` returns a verdict for each by index; one that is
/// missing counts as [`Verdict::Retry`].
///
/// While a batch is handled the next one gathers (so that up to twice `max` messages are held), and the server is told
/// that both are under way. For the rest as [`crate::consume`].
///
/// To spawn this, let the handler own what it needs (`async move |batch: &[Delivery]| …`): of a closure that borrows,
/// the compiler cannot yet tell that its future is `Send`.
///
/// # Errors
/// As [`crate::consume`].
// Not an `async fn`: that would hold `bus` by reference, with the same effect.
pub fn consume_batches<F>(
    bus: &Bus,
    spec: &'static ConsumerSpec,
    max: usize,
    linger: Duration,
    shutdown: CancellationToken,
    handler: F,
) -> impl Future<Output = Result<(), BusError>> + use<F>
where
    F: AsyncFnMut(&[Delivery]) -> Vec<Verdict>,
{
    let hands = Hands::new(bus, spec, max, linger);
    // Boxed: it is large, and there is one.
    let taking = Box::pin(batches(bus.clone(), spec, hands, shutdown, handler));
    let bus = bus.clone();
    async move { backlog::measured(&bus, spec, taking).await }
}

async fn batches<F>(
    bus: Bus,
    spec: &'static ConsumerSpec,
    mut hands: Hands,
    shutdown: CancellationToken,
    mut handler: F,
) -> Result<(), BusError>
where
    F: AsyncFnMut(&[Delivery]) -> Vec<Verdict>,
{
    let policy = Policy::new(&bus, spec);
    let outcome = loop {
        let batch = tokio::select! {
            biased;
            () = shutdown.cancelled() => break Ok(()),
            batch = hands.batch() => match batch {
                Ok(batch) => batch,
                Err(error) => break Err(error),
            },
        };
        let (spent, batch): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|it| policy.foregone(it).is_some());
        let mut verdicts = Vec::new();
        if !batch.is_empty() {
            let handling = async {
                let verdicts = handler(&batch).await;
                spans::settle_all(&verdicts);
                verdicts
            };
            let handling = handling.instrument(spans::process_batch(spec, &batch));
            verdicts = hands.meanwhile(&batch, &shutdown, handling).await;
        }
        verdicts.resize_with(batch.len(), || Verdict::Retry {
            after: NO_VERDICT,
            reason: "the handler returned no verdict".to_owned(),
        });
        let settling = settle_all(&policy, batch.into_iter().zip(verdicts).collect(), spent);
        hands.meanwhile(&[], &shutdown, settling).await;
    };
    for delivery in hands.close().await {
        policy.release(&delivery).await;
    }
    bus.flush().await;
    outcome
}

/// Carries the verdicts of a batch out, all at once: were one dead letter to wait for an answer in vain, the others
/// would not wait behind it.
async fn settle_all(policy: &Policy, mut verdicts: Vec<(Delivery, Verdict)>, spent: Vec<Delivery>) {
    verdicts.extend(
        spent
            .into_iter()
            .filter_map(|it| policy.foregone(&it).map(|verdict| (it, verdict))),
    );
    let mut under_way = FuturesUnordered::new();
    for (delivery, verdict) in verdicts {
        under_way.push(async move { policy.settle(&delivery, verdict).await });
    }
    while under_way.next().await.is_some() {}
}

/// What this consumer holds besides the batch that is being handled.
struct Hands {
    incoming: Incoming,
    policy: Policy,
    /// When the server is told that what is held is under way. One clock all the time: a message passes from hand to
    /// hand, and nowhere may it be silent for longer than half its time.
    signs: Interval,
    linger: Duration,
}

/// Messages on their way into a batch.
struct Incoming {
    source: Source,
    /// With the time of arrival.
    gathered: VecDeque<(Instant, Delivery)>,
    max: usize,
    /// Why no more will come.
    failure: Option<BusError>,
}

impl Hands {
    fn new(bus: &Bus, spec: &'static ConsumerSpec, max: usize, linger: Duration) -> Self {
        let max = max.max(1);
        let policy = Policy::new(bus, spec);
        let mut signs = tokio::time::interval(policy.sign_of_life());
        signs.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let source = Source::new(bus, Origin::Shared(spec), max);
        let incoming = Incoming {
            source,
            gathered: VecDeque::new(),
            max,
            failure: None,
        };
        Self {
            incoming,
            policy,
            signs,
            linger,
        }
    }

    /// The next batch, never empty. May be dropped at any time.
    async fn batch(&mut self) -> Result<Vec<Delivery>, BusError> {
        loop {
            if let Some(error) = self.incoming.failure.take() {
                return Err(error);
            }
            if self.incoming.gathered.len() >= self.incoming.max {
                break;
            }
            let due = self
                .incoming
                .gathered
                .front()
                .map(|(arrived, _)| *arrived + self.linger);
            tokio::select! {
                // What is already here comes along, even when the first has waited its time.
                biased;
                () = self.incoming.more() => {}
                () = until(due) => break,
                _ = self.signs.tick() => self.tell(&[]).await,
            }
        }
        Ok(self
            .incoming
            .gathered
            .drain(..)
            .map(|(_, delivery)| delivery)
            .collect())
    }

    /// Does some work on a batch, and meanwhile gathers the next, unless it is time to end, and tells the server that
    /// both are under way.
    async fn meanwhile<T>(
        &mut self,
        held: &[Delivery],
        shutdown: &CancellationToken,
        work: impl Future<Output = T>,
    ) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                _ = self.signs.tick() => self.tell(held).await,
                () = self.incoming.more(), if !shutdown.is_cancelled() => {}
            }
        }
    }

    async fn tell(&mut self, held: &[Delivery]) {
        let gathered = self.incoming.gathered.iter().map(|(_, delivery)| delivery);
        for delivery in held.iter().chain(gathered) {
            self.policy.still_working(delivery).await;
        }
    }

    /// Asks for no more and returns what no batch got.
    async fn close(self) -> Vec<Delivery> {
        let mut rest: Vec<Delivery> = self
            .incoming
            .gathered
            .into_iter()
            .map(|(_, delivery)| delivery)
            .collect();
        rest.extend(self.incoming.source.close().await);
        rest
    }
}

impl Incoming {
    /// Takes in what comes; never ends, once no more will come or there is no room. May be dropped at any time.
    async fn more(&mut self) {
        let free = self.max - self.gathered.len();
        if free == 0 || self.failure.is_some() {
            return std::future::pending().await;
        }
        match self.source.next(free).await {
            Ok(Event::Message(delivery)) => self.gathered.push_back((Instant::now(), delivery)),
            Ok(Event::Attached { .. } | Event::Idle | Event::Lost) => {}
            Err(error) => self.failure = Some(error),
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
