//! The options of the service. Every one is also an environment variable.

use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::ensure;
use clap::{Args, Parser};
use domain::CadencePolicy;
use secrecy::SecretString;
use service::options::{HttpOptions, NatsOptions, TelemetryOptions};

/// Polls DTMA agents, takes their heartbeats and publishes what they say, and carries commands out through them
#[derive(Debug, Clone, Parser)]
#[command(name = "dtma-poller", version)]
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
    /// Key that opens the agents' tokens: 32 bytes in base64, the same as status-mapper's
    #[arg(long, env = "SEALING_KEY", hide_env_values = true, value_name = "BASE64")]
    pub sealing_key: SecretString,
    /// How to ask agents.
    #[command(flatten)]
    pub polling: PollingOptions,
    /// How to tell them what to do.
    #[command(flatten)]
    pub commands: CommandOptions,
    /// How often to ask them.
    #[command(flatten)]
    pub cadence: CadenceOptions,
    /// What heartbeats to take.
    #[command(flatten)]
    pub heartbeats: HeartbeatOptions,
    /// How often to look after what others may have broken.
    #[command(flatten)]
    pub upkeep: UpkeepOptions,
}

/// How to ask agents. The defaults of the fields are those of the options.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Polls")]
pub struct PollingOptions {
    /// Most polls under way at once
    #[arg(long, env = "POLLER_CONCURRENCY", default_value = "64", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub poll_concurrency: u16,
    /// Longest time for a poll, a second request for the other status route included
    #[arg(long, env = "POLLER_TIMEOUT", default_value = "10s", value_parser = service::duration)]
    pub poll_timeout: Duration,
    /// Longest time to connect to an agent
    #[arg(long, env = "POLLER_CONNECT_TIMEOUT", default_value = "5s", value_parser = service::duration)]
    pub poll_connect_timeout: Duration,
    /// Longest answer taken, in bytes after it is unpacked
    #[arg(long, env = "POLLER_ANSWER_LIMIT", default_value = "4194304", value_name = "BYTES",
          value_parser = clap::value_parser!(u32).range(1024..=67_108_864))]
    pub answer_limit: u32,
    /// Largest report published, in bytes; keep it below the server's max_payload (1 MiB unless configured)
    #[arg(long, env = "POLLER_REPORT_LIMIT", default_value = "1000000", value_name = "BYTES",
          value_parser = clap::value_parser!(u32).range(1024..=67_108_864))]
    pub report_limit: u32,
}

/// How to tell agents what to do.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Commands")]
pub struct CommandOptions {
    /// Most commands under way at once
    #[arg(long, env = "POLLER_COMMAND_CONCURRENCY", default_value = "64", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub command_concurrency: u16,
    /// Longest time for an agent to carry out a command; never longer than until the command's deadline
    #[arg(long, env = "POLLER_COMMAND_TIMEOUT", default_value = "60s", value_parser = service::duration)]
    pub command_timeout: Duration,
}

/// How often to ask agents. Every value is at least a second.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Cadence")]
pub struct CadenceOptions {
    /// Between polls while a command is under way for an instance
    #[arg(long, env = "POLLER_EVERY_COMMANDED", default_value = "2s", value_parser = service::duration)]
    pub every_commanded: Duration,
    /// Between polls while an instance starts or stops
    #[arg(long, env = "POLLER_EVERY_TRANSITION", default_value = "10s", value_parser = service::duration)]
    pub every_transition: Duration,
    /// Between polls while an instance runs
    #[arg(long, env = "POLLER_EVERY_RUNNING", default_value = "30s", value_parser = service::duration)]
    pub every_running: Duration,
    /// Between polls while an instance is in error
    #[arg(long, env = "POLLER_EVERY_ERROR", default_value = "60s", value_parser = service::duration)]
    pub every_error: Duration,
    /// Between polls while all instances are stopped
    #[arg(long, env = "POLLER_EVERY_STOPPED", default_value = "5m", value_parser = service::duration)]
    pub every_stopped: Duration,
    /// How long an agent that pushes may be silent before it is polled
    #[arg(long, env = "POLLER_DEAD_MAN", default_value = "2m", value_parser = service::duration)]
    pub dead_man: Duration,
    /// Longest time between polls of an agent that does not answer
    #[arg(long, env = "POLLER_BACKOFF_MAX", default_value = "5m", value_parser = service::duration)]
    pub backoff_max: Duration,
}

