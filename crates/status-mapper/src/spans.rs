//! The spans of a change and of the transaction that writes it.
//!
//! ```text
//!  publish dtma.raw.v1.*  (the poller's)
//!    └─ change server ───────────── link ──► process dtma.raw.v1.*   (the batch, linked to all its reports)
//!         └─ publish mcp.status.v1.*.*         └─ transaction
//! ```
//!
//! A transaction belongs to all changes of its batch and can be in one trace only: that of the batch. The trace of a
//! report goes on with its change, which lasts until it is published.

use domain::{Cause, Change};
use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt as _;
use store::{ErrorKind, StoreError};
use tracing::Span;
use tracing::field::{Empty, display};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The span of a change from its decision until it is published, in the trace of what brought it about; always kept.
pub(crate) fn change(change: &Change, cause: Cause, parent: &Context) -> Span {
    let kind = match change {
        Change::Server(_) => "server",
        Change::Removed { .. } => "deleted",
        Change::Toolbox(_) => "toolbox",
    };
    let span = tracing::info_span!(
        parent: None,
        "change",
        otel.name = format!("change {kind}"),
        otel.kind = "consumer",
        otel.status_code = Empty,
        error.type = Empty,
        sampling.priority = 1,
        account.id = Empty,
        toolbox.id = Empty,
        server.id = Empty,
        status.version = Empty,
        status.state = Empty,
        status.health = Empty,
        status.cause = cause.as_str(),
    );
    if span.is_disabled() {
        return span;
    }
    match change {
        Change::Server(change) => {
            let server = &change.after;
            span.record("account.id", display(server.account));
            span.record("toolbox.id", display(server.toolbox));
            span.record("server.id", display(server.id));
            span.record("status.version", integer(server.version));
            span.record("status.state", server.state.as_str());
            span.record("status.health", server.health.as_str());
        }
        Change::Removed {
            server,
            toolbox,
            account,
            version,
            ..
        } => {
            span.record("account.id", display(account));
            span.record("toolbox.id", display(toolbox));
            span.record("server.id", display(server));
            span.record("status.version", integer(*version));
        }
        Change::Toolbox(toolbox) => {
            span.record("account.id", display(toolbox.account));
            span.record("toolbox.id", display(toolbox.id));
            span.record("status.version", integer(toolbox.version));
            span.record("status.state", toolbox.status.as_str());
        }
    }
    bus::trace::adopt(&span, parent.clone());
    let current = bus::trace::current();
    let (current, parent) = (current.span(), parent.span());
    if current.span_context() != parent.span_context() {
        span.add_link(current.span_context().clone());
    }
    span
}

/// A number as an attribute's: those are signed, and all else becomes text.
fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The span of writing and committing.
pub(crate) fn transaction(changes: usize) -> Span {
    // What belongs to no trace begins none: its changes do.
    if Span::current().is_disabled() {
        return Span::none();
    }
    tracing::info_span!(
        "transaction",
        otel.kind = "client",
        otel.status_code = Empty,
        error.type = Empty,
        db.system.name = "postgresql",
        db.query.summary = "UPDATE account_tool_instances INSERT status_changes COMMIT",
        status.changes = i64::try_from(changes).unwrap_or(i64::MAX),
    )
}

/// What kind of error it is that a transaction failed with.
pub(crate) fn error_type(error: &StoreError) -> &'static str {
    match error.kind() {
        ErrorKind::Transient => "transient",
        ErrorKind::Data => "data",
        ErrorKind::Setup => "setup",
    }
}

/// Marks a span as one that failed.
pub(crate) fn fail(span: &Span, error: &'static str) {
    span.record("otel.status_code", "ERROR");
    span.record("error.type", error);
}
