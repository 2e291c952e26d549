//! `statusctl watch`: the status events, read from NATS as any other subscriber would; where there is no NATS at hand,
//! the servers, asked of status-api every two seconds.

mod events;
mod poll;
mod screen;
mod seen;
mod table;

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;
use bus::{Bus, From as Begin};
use tokio_util::sync::CancellationToken;
use wire::{streams, subjects};

use crate::ctl::Context;
use crate::ctl::servers::Filters;
use crate::exit::Failure;
use crate::place::Installation;

/// What to watch, and how to show it.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// JSON: begin with the present state of everything
    #[arg(long)]
    pub snapshot: bool,
    /// Which servers.
    #[command(flatten)]
    pub filters: Filters,
    /// Only this account's servers and toolboxes
    #[arg(long, value_name = "UUID")]
    pub account: Option<uuid::Uuid>,
    /// NATS server to read from; also NATS_URL, else that of the profile or of `statusctl up`
    #[arg(long, value_name = "URL", help_heading = "NATS")]
    pub nats_url: Option<String>,
    /// Credentials file to log in to NATS with; also NATS_CREDENTIALS
    #[arg(long, value_name = "FILE", help_heading = "NATS")]
    pub nats_credentials: Option<PathBuf>,
}

/// Watches until `shutdown`, or until standard output is closed.
///
/// # Errors
/// When nothing runs where it should look, or what it asks refuses.
pub async fn run(context: &Context, options: Options, shutdown: CancellationToken) -> Result<(), Failure> {
    let installation =
        context.installation_with(options.nats_url.clone(), options.nats_credentials.clone())?;
    let as_lines = context.global.json || !std::io::stdout().is_terminal();
    match &installation.nats {
        Some(nats) => {
            let bus = tokio::select! {
                connected = nats.connect() => connected?,
                () = shutdown.cancelled() => return Ok(()),
            };
            over_nats(context, &bus, &options, as_lines, shutdown).await
        }
        None => over_http(context, &installation, &options, as_lines, shutdown).await,
    }
}

async fn over_nats(
    context: &Context,
    bus: &Bus,
    options: &Options,
    as_lines: bool,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    let from = if as_lines && !options.snapshot {
        Begin::New
    } else {
        Begin::LastPerSubject
    };
    let events = bus.follow(&streams::MCP_STATUS, subjects_of(options), from, shutdown.clone());
    if as_lines {
        let names = match options.filters.toolbox {
            Some(_) => events::names(bus, vec![subjects::TOOLBOX_STATUS.to_owned()], shutdown).await,
            None => table::Names::default(),
        };
        events::lines(events, &options.filters, names).await
    } else {
        events::live_table(context, bus, events, &options.filters, shutdown).await
    }
}

async fn over_http(
    context: &Context,
    installation: &Installation,
    options: &Options,
    as_lines: bool,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    let poll = poll::Poll::begin(context, installation, options).await?;
    if as_lines {
        poll.lines(options.snapshot, shutdown).await
    } else {
        poll.live_table(shutdown).await
    }
}

fn subjects_of(options: &Options) -> Vec<String> {
    match options.account.map(domain::AccountId) {
        Some(account) => vec![
            subjects::server_statuses_of(account),
            subjects::toolbox_statuses_of(account),
        ],
        None => vec![
            subjects::SERVER_STATUS.to_owned(),
            subjects::TOOLBOX_STATUS.to_owned(),
        ],
    }
}

/// Prints a line and flushes it, so that the reader of a pipe sees it at once.
///
/// # Errors
/// When standard output is closed.
pub fn print_line(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .context("failed to write to standard output")
}
