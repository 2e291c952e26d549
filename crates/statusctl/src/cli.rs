//! The command line.

use std::time::Duration;

use uuid::Uuid;

use crate::ctl::{
    Global, act, board, connections, log, migrate, overrides, profiles, refresh, registry, servers, sim,
    token, toolboxes, webhooks,
};
use crate::{doctor, up, watch};

/// Run, watch, ask and command the status synchronisation of MCP servers.
///
/// Start everything on this machine with twenty simulated toolboxes, and look at their servers:
///
///   statusctl up --demo 20
///   statusctl watch
///   statusctl list --state error
///   statusctl restart toolbox-00001/mcp-github
///
/// SERVER is a name, TOOLBOX/NAME, an id, or the beginning of an id (4 digits or
/// more). Which installation is meant is said by --api-url, --profile or --data-dir;
/// else by STATUS_API_URL or STATUS_PROFILE; else by the current profile; else it is
/// the `statusctl up` that runs here.
///
/// Exit codes:
///   0    done
///   1    failed: a command came to another end, or doctor found errors
///   2    wrong usage
///   3    not found, or somebody else's
///   4    not permitted: no token, or not for this
///   5    conflict: something else is under way
///   6    unreachable, or unavailable at present
///   130  interrupted
///
/// What failed is said in one line on standard error.
#[derive(Debug, clap::Parser)]
#[command(name = "statusctl", version, verbatim_doc_comment, max_term_width = 100)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show one server: its state, health, and why
    ///
    ///   statusctl get mcp-github
    ///   statusctl get toolbox-00001/mcp-github --json | jq .lastError
    #[command(verbatim_doc_comment)]
    Get {
        /// Which server: its name, TOOLBOX/NAME, its id, or the beginning of its id
        server: String,
    },
    /// List servers, those in trouble first
    ///
    ///   statusctl list
    ///   statusctl list --state error,unknown --toolbox toolbox-00001
    ///   statusctl list --health unhealthy -o name | xargs statusctl restart
    ///   statusctl list --json | jq -r '.[] | select(.age > 60) | .name'
    ///
    /// SINCE is how long it has been so, SEEN how old the knowledge is.
    #[command(verbatim_doc_comment)]
    List(servers::List),
    /// Follow every status change as it happens
    ///
    /// In a terminal it is a table of all servers, those in trouble first, that updates
    /// by itself. In a pipe, or with --json, it is one JSON object a line: the events as
    /// they were published on mcp.status.v1.> and toolbox.status.v1.>.
    ///
    ///   statusctl watch
    ///   statusctl watch --state error --toolbox toolbox-00001
    ///   statusctl watch --json | jq 'select(.state == "error")'
    ///   statusctl watch --json --snapshot     begins with the present state of everything
    ///
    /// It reads from NATS. Where only the address of status-api is known, it asks that
    /// for all servers every 2 seconds; JSON is then one server a line, as `get` prints
    /// it, whenever it has changed.
    #[command(verbatim_doc_comment)]
    Watch(Box<watch::Options>),
    /// Show how a server came to where it is, newest first
    ///
    ///   statusctl history mcp-github
    ///   statusctl history mcp-github --limit 5 --json
    #[command(verbatim_doc_comment)]
    History {
        /// Which server: its name, TOOLBOX/NAME, its id, or the beginning of its id
        server: String,
        /// Most changes shown
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Summarise everything: counts, the oldest knowledge, and how far the system is behind
    Fleet,
    /// Start servers, and wait until they run
    ///
    ///   statusctl start mcp-github
    ///   statusctl start toolbox-00001/mcp-github toolbox-00002/mcp-github --monitor
    ///   statusctl start mcp-github --no-wait
    ///
    /// Prints a line a server: what came of it, and how the server is now. Several are
    /// started at once.
    #[command(verbatim_doc_comment)]
    Start(act::StartOptions),
    /// Stop servers, and wait until they have stopped
    ///
    ///   statusctl stop mcp-github
    #[command(verbatim_doc_comment)]
    Stop(act::Options),
    /// Stop and start servers
    ///
    ///   statusctl restart mcp-github --wait 2m
    #[command(verbatim_doc_comment)]
    Restart(act::Options),
    /// Remove servers with their containers
    ///
    ///   statusctl delete toolbox-00001/mcp-github
    ///
    /// To take one out of the registry and leave its container, use `statusctl server
    /// remove`.
    #[command(verbatim_doc_comment)]
    Delete(act::Options),
    /// Have servers observed now, and not when the timetable says
    ///
    ///   statusctl refresh mcp-github
    ///   statusctl refresh --toolbox toolbox-00001
    ///   statusctl refresh --all --no-wait
    #[command(verbatim_doc_comment)]
    Refresh(refresh::Options),
    /// Have servers watched
    ///
    ///   statusctl monitor mcp-github
    #[command(verbatim_doc_comment)]
    Monitor {
        /// Which servers: names, TOOLBOX/NAME, ids, or beginnings of ids
        #[arg(required = true, value_name = "SERVER")]
        servers: Vec<String>,
    },
    /// No longer have servers watched; what becomes of them is then not known
    ///
    ///   statusctl unmonitor mcp-github
    #[command(verbatim_doc_comment)]
    Unmonitor {
        /// Which servers: names, TOOLBOX/NAME, ids, or beginnings of ids
        #[arg(required = true, value_name = "SERVER")]
        servers: Vec<String>,
    },
    /// Say what a server's status is, for a while, in place of what is observed
    ///
    ///   statusctl override mcp-github --state stopped --for 2h --message 'moved to another machine'
    ///   statusctl override mcp-github --clear
    #[command(verbatim_doc_comment)]
    Override(overrides::Options),
    /// Toolboxes: list, show, add, change, remove
    #[command(subcommand)]
    Toolbox(toolboxes::Toolboxes),
    /// The registration of servers: add, rename, remove
    #[command(subcommand)]
    Server(registry::Registration),
    /// Connections of agents to servers: list, add, remove, status
    #[command(subcommand)]
    Connection(connections::Connections),
    /// Webhooks: list, add, show, change, remove, rotate, test, deliveries, dead letters, replay
    #[command(subcommand)]
    Webhook(webhooks::Webhooks),
    /// Commands that were asked for: show
    #[command(subcommand)]
    Command(CommandCommands),
    /// Find out what is wrong, and what to do about it
    ///
    /// Looks at NATS (version, streams, buckets, consumers and their backlog, dead
    /// letters, schedules), PostgreSQL (migrations, outbox, commands, clock), status-api,
    /// the services, and the agents. Changes nothing. What it has no access to is
    /// skipped.
    ///
    ///   statusctl doctor
    ///   statusctl doctor --probe                            asks every agent from here, too
    ///   statusctl doctor --json | jq '.[] | select(.level == "error")'
    #[command(verbatim_doc_comment)]
    Doctor(doctor::Options),
    /// Have services log something else for a while
    ///
    ///   statusctl log status-mapper info,bus=debug
    ///   statusctl log all debug --for 2m
    ///   statusctl log all --reset
    ///
    /// All replicas do, and by themselves log again what they were started with when the
    /// time is over. Asked over NATS.
    #[command(verbatim_doc_comment)]
    Log(log::Options),
    /// Profiles of several installations: list, add, use, remove, show
    ///
    /// A profile says where status-api is and where the token comes from: a file, a
    /// command, or standard input once. Never an argument, which everybody on the machine
    /// could read. Where NATS and PostgreSQL are, `watch` and `doctor` use them.
    #[command(subcommand, verbatim_doc_comment)]
    Profile(profiles::Commands),
    /// Print a link that opens the board, signed in
    ///
    ///   statusctl board
    ///   xdg-open "$(statusctl board)"
    ///
    /// It works once, within 15 minutes, and signs in as whom statusctl asks; for a
    /// `statusctl up` here, as the account of the first simulated toolbox, or without
    /// --demo as one that sees everything.
    #[command(verbatim_doc_comment)]
    Board(board::Options),
    /// Make a token from a secret, for development
    ///
    ///   statusctl token                      sees everything of the `statusctl up` here
    ///   statusctl token --account 6f1c0b9e-3c52-4c11-9d0e-0e6f6c1b2a77 --for 8h
    ///   statusctl token --secret-file jwt-secret > token
    #[command(verbatim_doc_comment)]
    Token(token::Options),
    /// Print a script that completes commands in a shell
    ///
    ///   source <(statusctl completions bash)
    ///   statusctl completions zsh > ~/.zfunc/_statusctl
    ///   statusctl completions fish > ~/.config/fish/completions/statusctl.fish
    #[command(verbatim_doc_comment)]
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Start everything on this machine: a private NATS, a private PostgreSQL, the
    /// services, and simulated agents
    ///
    /// The data folder keeps everything for the next start. Once all works, and not
    /// before, it holds endpoints.json, which says where everything is; it is removed at
    /// the end. Ctrl-C or SIGTERM ends it in order.
    ///
    ///   statusctl up                          an empty fleet, ready for real agents
    ///   statusctl up --demo 20                twenty simulated toolboxes whose containers come and go
    ///   statusctl up --data-dir /tmp/try      in a folder of its own
    ///
    /// It prints a link that opens the board; `statusctl board` prints another.
    ///
    /// Options of the services are taken from their environment variables: POLLER_…,
    /// MAPPER_… and API_…, as the help of dtma-poller, status-mapper and status-api lists
    /// them. MAPPER_HEALTHY_FOR=20s makes silence show sooner, for example.
    #[command(verbatim_doc_comment)]
    Up(Box<up::Options>),
    /// Run simulated agents alone, for load and for scripts
    ///
    /// Prints one line of JSON once it answers; everything is then scripted over HTTP
    /// below URL/control.
    Sim(Box<sim::Options>),
    /// Bring the database's schema up to date
    ///
    /// Migrations only add, and may run while the services do. The database is the one
    /// that DATABASE_URL names, or the file that DATABASE_URL_FILE names; else that of
    /// the profile, or of the `statusctl up` that runs here.
    ///
    ///   DATABASE_URL_FILE=/run/secrets/database_url statusctl migrate --wait 2m
    #[command(verbatim_doc_comment)]
    Migrate(migrate::Options),
}

/// What to do with commands.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum CommandCommands {
    /// Show what is kept of a command: who asked for what, and what came of it
    Show {
        /// Its id
        #[arg(value_name = "COMMAND")]
        id: Uuid,
        /// Wait this long for its outcome
        #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = service::duration)]
        wait: Duration,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    /// Every help, as it is printed on a terminal of 100 columns.
    #[test]
    fn every_help_is_known() {
        fn each(command: &mut clap::Command, path: &str) {
            // The simulator's own options are its own crate's to test.
            if path == "statusctl sim" {
                return;
            }
            let text = command.clone().term_width(100).render_long_help().to_string();
            let text: String = text
                .lines()
                .map(|line| format!("{}\n", line.trim_end()))
                .collect();
            insta::assert_snapshot!(path.replace(' ', "_"), text);
            let names: Vec<String> = command
                .get_subcommands()
                .map(|one| one.get_name().to_owned())
                .filter(|name| name != "help")
                .collect();
            for name in names {
                if let Some(below) = command.find_subcommand_mut(&name) {
                    each(below, &format!("{path} {name}"));
                }
            }
        }
        let mut command = Cli::command();
        command.build();
        each(&mut command, "statusctl");
    }
}
