//! The one place that executes decisions: rows and events in one transaction, then publish, then mark.
//!
//! ```text
//!  Decisions ─► write ─► commit ─► publish in order, message id = row id ─► mark
//!                          │                 │ fails
//!                          │                 └─► the relay, about a second later
//!                          └─ from here on nothing can get lost any more
//! ```
//!
//! # Order
//! Nobody may be told an older version after a newer one. Three things see to it:
//! - whoever writes a version is handed the unpublished older ones of the same subject and publishes them first;
//! - of one subject the next version leaves only when the one before it is acknowledged;
//! - what a stalled publisher sends late has an id that the stream has seen, and is dropped there.
//!
//! What slips through all three (a publisher cut off for longer than the stream remembers ids) is put right by
//! [`crate::rebuild`] when it reconnects.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bus::{BusError, Line, Outgoing};
use store::{ChangeKind, Database, OutboxRow, StoreError, Transaction};
use tracing::Instrument as _;
use uuid::Uuid;
use wire::{Message as _, StatusEvent, ToolboxEvent, streams};

use crate::clock;
use crate::decisions::Decisions;
use crate::metrics::Metrics;
use crate::pace::Throttle;
use crate::spans;

/// Events that leave together. When the bus does not answer, one such group's time-out is all that is waited.
const GROUP: usize = 256;

/// Writes and publishes. Clones share connections.
#[derive(Clone)]
pub(crate) struct Announcer {
    pub(crate) database: Database,
    pub(crate) line: Line,
    pub(crate) metrics: Metrics,
    /// What ails one event mostly ails all, and for a while.
    failures: Arc<Mutex<Throttle>>,
    publishes: bool,
}

/// What became of events that were to be published.
#[derive(Debug, Default)]
pub(crate) struct Published {
    /// The rows whose events the stream has.
    pub(crate) acknowledged: Vec<Uuid>,
    /// How many of them the stream did not have before.
    pub(crate) stored: u64,
    /// How many were not acknowledged, or not even tried.
    pub(crate) left: usize,
}

impl Announcer {
    pub(crate) fn new(database: Database, line: Line, metrics: Metrics) -> Self {
        Self {
            database,
            line,
            metrics,
            failures: Arc::default(),
            publishes: true,
        }
    }

    /// The same, but what it commits is left for the relay to publish: for who must be on time while the bus hangs.
    pub(crate) fn leaving_it_to_the_relay(&self) -> Self {
        Self {
            publishes: false,
            ..self.clone()
        }
    }

    /// Writes the decisions, commits, publishes what is due, and marks it. Returns how many changes were committed.
    ///
    /// A failure to publish is none of this: the changes are committed and the relay publishes them.
    ///
    /// # Errors
    /// When the transaction failed. It may have been committed all the same (a connection that breaks during the
    /// commit cannot tell): trying again then finds nothing left to do.
    pub(crate) async fn execute(
        &self,
        mut transaction: Transaction,
        decisions: &Decisions,
    ) -> Result<usize, StoreError> {
        let writing = async {
            let rows = store::batch::write(&mut transaction, decisions.writes()).await?;
            transaction.commit().await?;
            Ok(rows)
        };
        let span = spans::transaction(decisions.tally.len());
        let rows = writing
            .instrument(span.clone())
            .await
            .inspect_err(|error: &StoreError| {
                let kind = spans::error_type(error);
                spans::fail(&span, kind);
                decisions.failed(kind);
            })?;
        if !decisions.tally.is_empty() {
            bus::trace::worth_keeping();
        }
        for (kind, cause) in &decisions.tally {
            self.metrics.change(kind, cause);
        }
        self.metrics.found_by_poll(decisions.found_by_poll as u64);
        if rows.is_empty() {
            return Ok(decisions.tally.len());
        }
        let published = self.publish(rows).await;
        let now = clock::now();
        for id in &published.acknowledged {
            if let Some(received) = decisions.received.get(id) {
                self.metrics
                    .change_latency(now.duration_since(*received).as_secs_f64().max(0.0));
            }
        }
        // Nothing, where nobody could be told: the relay's turn.
        if let Err(error) =
            store::outbox::mark_published(self.database.pool(), &published.acknowledged, now).await
        {
            tracing::warn!(%error, "failed to mark changes as published; the relay publishes them under the same ids");
        }
        Ok(decisions.tally.len())
    }

