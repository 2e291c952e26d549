//! The connection to the bus, which at start may be a long time coming: what needs no bus must not wait for it.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{Bus, BusError, BusOptions};

/// Where the bus will be found. Clones find the same.
#[derive(Debug, Clone)]
pub struct Line(watch::Receiver<Option<Bus>>);

/// What connects a [`Line`].
#[derive(Debug)]
pub struct Dial(watch::Sender<Option<Bus>>);

impl Line {
    /// A line that is not connected yet, and what connects it.
    pub fn new() -> (Dial, Self) {
        let (dial, line) = watch::channel(None);
        (Dial(dial), Self(line))
    }

    /// The bus; `None` until the first connection.
    pub fn get(&self) -> Option<Bus> {
        self.0.borrow().clone()
    }

    /// Whether there is a connection at present.
    pub fn is_up(&self) -> bool {
        self.0.borrow().as_ref().is_some_and(Bus::is_connected)
    }

    /// Waits for the first connection; `None`: the service stops before.
    pub async fn first(&mut self, shutdown: &CancellationToken) -> Option<Bus> {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => None,
            found = self.0.wait_for(Option::is_some) => found.ok()?.clone(),
        }
    }
}

/// A line that is connected already.
impl From<Bus> for Line {
    fn from(bus: Bus) -> Self {
        Self(watch::channel(Some(bus)).1)
    }
}

impl Dial {
    /// Connects, however long that takes, and keeps the line until `shutdown`.
    ///
    /// # Errors
    /// When the bus can never be used as it is; see [`Bus::connect`].
    pub async fn run(self, options: BusOptions, shutdown: CancellationToken) -> Result<(), BusError> {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(()),
            bus = Bus::connect(options) => {
                self.0.send_replace(Some(bus?));
            }
        }
        // The sender stays: without it nobody could wait for the bus any more.
        shutdown.cancelled().await;
        Ok(())
    }
}