/// What heartbeats to take.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Heartbeats")]
pub struct HeartbeatOptions {
    /// Longest heartbeat taken, in bytes
    #[arg(long, env = "POLLER_HEARTBEAT_LIMIT", default_value = "4194304", value_name = "BYTES",
          value_parser = clap::value_parser!(u32).range(1024..=67_108_864))]
    pub heartbeat_limit: u32,
    /// Longest time for the body of a heartbeat to come
    #[arg(long, env = "POLLER_HEARTBEAT_BODY_TIMEOUT", default_value = "10s", value_parser = service::duration)]
    pub heartbeat_body_timeout: Duration,
    /// Longest time for the head of a request to come, and for an idle connection
    #[arg(long, env = "POLLER_HEAD_TIMEOUT", default_value = "10s", value_parser = service::duration)]
    pub head_timeout: Duration,
    /// Heartbeats a second taken of one toolbox
    #[arg(long, env = "POLLER_HEARTBEAT_RATE", default_value = "2")]
    pub heartbeat_rate: NonZeroU32,
    /// Heartbeats of one toolbox taken at once
    #[arg(long, env = "POLLER_HEARTBEAT_BURST", default_value = "10")]
    pub heartbeat_burst: NonZeroU32,
    /// Wrong tokens a second that one address may try
    #[arg(long, env = "POLLER_FAILED_TOKEN_RATE", default_value = "1")]
    pub failed_token_rate: NonZeroU32,
    /// Wrong tokens that one address may try at once
    #[arg(long, env = "POLLER_FAILED_TOKEN_BURST", default_value = "20")]
    pub failed_token_burst: NonZeroU32,
    /// Most heartbeats under way at once; with the longest heartbeat this bounds their memory
    #[arg(long, env = "POLLER_HEARTBEAT_CONCURRENCY", default_value = "64", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub heartbeat_concurrency: u16,
    /// Longest wait for a place among them
    #[arg(long, env = "POLLER_HEARTBEAT_WAIT", default_value = "5s", value_parser = service::duration)]
    pub heartbeat_wait: Duration,
    /// Most connections at once
    #[arg(long, env = "POLLER_CONNECTIONS", default_value = "2048", value_parser = clap::value_parser!(u16).range(1..))]
    pub connections: u16,
}

/// How often to look after what others may have broken.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Upkeep")]
pub struct UpkeepOptions {
    /// Between comparisons of all schedules with the registry
    #[arg(long, env = "POLLER_RECONCILE_EVERY", default_value = "1m", value_parser = service::duration)]
    pub reconcile_every: Duration,
    /// Between checks that all streams are there
    #[arg(long, env = "POLLER_STREAMS_EVERY", default_value = "10s", value_parser = service::duration)]
    pub streams_every: Duration,
}

impl Config {
    /// A configuration with the defaults for all that is the poller's own.
    pub fn new(
        nats: NatsOptions,
        http: HttpOptions,
        telemetry: TelemetryOptions,
        sealing_key: SecretString,
    ) -> Self {
        Self {
            nats,
            http,
            telemetry,
            sealing_key,
            polling: PollingOptions::default(),
            commands: CommandOptions::default(),
            cadence: CadenceOptions::default(),
            heartbeats: HeartbeatOptions::default(),
            upkeep: UpkeepOptions::default(),
        }
    }

