//! The simulation's configuration: one documented struct, for the binary, a hosting program and tests.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use jiff::SignedDuration;
use url::Url;

/// What to simulate. [`SimConfig::default`] is what the command line gives without arguments.
#[derive(clap::Args, Clone, Debug, PartialEq)]
pub struct SimConfig {
    /// How many toolboxes (one agent each) to simulate: at most 100000.
    #[arg(long, env = "DTMA_SIM_TOOLBOXES", default_value_t = 10)]
    pub toolboxes: usize,

    /// How many tool containers each toolbox has: 0 to 200. Containers that belong to nobody (the agent's own
    /// `dtma_manager` and others) come on top.
    #[arg(long, env = "DTMA_SIM_CONTAINERS", default_value_t = 3)]
    pub containers_per_toolbox: usize,

    /// How many toolboxes share an account.
    #[arg(long, env = "DTMA_SIM_TOOLBOXES_PER_ACCOUNT", default_value_t = 4)]
    pub toolboxes_per_account: usize,

    /// All ids, names, tokens and lifecycles derive from this number: the same seed gives the same fleet.
    #[arg(long, env = "DTMA_SIM_SEED", default_value_t = 1)]
    pub seed: u64,

    /// Address of the control API and, unless each toolbox has a port of its own, of every agent (below
    /// `/t/{toolbox id}`). Port 0 takes a free one.
    #[arg(long, env = "DTMA_SIM_LISTEN", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,

    /// Host to write into base URLs, where clients know this machine by another name than the listen address.
    #[arg(long, env = "DTMA_SIM_ADVERTISE_HOST")]
    pub advertise_host: Option<String>,

    /// Give each toolbox a free port of its own; its agent then answers at the root, as a real one does.
    #[arg(long, env = "DTMA_SIM_MANY_PORTS")]
    pub many_ports: bool,

    /// Give each toolbox a port of its own, from this one upwards.
    #[arg(long, env = "DTMA_SIM_PORTS_FROM", conflicts_with = "many_ports")]
    pub ports_from: Option<u16>,

    /// Which generation of agents: `a` authenticated status of managed instances, `b` the newer `/tools/status`,
    /// `open-c` open status by container names, `mixed` all three, dealt by the seed.
    #[arg(long, env = "DTMA_SIM_DIALECT", value_enum, default_value_t = DialectMix::Mixed)]
    pub dialect: DialectMix,

    /// Where agents push heartbeats: the URL before `/heartbeat`. Without it none are sent.
    #[arg(long, env = "DTMA_SIM_HEARTBEAT_URL")]
    pub heartbeat_url: Option<Url>,

    /// Time between two heartbeats of an agent (`60s`, `500ms`, `2m`). The agents' turns are spread over it.
    #[arg(long, env = "DTMA_SIM_HEARTBEAT_INTERVAL", default_value = "60s", value_parser = duration)]
    pub heartbeat_interval: Duration,

    /// Which path heartbeats go to: `new` is `/heartbeat`, `old` is `/dtma/heartbeat`.
    #[arg(long, env = "DTMA_SIM_HEARTBEAT_PATH", value_enum, default_value_t = HeartbeatPath::New)]
    pub heartbeat_path: HeartbeatPath,

    /// What heartbeats say of containers: `names` lists them as dialect C does, `managed` by instance id with
    /// details, `empty` nothing, `by-dialect` what the agent's generation sends.
    #[arg(long, env = "DTMA_SIM_HEARTBEAT_STYLE", value_enum, default_value_t = HeartbeatStyle::ByDialect)]
    pub heartbeat_style: HeartbeatStyle,

    /// How long an agent waits for the answer to a heartbeat.
    #[arg(long, env = "DTMA_SIM_HEARTBEAT_TIMEOUT", default_value = "15s", value_parser = duration)]
    pub heartbeat_timeout: Duration,

    /// How many heartbeats may be under way at once; the others wait their turn.
    #[arg(long, env = "DTMA_SIM_HEARTBEAT_CONCURRENCY", default_value_t = 64)]
    pub heartbeat_concurrency: usize,

    /// What containers do to begin with: `stable` all run, `varied` some are down, paused, looping, unhealthy.
    #[arg(long, env = "DTMA_SIM_LIFECYCLES", value_enum, default_value_t = Lifecycles::Stable)]
    pub lifecycles: Lifecycles,

    /// Mean number of things that happen to containers per minute over the whole fleet: crashes, stops, pauses,
    /// replacements, and recoveries from them. 0 leaves the fleet idle.
    #[arg(long, env = "DTMA_SIM_CHAOS_PER_MINUTE", default_value_t = 0.0)]
    pub chaos_per_minute: f64,

