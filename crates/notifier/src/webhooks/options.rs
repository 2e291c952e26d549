//! The options of webhooks. Every one is also an environment variable.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;
use secrecy::SecretString;

use crate::webhooks::address::Network;

/// How webhooks are told. The defaults of the fields are those of the options.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Webhooks")]
pub struct WebhookOptions {
    /// Key (base64, 32 bytes) that opens the secrets of webhooks, the same as the mapper's; without it none is told anything
    #[arg(long, env = "SEALING_KEY", hide_env_values = true)]
    pub sealing_key: Option<SecretString>,
    /// Networks that webhooks may be in although they are private or reserved, such as 10.1.0.0/16; none unless given
    #[arg(long, env = "WEBHOOK_ALLOW", value_delimiter = ',', value_name = "CIDR")]
    pub webhook_allow: Vec<Network>,
    /// Take http URLs too, where anybody on the way reads along
    #[arg(long, env = "WEBHOOK_ALLOW_HTTP")]
    pub webhook_allow_http: bool,
    /// Requests to webhooks under way at once
    #[arg(long, env = "WEBHOOK_CONCURRENCY", default_value = "64", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub webhook_concurrency: u16,
    /// Requests to one webhook under way at once
    #[arg(long, env = "WEBHOOK_ENDPOINT_CONCURRENCY", default_value = "4", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub webhook_endpoint_concurrency: u16,
    /// Longest time for connecting to a webhook
    #[arg(long, env = "WEBHOOK_CONNECT_TIMEOUT", default_value = "5s", value_parser = service::duration)]
    pub webhook_connect_timeout: Duration,
    /// Longest time for a request to a webhook, connecting included
    #[arg(long, env = "WEBHOOK_TIMEOUT", default_value = "15s", value_parser = service::duration)]
    pub webhook_timeout: Duration,
    /// Waits between attempts, with a fifth more or less by chance; the last one repeats
    #[arg(long, env = "WEBHOOK_BACKOFF", default_value = "5s,30s,2m,10m,30m,1h,2h,4h", value_delimiter = ',', value_parser = service::duration, value_name = "DURATIONS")]
    pub webhook_backoff: Vec<Duration>,
    /// When a delivery is given up and becomes a dead letter
    #[arg(long, env = "WEBHOOK_GIVE_UP", default_value = "24h", value_parser = service::duration)]
    pub webhook_give_up: Duration,
    /// How long a webhook is left alone after five failures in a row; twice as long each time it fails again, up to 10 minutes
    #[arg(long, env = "WEBHOOK_REST", default_value = "30s", value_parser = service::duration)]
    pub webhook_rest: Duration,
}

impl WebhookOptions {
    /// # Errors
    /// Names the first option whose value cannot be.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if let Some(key) = &self.sealing_key {
            bus::SealingKey::from_base64(key).context("--sealing-key")?;
        }
        let (least, minute) = (Duration::from_millis(100), Duration::from_secs(60));
        let (ten_minutes, days) = (minute * 10, Duration::from_secs(3 * 24 * 3600));
        for (option, value, most) in [
            ("webhook-connect-timeout", self.webhook_connect_timeout, minute),
            ("webhook-timeout", self.webhook_timeout, minute * 5),
            ("webhook-rest", self.webhook_rest, ten_minutes),
            // The stream of deliveries keeps them for three days.
            ("webhook-give-up", self.webhook_give_up, days),
        ] {
            ensure!(
                (least..=most).contains(&value),
                "--{option} must be between {least:?} and {most:?}"
            );
        }
        ensure!(
            !self.webhook_backoff.is_empty()
                && self
                    .webhook_backoff
                    .iter()
                    .all(|wait| *wait >= Duration::from_secs(1)),
            "--webhook-backoff must be durations of at least a second"
        );
        Ok(())
    }
}

impl Default for WebhookOptions {
    fn default() -> Self {
        let seconds = [5, 30, 120, 600, 1800, 3600, 7200, 14_400];
        Self {
            sealing_key: None,
            webhook_allow: Vec::new(),
            webhook_allow_http: false,
            webhook_concurrency: 64,
            webhook_endpoint_concurrency: 4,
            webhook_connect_timeout: Duration::from_secs(5),
            webhook_timeout: Duration::from_secs(15),
            webhook_backoff: seconds.map(Duration::from_secs).to_vec(),
            webhook_give_up: Duration::from_secs(24 * 3600),
            webhook_rest: Duration::from_secs(30),
        }
    }
}
