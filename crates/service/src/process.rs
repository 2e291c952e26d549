//! The outermost shell of a service's process.

use std::future::Future;
use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use crate::options::TelemetryOptions;
use crate::{Lifecycle, Telemetry};

/// Cancels the token on the first SIGINT or SIGTERM.
///
/// # Errors
/// When the process may not handle signals.
pub fn shutdown_on_signals() -> std::io::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    // Lives as long as the process and holds nothing: the one task that nobody waits for.
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => tracing::info!("received SIGINT, stopping"),
            _ = terminate.recv() => tracing::info!("received SIGTERM, stopping"),
        }
        token.cancel();
    });
    Ok(shutdown)
}

/// Runs a service as a process: telemetry, signals, `run`, and the exit code. An error is one line on standard error.
pub fn main<F, Fut>(name: &'static str, telemetry: &TelemetryOptions, run: F) -> ExitCode
where
    F: FnOnce(Lifecycle) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let outcome = (|| {
        let telemetry = Telemetry::start(name, telemetry)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let outcome = runtime.block_on(async {
            let (lifecycle, _host) = Lifecycle::new(shutdown_on_signals()?);
            run(lifecycle).await
        });
        drop(runtime);
        telemetry.shutdown();
        outcome
    })();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(name, &error),
    }
}

/// One line on standard error, and the exit code.
#[expect(clippy::print_stderr, reason = "the last word of a process that failed")]
pub(crate) fn failed(name: &str, error: &anyhow::Error) -> ExitCode {
    eprintln!("{name}: {error:#}");
    ExitCode::FAILURE
}
