//! What takes spans and metrics as a collector does: real OTLP over HTTP.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode as SpanStatus;
use prost::Message as _;

use crate::PATIENCE;

/// Attributes that the conventions, and the collector's sampling, have as numbers.
const NUMBERS: [&str; 6] = [
    "sampling.priority",
    "http.response.status_code",
    "messaging.batch.message_count",
    "server.port",
    "status.version",
    "deliver.readers",
];

/// All that was exported to it.
#[derive(Clone, Default)]
pub(crate) struct Sink(Arc<Mutex<Exported>>);

#[derive(Default)]
struct Exported {
    spans: Vec<Span>,
    /// The newest of each service and name.
    metrics: BTreeMap<(String, String), Pushed>,
}

/// A metric as it was last pushed.
#[derive(Clone, Debug)]
pub(crate) struct Pushed {
    pub(crate) unit: String,
    /// As `instruments::Kind` says it.
    pub(crate) kind: &'static str,
    /// By its labels: the number, or how many were measured.
    pub(crate) points: BTreeMap<BTreeSet<(String, String)>, f64>,
}

/// A span as it was exported.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) service: String,
    pub(crate) name: String,
    pub(crate) kind: SpanKind,
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty: it is a root.
    pub(crate) parent: String,
    pub(crate) attributes: BTreeMap<String, String>,
    /// Trace and span.
    pub(crate) links: Vec<(String, String)>,
    pub(crate) failed: bool,
    pub(crate) nanoseconds: (u64, u64),
}

impl Sink {
    pub(crate) async fn start() -> (Self, String) {
        let sink = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/v1/traces", post(take))
            .route("/v1/metrics", post(take_metrics))
            .with_state(sink.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (sink, url)
    }

    pub(crate) fn all(&self) -> Vec<Span> {
        self.0.lock().unwrap().spans.clone()
    }

    /// All metrics that a service has pushed, by name.
    pub(crate) fn metrics(&self, service: &str) -> BTreeMap<String, Pushed> {
        let all = &self.0.lock().unwrap().metrics;
        let of = all.iter().filter(|((of, _), _)| of == service);
        of.map(|((_, name), pushed)| (name.clone(), pushed.clone()))
            .collect()
    }

    /// The span of that id, once it has come.
    pub(crate) async fn get(&self, id: &str) -> Span {
        self.first(&format!("the span {id}"), |span| span.id == id).await
    }

    /// The first that `wanted` says, once it has come.
    pub(crate) async fn first(&self, what: &str, wanted: impl Fn(&Span) -> bool) -> Span {
        let began = Instant::now();
        loop {
            if let Some(found) = self.all().into_iter().find(&wanted) {
                return found;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{what}: not within {PATIENCE:?}; there are\n{}",
                self.shown()
            );
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// A span and what it came of, up to the root or to a parent that `foreign` says is a stranger's.
    pub(crate) async fn line(&self, id: &str, foreign: Option<&str>) -> Vec<Span> {
        let mut line = vec![self.get(id).await];
        loop {
            let last = line.last().unwrap();
            if last.parent.is_empty() || foreign == Some(last.parent.as_str()) {
                return line;
            }
            let parent = self.get(&last.parent.clone()).await;
            assert_eq!(parent.trace, last.trace, "{} below {}", last.name, parent.name);
            assert!(
                parent.nanoseconds.0 <= last.nanoseconds.0,
                "{} began before {}",
                last.name,
                parent.name
            );
            line.push(parent);
        }
    }

    fn shown(&self) -> String {
        let shown = |span: &Span| format!("{} {} {} < {}", span.service, span.name, span.id, span.parent);
        let all = self.all();
        all.iter().map(shown).collect::<Vec<_>>().join("\n")
    }
}

async fn take(State(sink): State<Sink>, headers: HeaderMap, body: Bytes) -> StatusCode {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let mut spans = Vec::new();
    for of_resource in request.resource_spans {
        let resource = attributes(&of_resource.resource.unwrap().attributes);
        assert!(resource.contains_key("service.instance.id"), "{resource:?}");
        for span in of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            let ids = (hex(&span.trace_id), hex(&span.span_id));
            spans.push(Span {
                service: resource["service.name"].clone(),
                kind: span.kind(),
                trace: ids.0,
                id: ids.1,
                parent: hex(&span.parent_span_id),
                attributes: attributes(&span.attributes),
                links: span
                    .links
                    .iter()
                    .map(|link| (hex(&link.trace_id), hex(&link.span_id)))
                    .collect(),
                failed: span
                    .status
                    .as_ref()
                    .is_some_and(|status| status.code() == SpanStatus::Error),
                nanoseconds: (span.start_time_unix_nano, span.end_time_unix_nano),
                name: span.name,
            });
        }
    }
    sink.0.lock().unwrap().spans.extend(spans);
    StatusCode::OK
}

async fn take_metrics(State(sink): State<Sink>, headers: HeaderMap, body: Bytes) -> StatusCode {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let request = ExportMetricsServiceRequest::decode(body).unwrap();
    let mut exported = sink.0.lock().unwrap();
    for of_resource in request.resource_metrics {
        let resource = attributes(&of_resource.resource.unwrap().attributes);
        assert!(resource.contains_key("service.instance.id"), "{resource:?}");
        let metrics = of_resource
            .scope_metrics
            .into_iter()
            .flat_map(|scope| scope.metrics);
        for metric in metrics {
            let number = |value: Option<number_data_point::Value>| match value.unwrap() {
                number_data_point::Value::AsInt(number) => number as f64,
                number_data_point::Value::AsDouble(number) => number,
            };
            let labels = |list: &[KeyValue]| attributes(list).into_iter().collect();
            let (kind, points) = match metric.data.unwrap() {
                Data::Sum(sum) => (
                    if sum.is_monotonic {
                        "counter"
                    } else {
                        "up-down counter"
                    },
                    sum.data_points
                        .into_iter()
                        .map(|point| (labels(&point.attributes), number(point.value)))
                        .collect(),
                ),
                Data::Gauge(gauge) => (
                    "gauge",
                    gauge
                        .data_points
                        .into_iter()
                        .map(|point| (labels(&point.attributes), number(point.value)))
                        .collect(),
                ),
                Data::Histogram(histogram) => (
                    "histogram",
                    histogram
                        .data_points
                        .into_iter()
                        .map(|point| (labels(&point.attributes), point.count as f64))
                        .collect(),
                ),
                other => panic!("{}: {other:?}", metric.name),
            };
            let pushed = Pushed {
                unit: metric.unit,
                kind,
                points,
            };
            let name = (resource["service.name"].clone(), metric.name);
            exported.metrics.insert(name, pushed);
        }
    }
    StatusCode::OK
}

fn attributes(list: &[KeyValue]) -> BTreeMap<String, String> {
    let map: BTreeMap<_, _> = list
        .iter()
        .filter_map(|one| {
            let value = match one.value.clone()?.value? {
                Value::StringValue(text) => {
                    assert!(!NUMBERS.contains(&one.key.as_str()), "{} is no number", one.key);
                    text
                }
                Value::IntValue(number) => number.to_string(),
                Value::BoolValue(truth) => truth.to_string(),
                Value::DoubleValue(number) => number.to_string(),
                other => format!("{other:?}"),
            };
            Some((one.key.clone(), value))
        })
        .collect();
    assert_eq!(map.len(), list.len(), "an attribute stands there twice: {list:?}");
    map
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
