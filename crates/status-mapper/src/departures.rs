//! What is gone from where it was announced: deleted by the application, or moved to another account.
//!
//! Noticed by the registry mirror within seconds, and by the rebuild from the status stream itself when nobody was
//! there to notice.

use bus::{Bus, Outgoing};
use domain::{AccountId, AgentStatus, ServerId, ToolboxId};
use uuid::Uuid;
use wire::{Message as _, StatusEvent, ToolboxEvent, streams, subjects};

use crate::announcer::Announcer;
use crate::clock;
use crate::decisions::Decisions;
use crate::reissue;

/// Says goodbye.
#[derive(Clone)]
pub(crate) struct Departures {
    announcer: Announcer,
    bus: Bus,
}

/// What there was to say of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// Its end was announced.
    Said,
    /// It is where it was announced.
    Stays,
    /// No row that could be observed, and nothing that the history has not told already.
    Untold,
}

impl Departures {
    pub(crate) fn new(announcer: Announcer, bus: Bus) -> Self {
        Self { announcer, bus }
    }

    /// Announces the end of a server under `account`, if its row is gone or belongs to another by now.
    ///
    /// `known_version` is the last version that anybody remembers; 0 if none does.
    ///
    /// # Errors
    /// When the database or the bus could not be asked. Nothing was announced then.
    pub(crate) async fn server(
        &self,
        server: ServerId,
        toolbox: ToolboxId,
        account: AccountId,
        known_version: u64,
    ) -> anyhow::Result<Farewell> {
        match store::snapshot::server(self.announcer.database.pool(), server).await? {
            Some(row) if row.account == account => Ok(Farewell::Stays),
            Some(row) => {
                self.server_moved(server, row.toolbox, account, known_version)
                    .await
            }
            None => self.server_gone(server, toolbox, account, known_version).await,
        }
    }

    async fn server_gone(
        &self,
        server: ServerId,
        toolbox: ToolboxId,
        account: AccountId,
        known_version: u64,
    ) -> anyhow::Result<Farewell> {
        let mut transaction = self.announcer.database.begin().await?;
        let now = clock::now();
        let change =
            store::registry::vanished(&mut transaction, server, toolbox, account, known_version, now).await?;
        let Some(change) = change else {
            return Ok(Farewell::Untold);
        };
        let mut decisions = Decisions::default();
        decisions.announce(&change)?;
        self.announcer.execute(transaction, &decisions).await?;
        tracing::info!(%server, %toolbox, %account, "a server was deleted");
        Ok(Farewell::Said)
    }

    async fn server_moved(
        &self,
        server: ServerId,
        toolbox: ToolboxId,
        from: AccountId,
        known_version: u64,
    ) -> anyhow::Result<Farewell> {
        // What the stream still says there decides, so that a move is told once however often it is noticed.
        let told = match self
            .bus
            .last(&streams::MCP_STATUS, &subjects::server_status(from, server))
            .await?
        {
            Some(last) => match StatusEvent::decode(&last.body) {
                Ok(StatusEvent::Deleted(_)) => return Ok(Farewell::Untold),
                Ok(StatusEvent::Status(status)) => status.version,
                Err(_) => 0,
            },
            None => return Ok(Farewell::Untold),
        };
        let mut transaction = self.announcer.database.begin().await?;
        let locked = store::batch::lock(&mut transaction, &[toolbox]).await?;
        let row = locked
            .into_iter()
            .flat_map(|(_, servers)| servers)
            .find(|row| row.id == server);
        let Some(row) = row.filter(|row| row.account != from) else {
            return Ok(Farewell::Stays);
        };
        let to = row.account;
        let (row, changes) = reissue::moved(row, from, told.max(known_version), clock::now());
        let mut decisions = Decisions::default();
        decisions.take_server(row, &changes)?;
        self.announcer.execute(transaction, &decisions).await?;
        tracing::info!(%server, %toolbox, %from, %to, "a server moved to another account");
        Ok(Farewell::Said)
    }

    /// Tells a toolbox anew under the account it belongs to now, and ends what was told under `from`.
    ///
    /// # Errors
    /// When the database or the bus could not be asked.
    pub(crate) async fn toolbox_moved(&self, toolbox: ToolboxId, from: AccountId) -> anyhow::Result<()> {
        let Some(told) = self.retire_toolbox(toolbox, from).await? else {
            return Ok(());
        };
        let mut transaction = self.announcer.database.begin().await?;
        let locked = store::batch::lock(&mut transaction, &[toolbox]).await?;
        let Some(row) = locked
            .into_iter()
            .map(|(row, _)| row)
            .find(|row| row.account != from)
        else {
            return Ok(());
        };
        let to = row.account;
        let (row, change) = reissue::renumbered_toolbox(row, told, clock::now());
        let mut decisions = Decisions::default();
        decisions.take_toolbox(row, &change)?;
        self.announcer.execute(transaction, &decisions).await?;
        tracing::info!(%toolbox, %from, %to, "a toolbox moved to another account");
        Ok(())
    }

    /// Ends what is told of a toolbox under an account, and returns the version of that end; `None` where nothing is
    /// told there any more.
    ///
    /// Version 1 of the toolbox's event knows no deletion, so the end is its last event with the status `unseen`, which
    /// nothing else ever announces; it replaces the others and goes by itself like a tombstone. The rows and the history
    /// have no part in it.
    ///
    /// # Errors
    /// When the bus could not be asked or did not take it.
    pub(crate) async fn retire_toolbox(
        &self,
        toolbox: ToolboxId,
        account: AccountId,
    ) -> anyhow::Result<Option<u64>> {
        let subject = subjects::toolbox_status(account, toolbox);
        let Some(last) = self.bus.last(&streams::MCP_STATUS, &subject).await? else {
            return Ok(None);
        };
        let now = clock::now();
        let end = match ToolboxEvent::decode(&last.body) {
            Ok(told) if is_retired(&told) => return Ok(None),
            Ok(told) => ToolboxEvent {
                version: told.version + 1,
                status: AgentStatus::Unseen.to_string(),
                problem: None,
                changed_at: now,
                ..told
            },
            // Not ours; it must not stand there as the last word.
            Err(_) => ToolboxEvent {
                toolbox_id: toolbox.0,
                account_id: account.0,
                name: String::new(),
                version: 1,
                status: AgentStatus::Unseen.to_string(),
                problem: None,
                agent_version: None,
                last_heartbeat: None,
                changed_at: now,
            },
        };
        let version = end.version;
        let outgoing = Outgoing {
            // The same whoever else notices.
            id: Uuid::new_v5(&toolbox.0, format!("{subject} {}", last.sequence).as_bytes()).to_string(),
            subject,
            type_name: ToolboxEvent::TYPE,
            body: serde_json::to_vec(&end)?.into(),
            traceparent: None,
            ttl: Some(streams::TOMBSTONE_TTL),
            rollup: true,
        };
        for result in self.bus.publish_all(vec![outgoing]).await {
            result?;
        }
        tracing::info!(%toolbox, %account, "a toolbox is no longer there");
        Ok(Some(version))
    }
}

/// Whether an event is the end of a toolbox: nothing else announces this status.
pub(crate) fn is_retired(event: &ToolboxEvent) -> bool {
    event.status == AgentStatus::Unseen.as_str()
}
