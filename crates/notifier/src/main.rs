//! The process of [`notifier`].

use std::process::ExitCode;

use notifier::Config;

fn main() -> ExitCode {
    service::command_line(|config: Config| {
        let telemetry = config.telemetry.clone();
        service::main("notifier", &telemetry, |lifecycle| {
            notifier::run(config, lifecycle)
        })
    })
}
