//! The process of status-api.

use std::process::ExitCode;

use clap::Parser as _;
use status_api::Config;

fn main() -> ExitCode {
    let config = Config::parse();
    let telemetry = config.telemetry.clone();
    service::main("status-api", &telemetry, |lifecycle| {
        status_api::run(config, lifecycle)
    })
}
