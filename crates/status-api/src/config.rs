//! The options of the service. Every one is also an environment variable.

use std::num::NonZeroU32;
use std::time::Duration;

use access::AccessOptions;
use anyhow::ensure;
use bus::BusOptions;
use clap::{Args, Parser};
use service::http;
use service::options::{DatabaseOptions, HttpOptions, NatsOptions, TelemetryOptions};

/// Answers what the status of MCP servers is and takes commands for them, over HTTP and over NATS
#[derive(Debug, Clone, Parser)]
#[command(name = "status-api", version)]
pub struct Config {
    /// How to reach NATS.
    #[command(flatten)]
    pub nats: NatsOptions,
    /// How to reach PostgreSQL.
    #[command(flatten)]
    pub database: DatabaseOptions,
    /// Where to listen.
    #[command(flatten)]
    pub http: HttpOptions,
    /// What the process says of itself.
    #[command(flatten)]
    pub telemetry: TelemetryOptions,
    /// Whose tokens are taken.
    #[command(flatten)]
    pub access: AccessOptions,
    /// What is done with commands.
    #[command(flatten)]
    pub commands: CommandOptions,
    /// How much may be asked.
    #[command(flatten)]
    pub limits: LimitOptions,
}

/// What is done with commands. The defaults of the fields are those of the options.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Commands")]
pub struct CommandOptions {
    /// How long a start, stop or restart may take to have its effect
    #[arg(long, env = "API_COMMAND_DEADLINE", default_value = "60s", value_parser = service::duration)]
    pub command_deadline: Duration,
    /// How long a deletion may take to have its effect
    #[arg(long, env = "API_DELETE_DEADLINE", default_value = "120s", value_parser = service::duration)]
    pub delete_deadline: Duration,
    /// One forced poll of a toolbox in this time: whoever asks meanwhile joins the last
    #[arg(long, env = "API_REFRESH_EVERY", default_value = "2s", value_parser = service::duration)]
    pub refresh_every: Duration,
    /// Longest time that a request may wait for its outcome
    #[arg(long, env = "API_WAIT_MAX", default_value = "60s", value_parser = service::duration)]
    pub wait_max: Duration,
}

/// How much may be asked.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitOptions {
    /// Reads a second of one caller
    #[arg(long, env = "API_RATE", default_value = "100")]
    pub rate: NonZeroU32,
    /// Reads of one caller at once
    #[arg(long, env = "API_RATE_BURST", default_value = "200")]
    pub rate_burst: NonZeroU32,
    /// Commands a second of one caller
    #[arg(long, env = "API_COMMAND_RATE", default_value = "10")]
    pub command_rate: NonZeroU32,
    /// Commands of one caller at once
    #[arg(long, env = "API_COMMAND_BURST", default_value = "30")]
    pub command_burst: NonZeroU32,
    /// Wrong tokens a second that one address may try, and codes to sign in with; over NATS all together
    #[arg(long, env = "API_FAILED_TOKEN_RATE", default_value = "1")]
    pub failed_token_rate: NonZeroU32,
    /// Wrong tokens that one address may try at once, and codes to sign in with
    #[arg(long, env = "API_FAILED_TOKEN_BURST", default_value = "20")]
    pub failed_token_burst: NonZeroU32,
    /// Longest body taken, in bytes
    #[arg(long, env = "API_BODY_LIMIT", default_value = "65536", value_name = "BYTES",
          value_parser = clap::value_parser!(u32).range(1024..=1_048_576))]
    pub body_limit: u32,
    /// Longest time for a request, beside what it asked to wait
    #[arg(long, env = "API_REQUEST_TIMEOUT", default_value = "30s", value_parser = service::duration)]
    pub request_timeout: Duration,
    /// Longest time for the head of a request to come, and for an idle connection
    #[arg(long, env = "API_HEAD_TIMEOUT", default_value = "10s", value_parser = service::duration)]
    pub head_timeout: Duration,
    /// Most connections open at once; further ones wait to be accepted
    #[arg(long, env = "API_CONNECTIONS", default_value = "2048", value_parser = clap::value_parser!(u16).range(1..))]
    pub connections: u16,
    /// Requests over NATS that are worked on at once
    #[arg(long, env = "API_NATS_CONCURRENCY", default_value = "64", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub nats_concurrency: u16,
    /// Most entries of a page
    #[arg(long, env = "API_PAGE_MAX", default_value = "500", value_parser = clap::value_parser!(u16).range(1..=500))]
    pub page_max: u16,
    /// Origins whose pages may ask, separated by commas; none unless given
    #[arg(long, env = "API_CORS_ORIGINS", value_delimiter = ',', value_name = "ORIGINS")]
    pub cors_origins: Vec<String>,
}

