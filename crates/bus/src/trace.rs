//! Trace context in message headers (W3C `traceparent` and `tracestate`), by whatever propagator the process has
//! installed globally; without one, or without a valid span, nothing is written and nothing is read.

use async_nats::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::propagation::{Extractor, Injector};
use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context, global};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// W3C Trace Context: the header that names trace and span.
pub(crate) const TRACEPARENT: &str = "traceparent";

/// Writes a context into headers. A context without a valid span, and an empty `tracestate`, leave no trace.
pub fn inject(cx: &Context, headers: &mut HeaderMap) {
    global::get_text_map_propagator(|propagator| propagator.inject_context(cx, &mut Carrier(headers)));
}

/// Reads the context that a publisher left in headers. What cannot be read counts as none: the text is a
/// stranger's.
pub fn extract(headers: &HeaderMap) -> Context {
    // From an empty context, not the current one: a message without a trace has no parent, whoever reads it.
    global::get_text_map_propagator(|propagator| {
        propagator.extract_with_context(&Context::new(), &Reader(headers))
    })
}

/// The `traceparent` of the current span, to be kept beside something that is published later; `None` where it is
/// not traced.
pub fn current_traceparent() -> Option<String> {
    let mut headers = HeaderMap::new();
    inject_current(&mut headers);
    headers.get(TRACEPARENT).map(|value| value.as_str().to_owned())
}

/// Writes the context of the current `tracing` span.
pub(crate) fn inject_current(headers: &mut HeaderMap) {
    inject(&Span::current().context(), headers);
}

/// Makes a span a child of a stranger's trace, where there is one.
pub(crate) fn adopt(span: &Span, context: Context) {
    if context.span().span_context().is_valid() {
        // Fails only where nothing traces.
        let _ = span.set_parent(context);
    }
}

struct Carrier<'a>(&'a mut HeaderMap);

impl Injector for Carrier<'_> {
    fn set(&mut self, key: &str, value: String) {
        // The propagator sets `tracestate` even where it is empty: thirteen bytes that say nothing.
        if value.is_empty() {
            return;
        }
        if let (Ok(key), Ok(value)) = (HeaderName::try_from(key), value.parse::<HeaderValue>()) {
            self.0.insert(key, value);
        }
    }
}

struct Reader<'a>(&'a HeaderMap);

impl Extractor for Reader<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        header(self.0, key)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_ref()).collect()
    }
}

/// The first value of a header. (The map's own `get` panics on a name that cannot be.)
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let name = HeaderName::try_from(name).ok()?;
    headers.get(name).map(HeaderValue::as_str)
}
