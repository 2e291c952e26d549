//! What a service's process is asked for by its command line: to serve, or to say how the one that serves is.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Command, Parser};

use crate::{health, secret_files};

/// Reads the options of a service and serves, or does what the subcommand says. A wrong command line ends the process.
/// Beside its own options every service has `health`, and takes secrets from files.
pub fn command_line<C: Parser>(serve: impl FnOnce(C) -> ExitCode) -> ExitCode {
    let mut command = secret_files::apply(C::command(), variable).map_or_else(
        |error| C::command().error(ErrorKind::Io, format!("{error:#}")).exit(),
        with_health,
    );
    let name = command.get_name().to_owned();
    let matches = command.get_matches_mut();
    if let Some((health::NAME, asked)) = matches.subcommand() {
        return health::run(&name, asked);
    }
    C::from_arg_matches(&matches).map_or_else(|error| error.format(&mut command).exit(), serve)
}

/// Whoever asks how a service is need not know its secrets.
fn with_health(command: Command) -> Command {
    command
        .subcommand(health::command())
        .args_conflicts_with_subcommands(true)
        .subcommand_negates_reqs(true)
        .disable_help_subcommand(true)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the shell: clap reads the options' variables, and this those that name files"
)]
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[derive(Debug, Parser)]
    #[command(name = "host", version)]
    struct Host {
        /// Must be given
        #[arg(long, env = "COMMAND_LINE_TEST_KEY", hide_env_values = true)]
        key: secrecy::SecretString,
    }

    #[test]
    fn health_needs_no_options_of_the_service_and_serving_does() {
        let command = with_health(Host::command());
        command.clone().debug_assert();
        let matches = |arguments: &[&str]| {
            let all = ["host"].iter().chain(arguments);
            command.clone().try_get_matches_from(all)
        };
        let asked = matches(&["health", "--listen", "0.0.0.0:1"]).unwrap();
        assert_eq!(asked.subcommand_name(), Some(health::NAME));
        assert_eq!(matches(&["--key", "k"]).unwrap().subcommand_name(), None);
        let missing = matches(&[]).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::MissingRequiredArgument);
        assert!(matches(&["--key", "k", "health", "--listen", "0.0.0.0:1"]).is_err());
    }
}
