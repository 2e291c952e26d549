//! What connects a running service with whoever hosts it: its own process, `statusctl up`, or a test.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Handed to a service's `run`.
#[derive(Debug)]
pub struct Lifecycle {
    /// Cancelled when the service is to stop.
    pub shutdown: CancellationToken,
    ready: watch::Sender<Option<String>>,
}

impl Lifecycle {
    /// A lifecycle that ends with `shutdown`, and where its host learns the service's address.
    pub fn new(shutdown: CancellationToken) -> (Self, watch::Receiver<Option<String>>) {
        let (ready, host) = watch::channel(None);
        (Self { shutdown, ready }, host)
    }

    /// Tells the host that the service works, and where it is reached: `http://host:port`.
    pub fn ready(&self, url: impl Into<String>) {
        self.ready.send_replace(Some(url.into()));
    }
}
