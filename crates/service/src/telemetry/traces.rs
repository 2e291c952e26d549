//! Traces, exported over OTLP (http/protobuf) to where the standard variables say.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::anyhow;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SdkTracerProvider, SpanData};

use super::environment::Sampling;
use super::keep::{KeepSampler, Keeper};

/// Makes the process's tracer.
///
/// # Errors
/// Names what is wrong with the exporter's settings.
pub(super) fn provider(resource: Resource, sampling: Sampling) -> anyhow::Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder().with_http().build().map_err(|error| {
        anyhow!(
            "failed to set up the export of traces: {}",
            without_credentials(&error.to_string())
        )
    })?;
    let batches = BatchSpanProcessor::builder(Told {
        exporter,
        fails: AtomicBool::new(false),
    })
    .build();
    let builder = SdkTracerProvider::builder().with_resource(resource);
    Ok(match sampling {
        Sampling::Keep(sampler) => builder
            .with_sampler(KeepSampler(sampler))
            .with_span_processor(Keeper::new(batches)),
        Sampling::Off(sampler) => builder.with_sampler(sampler).with_span_processor(batches),
    }
    .build())
}

/// Says once that spans cannot be exported, and once that they can again: the SDK would lose them in silence.
#[derive(Debug)]
struct Told {
    exporter: SpanExporter,
    fails: AtomicBool,
}

impl opentelemetry_sdk::trace::SpanExporter for Told {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let exported = self.exporter.export(batch).await;
        let failed = self.fails.swap(exported.is_err(), Ordering::Relaxed);
        match &exported {
            Err(error) if !failed => tracing::warn!(
                error = without_credentials(&error.to_string()),
                "failed to export traces; they are lost until it succeeds again"
            ),
            Ok(()) if failed => tracing::info!("traces are exported again"),
            _ => {}
        }
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// What an error says, without the user and password of the URLs in it.
fn without_credentials(text: &str) -> String {
    let mut told = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        told.push_str(before);
        let authority = after
            .find(|c: char| c == '/' || c == '?' || c == '#' || c.is_whitespace())
            .unwrap_or(after.len());
        rest = after
            .get(..authority)
            .and_then(|authority| authority.rfind('@'))
            .and_then(|at| after.get(at + 1..))
            .unwrap_or(after);
    }
    told.push_str(rest);
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_error_tells_a_password() {
        for (text, expected) in [
            ("no", "no"),
            (
                "error for url (http://collector:4318/v1/traces)",
                "error for url (http://collector:4318/v1/traces)",
            ),
            (
                "http://me:s3cret@c/x and https://p%40ss@d",
                "http://c/x and https://d",
            ),
            ("http://me:s3@cret@c/x", "http://c/x"),
            ("http://c/a@b", "http://c/a@b"),
        ] {
            assert_eq!(without_credentials(text), expected);
        }
    }
}
