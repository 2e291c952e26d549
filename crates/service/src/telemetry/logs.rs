//! Log lines on standard error.

use anyhow::Context as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::options::{LogFormat, TelemetryOptions};

/// The layer that writes lines.
///
/// # Errors
/// Names what is wrong with the directives.
pub(super) fn layer<S>(options: &TelemetryOptions) -> anyhow::Result<Box<dyn Layer<S> + Send + Sync>>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    // Filters are per layer: a global one would drop spans too, and with them the propagation of their context.
    let filter =
        EnvFilter::try_new(&options.log).with_context(|| format!("failed to read log {:?}", options.log))?;
    Ok(match options.log_format {
        LogFormat::Pretty => fmt::layer()
            .with_writer(std::io::stderr)
            .with_filter(filter)
            .boxed(),
        LogFormat::Json => fmt::layer()
            .json()
            .flatten_event(true)
            .with_writer(std::io::stderr)
            .with_filter(filter)
            .boxed(),
    })
}
