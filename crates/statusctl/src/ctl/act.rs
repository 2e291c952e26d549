//! `start`, `stop`, `restart`, `delete`, `monitor`, `unmonitor`: something is done with servers, several at once.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;
use uuid::Uuid;
use wire::api::{Accepted, CommandOutcomeLabel, CommandRecord};

use crate::api::{Client, Verb};
use crate::ctl::{Context, Failures};
use crate::exit::{Exit, Failure};
use crate::find::{self, Found};
use crate::show::command;

/// Done at once; the rest waits its turn.
const AT_ONCE: usize = 8;
/// Longest wait asked of the API in one request.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Between questions to an API that does not wait as asked.
const BETWEEN: Duration = Duration::from_millis(500);

/// Whether to wait, and how long.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Waiting {
    /// Wait this long for the outcome
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = service::duration)]
    pub wait: Duration,
    /// Do not wait: say that it was accepted, and end
    #[arg(long, conflicts_with = "wait")]
    pub no_wait: bool,
}

impl Waiting {
    /// How long; zero for not at all.
    pub(crate) fn time(self) -> Duration {
        if self.no_wait { Duration::ZERO } else { self.wait }
    }
}

/// Options of `stop`, `restart` and `delete`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Which servers: names, TOOLBOX/NAME, ids, or beginnings of ids
    #[arg(required = true, value_name = "SERVER")]
    pub servers: Vec<String>,
    /// Whether to wait.
    #[command(flatten)]
    pub waiting: Waiting,
}

/// Options of `start`.
#[derive(Debug, Clone, clap::Args)]
pub struct StartOptions {
    /// What all of these have.
    #[command(flatten)]
    pub common: Options,
    /// Have them watched from now on, too
    #[arg(long)]
    pub monitor: bool,
}

/// Does it, with all servers at once, and prints each outcome in the order of the arguments.
///
/// # Errors
/// The last failure; those before it were told.
pub async fn run(
    context: &Context,
    verb: Verb,
    servers: &[String],
    monitor: bool,
    wait: Duration,
) -> Result<Exit, Failure> {
    let client = context.client().await?;
    let found = find::servers(&client, servers).await;
    let waiting = Spinner::start(verb.as_str(), wait);
    let each = found.into_iter().map(|found| async {
        let found = found?;
        let accepted = carry_out(&client, &found, verb, monitor, wait).await;
        accepted.map(|accepted| (found, accepted))
    });
    let mut outcomes = stream::iter(each).buffered(AT_ONCE);
    let mut failures = Failures::default();
    let mut answers = Vec::new();
    while let Some(outcome) = outcomes.next().await {
        match outcome {
            Ok((found, accepted)) => {
                failures.ended(command::exit(accepted.command.outcome, !wait.is_zero()));
                if !context.global.json {
                    let line = command::line(&found.name, &accepted, context.look());
                    waiting.0.suspend(|| context.print(&line));
                }
                answers.push(accepted);
            }
            Err(failure) => waiting.0.suspend(|| failures.add(context, failure)),
        }
    }
    drop(waiting);
    if context.global.json {
        context.print(&crate::show::json(&answers));
    }
    failures.end()
}

/// Something that moves while a person waits; nothing where standard error is no terminal.
struct Spinner(ProgressBar);

impl Spinner {
    fn start(verb: &'static str, wait: Duration) -> Self {
        if wait.is_zero() {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::new_spinner().with_message(verb);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} … {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

async fn carry_out(
    client: &Client,
    found: &Found,
    verb: Verb,
    monitor: bool,
    wait: Duration,
) -> Result<Accepted, Failure> {
    let name = |failure: Failure| Failure {
        text: format!("{}: {}", crate::show::clean(&found.name), failure.text),
        ..failure
    };
    let until = Instant::now() + wait;
    let key = Uuid::new_v4();
    let asked = client
        .act(found.id, verb, monitor, wait.min(LONGEST_WAIT), key)
        .await;
    let accepted = asked.map_err(name)?;
    follow(client, accepted, until).await.map_err(name)
}

/// Waits for a command's outcome, and asks for the server as it then is.
pub(crate) async fn follow(
    client: &Client,
    mut accepted: Accepted,
    until: Instant,
) -> Result<Accepted, Failure> {
    if !is_under_way(&accepted.command) {
        return Ok(accepted);
    }
    while is_under_way(&accepted.command) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(accepted);
        }
        let next = tokio::time::sleep(BETWEEN.min(left));
        let command = client
            .command(accepted.command.command_id, left.min(LONGEST_WAIT))
            .await?;
        accepted.command = command;
        if is_under_way(&accepted.command) {
            next.await;
        }
    }
    if let Some(server) = accepted.command.server_id {
        accepted.status = match client.server(server).await {
            Ok(server) => Some(server),
            // It was deleted.
            Err(failure) if failure.exit == Exit::NotFound => None,
            Err(failure) => return Err(failure),
        };
    }
    Ok(accepted)
}

fn is_under_way(command: &CommandRecord) -> bool {
    command.outcome == CommandOutcomeLabel::UnderWay
}

/// Prints what is kept of one command.
///
/// # Errors
/// When it cannot be asked for.
pub async fn show(context: &Context, id: Uuid, wait: Duration) -> Result<(), Failure> {
    let client = context.client().await?;
    let until = Instant::now() + wait;
    let mut record = client.command(id, wait.min(LONGEST_WAIT)).await?;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if !is_under_way(&record) || left.is_zero() {
            break;
        }
        let next = tokio::time::sleep(BETWEEN.min(left));
        record = client.command(id, left.min(LONGEST_WAIT)).await?;
        if is_under_way(&record) {
            next.await;
        }
    }
    context.answer(&record, |look| command::details(&record, look));
    Ok(())
}