    /// # Errors
    /// Names the first option whose value cannot be.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let second = Duration::from_secs(1);
        let cadence = &self.cadence;
        for (option, value) in [
            ("every-commanded", cadence.every_commanded),
            ("every-transition", cadence.every_transition),
            ("every-running", cadence.every_running),
            ("every-error", cadence.every_error),
            ("every-stopped", cadence.every_stopped),
            ("dead-man", cadence.dead_man),
            ("backoff-max", cadence.backoff_max),
        ] {
            ensure!(
                value >= second,
                "--{option} must be at least 1s, the shortest a schedule can be"
            );
        }
        for (option, value) in [
            ("poll-timeout", self.polling.poll_timeout),
            ("poll-connect-timeout", self.polling.poll_connect_timeout),
            ("command-timeout", self.commands.command_timeout),
            ("heartbeat-body-timeout", self.heartbeats.heartbeat_body_timeout),
            ("head-timeout", self.heartbeats.head_timeout),
            ("heartbeat-wait", self.heartbeats.heartbeat_wait),
            ("reconcile-every", self.upkeep.reconcile_every),
            ("streams-every", self.upkeep.streams_every),
        ] {
            ensure!(!value.is_zero(), "--{option} must be longer than zero");
        }
        Ok(())
    }
}

impl CadenceOptions {
    pub(crate) fn policy(&self) -> CadencePolicy {
        CadencePolicy {
            commanded: self.every_commanded,
            transition: self.every_transition,
            running: self.every_running,
            error: self.every_error,
            stopped: self.every_stopped,
            dead_man: self.dead_man,
            backoff_max: self.backoff_max,
        }
    }
}

impl Default for PollingOptions {
    fn default() -> Self {
        Self {
            poll_concurrency: 64,
            poll_timeout: Duration::from_secs(10),
            poll_connect_timeout: Duration::from_secs(5),
            answer_limit: 4 << 20,
            report_limit: 1_000_000,
        }
    }
}

impl Default for CommandOptions {
    fn default() -> Self {
        Self {
            command_concurrency: 64,
            command_timeout: Duration::from_secs(60),
        }
    }
}

impl Default for CadenceOptions {
    fn default() -> Self {
        let policy = CadencePolicy::default();
        Self {
            every_commanded: policy.commanded,
            every_transition: policy.transition,
            every_running: policy.running,
            every_error: policy.error,
            every_stopped: policy.stopped,
            dead_man: policy.dead_man,
            backoff_max: policy.backoff_max,
        }
    }
}

impl Default for HeartbeatOptions {
    fn default() -> Self {
        Self {
            heartbeat_limit: 4 << 20,
            heartbeat_body_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(10),
            heartbeat_rate: NonZeroU32::MIN.saturating_add(1),
            heartbeat_burst: NonZeroU32::MIN.saturating_add(9),
            failed_token_rate: NonZeroU32::MIN,
            failed_token_burst: NonZeroU32::MIN.saturating_add(19),
            heartbeat_concurrency: 64,
            heartbeat_wait: Duration::from_secs(5),
            connections: 2048,
        }
    }
}

impl Default for UpkeepOptions {
    fn default() -> Self {
        Self {
            reconcile_every: Duration::from_secs(60),
            streams_every: Duration::from_secs(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(more: &[&str]) -> Result<Config, clap::Error> {
        Config::try_parse_from(["dtma-poller", "--sealing-key", "c2VjcmV0"].iter().chain(more))
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
        assert_eq!(config.polling, PollingOptions::default());
        assert_eq!(config.commands, CommandOptions::default());
        assert_eq!(config.cadence, CadenceOptions::default());
        assert_eq!(config.heartbeats, HeartbeatOptions::default());
        assert_eq!(config.upkeep, UpkeepOptions::default());
        assert_eq!(config.cadence.policy(), CadencePolicy::default());
        config.check().unwrap();
    }

    #[test]
    fn values_that_cannot_be_are_named() {
        for (option, value) in [
            ("--every-running", "500ms"),
            ("--dead-man", "0s"),
            ("--poll-timeout", "0s"),
            ("--command-timeout", "0s"),
            ("--head-timeout", "0s"),
            ("--streams-every", "0s"),
        ] {
            let error = parse(&[option, value]).unwrap().check().unwrap_err().to_string();
            assert!(error.starts_with(option), "{error}");
        }
        for (option, value) in [
            ("--poll-concurrency", "0"),
            ("--command-concurrency", "0"),
            ("--heartbeat-rate", "0"),
            ("--poll-timeout", "soon"),
        ] {
            assert!(parse(&[option, value]).is_err(), "{option}");
        }
    }

    #[test]
    fn the_key_is_not_shown() {
        assert!(!format!("{:?}", parse(&[]).unwrap()).contains("c2VjcmV0"));
    }
}
