//! The spans of messages, by OpenTelemetry's conventions for messaging. Names are of subjects' patterns, so that there are
//! few; the subjects themselves are attributes.
//!
//! ```text
//!  publish dtma.raw.v1.*  ──(traceparent in the message)──► process dtma.raw.v1.*   one message: its child
//!                                                           process dtma.raw.v1.*   a batch: its own trace, linked to all
//! ```

use opentelemetry::trace::TraceContextExt as _;
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use wire::streams::ConsumerSpec;
use wire::subjects::pattern_of;

use crate::{BusError, Delivery, Verdict, trace};

/// The span of a message on its way to its stream: in the trace that was kept for it, else in the current one. What
/// belongs to none begins none.
pub(crate) fn publish(subject: &str, kept: Option<&str>) -> Span {
    let span = || {
        let pattern = pattern(subject);
        tracing::info_span!(
            "publish",
            otel.name = format!("publish {pattern}"),
            otel.kind = "producer",
            otel.status_code = Empty,
            error.type = Empty,
            messaging.system = "nats",
            messaging.operation.type = "send",
            messaging.operation.name = "publish",
            messaging.destination.template = pattern,
            messaging.destination.name = subject,
        )
    };
    match kept {
        None if Span::current().is_disabled() => Span::none(),
        None => span(),
        Some(traceparent) => {
            let span = span();
            trace::adopt(&span, trace::context_of_traceparent(traceparent));
            span
        }
    }
}

/// The span of a handler's work on one message, in that message's trace.
pub(crate) fn process(spec: &ConsumerSpec, delivery: &Delivery) -> Span {
    let pattern = pattern(&delivery.subject);
    let span = tracing::info_span!(
        parent: None,
        "process",
        otel.name = format!("process {pattern}"),
        otel.kind = "consumer",
        otel.status_code = Empty,
        error.type = Empty,
        messaging.system = "nats",
        messaging.operation.type = "process",
        messaging.operation.name = "process",
        messaging.destination.template = pattern,
        messaging.destination.name = delivery.subject,
        messaging.consumer.group.name = spec.name,
        messaging.message.redeliveries = i64::from(delivery.deliveries.saturating_sub(1)),
    );
    if !span.is_disabled() {
        trace::adopt(&span, delivery.trace_context());
    }
    span
}

/// The span of a handler's work on a batch: in a trace of its own, linked to those of its messages. Kept only where
/// something came of it ([`trace::worth_keeping`]) or failed.
pub(crate) fn process_batch(spec: &ConsumerSpec, deliveries: &[Delivery]) -> Span {
    let pattern = deliveries.first().map_or("none", |first| pattern(&first.subject));
    let span = tracing::info_span!(
        parent: None,
        "process batch",
        otel.name = format!("process {pattern}"),
        otel.kind = "consumer",
        otel.status_code = Empty,
        error.type = Empty,
        sampling.priority = 0,
        messaging.system = "nats",
        messaging.operation.type = "process",
        messaging.operation.name = "process",
        messaging.destination.template = pattern,
        messaging.consumer.group.name = spec.name,
        messaging.batch.message_count = integer(deliveries.len()),
    );
    if !span.is_disabled() {
        for delivery in deliveries {
            span.add_link(delivery.trace_context().span().span_context().clone());
        }
    }
    span
}

/// The span of passing a message on to all who follow its stream, in that message's trace; none, where it is in none.
pub(crate) fn deliver(delivery: &Delivery) -> Span {
    if delivery.header(trace::TRACEPARENT).is_none() {
        return Span::none();
    }
    let pattern = pattern(&delivery.subject);
    let span = tracing::info_span!(
        parent: None,
        "deliver",
        otel.name = format!("deliver {pattern}"),
        otel.kind = "consumer",
        messaging.system = "nats",
        messaging.operation.type = "process",
        messaging.operation.name = "deliver",
        messaging.destination.template = pattern,
        messaging.destination.name = delivery.subject,
        deliver.readers = Empty,
    );
    if !span.is_disabled() {
        trace::adopt(&span, delivery.trace_context());
    }
    span
}

/// The span of a question, from asking to the answer.
pub(crate) fn ask(subject: &str) -> Span {
    if Span::current().is_disabled() {
        return Span::none();
    }
    let pattern = pattern(subject);
    tracing::info_span!(
        "ask",
        otel.name = format!("request {pattern}"),
        otel.kind = "client",
        otel.status_code = Empty,
        error.type = Empty,
        messaging.system = "nats",
        messaging.operation.type = "send",
        messaging.operation.name = "request",
        messaging.destination.template = pattern,
        messaging.destination.name = subject,
    )
}

/// Marks the current span by what a handler made of its message.
pub(crate) fn settle(verdict: &Verdict) {
    match verdict {
        Verdict::Done => {}
        Verdict::Retry { .. } => fail("retry"),
        Verdict::Reject { .. } => fail("reject"),
    }
}

/// The same of a batch: one that failed tells of all.
pub(crate) fn settle_all(verdicts: &[Verdict]) {
    if let Some(failed) = verdicts.iter().find(|it| **it != Verdict::Done) {
        settle(failed);
    }
}

/// Marks the current span as one that failed, where it did.
pub(crate) fn result<T>(result: &Result<T, BusError>) {
    match result {
        // Who names the message that has to be the last asks just that.
        Ok(_) | Err(BusError::Conflict { .. }) => {}
        Err(error) => fail(error.label()),
    }
}

fn fail(error: &'static str) {
    let span = Span::current();
    span.record("otel.status_code", "ERROR");
    span.record("error.type", error);
}

/// A number as an attribute's: those are signed, and all else becomes text.
fn integer(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn pattern(subject: &str) -> &'static str {
    // What is in no stream of ours is a bucket's.
    pattern_of(subject).unwrap_or("$KV.>")
}
