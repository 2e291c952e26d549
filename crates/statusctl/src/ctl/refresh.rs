//! `refresh`: observe now, and not when the timetable says.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use crate::api::Verb;
use crate::ctl::act::{self, Waiting};
use crate::ctl::{Context, Failures};
use crate::exit::{Exit, Failure};
use crate::find;
use crate::show::command;

/// Options of `refresh`.
#[derive(Debug, Clone, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub struct Options {
    /// Which servers: names, TOOLBOX/NAME, ids, or beginnings of ids
    #[arg(value_name = "SERVER", group = "what")]
    pub servers: Vec<String>,
    /// All servers of this toolbox
    #[arg(long, group = "what")]
    pub toolbox: Option<String>,
    /// Everything there is
    #[arg(long, group = "what")]
    pub all: bool,
    /// Whether to wait.
    #[command(flatten)]
    pub waiting: Waiting,
}

/// Has servers, a toolbox or everything observed now.
///
/// # Errors
/// When it is refused.
pub async fn run(context: &Context, options: &Options) -> Result<Exit, Failure> {
    let wait = options.waiting.time();
    if !options.servers.is_empty() {
        return act::run(context, Verb::Refresh, &options.servers, false, wait).await;
    }
    let client = context.client().await?;
    let until = Instant::now() + wait;
    let key = Uuid::new_v4();
    let (name, accepted) = match &options.toolbox {
        Some(toolbox) => {
            let id = find::toolbox(&client, toolbox).await?;
            let first = wait.min(Duration::from_secs(30));
            (toolbox.as_str(), client.refresh_toolbox(id, first, key).await?)
        }
        None => ("everything", client.refresh_all(key).await?),
    };
    let accepted = act::follow(&client, accepted, until).await?;
    let mut failures = Failures::default();
    failures.ended(command::exit(accepted.command.outcome, !wait.is_zero()));
    // As an array, like a refresh of servers: whoever reads it need not know what was asked for.
    let answers = [&accepted];
    context.answer(&answers, |look| command::line(name, &accepted, look));
    failures.end()
}
