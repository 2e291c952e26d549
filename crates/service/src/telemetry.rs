//! Logs, traces and metrics of a process.
//!
//! Traces are exported over OTLP (http/protobuf) when `OTEL_EXPORTER_OTLP_ENDPOINT` or
//! `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is set and neither `OTEL_SDK_DISABLED=true` nor
//! `OTEL_TRACES_EXPORTER=none` is; else spans cost next to nothing. The SDK does not read the latter two itself.
//! Metrics go to the process's Prometheus registry, which `/metrics` serves.

use anyhow::Context as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

use crate::options::{LogFormat, TelemetryOptions};

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
        let resource = Resource::builder().with_service_name(service).build();

        let reader = opentelemetry_prometheus::exporter()
            .with_registry(prometheus::default_registry().clone())
            .build()
            .context("failed to set up metrics")?;
        let meter = SdkMeterProvider::builder()
            .with_reader(reader)
            .with_resource(resource.clone())
            .build();
        opentelemetry::global::set_meter_provider(meter.clone());

        let tracer = traces_wanted().then(|| tracer_provider(resource)).transpose()?;
        // Filters are per layer: a global one would drop spans too, and with them the propagation of their context.
        let filter = || {
            EnvFilter::try_new(&options.log).with_context(|| format!("failed to read log {:?}", options.log))
        };
        let lines = match options.log_format {
            LogFormat::Pretty => fmt::layer()
                .with_writer(std::io::stderr)
                .with_filter(filter()?)
                .boxed(),
            LogFormat::Json => fmt::layer()
                .json()
                .flatten_event(true)
                .with_writer(std::io::stderr)
                .with_filter(filter()?)
                .boxed(),
        };
        let spans = tracer.as_ref().map(|provider| {
            tracing_opentelemetry::layer()
                .with_tracer(provider.tracer(service))
                .with_filter(EnvFilter::new("info,hyper=off,reqwest=off,h2=off"))
        });
        tracing_subscriber::registry()
            .with(lines)
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

fn tracer_provider(resource: Resource) -> anyhow::Result<SdkTracerProvider> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .build()
        .context("failed to set up the OTLP exporter")?;
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource)
        .build())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the standard OTEL_* variables are this shell's to read"
)]
fn traces_wanted() -> bool {
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|have| have.eq_ignore_ascii_case(value));
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    (set("OTEL_EXPORTER_OTLP_ENDPOINT") || set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))
        && !is("OTEL_SDK_DISABLED", "true")
        && !is("OTEL_TRACES_EXPORTER", "none")
}
