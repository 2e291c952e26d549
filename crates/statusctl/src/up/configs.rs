//! The options of what is hosted: each service's own defaults and environment, with what this host decides.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, anyhow, bail};
use clap::Parser as _;
use dtma_sim::SimConfig;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use crate::up::{Heartbeat, Options};

/// What the services reach each other by.
pub(crate) struct Reach {
    pub(crate) nats_url: String,
    pub(crate) database_url: SecretString,
    pub(crate) sealing_key: SecretString,
    pub(crate) jwt_secret: SecretString,
}

pub(crate) fn mapper(options: &Options, reach: &Reach) -> anyhow::Result<status_mapper::Config> {
    let listen = listen(options.mapper_port);
    let arguments = [
        "status-mapper",
        "--nats-url",
        &reach.nats_url,
        "--database-url",
        reach.database_url.expose_secret(),
        "--sealing-key",
        reach.sealing_key.expose_secret(),
        "--listen",
        &listen,
    ];
    status_mapper::Config::try_parse_from(arguments).map_err(|error| refused("MAPPER", &error))
}

pub(crate) fn poller(options: &Options, reach: &Reach) -> anyhow::Result<dtma_poller::Config> {
    let listen = listen(options.poller_port);
    let arguments = [
        "dtma-poller",
        "--nats-url",
        &reach.nats_url,
        "--sealing-key",
        reach.sealing_key.expose_secret(),
        "--listen",
        &listen,
    ];
    dtma_poller::Config::try_parse_from(arguments).map_err(|error| refused("POLLER", &error))
}

/// `board` is where the board's pages come from, which ask it.
pub(crate) fn api(options: &Options, reach: &Reach, board: SocketAddr) -> anyhow::Result<status_api::Config> {
    let listen = listen(options.api_port);
    let arguments = [
        "status-api",
        "--nats-url",
        &reach.nats_url,
        "--database-url",
        reach.database_url.expose_secret(),
        "--jwt-secret",
        reach.jwt_secret.expose_secret(),
        "--listen",
        &listen,
    ];
    let mut config = status_api::Config::try_parse_from(arguments).map_err(|error| refused("API", &error))?;
    // As it is said, and as people may type it; beside those of the environment.
    for host in ["127.0.0.1", "localhost"] {
        let origin = format!("http://{host}:{}", board.port());
        config.limits.cors_origins.push(origin);
    }
    Ok(config)
}

/// `api` is where the board's pages ask.
pub(crate) fn notifier(reach: &Reach, api: &str) -> anyhow::Result<notifier::Config> {
    let arguments = [
        "notifier",
        "--nats-url",
        &reach.nats_url,
        "--jwt-secret",
        reach.jwt_secret.expose_secret(),
        // Opens the secrets of webhooks.
        "--sealing-key",
        reach.sealing_key.expose_secret(),
        "--board-api-url",
        api,
    ];
    notifier::Config::try_parse_from(arguments).map_err(|error| refused("NOTIFIER", &error))
}

/// Where notifier listens.
pub(crate) fn notifier_address(options: &Options) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, options.notifier_port.unwrap_or(0)).into()
}

fn listen(port: Option<u16>) -> String {
    format!("127.0.0.1:{}", port.unwrap_or(0))
}

/// What clap says of an environment variable, in one line.
fn refused(prefix: &str, error: &clap::Error) -> anyhow::Error {
    let text = error.render().to_string();
    let first = text
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default();
    anyhow!("{prefix}_… variables: {}", first.trim_start_matches("error: "))
}

pub(crate) fn sim(options: &Options, poller: &str) -> anyhow::Result<SimConfig> {
    let defaults = SimConfig::default();
    let (heartbeat_url, heartbeat_interval) = match options.demo_heartbeat {
        Heartbeat::Off => (None, defaults.heartbeat_interval),
        Heartbeat::Every(interval) => (
            Some(Url::parse(poller).context("the poller's address")?),
            interval,
        ),
    };
    if !options.demo_chaos.is_finite() || options.demo_chaos < 0.0 {
        bail!("--demo-chaos must be 0 or more");
    }
    Ok(SimConfig {
        toolboxes: options.demo,
        containers_per_toolbox: options.demo_containers,
        toolboxes_per_account: options.demo.div_ceil(options.demo_accounts.get()).max(1),
        seed: options.demo_seed,
        listen: listen(options.sim_port)
            .parse()
            .context("the simulated agents' address")?,
        chaos_per_minute: if options.demo == 0 {
            0.0
        } else {
            options.demo_chaos
        },
        heartbeat_url,
        heartbeat_interval,
        ..defaults
    })
}