    /// Publishes rows that are ordered by subject and version, keeping that order within each subject. An event that
    /// the stream will never take holds up its own subject and no other. Gives up at the first group that meets
    /// anything else: a bus that does not answer costs one time-out, not one a group.
    pub(crate) async fn publish(&self, rows: Vec<OutboxRow>) -> Published {
        let mut published = Published {
            left: rows.len(),
            ..Published::default()
        };
        // Without a connection every event would only wait for its time-out.
        let Some(bus) = self.line.get().filter(|bus| self.publishes && bus.is_connected()) else {
            return published;
        };
        let mut queues = by_subject(rows);
        while !queues.is_empty() {
            let count = queues.len().min(GROUP);
            let heads: Vec<OutboxRow> = queues
                .iter_mut()
                .take(count)
                .filter_map(VecDeque::pop_front)
                .collect();
            let ids: Vec<Uuid> = heads.iter().map(|row| row.id).collect();
            let results = bus.publish_all(heads.into_iter().map(outgoing).collect()).await;
            let mut silent = false;
            let mut refused = vec![false; count];
            for ((id, result), refused) in ids.into_iter().zip(results).zip(&mut refused) {
                match result {
                    Ok(receipt) => {
                        published.acknowledged.push(id);
                        published.stored += u64::from(!receipt.duplicate);
                    }
                    Err(error) => {
                        *refused = true;
                        silent |= error.is_transient();
                        self.tell_failure(id, &error);
                    }
                }
            }
            if silent {
                break;
            }
            // Those with more to say go to the back, so that a long one does not hold up the others.
            let more: Vec<_> = queues
                .drain(..count)
                .zip(refused)
                .filter_map(|(queue, refused)| (!refused && !queue.is_empty()).then_some(queue))
                .collect();
            queues.extend(more);
        }
        published.left -= published.acknowledged.len();
        published
    }

    fn tell_failure(&self, id: Uuid, error: &BusError) {
        let mut throttle = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held_back) = throttle.pass() {
            tracing::warn!(%id, %error, held_back, "failed to publish a change; the relay will");
        }
    }
}

/// One queue a subject, in the order given.
fn by_subject(rows: Vec<OutboxRow>) -> VecDeque<VecDeque<OutboxRow>> {
    let mut queues: VecDeque<VecDeque<OutboxRow>> = VecDeque::new();
    for row in rows {
        match queues.back_mut() {
            Some(queue) if queue.back().is_some_and(|last| last.subject == row.subject) => {
                queue.push_back(row)
            }
            _ => queues.push_back(VecDeque::from([row])),
        }
    }
    queues
}

/// The message of a row. A tombstone replaces all that was said of its server, and goes by itself in the end.
fn outgoing(row: OutboxRow) -> Outgoing {
    let deleted = row.kind == ChangeKind::Deleted;
    Outgoing {
        subject: row.nats_subject,
        id: row.id.to_string(),
        type_name: match row.kind {
            ChangeKind::Server | ChangeKind::Deleted => StatusEvent::TYPE,
            ChangeKind::Toolbox => ToolboxEvent::TYPE,
        },
        body: row.event.into(),
        traceparent: row.traceparent,
        ttl: deleted.then_some(streams::TOMBSTONE_TTL),
        rollup: deleted,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn row(subject: u128, version: u64, kind: ChangeKind) -> OutboxRow {
        OutboxRow {
            id: Uuid::from_u128(subject << 64 | u128::from(version)),
            kind,
            subject: Uuid::from_u128(subject),
            version,
            at: Timestamp::UNIX_EPOCH,
            nats_subject: "somewhere".to_owned(),
            event: "{}".to_owned(),
            traceparent: None,
        }
    }

    #[test]
    fn a_subject_is_one_queue_in_the_order_of_its_versions() {
        let server = ChangeKind::Server;
        let rows = [(1, 4), (1, 5), (2, 1), (3, 7), (3, 8), (3, 9)];
        let queues = by_subject(
            rows.iter()
                .map(|(subject, version)| row(*subject, *version, server))
                .collect(),
        );
        let versions: Vec<Vec<u64>> = queues
            .iter()
            .map(|queue| queue.iter().map(|row| row.version).collect())
            .collect();
        assert_eq!(versions, [vec![4, 5], vec![1], vec![7, 8, 9]]);
    }

    #[test]
    fn only_a_tombstone_replaces_and_expires() {
        for (kind, is_tombstone) in [
            (ChangeKind::Server, false),
            (ChangeKind::Toolbox, false),
            (ChangeKind::Deleted, true),
        ] {
            let message = outgoing(row(1, 1, kind));
            assert_eq!(message.rollup, is_tombstone, "{kind:?}");
            assert_eq!(
                message.ttl,
                is_tombstone.then_some(streams::TOMBSTONE_TTL),
                "{kind:?}"
            );
        }
        assert_eq!(
            outgoing(row(1, 1, ChangeKind::Toolbox)).type_name,
            ToolboxEvent::TYPE
        );
    }
}
