//! A batch of raw reports, read and put in order.

use std::collections::{BTreeMap, HashMap};

use bus::Delivery;
use domain::{Change, Report, ToolboxId};
use jiff::{SignedDuration, Timestamp};
use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt as _;
use wire::{RawReport, subjects};

use crate::ingest::origins::{self, Origin, Origins};

/// The readable reports of a batch, by toolbox.
#[derive(Debug)]
pub(crate) struct Batch {
    groups: BTreeMap<ToolboxId, Group>,
    /// What cannot be read: its place in the batch, and why.
    pub(crate) refused: Vec<(usize, String)>,
    traces: Traces,
    origins: Origins,
    /// Until when nothing newer can be known: now, or while more reports wait to be read, when the newest of these was
    /// made.
    pub(crate) known_until: Timestamp,
}

/// The reports of one toolbox in a batch.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// In the order of their delivery; the fold puts them in theirs.
    pub(crate) reports: Vec<Report>,
    /// Where each stands in the batch.
    pub(crate) places: Vec<usize>,
}

/// The traces that reports came in, by their place in the stream.
#[derive(Debug, Default)]
pub(crate) struct Traces(HashMap<u64, Context>);

impl Batch {
    /// Reads what was delivered by `now`.
    pub(crate) fn read(deliveries: &[Delivery], now: Timestamp) -> Self {
        let mut batch = Self {
            groups: BTreeMap::new(),
            refused: Vec::new(),
            traces: Traces::default(),
            origins: Origins::default(),
            known_until: now,
        };
        let mut newest = None;
        for (place, delivery) in deliveries.iter().enumerate() {
            match report(&delivery.subject, &delivery.body, delivery.sequence, now) {
                Ok((report, missed_heartbeat)) => {
                    let received_at = delivery.published_at;
                    batch.origins.insert(
                        delivery.sequence,
                        Origin {
                            received_at,
                            missed_heartbeat,
                        },
                    );
                    newest = newest.max(Some(report.order.as_of));
                    let context = delivery.trace_context();
                    if context.span().span_context().is_valid() {
                        batch.traces.0.insert(delivery.sequence, context);
                    }
                    let group = batch.groups.entry(report.toolbox).or_default();
                    group.reports.push(report);
                    group.places.push(place);
                }
                Err(reason) => batch.refused.push((place, reason)),
            }
        }
        if deliveries.last().is_some_and(|last| last.pending > 0) {
            batch.known_until = newest.map_or(now, |newest| newest.min(now));
        }
        batch
    }

    /// All toolboxes with their reports.
    pub(crate) fn all(&self) -> Vec<(ToolboxId, &[Report])> {
        self.groups
            .iter()
            .map(|(toolbox, group)| (*toolbox, group.reports.as_slice()))
            .collect()
    }

    /// The trace and the origin of what brought about `change`.
    pub(crate) fn cause(&self, change: &Change, reports: &[Report]) -> (Context, Option<Origin>) {
        (self.traces.of(change, reports), self.origins.of(change, reports))
    }

    /// The toolboxes one by one.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (ToolboxId, &Group)> {
        self.groups.iter().map(|(toolbox, group)| (*toolbox, group))
    }
}

impl Traces {
    /// The trace that a change goes on with: that of the report that brought it about, so that a poll and what people see
    /// of it are one trace.
    pub(crate) fn of(&self, change: &Change, reports: &[Report]) -> Context {
        self.report(change, reports)
            .cloned()
            .unwrap_or_else(bus::trace::current)
    }

    /// The trace of the report that brought about `change`.
    fn report(&self, change: &Change, reports: &[Report]) -> Option<&Context> {
        self.0.get(&origins::cause(change, reports)?)
    }
}

/// How far the observer's clock may be ahead of ours. A report from later than that would make all after it stale and
/// its servers healthy for ever; one refused is merely observed again.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);

/// Reads one report that arrived by `now`, and whether it is of a poll that was made because a heartbeat did not come; the
/// error is what the dead letter says, and never repeats the body.
fn report(subject: &str, body: &[u8], sequence: u64, now: Timestamp) -> Result<(Report, bool), String> {
    let toolbox = subjects::toolbox_of(subject).ok_or_else(|| "the subject names no toolbox".to_owned())?;
    let (report, missed_heartbeat) = RawReport::decode(body)
        .and_then(|raw| {
            let missed_heartbeat = raw.missed_heartbeat;
            Ok((raw.into_report(sequence)?, missed_heartbeat))
        })
        .map_err(|refused| refused.to_string())?;
    if report.toolbox != toolbox {
        // The subject is what permissions are given by, so the body must not speak for another.
        return Err("field toolboxId: expected the toolbox that the subject names".to_owned());
    }
    if report.order.as_of.duration_since(now) > AHEAD {
        return Err(
            "field asOf: expected an instant that has been; the observer's clock is ahead".to_owned(),
        );
    }
    Ok((report, missed_heartbeat))
}

