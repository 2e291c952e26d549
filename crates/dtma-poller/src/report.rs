//! What is published of an observation, and under which id.

use domain::{PollPlan, ReasonCode, ToolboxId};
use jiff::Timestamp;
use wire::{RawOutcome, RawReason, RawReport, RawSource};

use crate::agent::Said;

/// The id of a report: the same observation has the same id however often it is published.
pub(crate) fn message_id(report: &RawReport) -> String {
    let source = match report.source {
        RawSource::Poll => "poll",
        RawSource::Heartbeat => "heartbeat",
    };
    format!("{}-{}-{source}", report.toolbox_id, report.as_of.as_nanosecond())
}

/// The report of something an agent said.
pub(crate) fn of_said(toolbox: ToolboxId, source: RawSource, as_of: Timestamp, said: Said) -> RawReport {
    RawReport {
        toolbox_id: toolbox.0,
        as_of,
        source,
        agent_time: said.agent_time,
        agent_version: said.agent_version,
        next_within_seconds: None,
        missed_heartbeat: false,
        outcome: said.outcome,
    }
}

/// The report of a failed poll, the `failures_in_a_row`-th.
pub(crate) fn of_failure(
    toolbox: ToolboxId,
    as_of: Timestamp,
    reason: RawReason,
    failures_in_a_row: u32,
) -> RawReport {
    RawReport {
        toolbox_id: toolbox.0,
        as_of,
        source: RawSource::Poll,
        agent_time: None,
        agent_version: None,
        next_within_seconds: None,
        missed_heartbeat: false,
        outcome: RawOutcome::Failed {
            reason,
            failures_in_a_row,
        },
    }
}

/// Seconds within which the next report is expected under `plan`.
pub(crate) fn seconds(plan: &PollPlan) -> u32 {
    wire::PollPlan::from(*plan).every_seconds
}

/// Whether the bus takes a report of this size.
pub(crate) fn fits(report: &RawReport, limit: usize) -> bool {
    let mut counter = Counter { left: limit };
    serde_json::to_writer(&mut counter, report).is_ok()
}

/// What to say of an agent whose list is too long for the bus.
pub(crate) fn too_large(limit: usize) -> RawReason {
    RawReason {
        code: ReasonCode::AgentBadAnswer.to_string(),
        message: format!("the agent's list takes more than the {limit} bytes that a report may have"),
    }
}

/// A writer that keeps nothing and fails past its limit.
struct Counter {
    left: usize,
}

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self.left.checked_sub(bytes.len()) {
            Some(left) => {
                self.left = left;
                Ok(bytes.len())
            }
            None => Err(std::io::ErrorKind::FileTooLarge.into()),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn report() -> RawReport {
        let reason = RawReason {
            code: "agent_unreachable".to_owned(),
            message: "é".repeat(20),
        };
        of_failure(
            ToolboxId(Uuid::from_u128(7)),
            "2026-11-22T17:18:20.5Z".parse().unwrap(),
            reason,
            1,
        )
    }

    #[test]
    fn an_id_is_of_the_observation() {
        let report = report();
        let id = "00000000-0000-0000-0000-000000000007-1795367900500000000-poll";
        assert_eq!(message_id(&report), id);
        assert_eq!(
            message_id(&RawReport {
                next_within_seconds: Some(30),
                ..report.clone()
            }),
            id
        );
        assert_ne!(
            message_id(&RawReport {
                source: RawSource::Heartbeat,
                ..report
            }),
            id
        );
    }

    #[test]
    fn a_report_fits_to_the_byte() {
        let report = report();
        let size = serde_json::to_vec(&report).unwrap().len();
        assert!(fits(&report, size));
        assert!(!fits(&report, size - 1));
    }
}
