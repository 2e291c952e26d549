//! `embedded-serve [--postgres] [--nats] -- COMMAND…`: runs a command with private servers around it.
//!
//! ```text
//! start servers ─► COMMAND with DATABASE_URL and NATS_URL ─► stop servers ─► COMMAND's exit code
//! ```
//!
//! `scripts/test` runs the whole test suite this way. SIGTERM, SIGINT and SIGHUP are passed on to the command with all
//! that it has started (it gets a process group of its own), and the servers are stopped after it. At a terminal the
//! command stays in our group, or it could not read from it, and a Ctrl-C reaches it directly. Should this process be
//! killed, the kernel ends the servers and the command.
#![expect(
    clippy::print_stderr,
    reason = "a command-line tool without logging tells its errors there"
)]

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use embedded::{NatsOptions, NatsServer, Postgres, PostgresOptions, collect_abandoned_clusters};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

/// Time the command has to end after a signal was passed on to it.
const PATIENCE: Duration = Duration::from_secs(15);
/// What a shell answers for a command that cannot be run.
const CANNOT_RUN: u8 = 127;

/// Runs a command with a private PostgreSQL and a private nats-server, and stops them after it.
#[derive(Debug, Parser)]
struct Arguments {
    /// Start PostgreSQL; the command finds it in DATABASE_URL.
    #[arg(long)]
    postgres: bool,
    /// Start nats-server with JetStream; the command finds it in NATS_URL.
    #[arg(long)]
    nats: bool,
    /// Keep the servers' data in this folder, and durably. Without it they live in a temporary one and are fast.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The database that DATABASE_URL names; it is created when missing.
    #[arg(long, value_name = "NAME", default_value = "postgres")]
    database: String,
    /// Run this SQL script in the database first; several in the order given, each in one transaction.
    #[arg(long = "sql", value_name = "FILE", requires = "postgres")]
    scripts: Vec<PathBuf>,
    /// The command and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

// One thread, the process's first: the command's parent-death signal fires when the thread that spawned it ends.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match Box::pin(serve(arguments)).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("embedded-serve: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: Arguments) -> anyhow::Result<u8> {
    let temporary = arguments.dir.is_none();
    let dir = match &arguments.dir {
        Some(dir) => dir.clone(),
        None => temporary_dir().context("failed to create a temporary folder")?,
    };
    let outcome = Box::pin(run_in(&dir, &arguments, temporary)).await;
    if temporary {
        std::fs::remove_dir_all(&dir).with_context(|| format!("failed to remove {}", dir.display()))?;
        // The command's tests may have left some, too.
        collect_abandoned_clusters()?;
    }
    outcome
}

async fn run_in(dir: &Path, arguments: &Arguments, temporary: bool) -> anyhow::Result<u8> {
    let mut postgres = None;
    if arguments.postgres {
        let options = PostgresOptions {
            durable: !temporary,
            ..PostgresOptions::new(dir.join("postgres"))
        };
        let server = Postgres::start(options).await?;
        server.ensure_database(&arguments.database).await?;
        for path in &arguments.scripts {
            let script = std::fs::read_to_string(path)
                .with_context(|| format!("failed to read {}", path.display()))?;
            let run = server.run_script(&arguments.database, &script).await;
            run.with_context(|| format!("failed to run {}", path.display()))?;
        }
        postgres = Some(server);
    }
    let mut nats = None;
    if arguments.nats {
        let options = NatsOptions {
            sync_always: !temporary,
            ..NatsOptions::new(dir.join("nats"))
        };
        nats = Some(NatsServer::start(options).await?);
    }

    let (program, rest) = arguments.command.split_first().context("no command was given")?;
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "TERM", "--"])
        .arg(program)
        .args(rest);
    if let Some(server) = &postgres {
        command.env("DATABASE_URL", server.url(&arguments.database));
    }
    if let Some(server) = &nats {
        command.env("NATS_URL", server.url());
    }
    let mut outcome = supervise(command).await;
    let postgres_died = postgres.as_ref().is_some_and(|server| server.pid().is_none());
    let nats_died = nats.as_ref().is_some_and(|server| server.pid().is_none());
    for (name, died) in [("PostgreSQL", postgres_died), ("nats-server", nats_died)] {
        if died {
            eprintln!("embedded-serve: {name} ended while the command was running");
            outcome = outcome.map(|code| code.max(1));
        }
    }

    // Both, whatever the other one says.
    let nats_stopped = match &mut nats {
        Some(server) => server.stop().await,
        None => Ok(()),
    };
    match postgres {
        Some(server) if temporary => server.remove().await?,
        Some(mut server) => server.stop().await?,
        None => {}
    }
    nats_stopped?;
    outcome
}

/// Runs the command to its end, passing signals on.
async fn supervise(mut command: Command) -> anyhow::Result<u8> {
    let at_terminal = io::stdin().is_terminal();
    if !at_terminal {
        command.process_group(0);
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut child = command
        .spawn()
        .context("failed to run setpriv (package util-linux)")?;
    let status = loop {
        let signal = tokio::select! {
            status = child.wait() => break status?,
            _ = terminate.recv() => Signal::TERM,
            _ = hangup.recv() => Signal::HUP,
            _ = interrupt.recv() => Signal::INT,
        };
        // The terminal has told the command, which may have its own idea of what that means.
        if !(at_terminal && signal == Signal::INT) {
            break end(&mut child, signal, !at_terminal).await?;
        }
    };
    Ok(exit_code(status))
}

/// Passes a signal on to the command or its whole group, and waits; what ignores it is killed.
async fn end(child: &mut Child, signal: Signal, group: bool) -> io::Result<ExitStatus> {
    // Not yet waited for, so that the id is still its own.
    let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let send = |signal| match pid {
        Some(pid) if group => kill_process_group(pid, signal),
        Some(pid) => kill_process(pid, signal),
        None => Ok(()),
    };
    send(signal)?;
    if let Ok(status) = tokio::time::timeout(PATIENCE, child.wait()).await {
        return status;
    }
    eprintln!("embedded-serve: the command did not end within {PATIENCE:?}; killing it");
    send(Signal::KILL)?;
    child.wait().await
}

/// As a shell would answer: the code, or 128 and the signal's number.
fn exit_code(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(CANNOT_RUN)
}

/// A new folder that PostgreSQL's user may pass through (0711), for the case that we are root.
fn temporary_dir() -> io::Result<PathBuf> {
    /// Folders of killed runs whose process id was the same one.
    const TRIES: u32 = 100;
    let parent = std::env::temp_dir();
    for attempt in 0..TRIES {
        let dir = parent.join(format!("embedded-serve-{}-{attempt}", std::process::id()));
        match std::fs::DirBuilder::new().mode(0o711).create(&dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            created => return created.map(|()| dir),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}
