//! The options of the service. Every one is also an environment variable.

use std::num::NonZeroU32;
use std::time::Duration;

use access::AccessOptions;
use anyhow::ensure;
use clap::{Args, Parser};
use service::http;
use service::options::{HttpOptions, NatsOptions, TelemetryOptions};

use crate::board::BoardOptions;
use crate::webhooks::WebhookOptions;

/// Delivers the status of MCP servers and its changes to whoever watches, by WebSocket, server-sent events and webhooks
#[derive(Debug, Clone, Parser)]
#[command(name = "notifier", version)]
pub struct Config {
    /// How to reach NATS.
    #[command(flatten)]
    pub nats: NatsOptions,
    /// Where to listen.
    #[command(flatten)]
    pub http: HttpOptions,
    /// What the process says of itself.
    #[command(flatten)]
    pub telemetry: TelemetryOptions,
    /// Whose tokens are taken.
    #[command(flatten)]
    pub access: AccessOptions,
    /// How streams are served.
    #[command(flatten)]
    pub streams: StreamOptions,
    /// How webhooks are told.
    #[command(flatten)]
    pub webhooks: WebhookOptions,
    /// How the board is served.
    #[command(flatten)]
    pub board: BoardOptions,
}

/// How streams are served. The defaults of the fields are those of the options.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Streams")]
pub struct StreamOptions {
    /// Origins whose pages may open streams beside those served here, separated by commas, such as https://app.example
    #[arg(long, env = "NOTIFIER_ORIGINS", value_delimiter = ',', value_name = "ORIGINS")]
    pub origins: Vec<String>,
    /// Most streams open at once
    #[arg(long, env = "NOTIFIER_CONNECTIONS", default_value = "20000", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub connections: u32,
    /// Most streams of one account; 0: no limit
    #[arg(long, env = "NOTIFIER_ACCOUNT_CONNECTIONS", default_value = "200")]
    pub account_connections: u32,
    /// Most streams from one address, or one /64 network of IPv6; 0: no limit, as behind a proxy, from whose address all come
    #[arg(long, env = "NOTIFIER_ADDRESS_CONNECTIONS", default_value = "500")]
    pub address_connections: u32,
    /// Most servers that one stream may name; a subscription to all counts as none
    #[arg(long, env = "NOTIFIER_SUBSCRIPTIONS", default_value = "5000", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub subscriptions: u32,
    /// Messages a second taken of one client
    #[arg(long, env = "NOTIFIER_MESSAGE_RATE", default_value = "10")]
    pub message_rate: NonZeroU32,
    /// Messages of one client taken at once
    #[arg(long, env = "NOTIFIER_MESSAGE_BURST", default_value = "50")]
    pub message_burst: NonZeroU32,
    /// How long a WebSocket may leave open whose it is
    #[arg(long, env = "NOTIFIER_AUTH_TIMEOUT", default_value = "10s", value_parser = service::duration)]
    pub auth_timeout: Duration,
    /// How long a WebSocket may be subscribed to nothing
    #[arg(long, env = "NOTIFIER_IDLE_TIMEOUT", default_value = "10m", value_parser = service::duration)]
    pub idle_timeout: Duration,
    /// Between signs of life; a client that answers two of them with nothing is gone
    #[arg(long, env = "NOTIFIER_PING_EVERY", default_value = "30s", value_parser = service::duration)]
    pub ping_every: Duration,
    /// How long a client may take nothing of what is written to it
    #[arg(long, env = "NOTIFIER_WRITE_TIMEOUT", default_value = "30s", value_parser = service::duration)]
    pub write_timeout: Duration,
    /// Between looks at what each client may see, beside those that a change causes
    #[arg(long, env = "NOTIFIER_RECHECK", default_value = "15s", value_parser = service::duration)]
    pub recheck: Duration,
    /// Longest time for the head of a request to come, and for an idle connection without a stream
    #[arg(long, env = "NOTIFIER_HEAD_TIMEOUT", default_value = "10s", value_parser = service::duration)]
    pub head_timeout: Duration,
}

