//! What the bus logs and traces, of all tests together: a subscriber of one thread can miss what another thread was the
//! first to log. Tests find what is theirs by the name of their consumer.

use std::sync::{Arc, Mutex, OnceLock};

use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use tracing::field::Field;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Log lines at INFO and above, and spans that ended.
#[derive(Clone, Default, Debug)]
pub(crate) struct Observed {
    lines: Arc<Mutex<Vec<String>>>,
    spans: Arc<Mutex<Vec<SpanData>>>,
}

/// Observes everything from now on; the same for all who ask.
pub(crate) fn everything() -> &'static Observed {
    static OBSERVED: OnceLock<Observed> = OnceLock::new();
    OBSERVED.get_or_init(|| {
        let observed = Observed::default();
        opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(observed.clone())
            .build();
        let traces = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        tracing_subscriber::registry()
            .with(traces)
            .with(observed.clone())
            .init();
        observed
    })
}

impl Observed {
    /// How many lines hold all of these texts.
    pub(crate) fn told(&self, texts: &[&str]) -> usize {
        let lines = self.lines.lock().unwrap();
        lines
            .iter()
            .filter(|line| texts.iter().all(|text| line.contains(text)))
            .count()
    }

    /// The span of that id.
    pub(crate) fn span(&self, id: opentelemetry::trace::SpanId) -> SpanData {
        let spans = self.spans.lock().unwrap();
        let found = spans.iter().find(|span| span.span_context.span_id() == id);
        found.unwrap_or_else(|| panic!("no span {id} has ended")).clone()
    }

    /// The span of a consumer's work.
    pub(crate) fn span_of(&self, consumer: &str) -> Option<SpanData> {
        let spans = self.spans.lock().unwrap();
        let of_consumer = |span: &&SpanData| {
            span.attributes
                .iter()
                .any(|it| it.key.as_str() == "messaging.consumer.group.name" && it.value.as_str() == consumer)
        };
        spans.iter().find(of_consumer).cloned()
    }
}

impl SpanExporter for Observed {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.spans.lock().unwrap().extend(batch);
        Ok(())
    }
}

impl<S: tracing::Subscriber> Layer<S> for Observed {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() <= tracing::Level::INFO {
            let mut line = String::new();
            event.record(&mut |field: &Field, value: &dyn std::fmt::Debug| {
                line.push_str(&format!("{field}={value:?} "));
            });
            self.lines.lock().unwrap().push(line);
        }
    }
}
