//! Puts single subjects of the status stream right.
//!
//! The rows are locked meanwhile, so that nothing newer can be published between the decision and what comes of it.

use std::collections::HashSet;

use bus::{Bus, Outgoing, StreamState};
use domain::{Server, Toolbox, ToolboxId};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use store::PgExecutor;
use uuid::Uuid;
use wire::{Message as _, StatusEvent, ToolboxEvent, streams, subjects};

use crate::announcer::Announcer;
use crate::clock;
use crate::decisions::Decisions;
use crate::rebuild::heard::Heard;
use crate::reissue;

/// Questions under way to the bus at once.
const ASKING: usize = 64;
/// Most unpublished changes beside which a repair makes sense: with more of them the relay has to go first.
const MOST_UNPUBLISHED: u32 = 10_000;

/// How much was put right.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Repaired {
    /// Events published as they stand.
    pub(crate) published: u64,
    /// Changes made because the rows were behind the stream.
    pub(crate) renumbered: u64,
}

/// Compares everything of some toolboxes with the stream, and puts right what is not.
///
/// # Errors
/// When database or bus could not be asked, or the bus did not take an event.
pub(crate) async fn repair(
    announcer: &Announcer,
    bus: &Bus,
    state: &StreamState,
    toolboxes: &[ToolboxId],
) -> anyhow::Result<Repaired> {
    let mut transaction = announcer.database.begin().await?;
    let locked = store::batch::lock(&mut transaction, toolboxes).await?;
    let waiting = unpublished(&mut *transaction).await?;

    let boxes = locked
        .iter()
        .map(|(row, _)| row)
        .filter(|row| !waiting.contains(&row.id.0));
    let boxes: Vec<&Toolbox> = boxes.collect();
    let servers = locked
        .iter()
        .flat_map(|(_, rows)| rows)
        .filter(|row| !waiting.contains(&row.id.0));
    let servers: Vec<&Server> = servers.collect();
    let subjects = boxes
        .iter()
        .map(|row| subjects::toolbox_status(row.account, row.id))
        .chain(
            servers
                .iter()
                .map(|row| subjects::server_status(row.account, row.id)),
        );
    let mut heard = last_words(bus, subjects.collect()).await?.into_iter();

    let mut events = Vec::new();
    let mut decisions = Decisions::default();
    let now = clock::now();
    for (row, heard) in boxes.into_iter().zip(heard.by_ref()) {
        match compare(row.version, heard) {
            Comparison::Right => {}
            Comparison::StreamBehind => events.extend(toolbox_event(row, &damage(heard, state))),
            Comparison::RowBehind(told) => {
                let (row, change) = reissue::renumbered_toolbox(row.clone(), told, now);
                decisions.take_toolbox(row, &change)?;
            }
        }
    }
    for (row, heard) in servers.into_iter().zip(heard) {
        match compare(row.version, heard) {
            Comparison::Right => {}
            Comparison::StreamBehind => events.extend(server_event(row, &damage(heard, state))),
            Comparison::RowBehind(told) => {
                let (row, change) = reissue::renumbered(row.clone(), told, now);
                decisions.take_server(row, &[change])?;
            }
        }
    }
    let repaired = Repaired {
        published: events.len() as u64,
        renumbered: decisions.tally.len() as u64,
    };
    for result in bus.publish_all(events).await {
        result?;
    }
    if !decisions.is_empty() {
        announcer.execute(transaction, &decisions).await?;
    }
    Ok(repaired)
}

/// What has changes that are committed and not published yet. Those are their publisher's, or the relay's, who tells
/// them with all their details.
///
/// # Errors
/// When there are too many: then the relay goes first.
pub(crate) async fn unpublished(executor: impl PgExecutor<'_>) -> anyhow::Result<HashSet<Uuid>> {
    let waiting = store::outbox::unpublished(executor, Timestamp::MAX, MOST_UNPUBLISHED).await?;
    anyhow::ensure!(
        waiting.len() < MOST_UNPUBLISHED as usize,
        "too much is unpublished; the relay goes first"
    );
    Ok(waiting.into_iter().map(|row| row.subject).collect())
}

