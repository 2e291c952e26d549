//! The process of status-mapper.

use std::process::ExitCode;

use status_mapper::Config;

fn main() -> ExitCode {
    service::command_line(|config: Config| {
        let telemetry = config.telemetry.clone();
        service::main("status-mapper", &telemetry, |lifecycle| {
            status_mapper::run(config, lifecycle)
        })
    })
}
