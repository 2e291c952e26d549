//! What can be configured: one documented struct.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use bus::BusOptions;
use domain::Thresholds;
use secrecy::SecretString;
use service::duration;
use service::options::{DatabaseOptions, HttpOptions, NatsOptions, TelemetryOptions};

/// Keeps the status of MCP servers true: maps what agents report to rows and change events, ages what falls silent,
/// and mirrors the registry for the pollers.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "status-mapper", version)]
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
    /// What to say of itself.
    #[command(flatten)]
    pub telemetry: TelemetryOptions,
    /// When knowledge loses its worth.
    #[command(flatten)]
    pub ages: Ages,
    /// How much at once, and how often.
    #[command(flatten)]
    pub pace: Pace,
    /// What pollers are told.
    #[command(flatten)]
    pub mirror: Mirror,

    /// Bring the database's schema up to date before anything else
    #[arg(long, env = "MAPPER_MIGRATE")]
    pub migrate: bool,
    /// How long the history of changes is kept
    #[arg(long, env = "MAPPER_KEEP_HISTORY", default_value = "720h", value_parser = duration)]
    pub keep_history: Duration,
}

/// The ages at which a status is believed less. [`Thresholds`] says what each means.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Ages")]
pub struct Ages {
    /// A running server heard of within this time is healthy
    #[arg(long, env = "MAPPER_HEALTHY_FOR", default_value = "2m", value_parser = duration)]
    pub healthy_for: Duration,
    /// A running server heard of within this time is degraded, beyond it unhealthy
    #[arg(long, env = "MAPPER_DEGRADED_FOR", default_value = "5m", value_parser = duration)]
    pub degraded_for: Duration,
    /// Beyond this silence neither state nor health is known
    #[arg(long, env = "MAPPER_UNKNOWN_AFTER", default_value = "15m", value_parser = duration)]
    pub unknown_after: Duration,
    /// Starting for longer than this is an error
    #[arg(long, env = "MAPPER_START_TIMEOUT", default_value = "10m", value_parser = duration)]
    pub start_timeout: Duration,
    /// How long after a container was replaced a report of the old one is taken for one that was under way
    #[arg(long, env = "MAPPER_INCARNATION_OVERLAP", default_value = "1m", value_parser = duration)]
    pub incarnation_overlap: Duration,
    /// How long a command that failed is shown as an error of its server, unless something else comes of it before
    #[arg(long, env = "MAPPER_COMMAND_ERROR_FOR", default_value = "5m", value_parser = duration)]
    pub command_error_for: Duration,
    /// Fewest toolboxes whose common silence is taken for the observer's own fault
    #[arg(long, env = "MAPPER_BLIND_MINIMUM", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    pub blind_minimum: u64,
    /// How far a poller may be past its own time before a toolbox counts as overdue: a poll takes its while
    #[arg(long, env = "MAPPER_OVERDUE_GRACE", default_value = "15s", value_parser = duration)]
    pub overdue_grace: Duration,
    /// After the observer could not see: how long silence is still its own fault, until every toolbox had a chance
    /// to be heard again
    #[arg(long, env = "MAPPER_BLIND_RECOVERY", default_value = "1m", value_parser = duration)]
    pub blind_recovery: Duration,
    /// Longest time that ageing waits for reports that arrived, are not read yet and do not become fewer
    #[arg(long, env = "MAPPER_BEHIND_PATIENCE", default_value = "2m", value_parser = duration)]
    pub behind_patience: Duration,
}

