//! Looking at what is on the server, for whoever wants to know what is wrong: nothing is made and nothing changed.

use jiff::Timestamp;
use wire::Entry;
use wire::streams::{self, StreamSpec};

use crate::streams::{self as ensured, Target};
use crate::{Bucket, Bus, BusError, Difference};

/// What is on the server, set against what must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The server's version.
    pub version: String,
    /// Every stream, bucket and shared consumer, in this order.
    pub things: Vec<Inspected>,
}

/// One stream, bucket or consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// `stream POLLS`, `bucket toolboxes`, `consumer dtma-poller of POLLS`.
    pub of: String,
    /// How it is.
    pub found: Found,
}

/// How something on the server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// As it must be.
    Right,
    /// Not there.
    Missing,
    /// There, and configured otherwise.
    Differs(Vec<Difference>),
}

impl Bus {
    /// Compares every stream, bucket and shared consumer with what the code asks for. Makes none of them.
    ///
    /// How many copies a stream has is up to whoever runs the servers, and not compared.
    ///
    /// # Errors
    /// Those of every request. What is missing or different is an answer and no error.
    pub async fn inspect(&self) -> Result<Inspection, BusError> {
        let targets = streams::ALL.into_iter().map(Target::Stream);
        let targets = targets.chain(streams::BUCKETS.into_iter().map(Target::Bucket));
        let mut things = Vec::new();
        for target in targets {
            let of = match target {
                Target::Stream(spec) => format!("stream {}", spec.name),
                Target::Bucket(spec) => format!("bucket {}", spec.name),
            };
            let looked = ensured::inspect(self, target).await?;
            let found = looked.map_or(Found::Missing, found);
            things.push(Inspected { of, found });
        }
        for spec in streams::CONSUMERS {
            let of = format!("consumer {} of {}", spec.name, spec.stream.name);
            let looked = ensured::inspect_consumer(self, spec).await?;
            let found = looked.map_or(Found::Missing, found);
            things.push(Inspected { of, found });
        }
        Ok(Inspection {
            version: self.client().server_info().version,
            things,
        })
    }

    /// The server's clock when it answered; `None` where there is no stream to ask about.
    ///
    /// # Errors
    /// Those of every request.
    pub async fn server_time(&self) -> Result<Option<Timestamp>, BusError> {
        for spec in streams::ALL {
            match self.api().stream(spec.name).await {
                Ok(info) => return Ok(info.ts),
                Err(BusError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// The bucket of one kind of entry, where it exists; [`Bus::bucket`] would make it.
    ///
    /// # Errors
    /// Those of every request.
    pub async fn existing_bucket<E: Entry>(&self) -> Result<Option<Bucket<E>>, BusError> {
        let name = Target::Bucket(E::BUCKET).name();
        match self.api().stream(&name).await {
            Ok(_) => Ok(Some(Bucket::new(self.clone()))),
            Err(BusError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The subjects of a stream that match `filter`, at most `limit`, with how many messages each has.
    ///
    /// # Errors
    /// [`BusError::NotFound`] when the stream does not exist, and those of every request.
    pub async fn subjects(
        &self,
        stream: &StreamSpec,
        filter: &str,
        limit: usize,
    ) -> Result<Vec<(String, u64)>, BusError> {
        let page = self.api().subjects(stream.name, filter, 0).await?;
        let mut subjects: Vec<(String, u64)> = page.state.subjects.unwrap_or_default().into_iter().collect();
        subjects.sort_unstable();
        subjects.truncate(limit);
        Ok(subjects)
    }
}

fn found(differences: Vec<Difference>) -> Found {
    let counted: Vec<Difference> = differences
        .into_iter()
        .filter(|difference| difference.field != "num_replicas")
        .collect();
    if counted.is_empty() {
        Found::Right
    } else {
        Found::Differs(counted)
    }
}
