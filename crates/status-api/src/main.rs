//! The process of status-api.

use std::process::ExitCode;

use status_api::Config;

fn main() -> ExitCode {
    service::command_line(|config: Config| {
        let telemetry = config.telemetry.clone();
        service::main("status-api", &telemetry, |lifecycle| {
            status_api::run(config, lifecycle)
        })
    })
}
