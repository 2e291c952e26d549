//! The connection to the bus, which at start may be a long time coming: HTTP answers meanwhile, that it cannot.

use bus::{Bus, BusOptions};
use service::options::NatsOptions;
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

    /// Waits for the first connection; `None`: the service stops before.
    pub(crate) async fn first(&mut self, shutdown: &CancellationToken) -> Option<Bus> {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => None,
            found = self.0.wait_for(Option::is_some) => found.ok()?.clone(),
        }
    }
}

/// Connects to the bus, however long that takes, and keeps it for the others.
///
/// # Errors
/// When the bus can never be used as it is: a wrong URL, a server too old.
pub(crate) async fn connect(
    options: NatsOptions,
    connected: watch::Sender<Option<Bus>>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let options = BusOptions {
        token: options.nats_token,
        credentials: options.nats_credentials,
        api_timeout: options.nats_timeout,
        ..BusOptions::new(options.nats_url, crate::NAME)
    };
    tokio::select! {
        biased;
        () = shutdown.cancelled() => return Ok(()),
        bus = Bus::connect(options) => {
            connected.send_replace(Some(bus?));
        }
    }
    // The sender stays: without it nobody could wait for the bus any more.
    shutdown.cancelled().await;
    Ok(())
}
