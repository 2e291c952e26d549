//! The process of status-mapper.

use std::process::ExitCode;

use clap::Parser as _;
use status_mapper::Config;

fn main() -> ExitCode {
    let config = Config::parse();
    let telemetry = config.telemetry.clone();
    service::main("status-mapper", &telemetry, |lifecycle| {
        status_mapper::run(config, lifecycle)
    })
}
