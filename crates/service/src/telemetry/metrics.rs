//! Metrics: the process's Prometheus registry, which `/metrics` serves, and where it is wanted pushed over OTLP besides.
//!
//! The SDK reads `OTEL_METRIC_EXPORT_INTERVAL`, and the exporter its endpoint, headers and time-out, from the environment.

use anyhow::Context as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};

/// Makes the process's meter; `push`: what it measures is pushed, too.
///
/// # Errors
/// When the registry has one already, or the exporter's settings cannot be used.
pub(super) fn provider(resource: Resource, push: bool) -> anyhow::Result<SdkMeterProvider> {
    let scraped = opentelemetry_prometheus::exporter()
        .with_registry(prometheus::default_registry().clone())
        .build()
        .context("failed to set up metrics")?;
    let mut provider = SdkMeterProvider::builder()
        .with_reader(scraped)
        .with_resource(resource);
    if push {
        let exporter = opentelemetry_otlp::MetricExporter::builder()
            .with_http()
            .build()
            .context("failed to set up the OTLP exporter of metrics")?;
        provider = provider.with_reader(PeriodicReader::builder(exporter).build());
    }
    Ok(provider.build())
}
