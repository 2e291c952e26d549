//! Subjects of the status stream that no row stands behind (any more).

use std::collections::{HashMap, HashSet};

use bus::{Bus, Outgoing};
use domain::{AccountId, ServerId, ToolboxId};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wire::{Message as _, StatusEvent, Tombstone, streams, subjects};

use crate::announcer::Announcer;
use crate::clock;
use crate::departures::{Departures, Farewell};
use crate::rebuild::heard::Heard;
use crate::rebuild::repair::{last_word, unpublished};

/// Ends what is told of them.
pub(crate) struct Orphans {
    announcer: Announcer,
    bus: Bus,
    departures: Departures,
}

/// Servers of which nothing is to be said here.
struct Exempt {
    /// The relay has something to say of them.
    unpublished: HashSet<Uuid>,
    /// There is a row, only none that could be observed.
    unusable: HashSet<ServerId>,
}

impl Orphans {
    pub(crate) fn new(announcer: Announcer, bus: Bus) -> Self {
        let departures = Departures::new(announcer.clone(), bus.clone());
        Self {
            announcer,
            bus,
            departures,
        }
    }

    /// Ends what is still told of `orphans`, for which the rows have been searched; returns how many ends there were.
    ///
    /// # Errors
    /// When database or bus could not be asked, or the bus did not take an event.
    pub(crate) async fn end(
        &self,
        orphans: HashMap<String, Heard>,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<u64> {
        let mut exempt = None;
        let mut ended = 0;
        for (subject, heard) in orphans.into_iter().filter(|(_, heard)| !heard.gone) {
            if shutdown.is_cancelled() {
                break;
            }
            let done = match subjects::server_of(&subject) {
                Some((account, server)) => {
                    // What cannot be read may speak of any toolbox.
                    let toolbox = heard.of.map_or(ToolboxId(Uuid::nil()), |(_, toolbox)| toolbox);
                    match self
                        .departures
                        .server(server, toolbox, account, heard.version)
                        .await?
                    {
                        Farewell::Said => true,
                        Farewell::Stays => false,
                        Farewell::Untold => {
                            let exempt = match &exempt {
                                Some(exempt) => exempt,
                                None => exempt.insert(self.exempt().await?),
                            };
                            self.tombstone(&subject, account, server, toolbox, heard, exempt)
                                .await?
                        }
                    }
                }
                None => self.toolbox(&subject, heard).await?,
            };
            ended += u64::from(done);
        }
        Ok(ended)
    }

    async fn toolbox(&self, subject: &str, heard: Heard) -> anyhow::Result<bool> {
        match heard.of {
            Some((account, toolbox)) if subjects::toolbox_status(account, toolbox) == subject => {
                self.departures.toolbox_moved(toolbox, account).await?;
                Ok(true)
            }
            _ => {
                tracing::warn!(
                    sequence = heard.sequence,
                    "the status stream holds a message that is none of ours"
                );
                Ok(false)
            }
        }
    }

    async fn exempt(&self) -> anyhow::Result<Exempt> {
        let pool = self.announcer.database.pool();
        let unpublished = unpublished(pool).await?;
        let unusable = store::registry::read(pool)
            .await?
            .unusable
            .into_iter()
            .filter_map(|row| row.instance)
            .collect();
        Ok(Exempt {
            unpublished,
            unusable,
        })
    }

    /// Publishes a tombstone again that the history has and the stream has lost.
    async fn tombstone(
        &self,
        subject: &str,
        account: AccountId,
        server: ServerId,
        toolbox: ToolboxId,
        heard: Heard,
        exempt: &Exempt,
    ) -> anyhow::Result<bool> {
        if exempt.unpublished.contains(&server.0) || exempt.unusable.contains(&server) {
            return Ok(false);
        }
        // Asked last: whatever was published by those who removed the row shows by now.
        if last_word(&self.bus, subject).await? != Some(heard) {
            return Ok(false);
        }
        let event = StatusEvent::Deleted(Tombstone {
            server_id: server.0,
            toolbox_id: toolbox.0,
            account_id: account.0,
            version: heard.version + 1,
            changed_at: clock::now(),
        });
        let outgoing = Outgoing {
            subject: subject.to_owned(),
            // The same whoever else notices.
            id: Uuid::new_v5(
                &server.0,
                format!("{subject} ends after {}", heard.sequence).as_bytes(),
            )
            .to_string(),
            type_name: StatusEvent::TYPE,
            body: serde_json::to_vec(&event)?.into(),
            traceparent: None,
            ttl: Some(streams::TOMBSTONE_TTL),
            rollup: true,
        };
        for result in self.bus.publish_all(vec![outgoing]).await {
            result?;
        }
        Ok(true)
    }
}
