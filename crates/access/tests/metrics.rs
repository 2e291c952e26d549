//! What is turned down and what is fetched is counted.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::collections::BTreeMap;

use opentelemetry::global;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
use serde_json::json;
use support::{Answer, Issuer, KeyServer, eventually, jwks, now, running, user, with_keys_at};

/// `name{attribute's value}` → sum.
fn sums(provider: &SdkMeterProvider, exporter: &InMemoryMetricExporter) -> BTreeMap<String, u64> {
    exporter.reset();
    provider.force_flush().unwrap();
    let mut sums = BTreeMap::new();
    for resource in exporter.get_finished_metrics().unwrap() {
        for metric in resource.scope_metrics().flat_map(|scope| scope.metrics()) {
            let AggregatedMetrics::U64(MetricData::Sum(sum)) = metric.data() else {
                continue;
            };
            for point in sum.data_points() {
                let value: Vec<_> = point.attributes().map(|it| it.value.to_string()).collect();
                sums.insert(format!("{}{{{}}}", metric.name(), value.join(",")), point.value());
            }
        }
    }
    sums
}

/// The only test of its binary: the meter is the process's.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_counted() {
    let exporter = InMemoryMetricExporter::default();
    let provider = SdkMeterProvider::builder()
        .with_reader(PeriodicReader::builder(exporter.clone()).build())
        .build();
    global::set_meter_provider(provider.clone());
    let issuer = Issuer::es256("a");
    let server = KeyServer::start(Answer::Status(500)).await;
    let (verifier, _guard) = running(&with_keys_at(&server.url));
    let good = issuer.token(&user(json!({})));
    assert!(verifier.verify(&good, now()).await.unwrap_err().is_ours());
    server.answers(Answer::Body(jwks(&[&issuer])));
    eventually("the keys are there", async || {
        verifier.verify(&good, now()).await.is_ok()
    })
    .await;
    for token in [
        "garbage".to_owned(),
        issuer.token(&user(json!({"role": "anon"}))),
        issuer.token(&user(json!({"exp": 0}))),
    ] {
        verifier.verify(&token, now()).await.unwrap_err();
    }
    let sums = sums(&provider, &exporter);
    for (name, least) in [
        ("access.jwks.fetches{status}", 1),
        ("access.jwks.fetches{ok}", 1),
        ("access.denied{keys_unavailable}", 1),
        ("access.denied{malformed}", 1),
        ("access.denied{role}", 1),
        ("access.denied{expired}", 1),
    ] {
        assert!(
            sums.get(name).is_some_and(|sum| *sum >= least),
            "{name}: {sums:?}"
        );
    }
    assert!(
        !sums.keys().any(|name| name.starts_with("access.denied{}")),
        "{sums:?}"
    );
}
