//! Connecting to NATS, for a command that ends soon.

use bus::{Bus, BusOptions};

use crate::exit::Failure;
use crate::place::NatsAccess;

impl NatsAccess {
    /// Connects, and does not wait for a server that is away.
    ///
    /// # Errors
    /// When nobody answers there.
    pub async fn connect(&self) -> Result<Bus, Failure> {
        let connecting = Bus::connect_once(BusOptions {
            token: self.token.clone(),
            credentials: self.credentials.clone(),
            ..BusOptions::new(self.url.clone(), "statusctl")
        });
        connecting
            .await
            .map_err(|error| Failure::unreachable(error.to_string()))
    }
}
