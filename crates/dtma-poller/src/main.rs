//! The process of [`dtma_poller`].

use std::process::ExitCode;

use dtma_poller::Config;

fn main() -> ExitCode {
    service::command_line(|config: Config| {
        let telemetry = config.telemetry.clone();
        service::main("dtma-poller", &telemetry, |lifecycle| {
            dtma_poller::run(config, lifecycle)
        })
    })
}
