//! From a command line to what does it.

use std::io::Write as _;

use clap::CommandFactory as _;
use tokio_util::sync::CancellationToken;

use crate::api::Verb;
use crate::cli::{Cli, Command, CommandCommands};
use crate::ctl::{
    Context, act, board, connections, log, migrate, overrides, profiles, refresh, registry, servers, sim,
    token, toolboxes, webhooks,
};
use crate::exit::{Exit, Failure};
use crate::{doctor, up, watch};

/// Runs a command. Those that run until they are told to end do so in order; of any other, what is under way is let go.
///
/// # Errors
/// The one line and the exit code that the process ends with.
pub async fn dispatch(cli: Cli, shutdown: CancellationToken) -> Result<Exit, Failure> {
    let context = Context::new(cli.global)?;
    match cli.command {
        Command::Up(options) => up::run(*options, context.data_dir(), shutdown).await?,
        Command::Watch(options) => watch::run(&context, *options, shutdown).await?,
        Command::Sim(options) => sim::run(&context, *options, shutdown).await?,
        command => {
            return tokio::select! {
                outcome = Box::pin(once(&context, command)) => outcome,
                () = shutdown.cancelled() => Err(Failure::interrupted()),
            };
        }
    }
    Ok(Exit::Done)
}

/// Runs a command that ends by itself.
async fn once(context: &Context, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Get { server } => servers::get(context, &server).await?,
        Command::List(options) => servers::run_list(context, &options).await?,
        Command::History { server, limit } => servers::run_history(context, &server, limit).await?,
        Command::Fleet => servers::run_fleet(context).await?,
        Command::Start(options) => {
            let common = &options.common;
            let wait = common.waiting.time();
            return act::run(context, Verb::Start, &common.servers, options.monitor, wait).await;
        }
        Command::Stop(options) => return act(context, Verb::Stop, &options).await,
        Command::Restart(options) => return act(context, Verb::Restart, &options).await,
        Command::Delete(options) => return act(context, Verb::Delete, &options).await,
        Command::Refresh(options) => return refresh::run(context, &options).await,
        Command::Monitor { servers } => return at_once(context, Verb::Monitor, &servers).await,
        Command::Unmonitor { servers } => return at_once(context, Verb::Unmonitor, &servers).await,
        Command::Override(options) => return overrides::run(context, &options).await,
        Command::Toolbox(what) => toolboxes::run(context, &what).await?,
        Command::Server(what) => return registry::registration(context, &what).await,
        Command::Connection(what) => connections::run(context, &what).await?,
        Command::Webhook(what) => webhooks::run(context, what).await?,
        Command::Command(CommandCommands::Show { id, wait }) => act::show(context, id, wait).await?,
        Command::Board(options) => board::run(context, &options).await?,
        Command::Token(options) => token::run(context, &options).await?,
        Command::Log(options) => return log::run(context, &options).await,
        Command::Profile(what) => profiles::run(context, &what).await?,
        Command::Migrate(options) => migrate::run(context, &options).await?,
        Command::Doctor(options) => return doctor::run(context, &options).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "statusctl", &mut script);
            // Whoever no longer reads has what they wanted.
            let _ = std::io::stdout().lock().write_all(&script);
        }
        Command::Up(_) | Command::Watch(_) | Command::Sim(_) => {
            return Err(Failure::usage("this command runs until it is told to end"));
        }
    }
    Ok(Exit::Done)
}

async fn act(context: &Context, verb: Verb, options: &act::Options) -> Result<Exit, Failure> {
    act::run(context, verb, &options.servers, false, options.waiting.time()).await
}

/// What has its effect when it is accepted: there is nothing to wait for.
async fn at_once(context: &Context, verb: Verb, servers: &[String]) -> Result<Exit, Failure> {
    act::run(context, verb, servers, false, std::time::Duration::ZERO).await
}