impl Config {
    /// A configuration with the defaults for all that is the notifier's own.
    pub fn new(
        nats: NatsOptions,
        http: HttpOptions,
        telemetry: TelemetryOptions,
        access: AccessOptions,
    ) -> Self {
        Self {
            nats,
            http,
            telemetry,
            access,
            streams: StreamOptions::default(),
            webhooks: WebhookOptions::default(),
            board: BoardOptions::default(),
        }
    }

    /// # Errors
    /// Names the first option whose value cannot be.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        self.access.check()?;
        self.webhooks.check()?;
        self.board.api_url()?;
        let streams = &self.streams;
        let (short, minute, day) = (
            Duration::from_millis(100),
            Duration::from_secs(60),
            Duration::from_secs(24 * 3600),
        );
        for (option, value, most) in [
            ("auth-timeout", streams.auth_timeout, minute),
            ("idle-timeout", streams.idle_timeout, day),
            ("ping-every", streams.ping_every, minute * 10),
            ("write-timeout", streams.write_timeout, minute * 10),
            // What is revoked must be quiet within a minute.
            ("recheck", streams.recheck, minute),
            ("head-timeout", streams.head_timeout, minute),
        ] {
            ensure!(
                (short..=most).contains(&value),
                "--{option} must be between {short:?} and {most:?}"
            );
        }
        for origin in streams.origins.iter().filter(|origin| !origin.is_empty()) {
            ensure!(
                http::is_origin(origin),
                "--origins must be origins such as https://app.example"
            );
        }
        Ok(())
    }
}

impl Default for StreamOptions {
    fn default() -> Self {
        let number = |value: u32| NonZeroU32::MIN.saturating_add(value - 1);
        Self {
            origins: Vec::new(),
            connections: 20_000,
            account_connections: 200,
            address_connections: 500,
            subscriptions: 5_000,
            message_rate: number(10),
            message_burst: number(50),
            auth_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(600),
            ping_every: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            recheck: Duration::from_secs(15),
            head_timeout: Duration::from_secs(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    const SECRET: &str = "a secret of at least thirty-two bytes";

    fn parse(more: &[&str]) -> Result<Config, clap::Error> {
        Config::try_parse_from(["notifier", "--jwt-secret", SECRET].iter().chain(more))
    }

    #[test]
    fn the_command_line_is_consistent_and_every_option_is_a_variable() {
        let command = Config::command();
        command.clone().debug_assert();
        for option in command
            .get_arguments()
            .filter(|option| !["help", "version"].contains(&option.get_id().as_str()))
        {
            assert!(option.get_env().is_some(), "{} has no variable", option.get_id());
            assert!(option.get_help().is_some(), "{} has no help", option.get_id());
        }
    }

    #[test]
    fn the_defaults_of_the_fields_are_those_of_the_options() {
        let config = parse(&[]).unwrap();
        assert_eq!(config.streams, StreamOptions::default());
        assert_eq!(config.board, BoardOptions::default());
        assert!(!parse(&["--board=false"]).unwrap().board.board);
        let webhooks = (config.webhooks.clone(), WebhookOptions::default());
        assert_eq!(format!("{:?}", webhooks.0), format!("{:?}", webhooks.1));
        config.check().unwrap();
    }

    #[test]
    fn values_that_cannot_be_are_named_and_the_secret_is_not_shown() {
        for (option, value) in [
            ("--auth-timeout", "0s"),
            ("--recheck", "2m"),
            ("--write-timeout", "1h"),
            ("--origins", "https://app.example/path"),
            ("--origins", "*"),
            ("--sealing-key", "short"),
            ("--webhook-give-up", "96h"),
            ("--webhook-backoff", "5s,1ms"),
            ("--webhook-timeout", "1h"),
            ("--board-api-url", "api.example"),
        ] {
            let error = parse(&[option, value]).unwrap().check().unwrap_err().to_string();
            assert!(error.starts_with(option), "{error}");
        }
        assert!(parse(&["--connections", "0"]).is_err());
        assert!(!format!("{:?}", parse(&[]).unwrap()).contains(SECRET));
    }
}
