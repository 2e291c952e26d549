//! Trace context through the server.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bus::{Delivery, HeaderMap, Outgoing, Verdict, consume_batches, trace};
use opentelemetry::trace::TraceContextExt;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use wire::streams::{self, ConsumerSpec};
use wire::subjects;

use crate::ground::{Ground, PATIENT, Running, Taken, eventually, plan, raw, soon, toolbox};
use crate::observe;

fn trace_of(span: &Span) -> String {
    span.context().span().span_context().trace_id().to_string()
}

async fn last(ground: &Ground) -> Delivery {
    ground
        .bus
        .last(&streams::DTMA_RAW, &subjects::raw(toolbox(1)))
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn what_is_published_in_a_span_belongs_to_its_trace() {
    let ground = Ground::new().await;
    let (span, plan) = (info_span!("publishing"), plan(1, 0));
    let publish = ground.bus.publish(subjects::raw(toolbox(1)), "id", &plan);
    publish.instrument(span.clone()).await.unwrap();
    let event = last(&ground).await;
    let traceparent = event.header("traceparent").unwrap();
    assert!(
        traceparent.starts_with(&format!("00-{}-", trace_of(&span))),
        "{traceparent}"
    );
    assert_eq!(event.header("tracestate"), None, "an empty one is not sent");
    assert_eq!(
        event.trace_context().span().span_context().trace_id().to_string(),
        trace_of(&span)
    );
    assert!(event.trace_context().span().span_context().is_remote());
    let published = observe::everything().span(event.trace_context().span().span_context().span_id());
    assert_eq!(published.name, "publish dtma.raw.v1.*");
    assert_eq!(published.span_kind, opentelemetry::trace::SpanKind::Producer);
    assert_eq!(
        published.parent_span_id,
        span.context().span().span_context().span_id()
    );
}

#[tokio::test]
async fn without_a_span_there_is_no_trace() {
    let ground = Ground::new().await;
    ground.report(1, "untraced").await;
    let event = last(&ground).await;
    assert_eq!(event.header("traceparent"), None);
    assert!(!event.trace_context().has_active_span());
    assert_eq!(trace::current_traceparent(), None);
}

#[tokio::test]
async fn a_trace_that_was_kept_wins_over_the_present_one() {
    const KEPT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let ground = Ground::new().await;
    let event = Outgoing {
        traceparent: Some(KEPT.into()),
        ..raw(1, "from the outbox")
    };
    let publish = ground.bus.publish_all(vec![event]);
    publish.instrument(info_span!("relay")).await.remove(0).unwrap();
    let event = last(&ground).await;
    let published = observe::everything().span(event.trace_context().span().span_context().span_id());
    assert!(KEPT.contains(&published.span_context.trace_id().to_string()));
    assert!(KEPT.contains(&published.parent_span_id.to_string()));
}

#[tokio::test]
async fn a_poll_asked_for_in_a_span_belongs_to_its_trace() {
    let ground = Ground::new().await;
    let span = info_span!("refreshing");
    ground
        .bus
        .schedules()
        .fire_now(toolbox(1))
        .instrument(span.clone())
        .await
        .unwrap();
    let due = ground
        .bus
        .last(&streams::POLLS, &subjects::due(toolbox(1)))
        .await
        .unwrap()
        .unwrap();
    assert!(due.header("traceparent").unwrap().contains(&trace_of(&span)));
}

#[test]
fn a_stranger_s_nonsense_is_no_trace() {
    observe::everything();
    let mut headers = HeaderMap::new();
    headers.insert("traceparent", "00-zz-not-a-trace");
    headers.insert("tracestate", "x".repeat(10_000).as_str());
    assert!(!trace::extract(&headers).has_active_span());
    let mut none = HeaderMap::new();
    trace::inject(&opentelemetry::Context::new(), &mut none);
    assert!(none.is_empty());
}

#[tokio::test]
async fn a_handler_works_in_the_trace_of_its_message() {
    static TRACED: ConsumerSpec = ConsumerSpec {
        name: "traced",
        ..PATIENT
    };
    let ground = Ground::new().await;
    let span = info_span!("publishing");
    ground.report(1, "traced").instrument(span.clone()).await;
    let (taken, inside) = (Taken::default(), Arc::new(Mutex::new(None)));
    let running = Running::start(&ground.bus, &TRACED, 1, {
        let (taken, inside) = (taken.clone(), inside.clone());
        move |delivery: Delivery| {
            *inside.lock().unwrap() = trace::current_traceparent();
            taken.add(&delivery);
            std::future::ready(Verdict::Done)
        }
    });
    taken.wait_for("traced").await;
    running.stop().await.unwrap();
    let mut processing = None;
    eventually("the span has ended", async || {
        processing = observe::everything().span_of(TRACED.name);
        processing.is_some()
    })
    .await;
    let processing = processing.unwrap();
    assert_eq!(processing.name, "process dtma.raw.v1.*");
    assert_eq!(processing.span_context.trace_id().to_string(), trace_of(&span));
    let published = last(&ground).await.trace_context();
    assert_eq!(
        processing.parent_span_id,
        published.span().span_context().span_id()
    );
    assert_eq!(processing.span_kind, opentelemetry::trace::SpanKind::Consumer);
    let inside = inside.lock().unwrap().clone().unwrap();
    assert!(
        inside.contains(&processing.span_context.span_id().to_string()),
        "{inside}"
    );
}

#[tokio::test]
async fn a_batch_is_linked_to_the_traces_of_its_messages() {
    static LINKED: ConsumerSpec = ConsumerSpec {
        name: "linked",
        ..PATIENT
    };
    let ground = Ground::new().await;
    let spans = [info_span!("one"), info_span!("two")];
    for span in &spans {
        ground.report(1, "traced").instrument(span.clone()).await;
    }
    ground.report(1, "untraced").await;
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let handler = async |batch: &[Delivery]| {
        stop.cancel();
        vec![Verdict::Done; batch.len()]
    };
    let consuming = consume_batches(&ground.bus, &LINKED, 3, Duration::from_secs(5), shutdown, handler);
    soon("the batch", consuming).await.unwrap();
    let processing = observe::everything().span_of(LINKED.name).unwrap();
    let linked: Vec<String> = processing
        .links
        .iter()
        .map(|link| link.span_context.trace_id().to_string())
        .collect();
    assert_eq!(linked, spans.each_ref().map(trace_of));
    // Also where there is one message: a batch is always a trace of its own.
    assert_eq!(processing.parent_span_id, opentelemetry::trace::SpanId::INVALID);
}
