//! Which spans are kept. Whether a trace is worth keeping is known at its end, and its beginning is in another process:
//! so what is not sampled is recorded all the same, and each process keeps of it what turned out to matter.
//!
//! ```text
//!  span begins ─► OTEL_TRACES_SAMPLER ─┬─ sampled ───────────────────────────────────────────────► exported
//!                                      └─ not ─► held until the last of its trace that is open here has ended
//!                                                     ├─ one of them failed, or has `sampling.priority` 1 ─► exported
//!                                                     └─ none ─► forgotten
//! ```
//!
//! A span that begins with `sampling.priority` 1 is sampled whatever its parent is, and so is all that comes of it, here
//! and elsewhere. One that begins with 0 is held in any case: alone it tells nothing.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opentelemetry::trace::{Link, Span as _, SpanContext, SpanKind, Status, TraceId};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    SamplingDecision, SamplingResult, ShouldSample, Span, SpanData, SpanProcessor,
};

/// The attribute that says whether a span is worth keeping; OpenTracing's name for it.
const PRIORITY: &str = "sampling.priority";
/// Traces that are held at once; of more, what fails is lost. A thousand polls under way are as many.
const TRACES: usize = 4_096;
/// Spans that are held of one trace; more are not.
const SPANS: usize = 256;

/// Samples as the inner one does, and has the rest recorded.
#[derive(Debug, Clone)]
pub(super) struct KeepSampler(pub(super) Box<dyn ShouldSample>);

impl ShouldSample for KeepSampler {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let mut result = self.0.should_sample(parent, trace, name, kind, attributes, links);
        result.decision = match (priority(attributes), result.decision) {
            (Some(1..), _) => SamplingDecision::RecordAndSample,
            (Some(_), _) | (None, SamplingDecision::Drop) => SamplingDecision::RecordOnly,
            (None, decision) => decision,
        };
        result
    }
}

/// Hands on what is sampled at once, and what was held if it is worth it.
#[derive(Debug)]
pub(super) struct Keeper<P> {
    next: P,
    held: Mutex<HashMap<TraceId, Held>>,
}

/// What has ended of a trace that is not sampled.
#[derive(Debug, Default)]
struct Held {
    open: usize,
    worth: bool,
    spans: Vec<SpanData>,
}

