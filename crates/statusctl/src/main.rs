//! Wiring only: arguments to commands, errors to exit codes.

use std::process::ExitCode;

use clap::Parser as _;
use service::options::{LogFormat, TelemetryOptions};
use statusctl::cli::{Cli, Command};
use statusctl::{up, watch};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let telemetry = TelemetryOptions {
        log: cli.log,
        log_format: LogFormat::Pretty,
    };
    service::main("statusctl", &telemetry, |lifecycle| async move {
        match cli.command {
            Command::Up(options) => up::run(*options, lifecycle.shutdown).await,
            Command::Watch(options) => watch::run(options, lifecycle.shutdown).await,
            Command::Sim(config) => {
                dtma_sim::run_with(*config, lifecycle.shutdown, |sim| {
                    let ready = serde_json::json!({ "url": sim.base_url(), "toolboxes": sim.len() });
                    watch::print_line(&ready.to_string())
                })
                .await
            }
        }
    })
}
