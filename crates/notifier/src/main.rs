//! The process of [`notifier`].

use std::process::ExitCode;

use clap::Parser as _;
use notifier::Config;

fn main() -> ExitCode {
    let config = Config::parse();
    let telemetry = config.telemetry.clone();
    service::main("notifier", &telemetry, |lifecycle| {
        notifier::run(config, lifecycle)
    })
}