/// The last words on many subjects, in their order.
async fn last_words(bus: &Bus, subjects: Vec<String>) -> anyhow::Result<Vec<Option<Heard>>> {
    let asking = subjects.into_iter().map(|subject| {
        let bus = bus.clone();
        async move { last_word(&bus, &subject).await }
    });
    stream::iter(asking).buffered(ASKING).try_collect().await
}

/// The last word on a subject, as it is now.
pub(crate) async fn last_word(bus: &Bus, subject: &str) -> anyhow::Result<Option<Heard>> {
    Ok(bus
        .last(&streams::MCP_STATUS, subject)
        .await?
        .as_ref()
        .map(Heard::read))
}

/// How a row and the stream stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Right,
    /// The row is to be told as it stands, under the version it has.
    StreamBehind,
    /// Subscribers were told this version, and would take nothing up to it any more: the row must go on from there.
    RowBehind(u64),
}

/// A row that is there, at `version` (0: nothing announced yet), beside the last word on its subject.
fn compare(version: u64, heard: Option<Heard>) -> Comparison {
    match heard {
        None if version == 0 => Comparison::Right,
        None => Comparison::StreamBehind,
        Some(heard) if heard.says(version) => Comparison::Right,
        Some(heard) if heard.version < version => Comparison::StreamBehind,
        Some(heard) => Comparison::RowBehind(heard.version),
    }
}

/// The event of a server as it stands; `None` where nothing was announced of it.
fn server_event(row: &Server, damage: &str) -> Option<Outgoing> {
    let event = StatusEvent::standing(row)?;
    let subject = subjects::server_status(row.account, row.id);
    let body = serde_json::to_vec(&event).ok()?;
    Some(standing(
        row.id.0,
        row.version,
        damage,
        subject,
        StatusEvent::TYPE,
        body,
    ))
}

/// The event of a toolbox as it stands.
fn toolbox_event(row: &Toolbox, damage: &str) -> Option<Outgoing> {
    let event = ToolboxEvent::of(row)?;
    let subject = subjects::toolbox_status(row.account, row.id);
    let body = serde_json::to_vec(&event).ok()?;
    Some(standing(
        row.id.0,
        row.version,
        damage,
        subject,
        ToolboxEvent::TYPE,
        body,
    ))
}

/// What is wrong, so that it can be told from what was wrong with the same subject before: an event that repairs it must
/// not be taken for a duplicate of one that repaired something else and was lost since.
fn damage(heard: Option<Heard>, state: &StreamState) -> String {
    match heard {
        Some(heard) => format!("after {}", heard.sequence),
        // A purge moves the first sequence, a recreation the creation. An empty stream's first is 0 or 1.
        None => format!(
            "missing from {} of {}",
            state.first_sequence.max(1),
            state.created_at
        ),
    }
}

/// The id is the same for whoever else repairs the same damage.
fn standing(
    id: Uuid,
    version: u64,
    damage: &str,
    subject: String,
    type_name: &'static str,
    body: Vec<u8>,
) -> Outgoing {
    Outgoing {
        id: Uuid::new_v5(&id, format!("{subject} {version} {damage}").as_bytes()).to_string(),
        subject,
        type_name,
        body: body.into(),
        traceparent: None,
        ttl: None,
        rollup: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_behind_the_row_or_the_row_behind_the_stream() {
        let heard = |version, gone| {
            Some(Heard {
                version,
                gone,
                of: None,
                sequence: 1,
            })
        };
        for (row, heard, expected) in [
            (0, None, Comparison::Right),
            (3, None, Comparison::StreamBehind),
            (3, heard(3, false), Comparison::Right),
            (3, heard(2, false), Comparison::StreamBehind),
            (3, heard(4, false), Comparison::RowBehind(4)),
            // A row that came back under the id of one that was announced as gone.
            (0, heard(4, true), Comparison::RowBehind(4)),
            (4, heard(4, true), Comparison::RowBehind(4)),
            (5, heard(4, true), Comparison::StreamBehind),
            // Something that is no event of ours.
            (3, heard(0, false), Comparison::StreamBehind),
            (0, heard(0, false), Comparison::Right),
        ] {
            assert_eq!(compare(row, heard), expected, "{row} {heard:?}");
        }
    }
}
