//! The one ack policy: what becomes of a message by its handler's verdict.

use std::convert::Infallible;
use std::time::Duration;

use async_nats::jetstream::AckKind;
use wire::streams::ConsumerSpec;

use crate::{Bus, Delivery, dead_letter};

/// Wait before a message is delivered again whose dead letter could not be stored.
const DEAD_LETTER_RETRY: Duration = Duration::from_secs(5);

/// What a handler decided about a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is dealt with.
    Done,
    /// It could not be dealt with now. Delivered again after a while, until the consumer's
    /// [`max_deliver`](ConsumerSpec::max_deliver); then it becomes a dead letter.
    Retry {
        /// How long to wait before it is delivered again, to this replica or another.
        after: Duration,
        /// Why; kept with the dead letter, never with a secret in it.
        reason: String,
    },
    /// It can never be dealt with. It becomes a dead letter.
    Reject {
        /// Why; kept with the dead letter, never with a secret in it.
        reason: String,
    },
}

/// The policy of one consumer.
pub(crate) struct Policy {
    bus: Bus,
    spec: &'static ConsumerSpec,
}

impl Policy {
    pub(crate) fn new(bus: &Bus, spec: &'static ConsumerSpec) -> Self {
        bus.metrics().consumes(spec.stream.name);
        Self {
            bus: bus.clone(),
            spec,
        }
    }

    /// The verdict on a message that came once more after its last delivery: its handler never came to one, most
    /// likely because it took the process with it. Trying again would do the same.
    pub(crate) fn foregone(&self, delivery: &Delivery) -> Option<Verdict> {
        (delivery.deliveries > u32::from(self.spec.max_deliver)).then(|| Verdict::Reject {
            reason: format!(
                "delivered {} times without a verdict on the last",
                delivery.deliveries - 1
            ),
        })
    }

    /// Carries a verdict out. The message is acknowledged only after its dead letter is stored, where it has one.
    pub(crate) async fn settle(&self, delivery: &Delivery, verdict: Verdict) {
        let stream = self.spec.stream.name;
        let last = delivery.deliveries >= u32::from(self.spec.max_deliver);
        match verdict {
            Verdict::Done => {
                self.bus.metrics().consumed(stream, "done");
                self.acknowledge(delivery, AckKind::Ack).await;
            }
            Verdict::Retry { after, reason } if !last => {
                self.bus.metrics().consumed(stream, "retry");
                tracing::debug!(
                    stream,
                    sequence = delivery.sequence,
                    deliveries = delivery.deliveries,
                    ?after,
                    reason,
                    "message put back"
                );
                self.acknowledge(delivery, AckKind::Nak((!after.is_zero()).then_some(after)))
                    .await;
            }
            Verdict::Retry { reason, .. } => {
                self.bus.metrics().consumed(stream, "exhausted");
                let reason = format!("given up after {} deliveries: {reason}", delivery.deliveries);
                self.bury(delivery, &reason).await;
            }
            Verdict::Reject { reason } => {
                self.bus.metrics().consumed(stream, "reject");
                self.bury(delivery, &reason).await;
            }
        }
    }

    async fn bury(&self, delivery: &Delivery, reason: &str) {
        let (stream, sequence) = (self.spec.stream.name, delivery.sequence);
        match dead_letter::store(&self.bus, stream, delivery, reason).await {
            Ok(()) => {
                self.bus.metrics().dead_letter(stream);
                tracing::warn!(
                    stream,
                    subject = delivery.subject,
                    sequence,
                    reason,
                    "message became a dead letter"
                );
                self.acknowledge(delivery, AckKind::Ack).await;
            }
            Err(error) => {
                tracing::warn!(stream, sequence, reason, %error, "failed to store a dead letter; trying again");
                self.acknowledge(delivery, AckKind::Nak(Some(DEAD_LETTER_RETRY)))
                    .await;
            }
        }
    }

    /// Puts a message back that was not begun with.
    pub(crate) async fn release(&self, delivery: &Delivery) {
        self.acknowledge(delivery, AckKind::Nak(None)).await;
    }

    /// How often a message under way must be told to be so: twice within the time that a silent one has.
    pub(crate) fn sign_of_life(&self) -> Duration {
        (self.spec.ack_wait / 2).max(Duration::from_millis(1))
    }

    /// Tells the server that a message is still under way.
    pub(crate) async fn still_working(&self, delivery: &Delivery) {
        self.acknowledge(delivery, AckKind::Progress).await;
    }

    /// Tells the server so until it is dropped.
    pub(crate) async fn keep(&self, delivery: &Delivery) -> Infallible {
        loop {
            tokio::time::sleep(self.sign_of_life()).await;
            self.still_working(delivery).await;
        }
    }

    async fn acknowledge(&self, delivery: &Delivery, kind: AckKind) {
        let Some(reply) = delivery.reply.clone() else {
            return;
        };
        let kind_name = format!("{kind:?}");
        let sending = self.bus.client().publish(reply, kind.into());
        // Without a connection the client takes only so much; what is lost here is redelivered, which every handler
        // must stand anyway.
        if !matches!(
            tokio::time::timeout(self.bus.api_timeout(), sending).await,
            Ok(Ok(()))
        ) {
            tracing::debug!(
                stream = self.spec.stream.name,
                sequence = delivery.sequence,
                kind = kind_name,
                "failed to acknowledge; the message will be delivered again"
            );
        }
    }
}
