//! Metrics: the process's Prometheus registry, which `/metrics` serves.

use anyhow::Context as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;

/// Makes the process's meter.
///
/// # Errors
/// When the registry has one already.
pub(super) fn provider(resource: Resource) -> anyhow::Result<SdkMeterProvider> {
    let reader = opentelemetry_prometheus::exporter()
        .with_registry(prometheus::default_registry().clone())
        .build()
        .context("failed to set up metrics")?;
    Ok(SdkMeterProvider::builder()
        .with_reader(reader)
        .with_resource(resource)
        .build())
}
