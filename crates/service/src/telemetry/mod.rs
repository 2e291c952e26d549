//! Logs, traces and metrics of a process.
//!
//! Traces are exported over OTLP (http/protobuf) when `OTEL_EXPORTER_OTLP_ENDPOINT` or
//! `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is set, or `OTEL_TRACES_EXPORTER=otlp`, and neither `OTEL_SDK_DISABLED=true` nor
//! `OTEL_TRACES_EXPORTER=none` is; else there are no spans. Metrics go to the process's Prometheus registry, which
//! `/metrics` serves, and by the same rule with `METRICS` in place of `TRACES` are pushed besides.

mod environment;
mod keep;
mod logs;
mod metrics;
mod traces;

use anyhow::Context as _;
use opentelemetry::KeyValue;
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

pub use logs::log;

/// What becomes a span where traces are exported. The crates that export them are left out, or each export would be one.
const SPANS: &str = "info,hyper=off,hyper_util=off,reqwest=off,h2=off,opentelemetry=off,opentelemetry_sdk=off,opentelemetry_otlp=off";

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
        let environment = Environment::read();
        if environment.propagate {
            opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        }
        let resource = resource(service, &environment);

        let meter = metrics::provider(resource.clone(), environment.metrics)?;
        opentelemetry::global::set_meter_provider(meter.clone());

        let tracer = environment
            .traces
            .then(|| traces::provider(resource, environment.sampling))
            .transpose()?;
        let spans = tracer.as_ref().map(|provider| {
            tracing_opentelemetry::layer()
                .with_tracer(provider.tracer(service))
                .with_location(false)
                .with_threads(false)
                .with_target(false)
                .with_tracked_inactivity(false)
                .with_filter(EnvFilter::new(SPANS))
        });
        tracing_subscriber::registry()
            .with(logs::layer(options)?)
            .with(spans)
            .try_init()
            .context("failed to set up logging")?;
        for complaint in environment.complaints {
            tracing::warn!("{complaint}; it is left out");
        }
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

/// Who exports. What the environment says counts more.
fn resource(service: &'static str, environment: &Environment) -> Resource {
    let told = Resource::builder().build();
    let untold = |key: &'static str, value: String| {
        // The SDK has a name for services without one.
        let is_told = if key == "service.name" {
            environment.names_service
        } else {
            told.get(&key.into()).is_some()
        };
        (!is_told).then(|| KeyValue::new(key, value))
    };
    let ours = [
        untold("service.name", service.to_owned()),
        untold("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        untold("service.instance.id", uuid::Uuid::new_v4().to_string()),
    ];
    Resource::builder()
        .with_attributes(ours.into_iter().flatten())
        .build()
}