/// How much at once, and how often. Every loop's work is bounded by one of these.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Pace")]
pub struct Pace {
    /// Most reports in one transaction
    #[arg(long, env = "MAPPER_BATCH_MAX", default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=5000))]
    pub batch_max: u16,
    /// How long a batch waits for more reports after its first
    #[arg(long, env = "MAPPER_BATCH_LINGER", default_value = "20ms", value_parser = duration)]
    pub batch_linger: Duration,
    /// How often changes are looked for that were committed and not published
    #[arg(long, env = "MAPPER_RELAY_EVERY", default_value = "1s", value_parser = duration)]
    pub relay_every: Duration,
    /// How old such a change must be: younger ones are still in the hands of whoever committed them
    #[arg(long, env = "MAPPER_RELAY_AFTER", default_value = "1s", value_parser = duration)]
    pub relay_after: Duration,
    /// How often what has grown too old is looked for
    #[arg(long, env = "MAPPER_SWEEP_EVERY", default_value = "2s", value_parser = duration)]
    pub sweep_every: Duration,
    /// How often the status stream is checked for having been lost
    #[arg(long, env = "MAPPER_REBUILD_EVERY", default_value = "30s", value_parser = duration)]
    pub rebuild_every: Duration,
    /// How often every subject of the status stream is compared with the rows
    #[arg(long, env = "MAPPER_REBUILD_FULL_EVERY", default_value = "10m", value_parser = duration)]
    pub rebuild_full_every: Duration,
    /// How often the streams' existence and configuration are verified
    #[arg(long, env = "MAPPER_STREAMS_EVERY", default_value = "10s", value_parser = duration)]
    pub streams_every: Duration,
    /// How often the history's partitions are looked after
    #[arg(long, env = "MAPPER_RETENTION_EVERY", default_value = "1h", value_parser = duration)]
    pub retention_every: Duration,
}

/// What pollers are told of toolboxes.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Registry mirror")]
pub struct Mirror {
    /// How often the registry is compared with the pollers' bucket
    #[arg(long, env = "MAPPER_MIRROR_EVERY", default_value = "2s", value_parser = duration)]
    pub mirror_every: Duration,
    /// Key (base64, 32 bytes) that seals agents' tokens; the pollers' is the same
    #[arg(long, env = "SEALING_KEY", hide_env_values = true)]
    pub sealing_key: SecretString,
    /// Token for agents whose toolbox has none of its own
    #[arg(long, env = "AGENT_TOKEN", hide_env_values = true)]
    pub agent_token: Option<SecretString>,
    /// Port of agents whose toolbox has an address and no base URL
    #[arg(long, env = "AGENT_PORT", default_value_t = 30_000, value_parser = clap::value_parser!(u16).range(1..))]
    pub agent_port: u16,
}

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

    /// The thresholds, checked.
    ///
    /// # Errors
    /// Names the option that is out of order.
    pub fn thresholds(&self) -> anyhow::Result<Thresholds> {
        let Ages {
            healthy_for,
            degraded_for,
            unknown_after,
            start_timeout,
            incarnation_overlap,
            command_error_for,
            ..
        } = self.ages;
        let thresholds = Thresholds {
            healthy_for,
            degraded_for,
            unknown_after,
            start_timeout,
            incarnation_overlap,
            command_error_for,
        };
        match thresholds.check() {
            Ok(()) => Ok(thresholds),
            // The check speaks of fields; people know options.
            Err(problem) => Err(anyhow::anyhow!("--{}", problem.replace('_', "-"))),
        }
    }

    /// Checks what the command line alone cannot.
    ///
    /// # Errors
    /// Names the option and what was expected.
    pub fn check(&self) -> anyhow::Result<()> {
        self.thresholds()?;
        let pace = &self.pace;
        for (option, period) in [
            ("relay-every", pace.relay_every),
            ("sweep-every", pace.sweep_every),
            ("rebuild-every", pace.rebuild_every),
            ("rebuild-full-every", pace.rebuild_full_every),
            ("streams-every", pace.streams_every),
            ("retention-every", pace.retention_every),
            ("mirror-every", self.mirror.mirror_every),
        ] {
            ensure!(
                period >= SHORTEST_PERIOD,
                "--{option} must not be shorter than {SHORTEST_PERIOD:?}"
            );
        }
        ensure!(
            pace.batch_linger <= LONGEST_LINGER,
            "--batch-linger must not be longer than {LONGEST_LINGER:?}"
        );
        ensure!(
            self.keep_history >= SHORTEST_HISTORY,
            "--keep-history must not be shorter than a day"
        );
        bus::SealingKey::from_base64(&self.mirror.sealing_key).context("--sealing-key")?;
        Ok(())
    }
}

/// A loop without a pause would only burn the database's time.
const SHORTEST_PERIOD: Duration = Duration::from_millis(50);
/// People watch: a change must not wait for its batch longer than they notice.
const LONGEST_LINGER: Duration = Duration::from_secs(1);
/// History is dropped by days, and what is dropped is no longer an outbox.
const SHORTEST_HISTORY: Duration = Duration::from_secs(24 * 3600);
