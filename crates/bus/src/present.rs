//! Following with a known present: when the picture is whole, and when it has to be painted anew.
//!
//! ```text
//!  Source: attached ─► message … ─► nothing left ─► message … ─► lost ─► attached …
//!             │           │             │              │          │          │
//!             ▼           ▼             ▼              ▼          ▼          ▼
//!  Step:  Restarted    Message       Present        Message      Lost    Restarted
//! ```

use async_nats::jetstream::consumer::DeliverPolicy;
use futures_util::StreamExt;
use futures_util::stream::{self, Stream};
use tokio_util::sync::CancellationToken;
use wire::streams::StreamSpec;

use crate::follow::{AHEAD, or_all};
use crate::source::{Event, Origin, Source};
use crate::streams::Target;
use crate::{Bus, BusError, Delivery};

/// What a follower learns that must know when its picture is whole.
#[derive(Debug, Clone)]
pub enum Step {
    /// It begins with the last message of every subject, for the first time or after a loss: what was known before and
    /// does not come before [`Step::Present`] is gone.
    Restarted,
    /// A message; before [`Step::Present`] one of the present state, after it a change.
    Message(Delivery),
    /// Everything there was has been told; what follows are changes.
    Present,
    /// The connection, the stream or the server's memory of us is lost: what is known may be stale until the next
    /// [`Step::Present`].
    Lost,
}

impl Bus {
    /// Follows a stream as [`Bus::follow`] does from the last message of every subject, and tells when that is whole:
    /// `Restarted`, messages, `Present`, changes, and after each loss `Lost` and the same again.
    ///
    /// A subject that is written to meanwhile may come twice before `Present`; the later one counts. While it is written
    /// faster than it is read, `Present` waits.
    ///
    /// The stream ends early only when it can never go on (which is logged as an error): treat that as a task that
    /// ended early.
    pub fn follow_present(
        &self,
        stream: &'static StreamSpec,
        filters: Vec<String>,
        shutdown: CancellationToken,
    ) -> impl Stream<Item = Step> + Send + Unpin + use<> {
        let picture = Picture::new(self, Target::Stream(stream), or_all(filters, stream));
        stream::unfold((picture, shutdown), |(mut picture, shutdown)| async {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => None,
                step = picture.step() => match step {
                    Ok(step) => Some((step, (picture, shutdown))),
                    Err(error) => {
                        tracing::error!(%error, "failed to follow a stream; it ends here");
                        None
                    }
                },
            }
        })
        .boxed()
    }
}

/// Steps of one source.
pub(crate) struct Picture {
    source: Source,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not everything there was has come.
    Partial,
    /// It has, and that has not been told.
    Complete,
    Told,
}

impl Picture {
    pub(crate) fn new(bus: &Bus, target: Target, filters: Vec<String>) -> Self {
        let origin = Origin::Ordered {
            target,
            filters,
            policy: DeliverPolicy::LastPerSubject,
        };
        Self {
            source: Source::new(bus, origin, AHEAD),
            state: State::Told,
        }
    }

    /// The next step.
    ///
    /// # Errors
    /// Only what no waiting heals.
    pub(crate) async fn step(&mut self) -> Result<Step, BusError> {
        loop {
            if self.state == State::Complete {
                self.state = State::Told;
                return Ok(Step::Present);
            }
            match self.source.next(AHEAD).await? {
                Event::Attached { pending } => {
                    self.state = State::Partial;
                    self.complete_if(pending == 0);
                    return Ok(Step::Restarted);
                }
                // Complete when nothing is left to come. To count what there was at the beginning would not do: when
                // subjects change meanwhile, as many messages may be about fewer of them.
                Event::Message(delivery) => {
                    self.complete_if(delivery.pending == 0);
                    return Ok(Step::Message(delivery));
                }
                // What was the last to come may have been purged before it came.
                Event::Idle if self.state == State::Partial => {
                    let complete = self.source.is_caught_up().await;
                    self.complete_if(complete);
                }
                Event::Idle => {}
                Event::Lost => {
                    self.state = State::Told;
                    return Ok(Step::Lost);
                }
            }
        }
    }

    fn complete_if(&mut self, complete: bool) {
        if complete && self.state == State::Partial {
            self.state = State::Complete;
        }
    }
}