#[cfg(test)]
mod tests {
    use domain::{AccountId, InstanceName, Order, Server, ServerChange, ServerId, Toolbox};
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
    use uuid::Uuid;

    use super::*;

    const TOOLBOX: ToolboxId = ToolboxId(Uuid::from_u128(7));

    fn alive(toolbox: ToolboxId) -> Vec<u8> {
        format!(
            r#"{{"toolboxId":"{toolbox}","asOf":"2026-11-22T10:00:00Z","source":"heartbeat","outcome":{{"kind":"alive"}}}}"#
        )
        .into_bytes()
    }

    #[test]
    fn a_report_speaks_for_the_toolbox_of_its_subject_alone() {
        let now: Timestamp = "2026-11-22T10:00:01Z".parse().unwrap();
        let read = |subject: &str, body: &[u8]| {
            report(subject, body, 3, now).map(|(report, _)| report.order.sequence)
        };
        assert_eq!(read(&subjects::raw(TOOLBOX), &alive(TOOLBOX)), Ok(3));
        let other = ToolboxId(Uuid::from_u128(8));
        let problem = read(&subjects::raw(other), &alive(TOOLBOX)).unwrap_err();
        assert!(problem.contains("toolboxId"), "{problem}");
        let problem = read("dtma.raw.v1.nonsense", &alive(TOOLBOX)).unwrap_err();
        assert!(problem.contains("subject"), "{problem}");
        for garbage in [
            &b""[..],
            b"{",
            b"null",
            b"[1]",
            b"\xff\xfe",
            br#"{"toolboxId":"secret-token"}"#,
        ] {
            let problem = read(&subjects::raw(TOOLBOX), garbage).unwrap_err();
            assert!(
                problem.contains("raw-report") && !problem.contains("secret"),
                "{problem}"
            );
        }
    }

    #[test]
    fn a_report_from_the_future_is_refused_and_a_clock_that_is_a_little_ahead_is_not() {
        let read = |now: &str| report(&subjects::raw(TOOLBOX), &alive(TOOLBOX), 3, now.parse().unwrap());
        assert!(read("2026-11-22T09:55:00Z").is_ok());
        let problem = read("2026-11-22T09:54:59Z").unwrap_err();
        assert!(problem.contains("asOf"), "{problem}");
    }

    #[test]
    fn a_change_carries_the_trace_of_the_report_it_came_from() {
        let order = |sequence| Order {
            as_of: Timestamp::UNIX_EPOCH,
            sequence,
        };
        let context = |trace: u128| {
            Context::new().with_remote_span_context(SpanContext::new(
                TraceId::from(trace),
                SpanId::from(7),
                TraceFlags::SAMPLED,
                true,
                TraceState::default(),
            ))
        };
        let traces = Traces(HashMap::from([(3, context(3)), (4, context(4))]));
        let trace_of = |change: &Change, reports: &[Report]| {
            u128::from_be_bytes(
                traces
                    .of(change, reports)
                    .span()
                    .span_context()
                    .trace_id()
                    .to_bytes(),
            )
        };
        let reports: Vec<Report> = [3, 4]
            .map(|sequence| {
                RawReport::decode(&alive(TOOLBOX))
                    .unwrap()
                    .into_report(sequence)
                    .unwrap()
            })
            .into();
        let account = AccountId(Uuid::from_u128(1));
        let mut after = Server::new(
            ServerId(Uuid::from_u128(2)),
            TOOLBOX,
            account,
            InstanceName::new("mcp").unwrap(),
        );
        after.order = Some(order(3));
        let server = Change::Server(Box::new(ServerChange {
            before: None,
            after,
            cause: domain::Cause::Report,
        }));
        let mut toolbox = Toolbox::new(TOOLBOX, account, "");
        toolbox.order = Some(order(9));
        let removed = Change::Removed {
            server: ServerId(Uuid::from_u128(2)),
            toolbox: TOOLBOX,
            account,
            version: 2,
            at: Timestamp::UNIX_EPOCH,
        };
        assert_eq!(trace_of(&server, &reports), 3);
        assert_eq!(trace_of(&removed, &reports), 4);
        assert_eq!(trace_of(&Change::Toolbox(Box::new(toolbox)), &reports), 0);
    }
}
