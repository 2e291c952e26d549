//! The command line.

use crate::{up, watch};

/// Run, watch and try out the status synchronisation of MCP servers.
///
/// Start everything on this machine with twenty simulated toolboxes, and watch their servers change:
///
///   statusctl up --demo 20
///   statusctl watch
///
/// Exit codes: 0 done, 1 failed (with one line on standard error), 2 wrong usage.
#[derive(Debug, clap::Parser)]
#[command(name = "statusctl", version, verbatim_doc_comment)]
pub struct Cli {
    /// What to log to standard error: a level, or directives such as `info,bus=debug`
    #[arg(long, global = true, env = "LOG", default_value = "warn")]
    pub log: String,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Start everything on this machine: a private NATS, a private PostgreSQL, the services, and simulated agents
    ///
    /// The data folder keeps everything for the next start. Once all works, and not before, it holds endpoints.json,
    /// which says where everything is; it is removed at the end. Ctrl-C or SIGTERM ends it in order.
    ///
    ///   statusctl up                          an empty fleet, ready for real agents
    ///   statusctl up --demo 20                twenty simulated toolboxes whose containers come and go
    ///   statusctl up --data-dir /tmp/try      in a folder of its own
    ///
    /// Options of the services are taken from their environment variables: POLLER_… and MAPPER_…, as the help of
    /// dtma-poller and status-mapper lists them. MAPPER_HEALTHY_FOR=20s makes silence show sooner, for example.
    #[command(verbatim_doc_comment)]
    Up(Box<up::Options>),
    /// Print every status change as it happens
    ///
    /// In a terminal it is a table of all servers, those in trouble first, that updates by itself. In a pipe, or with
    /// --json, it is one JSON object a line: the events as they were published on mcp.status.v1.> and
    /// toolbox.status.v1.>.
    ///
    ///   statusctl watch
    ///   statusctl watch --json | jq 'select(.state == "error")'
    ///   statusctl watch --json --snapshot     begins with the present state of everything
    #[command(verbatim_doc_comment)]
    Watch(watch::Options),
    /// Run simulated agents alone, for load and for scripts
    ///
    /// Prints one line of JSON once it answers; everything is then scripted over HTTP below URL/control.
    Sim(Box<dtma_sim::SimConfig>),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