    /// How wrong the machines' clocks are, in hours: positive is ahead.
    #[arg(
        long,
        env = "DTMA_SIM_CLOCK_OFFSET_HOURS",
        default_value_t = 0.0,
        allow_negative_numbers = true
    )]
    pub clock_offset_hours: f64,

    /// Time from a start command until the container runs.
    #[arg(long, env = "DTMA_SIM_START_DELAY", default_value = "2s", value_parser = duration)]
    pub start_delay: Duration,

    /// Time from a stop command until the container has exited.
    #[arg(long, env = "DTMA_SIM_STOP_DELAY", default_value = "1s", value_parser = duration)]
    pub stop_delay: Duration,

    /// Time an install command spends on pulling the image before it answers; minutes are normal in the field.
    #[arg(long, env = "DTMA_SIM_PULL_DELAY", default_value = "0s", value_parser = duration)]
    pub pull_delay: Duration,

    /// Compress answers for clients that accept gzip.
    #[arg(long, env = "DTMA_SIM_GZIP", default_value_t = true, action = clap::ArgAction::Set)]
    pub gzip: bool,

    /// How long an idle connection is kept open, as Node does for 5 seconds; 0 keeps it for ever.
    #[arg(long, env = "DTMA_SIM_KEEP_ALIVE", default_value = "5s", value_parser = duration)]
    pub keep_alive: Duration,

    /// How many connections may be open at once over all ports; more wait to be accepted.
    #[arg(long, env = "DTMA_SIM_MAX_CONNECTIONS", default_value_t = 8192)]
    pub max_connections: usize,

    /// A captured payload that every agent answers with, verbatim: `FILE` for `/status`, or `PATH=FILE`. May be
    /// given several times.
    #[arg(long, env = "DTMA_SIM_PAYLOAD_FILE", value_delimiter = ',')]
    pub payload_file: Vec<PayloadFile>,

    /// Write the fleet (ids, names, base URLs, tokens) to this file as JSON once it is up.
    #[arg(long, env = "DTMA_SIM_WRITE_REGISTRY")]
    pub write_registry: Option<PathBuf>,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            toolboxes: 10,
            containers_per_toolbox: 3,
            toolboxes_per_account: 4,
            seed: 1,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            advertise_host: None,
            many_ports: false,
            ports_from: None,
            dialect: DialectMix::Mixed,
            heartbeat_url: None,
            heartbeat_interval: Duration::from_secs(60),
            heartbeat_path: HeartbeatPath::New,
            heartbeat_style: HeartbeatStyle::ByDialect,
            heartbeat_timeout: Duration::from_secs(15),
            heartbeat_concurrency: 64,
            lifecycles: Lifecycles::Stable,
            chaos_per_minute: 0.0,
            clock_offset_hours: 0.0,
            start_delay: Duration::from_secs(2),
            stop_delay: Duration::from_secs(1),
            pull_delay: Duration::ZERO,
            gzip: true,
            keep_alive: Duration::from_secs(5),
            max_connections: 8192,
            payload_file: Vec::new(),
            write_registry: None,
        }
    }
}

impl SimConfig {
    /// Refuses what cannot be simulated, naming the option.
    ///
    /// # Errors
    /// When a number is out of its documented range, or the ports do not suffice.
    pub fn validate(&self) -> anyhow::Result<()> {
        ensure!(self.toolboxes <= 100_000, "--toolboxes must be at most 100000");
        ensure!(
            self.containers_per_toolbox <= 200,
            "--containers-per-toolbox must be at most 200"
        );
        ensure!(
            self.toolboxes_per_account >= 1,
            "--toolboxes-per-account must be at least 1"
        );
        ensure!(
            self.heartbeat_interval >= Duration::from_millis(10),
            "--heartbeat-interval must be at least 10ms"
        );
        ensure!(
            !self.heartbeat_timeout.is_zero(),
            "--heartbeat-timeout must be more than 0"
        );
        ensure!(
            (1..=10_000).contains(&self.heartbeat_concurrency),
            "--heartbeat-concurrency must be 1 to 10000"
        );
        ensure!(
            (1..=1_000_000).contains(&self.max_connections),
            "--max-connections must be 1 to 1000000"
        );
        ensure!(
            (0.0..=1_000_000.0).contains(&self.chaos_per_minute),
            "--chaos-per-minute must be 0 to 1000000"
        );
        self.clock_offset().context("--clock-offset-hours")?;
        if let Some(first) = self.ports_from {
            ensure!(
                first > 0 && usize::from(first) + self.toolboxes <= 65_536,
                "--ports-from {first} leaves fewer than {} ports",
                self.toolboxes
            );
        }
        if let Some(url) = &self.heartbeat_url {
            ensure!(
                matches!(url.scheme(), "http" | "https"),
                "--heartbeat-url must be http or https"
            );
            ensure!(
                url.username().is_empty(),
                "--heartbeat-url must not carry credentials"
            );
        }
        Ok(())
    }

    /// The clock offset of every machine.
    pub(crate) fn clock_offset(&self) -> anyhow::Result<SignedDuration> {
        offset_hours(self.clock_offset_hours).context("must be within ten years")
    }