/// A longer one outlives what is kept of message ids, and nobody waits that long.
const LONGEST_DEADLINE: Duration = Duration::from_secs(3600);

impl Config {
    /// How to reach NATS, as the bus wants it said.
    pub(crate) fn bus_options(&self) -> BusOptions {
        BusOptions {
            token: self.nats.nats_token.clone(),
            credentials: self.nats.nats_credentials.clone(),
            api_timeout: self.nats.nats_timeout,
            replicas: self.nats.nats_replicas,
            ..BusOptions::new(self.nats.nats_url.as_str(), crate::NAME)
        }
    }

    /// Checks what the command line alone cannot.
    ///
    /// # Errors
    /// Names the option and what was expected.
    pub fn check(&self) -> anyhow::Result<()> {
        self.access.check()?;
        let (commands, limits) = (&self.commands, &self.limits);
        let second = Duration::from_secs(1);
        for (option, value, least, most) in [
            (
                "command-deadline",
                commands.command_deadline,
                second,
                LONGEST_DEADLINE,
            ),
            (
                "delete-deadline",
                commands.delete_deadline,
                second,
                LONGEST_DEADLINE,
            ),
            (
                "refresh-every",
                commands.refresh_every,
                Duration::from_millis(100),
                Duration::from_secs(60),
            ),
            (
                "wait-max",
                commands.wait_max,
                Duration::from_millis(100),
                Duration::from_secs(600),
            ),
            (
                "request-timeout",
                limits.request_timeout,
                second,
                Duration::from_secs(600),
            ),
            (
                "head-timeout",
                limits.head_timeout,
                Duration::from_millis(100),
                Duration::from_secs(60),
            ),
        ] {
            ensure!(
                (least..=most).contains(&value),
                "--{option} must be between {least:?} and {most:?}"
            );
        }
        for origin in limits.cors_origins.iter().filter(|origin| !origin.is_empty()) {
            ensure!(
                http::is_origin(origin),
                "--cors-origins must be origins such as https://app.example"
            );
        }
        Ok(())
    }
}

impl Default for CommandOptions {
    fn default() -> Self {
        Self {
            command_deadline: Duration::from_secs(60),
            delete_deadline: Duration::from_secs(120),
            refresh_every: Duration::from_secs(2),
            wait_max: Duration::from_secs(60),
        }
    }
}

impl Default for LimitOptions {
    fn default() -> Self {
        let number = |value: u32| NonZeroU32::MIN.saturating_add(value - 1);
        Self {
            rate: number(100),
            rate_burst: number(200),
            command_rate: number(10),
            command_burst: number(30),
            failed_token_rate: NonZeroU32::MIN,
            failed_token_burst: number(20),
            body_limit: 65_536,
            request_timeout: Duration::from_secs(30),
            head_timeout: Duration::from_secs(10),
            connections: 2048,
            nats_concurrency: 64,
            page_max: 500,
            cors_origins: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    const SECRET: &str = "a secret of at least thirty-two bytes";

    fn parse(more: &[&str]) -> Result<Config, clap::Error> {
        let given = [
            "status-api",
            "--database-url",
            "postgres://u:hunter2@h/d",
            "--jwt-secret",
            SECRET,
        ];
        Config::try_parse_from(given.iter().chain(more))
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
        assert_eq!(config.commands, CommandOptions::default());
        assert_eq!(config.limits, LimitOptions::default());
        config.check().unwrap();
    }

    #[test]
    fn values_that_cannot_be_are_named() {
        for (option, value) in [
            ("--command-deadline", "500ms"),
            ("--delete-deadline", "2h"),
            ("--refresh-every", "0s"),
            ("--wait-max", "0s"),
            ("--request-timeout", "0s"),
            ("--head-timeout", "0s"),
            ("--cors-origins", "https://app.example/path"),
            ("--cors-origins", "*"),
        ] {
            let error = parse(&[option, value]).unwrap().check().unwrap_err().to_string();
            assert!(error.starts_with(option), "{error}");
        }
        for (option, value) in [("--rate", "0"), ("--page-max", "501"), ("--wait-max", "soon")] {
            assert!(parse(&[option, value]).is_err(), "{option}");
        }
        let origins = parse(&["--cors-origins", "https://app.example,http://localhost:3000"]).unwrap();
        origins.check().unwrap();
        assert_eq!(origins.limits.cors_origins.len(), 2);
    }

    #[test]
    fn no_secret_is_shown() {
        let shown = format!("{:?}", parse(&[]).unwrap());
        assert!(!shown.contains("hunter2") && !shown.contains(SECRET), "{shown}");
    }
}
