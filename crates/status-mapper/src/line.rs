//! The connection to the bus, which at start may be a long time coming.
//!
//! What needs no bus must not wait for it: health has to age also when NATS is away from the very beginning.

use bus::Bus;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Where the bus will be found. Clones find the same.
#[derive(Debug, Clone)]
pub(crate) struct Line(watch::Receiver<Option<Bus>>);

impl Line {
    /// A line that is not connected yet, and what connects it.
    pub(crate) fn new() -> (watch::Sender<Option<Bus>>, Self) {
        let (connect, line) = watch::channel(None);
        (connect, Self(line))
    }

    /// The bus; `None` until the first connection.
    pub(crate) fn get(&self) -> Option<Bus> {
        self.0.borrow().clone()
    }

    /// Whether there is a connection at present.
    pub(crate) fn is_up(&self) -> bool {
        self.0.borrow().as_ref().is_some_and(Bus::is_connected)
    }

    /// Waits for the first connection; `None`: the service stops before.
    pub(crate) async fn first(&mut self, shutdown: &CancellationToken) -> Option<Bus> {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => None,
            found = self.0.wait_for(Option::is_some) => found.ok()?.clone(),
        }
    }
}
