//! `statusctl watch`: the status subjects, read as any other subscriber would.

mod table;

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use bus::{Bus, BusOptions, From as Begin};
use futures_util::{Stream, StreamExt as _};
use jiff::Timestamp;
use secrecy::SecretString;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use wire::{StatusEvent, ToolboxEvent, streams, subjects};

use crate::endpoints::{Endpoints, default_data_dir};
use table::Board;

/// What to watch, and how to show it.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// NATS server to read from; by default that of `statusctl up` on the data folder
    #[arg(long, env = "NATS_URL", hide_env_values = true)]
    pub nats_url: Option<String>,
    /// Token to log in to NATS with
    #[arg(long, env = "NATS_TOKEN", hide_env_values = true)]
    pub nats_token: Option<SecretString>,
    /// Credentials file to log in to NATS with
    #[arg(long, env = "NATS_CREDENTIALS", value_name = "FILE")]
    pub nats_credentials: Option<PathBuf>,
    /// Data folder of the `statusctl up` to watch
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Only this account's servers and toolboxes
    #[arg(long, value_name = "UUID")]
    pub account: Option<uuid::Uuid>,
    /// One JSON object a line, also in a terminal
    #[arg(long)]
    pub json: bool,
    /// JSON: begin with the present state of everything
    #[arg(long)]
    pub snapshot: bool,
}

/// Watches until `shutdown`, or until standard output is closed.
///
/// # Errors
/// When nothing runs where it should look, or NATS refuses.
pub async fn run(options: Options, shutdown: CancellationToken) -> anyhow::Result<()> {
    let bus = tokio::select! {
        connected = connect(&options) => connected?,
        () = shutdown.cancelled() => return Ok(()),
    };
    if options.json || !std::io::stdout().is_terminal() {
        let from = if options.snapshot {
            Begin::LastPerSubject
        } else {
            Begin::New
        };
        lines(bus.follow(&streams::MCP_STATUS, filters(&options), from, shutdown)).await
    } else {
        let events = bus.follow(
            &streams::MCP_STATUS,
            filters(&options),
            Begin::LastPerSubject,
            shutdown.clone(),
        );
        live_table(&bus, events, shutdown).await
    }
}

async fn connect(options: &Options) -> anyhow::Result<Bus> {
    let url = match &options.nats_url {
        Some(url) => url.clone(),
        None => {
            let data_dir = options.data_dir.clone().unwrap_or_else(default_data_dir);
            let running = Endpoints::read(&data_dir)?.ok_or_else(|| {
                anyhow!(
                    "nothing runs on {}: start `statusctl up`, or name a server with --nats-url",
                    data_dir.display()
                )
            })?;
            running.nats.url
        }
    };
    Bus::connect(BusOptions {
        token: options.nats_token.clone(),
        credentials: options.nats_credentials.clone(),
        ..BusOptions::new(url, "statusctl")
    })
    .await
    .context("failed to connect to NATS")
}

fn filters(options: &Options) -> Vec<String> {
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

/// One event a line, as published.
async fn lines(events: impl Stream<Item = bus::Delivery>) -> anyhow::Result<()> {
    let mut events = std::pin::pin!(events);
    while let Some(delivery) = events.next().await {
        // Compact whatever the publisher's spacing was: a line is an event.
        match serde_json::from_slice::<serde_json::Value>(&delivery.body) {
            Ok(event) => {
                if print_line(&event.to_string()).is_err() {
                    return Ok(());
                }
            }
            Err(error) => {
                tracing::warn!(subject = delivery.subject, %error, "passed over a body that is not JSON")
            }
        }
    }
    Ok(())
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

/// At most this many redraws a second: faster than eyes, slower than a storm of changes.
const REDRAW: Duration = Duration::from_millis(100);
/// Ages on the screen are in seconds.
const TICK: Duration = Duration::from_secs(1);

async fn live_table(
    bus: &Bus,
    events: impl Stream<Item = bus::Delivery>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut events = std::pin::pin!(events);
    let mut board = Board::default();
    let mut redraw = tokio::time::interval(REDRAW);
    redraw.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut drawn = tokio::time::Instant::now();
    let mut dirty = true;
    let screen = Screen::open()?;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(delivery) => dirty |= take(&mut board, &delivery),
                None => return Ok(()),
            },
            _ = redraw.tick() => {
                if dirty || drawn.elapsed() >= TICK {
                    screen.draw(&board, bus.is_connected())?;
                    drawn = tokio::time::Instant::now();
                    dirty = false;
                }
            }
            () = shutdown.cancelled() => return Ok(()),
        }
    }
}

/// Takes an event onto the board; whether it changed anything.
fn take(board: &mut Board, delivery: &bus::Delivery) -> bool {
    let outcome = if subjects::server_of(&delivery.subject).is_some() {
        StatusEvent::decode(&delivery.body).map(|event| board.take_server(event))
    } else {
        ToolboxEvent::decode(&delivery.body).map(|event| board.take_toolbox(event))
    };
    outcome.unwrap_or_else(|refused| {
        tracing::warn!(subject = delivery.subject, %refused, "passed over an event");
        false
    })
}

/// The terminal's alternate screen, given back at the end.
struct Screen;

impl Screen {
    fn open() -> anyhow::Result<Self> {
        Self::write("\x1b[?1049h\x1b[?25l")?;
        Ok(Self)
    }

    fn draw(&self, board: &Board, connected: bool) -> anyhow::Result<()> {
        let (columns, rows) = rustix::termios::tcgetwinsize(std::io::stdout())
            .map_or((100, 30), |size| (size.ws_col.max(40), size.ws_row.max(8)));
        #[expect(clippy::disallowed_methods, reason = "the shell of a command that shows ages")]
        let now = Timestamp::now();
        let mut text = String::from("\x1b[H");
        for line in board.render(now, columns, rows, connected).lines() {
            text.push_str(line);
            text.push_str("\x1b[K\r\n");
        }
        text.push_str("\x1b[J");
        Self::write(&text)
    }

    fn write(text: &str) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .context("failed to write to the terminal")
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        let _ = Self::write("\x1b[?25h\x1b[?1049l");
    }
}