    /// Whether each toolbox listens on a port of its own.
    pub(crate) fn own_ports(&self) -> bool {
        self.many_ports || self.ports_from.is_some()
    }
}

/// A clock offset of up to ten years either way.
pub(crate) fn offset_hours(hours: f64) -> Option<SignedDuration> {
    (hours.abs() <= 87_600.0).then(|| SignedDuration::from_secs_f64(hours * 3_600.0))
}

/// Which dialects a fleet speaks.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialectMix {
    /// All speak dialect A.
    A,
    /// All speak dialect B.
    B,
    /// All speak dialect C, open.
    OpenC,
    /// A third each, dealt by the seed.
    Mixed,
}

/// Where heartbeats are posted to, below the target URL.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeartbeatPath {
    /// `/heartbeat`
    New,
    /// `/dtma/heartbeat`
    Old,
}

impl HeartbeatPath {
    /// The path below the target URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "/heartbeat",
            Self::Old => "/dtma/heartbeat",
        }
    }
}

/// What heartbeats of a fleet say of the containers.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeartbeatStyle {
    /// Items of dialect C.
    Names,
    /// Items by instance id, with Docker's inspect state.
    Managed,
    /// An empty list: the agent is alive and says no more.
    Empty,
    /// `managed` from agents of dialect A, `names` from the others.
    ByDialect,
}

/// How a fleet's containers begin.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifecycles {
    /// Every tool container runs.
    Stable,
    /// Most run; the rest are what one finds in the field.
    Varied,
}

/// A captured payload on disk and the agent path it is served at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadFile {
    /// Path below the agent's base URL, beginning with a slash.
    pub path: String,
    /// The file.
    pub file: PathBuf,
}

impl std::str::FromStr for PayloadFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((path, file)) if path.starts_with('/') && !file.is_empty() => Ok(Self {
                path: path.to_owned(),
                file: PathBuf::from(file),
            }),
            None if !text.is_empty() => Ok(Self {
                path: "/status".to_owned(),
                file: PathBuf::from(text),
            }),
            _ => Err("must be FILE, or PATH=FILE with a path that begins with /".to_owned()),
        }
    }
}

/// `60s`, `500ms`, `1m 30s`; a bare number is seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let parsed = match text.parse::<u64>() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => text
            .parse::<SignedDuration>()
            .map_err(|error| error.to_string())
            .and_then(|signed| Duration::try_from(signed).map_err(|_| "must not be negative".to_owned())),
    }?;
    if parsed > Duration::from_secs(7 * 86_400) {
        return Err("must be at most a week".to_owned());
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        sim: SimConfig,
    }

    fn parse(args: &[&str]) -> Result<SimConfig, clap::Error> {
        Cli::try_parse_from(std::iter::once(&"sim").chain(args)).map(|cli| cli.sim)
    }

    #[test]
    fn no_arguments_are_the_default() {
        let parsed = parse(&[]).unwrap();
        assert_eq!(parsed, SimConfig::default());
        parsed.validate().unwrap();
    }

    #[test]
    fn arguments_are_read() {
        let parsed = parse(&[
            "--dialect=open-c",
            "--heartbeat-interval=1500ms",
            "--start-delay=3",
            "--clock-offset-hours=-26",
            "--gzip=false",
            "--payload-file=/tools/status=b.json",
            "--payload-file=c.json",
        ])
        .unwrap();
        assert_eq!(parsed.dialect, DialectMix::OpenC);
        assert_eq!(parsed.heartbeat_interval, Duration::from_millis(1_500));
        assert_eq!(parsed.start_delay, Duration::from_secs(3));
        assert_eq!(parsed.clock_offset().unwrap(), SignedDuration::from_hours(-26));
        assert!(!parsed.gzip);
        let paths: Vec<&str> = parsed
            .payload_file
            .iter()
            .map(|payload| payload.path.as_str())
            .collect();
        assert_eq!(paths, ["/tools/status", "/status"]);
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let table: [(&[&str], &str); 6] = [
            (&["--toolboxes=100001"], "--toolboxes"),
            (&["--chaos-per-minute=NaN"], "--chaos-per-minute"),
            (&["--clock-offset-hours=1e9"], "--clock-offset-hours"),
            (&["--ports-from=65530", "--toolboxes=10"], "--ports-from"),
            (&["--heartbeat-interval=1ms"], "--heartbeat-interval"),
            (&["--heartbeat-url=ftp://x"], "--heartbeat-url"),
        ];
        for (args, option) in table {
            let error = parse(args).unwrap().validate().unwrap_err();
            assert!(format!("{error:#}").contains(option), "{args:?}: {error:#}");
        }
        assert!(parse(&["--many-ports", "--ports-from=4000"]).is_err());
        assert!(parse(&["--start-delay=-1s"]).is_err());
        assert!(parse(&["--payload-file=status=x"]).is_err());
    }
}
