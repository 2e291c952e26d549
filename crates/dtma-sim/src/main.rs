//! `dtma-sim`: a fleet of simulated DTMA agents for load and for scripts over HTTP.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use dtma_sim::{SimConfig, SimHandle};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Simulate a fleet of DTMA agents: they answer status polls and commands, push heartbeats, live through crashes and
/// misbehave on demand.
///
/// Once it is up it prints one line of JSON, {"url":…,"toolboxes":N}. Everything is then scripted over HTTP below
/// URL/control:
///
///   GET  /control/fleet                                           ids, names, base URLs, tokens
///   GET  /control/stats                                           what was asked and answered
///   POST /control/toolboxes/ID/containers/NAME/crash              {"exit_code":137,"oom":true}
///   POST /control/toolboxes/ID/misbehave                          {"kind":"slow","delay_ms":2000}
///   POST /control/toolboxes/ID/clear
///   POST /control/toolboxes/ID/heartbeat-now
///
/// ID is a toolbox's id or name (toolbox-00001). Container actions: start, stop, crash, crash-loop, pause, unpause,
/// dead, remove, rename, recreate, health, inspect-error. It stops on SIGINT and SIGTERM within a second.
#[derive(Parser)]
#[command(version, verbatim_doc_comment)]
struct Cli {
    #[command(flatten)]
    sim: SimConfig,

    /// What to log to standard error, such as `info` or `dtma_sim=debug`.
    #[arg(long, env = "DTMA_SIM_LOG", default_value = "warn")]
    log: String,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match start(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, whatever the causes hold. Standard error may be closed; the exit code says it too.
            let text = format!("{error:#}").replace('\n', " ");
            let _ = writeln!(std::io::stderr(), "dtma-sim: {text}");
            ExitCode::FAILURE
        }
    }
}

fn start(cli: Cli) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&cli.log).context("--log")?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    runtime.block_on(simulate(cli.sim))
}

async fn simulate(config: SimConfig) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    let stop = shutdown.clone();
    let simulation = dtma_sim::run_with(config, shutdown, announce);
    tokio::pin!(simulation);
    loop {
        tokio::select! {
            ended = &mut simulation => return ended,
            _ = interrupt.recv() => stop.cancel(),
            _ = terminate.recv() => stop.cancel(),
        }
    }
}

fn announce(sim: &SimHandle) -> anyhow::Result<()> {
    let line = serde_json::json!({ "url": sim.base_url(), "toolboxes": sim.len() });
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .context("failed to write to standard output")
}
