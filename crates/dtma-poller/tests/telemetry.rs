//! Traces, logs and metrics of a poll, a heartbeat and a command: what belongs together does, and no secret is in any of it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::io::Write;
use std::sync::{Arc, Mutex};

use domain::ToolboxId;
use dtma_sim::{DialectMix, Misbehaviour, SimConfig};
use opentelemetry::trace::{SpanKind, TracerProvider as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use support::commands::{command, executed};
use support::{World, eventually, failures, sim};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use wire::streams::{DTMA_OUTCOMES, DTMA_RAW};
use wire::{CommandAction, subjects};

/// All log lines.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The only test of its binary: the subscriber is the process's.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_belongs_to_its_trace_and_nothing_tells_a_secret() {
    let exporter = InMemorySpanExporter::default();
    let tracer = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .build();
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let log = Log::default();
    let lines = log.clone();
    // Everything, of every crate: a secret that only TRACE tells is told.
    tracing_subscriber::registry()
        .with(
            tracing_subscriber::fmt::layer()
                .with_ansi(false)
                .with_writer(move || lines.clone()),
        )
        .with(tracing_opentelemetry::layer().with_tracer(tracer.tracer("test")))
        .init();

    let world = World::new().await;
    let poller = world.poller().await;
    let config = SimConfig {
        toolboxes: 1,
        dialect: DialectMix::B,
        heartbeat_url: Some(poller.url.parse().unwrap()),
        heartbeat_interval: std::time::Duration::from_secs(3_600),
        ..SimConfig::default()
    };
    let sim = sim(config).await;
    let toolbox = sim.toolbox(0);
    world.register(&toolbox).await;
    let subject = subjects::raw(ToolboxId(toolbox.id));
    let traceparent = async || {
        let report = world.bus.last(&DTMA_RAW, &subject).await.ok()??;
        report.header("traceparent").map(str::to_owned)
    };
    let polled = eventually("a traced report of a poll", traceparent).await;
    assert_eq!(sim.heartbeat_now(toolbox.id).await.unwrap(), 204);
    let pushed = traceparent().await.unwrap();
    executed(&world.outcome_after(&command(&toolbox, CommandAction::Stop)).await);
    let outcome = subjects::outcome(ToolboxId(toolbox.id));
    let outcome = world.bus.last(&DTMA_OUTCOMES, &outcome).await.unwrap().unwrap();
    let commanded = outcome.header("traceparent").unwrap().to_owned();
    // A failure is where secrets like to be told; so is a stranger's token.
    sim.misbehave(toolbox.id, Misbehaviour::Status { code: 500 })
        .unwrap();
    world
        .bus
        .schedules()
        .fire_now(ToolboxId(toolbox.id))
        .await
        .unwrap();
    world
        .report_that("a failure", toolbox.id, |report| failures(report).is_some())
        .await;
    let http = reqwest::Client::new();
    let stranger = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";
    let answer = http
        .post(format!("{}/heartbeat", poller.url))
        .bearer_auth(stranger)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 401);
    poller.stop().await;

    let spans = exporter.get_finished_spans().unwrap();
    for (traceparent, name, kind) in [
        (polled, "poll", SpanKind::Internal),
        (pushed, "POST /heartbeat", SpanKind::Server),
        (commanded, "command", SpanKind::Internal),
    ] {
        let trace = traceparent.split('-').nth(1).unwrap();
        let span = spans
            .iter()
            .find(|span| span.name == name && span.span_context.trace_id().to_string() == trace)
            .unwrap_or_else(|| panic!("no span {name} in trace {trace}"));
        assert_eq!(span.span_kind, kind);
        let attribute = |key: &str| {
            let found = span
                .attributes
                .iter()
                .find(|attribute| attribute.key.as_str() == key);
            found.map(|attribute| attribute.value.to_string())
        };
        assert_eq!(attribute("toolbox.id"), Some(toolbox.id.to_string()), "{name}");
        assert_eq!(
            attribute("account.id"),
            Some(toolbox.account_id.to_string()),
            "{name}"
        );
        if name == "command" {
            let server = toolbox.instances[0].id.to_string();
            for (key, value) in [
                ("server.id", server.as_str()),
                ("command.action", "stop"),
                ("command.outcome", "executed"),
            ] {
                assert_eq!(attribute(key).as_deref(), Some(value), "{key}");
            }
        }
    }

    let told = format!("{spans:?}\n{}", String::from_utf8_lossy(&log.0.lock().unwrap()));
    assert!(
        told.contains("poll") && told.contains("reqwest"),
        "nothing was listened to"
    );
    let sealed = world.entry(&toolbox).sealed_token.unwrap();
    for secret in [
        toolbox.token.as_str(),
        stranger,
        secrecy::ExposeSecret::expose_secret(&world.secret),
        &sealed,
    ] {
        if let Some(at) = told.find(secret) {
            panic!(
                "told: {}",
                &told[told.floor_char_boundary(at.saturating_sub(300))..at]
            );
        }
    }
}
