//! Options that several services share. Every option is also an environment variable; secrets can come from files
//! ([`crate::secret_files`]).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use secrecy::SecretString;

/// How to reach NATS.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "NATS")]
pub struct NatsOptions {
    /// Server address, or several separated by commas
    #[arg(
        long,
        env = "NATS_URL",
        default_value = "nats://127.0.0.1:4222",
        hide_env_values = true
    )]
    pub nats_url: String,
    /// Token to log in with
    #[arg(long, env = "NATS_TOKEN", hide_env_values = true)]
    pub nats_token: Option<SecretString>,
    /// Credentials file (JWT and seed), or a file with the seed of an nkey, to log in with
    #[arg(long, env = "NATS_CREDENTIALS", value_name = "FILE")]
    pub nats_credentials: Option<PathBuf>,
    /// Longest wait for an answer of the server
    #[arg(long, env = "NATS_TIMEOUT", default_value = "5s", value_parser = duration)]
    pub nats_timeout: Duration,
    /// Copies that the servers of a cluster keep of each stream; the same for all services
    #[arg(long, env = "NATS_REPLICAS", default_value_t = 1, value_parser = replicas)]
    pub nats_replicas: usize,
}

/// How to reach PostgreSQL.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "PostgreSQL")]
pub struct DatabaseOptions {
    /// Connection URL, postgres://user:password@host:port/database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: SecretString,
    /// Most connections held open
    #[arg(long, env = "DATABASE_CONNECTIONS", default_value_t = 8, value_parser = clap::value_parser!(u32).range(2..=200))]
    pub database_connections: u32,
    /// Longest wait for a connection, and for one statement
    #[arg(long, env = "DATABASE_TIMEOUT", default_value = "10s", value_parser = duration)]
    pub database_timeout: Duration,
}

/// Where a service listens.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "HTTP")]
pub struct HttpOptions {
    /// Address to listen on for health, metrics and the service's own routes; port 0 takes a free one
    #[arg(long, env = "LISTEN", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
}

/// The variables that traces are set up by, for helps.
pub const TELEMETRY_HELP: &str = "\
Traces are exported over OTLP (http/protobuf) by the standard variables:
  OTEL_EXPORTER_OTLP_ENDPOINT    where to, for instance http://collector:4318; unset: no traces
  OTEL_EXPORTER_OTLP_HEADERS     with which headers
  OTEL_TRACES_EXPORTER           otlp or none
  OTEL_TRACES_SAMPLER, …_ARG     which; what fails and what changes is kept in any case
  OTEL_PROPAGATORS               tracecontext or none
  OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_BSP_…, OTEL_SDK_DISABLED";

/// What a process says of itself.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Telemetry", after_help = TELEMETRY_HELP)]
pub struct TelemetryOptions {
    /// What to log: a level, or directives such as `info,bus=debug`
    #[arg(long, env = "LOG", default_value = "info,sqlx=warn")]
    pub log: String,
    /// How to log
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Pretty)]
    pub log_format: LogFormat,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Pretty,
    /// One JSON object a line
    Json,
}

/// Reads a duration: a number with a unit, `250ms`, `30s`, `5m`, `1h`, or several, `1m30s`.
///
/// # Errors
/// Says what was expected, for command lines.
pub fn duration(text: &str) -> Result<Duration, String> {
    text.parse::<jiff::SignedDuration>()
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or_else(|| "expected a duration such as 250ms, 30s, 5m or 1m30s".to_owned())
}

/// Reads how many copies: an even number adds no safety (a majority decides), and more than five are not taken.
fn replicas(text: &str) -> Result<usize, &'static str> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        "5" => Ok(5),
        _ => Err("expected 1, 3 or 5"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_those_that_a_majority_can_be_had_of() {
        assert_eq!(replicas("3"), Ok(3));
        for text in ["0", "2", "7", "-1", ""] {
            assert!(replicas(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations() {
        for (text, millis) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1m30s", 90_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "30", "-5s", "soon", "99999999999999999999s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