impl<P> Keeper<P> {
    pub(super) fn new(next: P) -> Self {
        Self {
            next,
            held: Mutex::default(),
        }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<TraceId, Held>> {
        // Every change leaves it whole.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be exported now that `span` has ended.
    fn ended(&self, span: SpanData) -> Vec<SpanData> {
        let mut held = self.held();
        let Entry::Occupied(mut of_trace) = held.entry(span.span_context.trace_id()) else {
            return Vec::new();
        };
        let trace = of_trace.get_mut();
        trace.worth |= is_worth(&span);
        if trace.spans.len() < SPANS {
            trace.spans.push(span);
        }
        trace.open = trace.open.saturating_sub(1);
        if trace.open > 0 {
            return Vec::new();
        }
        let trace = of_trace.remove();
        if trace.worth { trace.spans } else { Vec::new() }
    }
}

impl<P: SpanProcessor> SpanProcessor for Keeper<P> {
    fn on_start(&self, span: &mut Span, parent: &Context) {
        if span.span_context().is_sampled() {
            self.next.on_start(span, parent);
            return;
        }
        let mut held = self.held();
        let room = held.len() < TRACES;
        match held.entry(span.span_context().trace_id()) {
            Entry::Occupied(mut trace) => trace.get_mut().open += 1,
            Entry::Vacant(trace) if room => trace.insert(Held::default()).open = 1,
            Entry::Vacant(_) => {}
        }
    }

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() {
            self.next.on_end(span);
            return;
        }
        for span in self.ended(span) {
            self.next.on_end(as_sampled(span));
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.next.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.next.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.next.set_resource(resource);
    }
}

fn priority(attributes: &[KeyValue]) -> Option<i64> {
    // The last one counts: attributes that are recorded twice stand there twice.
    let found = attributes.iter().rfind(|one| one.key.as_str() == PRIORITY);
    match found?.value {
        Value::I64(priority) => Some(priority),
        _ => None,
    }
}

fn is_worth(span: &SpanData) -> bool {
    matches!(span.status, Status::Error { .. }) || priority(&span.attributes).is_some_and(|it| it > 0)
}

/// Exporters take only what is sampled, and of an attribute one value: the last.
fn as_sampled(mut span: SpanData) -> SpanData {
    if let Some(priority) = priority(&span.attributes) {
        span.attributes.retain(|one| one.key.as_str() != PRIORITY);
        span.attributes.push(KeyValue::new(PRIORITY, priority));
    }
    let context = &span.span_context;
    let span_context = SpanContext::new(
        context.trace_id(),
        context.span_id(),
        context.trace_flags().with_sampled(true),
        context.is_remote(),
        context.trace_state().clone(),
    );
    SpanData { span_context, ..span }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{
        TraceContextExt as _, TraceFlags, TraceState, Tracer as _, TracerProvider as _,
    };
    use opentelemetry_sdk::trace::{
        InMemorySpanExporter, Sampler, SdkTracer, SdkTracerProvider, SimpleSpanProcessor,
    };

    use super::*;

    /// A tracer that samples nothing by itself, and what it exports.
    fn tracer(inner: Sampler) -> (SdkTracer, SdkTracerProvider, InMemorySpanExporter) {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
            .with_sampler(KeepSampler(Box::new(inner)))
            .with_span_processor(Keeper::new(SimpleSpanProcessor::new(exporter.clone())))
            .build();
        (provider.tracer("test"), provider, exporter)
    }

    fn never() -> Sampler {
        Sampler::ParentBased(Box::new(Sampler::AlwaysOff))
    }

    fn names(exporter: &InMemorySpanExporter) -> Vec<String> {
        let spans = exporter.get_finished_spans().unwrap();
        assert!(spans.iter().all(|span| span.span_context.is_sampled()));
        spans.into_iter().map(|span| span.name.into_owned()).collect()
    }

    /// A span with a child that ends before it; `inside` is what happens to the child.
    fn family(tracer: &SdkTracer, parent: &Context, inside: impl FnOnce(&Context)) {
        let root = parent.with_span(tracer.start_with_context("root", parent));
        let child = root.with_span(tracer.start_with_context("child", &root));
        inside(&child);
        child.span().end();
        root.span().end();
    }

    #[test]
    fn of_what_is_not_sampled_that_is_kept_in_which_something_failed() {
        let (tracer, _provider, exporter) = tracer(never());
        family(&tracer, &Context::new(), |_| {});
        assert_eq!(names(&exporter), [""; 0]);
        family(&tracer, &Context::new(), |child| {
            child.span().set_status(Status::error("no"))
        });
        assert_eq!(names(&exporter), ["child", "root"]);
    }

    #[test]
    fn what_turns_out_to_matter_is_kept_whole() {
        let (tracer, _provider, exporter) = tracer(never());
        family(&tracer, &Context::new(), |child| {
            child.span().set_attribute(KeyValue::new(PRIORITY, 1));
        });
        assert_eq!(names(&exporter), ["child", "root"]);
    }

    #[test]
    fn what_matters_from_its_beginning_is_sampled_below_a_parent_that_is_not() {
        let (tracer, _provider, exporter) = tracer(never());
        let parent = Context::new().with_remote_span_context(SpanContext::new(
            TraceId::from(7),
            8.into(),
            TraceFlags::default(),
            true,
            TraceState::default(),
        ));
        let span = tracer
            .span_builder("change")
            .with_attributes([KeyValue::new(PRIORITY, 1)])
            .start_with_context(&tracer, &parent);
        assert!(span.span_context().is_sampled());
        let change = parent.with_span(span);
        family(&tracer, &change, |child| {
            assert!(child.span().span_context().is_sampled())
        });
        change.span().end();
        assert_eq!(names(&exporter), ["child", "root", "change"]);
        let spans = exporter.get_finished_spans().unwrap();
        assert!(
            spans
                .iter()
                .all(|span| span.span_context.trace_id() == TraceId::from(7))
        );
    }

    #[test]
    fn what_tells_nothing_alone_is_forgotten_where_all_is_sampled() {
        let (tracer, _provider, exporter) = tracer(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)));
        let batch = |worth: bool| {
            let span = tracer
                .span_builder("batch")
                .with_attributes([KeyValue::new(PRIORITY, 0)])
                .start_with_context(&tracer, &Context::new());
            let batch = Context::new().with_span(span);
            family(&tracer, &batch, |_| {});
            if worth {
                batch.span().set_attribute(KeyValue::new(PRIORITY, 1));
                batch.span().set_attribute(KeyValue::new(PRIORITY, 1));
            }
            batch.span().end();
        };
        batch(false);
        assert_eq!(names(&exporter), [""; 0]);
        batch(true);
        assert_eq!(names(&exporter), ["child", "root", "batch"]);
        let spans = exporter.get_finished_spans().unwrap();
        let batch = spans.last().unwrap();
        assert_eq!(batch.attributes, [KeyValue::new(PRIORITY, 1)], "each once");
    }

    #[test]
    fn what_is_held_is_bounded_and_given_back() {
        let (tracer, _provider, exporter) = tracer(never());
        let keeper = Keeper::new(SimpleSpanProcessor::new(exporter.clone()));
        let mut open = Vec::new();
        for _ in 0..TRACES + 10 {
            let mut span = tracer.start_with_context("open", &Context::new());
            keeper.on_start(&mut span, &Context::new());
            open.push(span);
        }
        assert_eq!(keeper.held().len(), TRACES);
        for span in &open {
            if let Some(data) = span.exported_data() {
                keeper.on_end(data);
            }
        }
        assert_eq!(keeper.held().len(), 0);
        assert_eq!(names(&exporter), [""; 0]);
    }
}
