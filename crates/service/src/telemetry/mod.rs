//! Logs, traces and metrics of a process.
//!
//! Traces are exported over OTLP (http/protobuf) when `OTEL_EXPORTER_OTLP_ENDPOINT` or
//! `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is set and neither `OTEL_SDK_DISABLED=true` nor
//! `OTEL_TRACES_EXPORTER=none` is; else spans cost next to nothing. The SDK does not read the latter two itself.
//! Metrics go to the process's Prometheus registry, which `/metrics` serves.

mod environment;
mod logs;
mod metrics;
mod traces;

use anyhow::Context as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::options::TelemetryOptions;
use environment::Environment;

/// Keeps the exporters; flush them with [`Telemetry::shutdown`] at the very end.
#[derive(Debug)]
pub struct Telemetry {
    tracer: Option<SdkTracerProvider>,
    meter: SdkMeterProvider,
}

impl Telemetry {
    /// Sets up the process's logs, traces and metrics, and its one TLS provider. Once per process.
    ///
    /// # Errors
    /// Names what is wrong with the log directives or the exporter's settings.
    pub fn start(service: &'static str, options: &TelemetryOptions) -> anyhow::Result<Self> {
        // An error means that one is installed already, which is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        let environment = Environment::read();
        let resource = Resource::builder().with_service_name(service).build();

        let meter = metrics::provider(resource.clone())?;
        opentelemetry::global::set_meter_provider(meter.clone());

        let tracer = environment
            .traces
            .then(|| traces::provider(resource))
            .transpose()?;
        let spans = tracer.as_ref().map(|provider| {
            tracing_opentelemetry::layer()
                .with_tracer(provider.tracer(service))
                .with_filter(EnvFilter::new("info,hyper=off,reqwest=off,h2=off"))
        });
        tracing_subscriber::registry()
            .with(logs::layer(options)?)
            .with(spans)
            .try_init()
            .context("failed to set up logging")?;
        Ok(Self { tracer, meter })
    }

    /// Flushes what is not exported yet. Blocks for as long as the exporter takes, at most its own time-out.
    pub fn shutdown(self) {
        if let Some(tracer) = self.tracer
            && let Err(error) = tracer.shutdown()
        {
            tracing::warn!(%error, "failed to flush traces");
        }
        if let Err(error) = self.meter.shutdown() {
            tracing::warn!(%error, "failed to flush metrics");
        }
    }
}
