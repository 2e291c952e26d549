//! The process of [`dtma_poller`].

use std::process::ExitCode;

use clap::Parser as _;
use dtma_poller::Config;

fn main() -> ExitCode {
    let config = Config::parse();
    let telemetry = config.telemetry.clone();
    service::main("dtma-poller", &telemetry, |lifecycle| {
        dtma_poller::run(config, lifecycle)
    })
}
