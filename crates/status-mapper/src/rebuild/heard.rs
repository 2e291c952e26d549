//! What the status stream says of each subject.

use std::collections::HashMap;
use std::time::Duration;

use bus::{Bus, Delivery, From};
use domain::{AccountId, ToolboxId};
use futures_util::StreamExt as _;
use tokio_util::sync::CancellationToken;
use wire::{StatusEvent, ToolboxEvent, streams, subjects};

use crate::departures::is_retired;

/// The last word on a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Its version; 0 where it cannot be read, so that anything is newer.
    pub(crate) version: u64,
    /// Whether it says that its server or toolbox is gone.
    pub(crate) gone: bool,
    /// The account and toolbox it speaks of, where it can be read.
    pub(crate) of: Option<(AccountId, ToolboxId)>,
    /// Its place in the stream.
    pub(crate) sequence: u64,
}

impl Heard {
    /// Reads an event of either kind.
    pub(crate) fn read(delivery: &Delivery) -> Self {
        Self::of(&delivery.subject, &delivery.body, delivery.sequence)
    }

    fn of(subject: &str, body: &[u8], sequence: u64) -> Self {
        let unreadable = Self {
            version: 0,
            gone: false,
            of: None,
            sequence,
        };
        if subjects::server_of(subject).is_some() {
            match StatusEvent::decode(body) {
                Ok(StatusEvent::Status(status)) => Self {
                    version: status.version,
                    of: Some((AccountId(status.account_id), ToolboxId(status.toolbox_id))),
                    ..unreadable
                },
                Ok(StatusEvent::Deleted(tombstone)) => Self {
                    version: tombstone.version,
                    gone: true,
                    of: Some((AccountId(tombstone.account_id), ToolboxId(tombstone.toolbox_id))),
                    ..unreadable
                },
                Err(_) => unreadable,
            }
        } else {
            match ToolboxEvent::decode(body) {
                Ok(event) => Self {
                    version: event.version,
                    gone: is_retired(&event),
                    of: Some((AccountId(event.account_id), ToolboxId(event.toolbox_id))),
                    ..unreadable
                },
                Err(_) => unreadable,
            }
        }
    }

    /// Whether subscribers would take `version` of something that is there for what they know already.
    pub(crate) fn says(self, version: u64) -> bool {
        !self.gone && self.version == version
    }
}

/// A reader to whom nothing comes for this long has read everything. (What was to come last may have been replaced
/// while it was on its way, and then nothing says that it is the end.)
const QUIET: Duration = Duration::from_secs(2);

/// Reads the last word on every subject. What is published meanwhile may be in it or not, and so may anything be
/// missing from it: whoever acts on it asks again.
pub(crate) async fn read_all(bus: &Bus, shutdown: &CancellationToken) -> HashMap<String, Heard> {
    let mut heard = HashMap::new();
    let reading = shutdown.child_token();
    let mut events = bus.follow(
        &streams::MCP_STATUS,
        Vec::new(),
        From::LastPerSubject,
        reading.clone(),
    );
    while let Ok(Some(delivery)) = tokio::time::timeout(QUIET, events.next()).await {
        heard.insert(delivery.subject.clone(), Heard::read(&delivery));
        if delivery.pending == 0 {
            break;
        }
    }
    reading.cancel();
    heard
}

#[cfg(test)]
mod tests {
    use domain::ServerId;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn every_kind_of_last_word() {
        let (account, server) = (AccountId(Uuid::from_u128(1)), ServerId(Uuid::from_u128(2)));
        let toolbox = ToolboxId(Uuid::from_u128(3));
        let about_server = subjects::server_status(account, server);
        let about_toolbox = subjects::toolbox_status(account, toolbox);
        let at = "2026-11-22T10:00:00Z";
        let ids = format!(r#""serverId":"{server}","toolboxId":"{toolbox}","accountId":"{account}""#);
        let status = format!(
            r#"{{"kind":"status",{ids},"name":"mcp","version":4,"state":"running","health":"healthy","statusOnToolbox":"running","changedAt":"{at}"}}"#
        );
        let tombstone = format!(r#"{{"kind":"deleted",{ids},"version":5,"changedAt":"{at}"}}"#);
        let toolbox_event = |status: &str| {
            format!(
                r#"{{"toolboxId":"{toolbox}","accountId":"{account}","name":"","version":6,"status":"{status}","changedAt":"{at}"}}"#
            )
        };
        for (subject, body, version, gone) in [
            (&about_server, status, 4, false),
            (&about_server, tombstone, 5, true),
            (&about_server, "null".to_owned(), 0, false),
            (&about_toolbox, toolbox_event("active"), 6, false),
            (&about_toolbox, toolbox_event("unseen"), 6, true),
            (&about_toolbox, "{}".to_owned(), 0, false),
        ] {
            let heard = Heard::of(subject, body.as_bytes(), 9);
            assert_eq!(
                (heard.version, heard.gone, heard.sequence),
                (version, gone, 9),
                "{body}"
            );
            assert_eq!(heard.of, (version > 0).then_some((account, toolbox)), "{body}");
            assert_eq!(heard.says(version), !gone);
            assert!(!heard.says(version + 1));
        }
    }
}
