//! What is seen on the NATS server.

use std::collections::HashSet;
use std::time::Duration;

use bus::{Backlog, Bus, BusError, BusOptions, Inspection};
use domain::ToolboxId;
use jiff::Timestamp;
use wire::streams::{self, ConsumerSpec};
use wire::{ToolboxEntry, subjects};

use crate::doctor::ahead;
use crate::place::NatsAccess;

/// For everything that is asked of it together.
const WITHIN: Duration = Duration::from_secs(20);
/// Kinds of dead letters listed.
const LETTERS: usize = 20;

/// How it went.
#[derive(Debug)]
pub(crate) enum Nats {
    /// It is not known where it is.
    Unknown,
    /// It does not answer, or refuses us.
    Away(String),
    /// It is too old; what it says.
    TooOld(String),
    /// It answers.
    Seen(Box<Seen>),
}

/// What it holds.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) inspection: Inspection,
    /// How far its clock is ahead, in milliseconds.
    pub(crate) ahead: Option<i64>,
    /// How far each shared consumer that is there is behind.
    pub(crate) backlogs: Vec<(&'static ConsumerSpec, Backlog)>,
    /// Dead letters by the stream they came from.
    pub(crate) letters: Vec<(String, u64)>,
    /// The toolboxes that have a schedule, where there is a timetable.
    pub(crate) scheduled: Option<HashSet<ToolboxId>>,
    /// What pollers know, where there is a bucket.
    pub(crate) entries: Option<Vec<ToolboxEntry>>,
}

/// Looks.
pub(crate) async fn facts(access: Option<&NatsAccess>, now: impl Fn() -> Timestamp) -> Nats {
    let Some(access) = access else {
        return Nats::Unknown;
    };
    let options = BusOptions {
        token: access.token.clone(),
        credentials: access.credentials.clone(),
        ..BusOptions::new(access.url.clone(), "statusctl")
    };
    let looking = async {
        let bus = Bus::connect_once(options).await?;
        look(&bus, now).await
    };
    match tokio::time::timeout(WITHIN, looking).await {
        Ok(Ok(seen)) => Nats::Seen(Box::new(seen)),
        Ok(Err(error @ BusError::ServerTooOld { .. })) => Nats::TooOld(error.to_string()),
        Ok(Err(error)) => Nats::Away(error.to_string()),
        Err(_) => Nats::Away(format!("no answer within {WITHIN:?}")),
    }
}

async fn look(bus: &Bus, now: impl Fn() -> Timestamp) -> Result<Seen, BusError> {
    let inspection = bus.inspect().await?;
    let mut backlogs = Vec::new();
    for spec in [
        &streams::POLLER,
        &streams::MAPPER,
        &streams::COMMANDER,
        &streams::OUTCOMES,
    ] {
        if let Some(backlog) = there(bus.backlog(spec).await)? {
            backlogs.push((spec, backlog));
        }
    }
    // One answer alone, so that the time it took is known.
    let before = now();
    let clock = bus.server_time().await?;
    let ahead = clock.map(|theirs| ahead(before, theirs, now()));
    let letters = there(
        bus.subjects(&streams::DTMA_DLQ, subjects::DEAD_LETTERS, LETTERS)
            .await,
    )?;
    let letters = letters.unwrap_or_default().into_iter().map(|(subject, count)| {
        let stream = subject.rsplit('.').next().unwrap_or_default().to_owned();
        (stream, count)
    });
    let entries = match bus.existing_bucket::<ToolboxEntry>().await? {
        Some(bucket) => Some(bucket.all().await?),
        None => None,
    };
    Ok(Seen {
        inspection,
        ahead,
        backlogs,
        letters: letters.collect(),
        scheduled: there(bus.schedules().existing().await)?,
        entries,
    })
}

/// What is missing was told already.
fn there<T>(found: Result<T, BusError>) -> Result<Option<T>, BusError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(BusError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
