//! Trace context in message headers (W3C `traceparent` and `tracestate`), by whatever propagator the process has
//! installed globally; without one, or without a valid span, nothing is written and nothing is read.

use async_nats::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::propagation::{Extractor, Injector};
use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context, global};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::{Delivery, spans};

/// W3C Trace Context: the header that names trace and span.
pub(crate) const TRACEPARENT: &str = "traceparent";
/// The field of a batch's span that says whether it is worth keeping, which exporters of spans know it by.
const PRIORITY: &str = "sampling.priority";

/// Writes a context into headers. A context without a valid span, and an empty `tracestate`, leave no trace.
pub fn inject(cx: &Context, headers: &mut HeaderMap) {
    if !cx.has_active_span() {
        return;
    }
    global::get_text_map_propagator(|propagator| propagator.inject_context(cx, &mut Carrier(headers)));
}

/// Reads the context that a publisher left in headers. What cannot be read counts as none: the text is a
/// stranger's.
pub fn extract(headers: &HeaderMap) -> Context {
    if headers.is_empty() {
        return Context::new();
    }
    // From an empty context, not the current one: a message without a trace has no parent, whoever reads it.
    global::get_text_map_propagator(|propagator| {
        propagator.extract_with_context(&Context::new(), &Reader(headers))
    })
}

/// The context of the current span; an empty one where nothing is traced.
pub fn current() -> Context {
    context_of(&Span::current())
}

/// The `traceparent` of the current span, to be kept beside something that is published later; `None` where it is
/// not traced.
pub fn current_traceparent() -> Option<String> {
    traceparent_of(&current())
}

/// The `traceparent` of a context, to be kept beside something that is published later; `None` where there is none.
pub fn traceparent_of(cx: &Context) -> Option<String> {
    let mut headers = HeaderMap::new();
    inject(cx, &mut headers);
    headers.get(TRACEPARENT).map(|value| value.as_str().to_owned())
}

/// The context of a `traceparent` that was kept; what cannot be read counts as none.
pub(crate) fn context_of_traceparent(traceparent: &str) -> Context {
    let mut headers = HeaderMap::new();
    if let Ok(value) = traceparent.parse::<HeaderValue>() {
        headers.insert(HeaderName::from_static(TRACEPARENT), value);
    }
    extract(&headers)
}

/// The context of a span; an empty one where it is nobody's.
pub fn context_of(span: &Span) -> Context {
    if span.is_disabled() {
        return Context::new();
    }
    span.context()
}

/// The span of passing a message on to all who follow its stream, in that message's trace; none, where it is in none.
pub fn deliver(delivery: &Delivery) -> Span {
    spans::deliver(delivery)
}

/// Has the current batch's span kept: something came of it.
pub fn worth_keeping() {
    Span::current().record(PRIORITY, 1_i64);
}

/// Writes the context of the current `tracing` span.
pub(crate) fn inject_current(headers: &mut HeaderMap) {
    inject(&current(), headers);
}

/// Makes a span a child of a stranger's trace, where there is one.
pub fn adopt(span: &Span, context: Context) {
    if !span.is_disabled() && context.span().span_context().is_valid() {
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
