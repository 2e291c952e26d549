//! Wiring only: arguments to commands, errors to exit codes.

use std::cell::Cell;
use std::process::ExitCode;

use clap::Parser as _;
use service::options::{LogFormat, TelemetryOptions};
use statusctl::cli::Cli;
use statusctl::dispatch::dispatch;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let telemetry = TelemetryOptions {
        log: cli.global.log.clone(),
        log_format: LogFormat::Pretty,
    };
    let exit = Cell::new(None);
    let ended = service::main("statusctl", &telemetry, |lifecycle| async {
        let outcome = dispatch(cli, lifecycle.shutdown).await;
        exit.set(Some(
            outcome.as_ref().map_or_else(|failure| failure.exit, |exit| *exit),
        ));
        outcome.map(|_| ()).map_err(anyhow::Error::from)
    });
    exit.get().map_or(ended, |exit| ExitCode::from(exit.code()))
}
