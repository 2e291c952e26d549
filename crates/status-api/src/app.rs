//! What every request is served with.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use access::{Verifier, Viewer, may_command, may_see};
use bus::{Bus, Line};
use domain::{AccountId, ServerId, ToolboxId};
use jiff::Timestamp;
use live::Fleet;
use store::reading::ServerReading;
use wire::ServerStatus;
use wire::api::Server;

use crate::base::Base;
use crate::clock;
use crate::config::{CommandOptions, LimitOptions};
use crate::gates::Gates;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::oldest::Oldest;
use crate::refusal::{Refusal, Result};
use crate::rows::{Found, Rows};
use crate::studies::Studies;
use crate::view;

/// The state of the routes. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct App(Arc<Parts>);

/// What it is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) fleet: Fleet,
    pub(crate) line: Line,
    pub(crate) base: Base,
    pub(crate) rows: Rows,
    pub(crate) verifier: Verifier,
    pub(crate) limits: Limits,
    pub(crate) gates: Gates,
    pub(crate) oldest: Oldest,
    pub(crate) studies: Studies,
    pub(crate) commands: CommandOptions,
    pub(crate) bounds: LimitOptions,
    pub(crate) metrics: Metrics,
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl App {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// The bus.
    ///
    /// # Errors
    /// 503 while there is no connection: what nobody can be told of is not begun.
    pub(crate) fn bus(&self) -> Result<Bus> {
        self.line
            .get()
            .filter(Bus::is_connected)
            .ok_or_else(|| Refusal::unavailable("NATS is away; ask again later"))
    }

    /// Whether what is in memory may lack something.
    pub(crate) fn is_behind(&self) -> bool {
        !self.line.get().is_some_and(|bus| self.fleet.is_current(&bus))
    }

    /// Counts an answer that is stale, and says whether it is.
    pub(crate) fn stale(&self, stale: bool) -> bool {
        if stale {
            self.metrics.stale_answer();
        }
        stale
    }

    /// Whether a viewer may see a server of an account.
    pub(crate) fn may_see(&self, viewer: Viewer, owner: AccountId, id: ServerId) -> bool {
        may_see(viewer, owner, id, self.fleet.connections())
    }

    /// A server that the viewer may see.
    ///
    /// What is not his and what does not exist go the same way: the database is asked, and the answer is the same, so
    /// that neither words nor time tell them apart.
    ///
    /// # Errors
    /// 404, and 503 where only the database could tell and it is away.
    pub(crate) async fn see(&self, viewer: Viewer, id: ServerId) -> Result<Server> {
        let event = self.fleet.server(id);
        let sees = |owner| self.may_see(viewer, owner, id);
        let known = event
            .as_ref()
            .is_some_and(|event| sees(AccountId(event.account_id)))
            || self.rows.last(id).is_some_and(|row| sees(row.server.account));
        let found = if known {
            self.rows.find(&self.base, &[id]).await?
        } else {
            Found {
                rows: self.rows.read(&self.base, &[id]).await?,
                stale: false,
            }
        };
        let row = found.rows.get(&id).map(|row| &**row);
        if row.is_none() && !found.stale {
            return Err(Refusal::not_found("server"));
        }
        self.shown(event.as_deref(), row, found.stale)
            .filter(|server| sees(AccountId(server.account_id)))
            .ok_or_else(|| Refusal::not_found("server"))
    }

    /// A server that the viewer may see and command.
    ///
    /// # Errors
    /// As [`App::see`], and 403 where he may only see it.
    pub(crate) async fn command(&self, viewer: Viewer, id: ServerId) -> Result<Server> {
        let server = self.see(viewer, id).await?;
        if may_command(viewer, AccountId(server.account_id)) {
            Ok(server)
        } else {
            Err(Refusal::forbidden(
                "a connection shows a server; commands are its owner's",
            ))
        }
    }

    /// A server as its row shows it, just now, for an answer to whoever changed it; the last known where the database
    /// has gone meanwhile, `None` where the server has.
    pub(crate) async fn shown_now(&self, id: ServerId) -> Option<Server> {
        self.rows.forget_age(id);
        let found = self.rows.find(&self.base, &[id]).await.ok()?;
        let row = found.rows.get(&id).map(|row| &**row);
        if row.is_none() && !found.stale {
            return None;
        }
        self.shown(self.fleet.server(id).as_deref(), row, found.stale)
    }

    /// A server as it is shown.
    pub(crate) fn shown(
        &self,
        event: Option<&ServerStatus>,
        row: Option<&ServerReading>,
        stale: bool,
    ) -> Option<Server> {
        let stale = stale || self.is_behind();
        let server = view::server(event, row, clock::now(), stale)?;
        self.stale(stale);
        Some(server)
    }

    /// By when something asked for at `at` must have had its effect.
    pub(crate) fn deadline(&self, action: domain::Action, at: Timestamp) -> Timestamp {
        let limit: Duration = match action {
            domain::Action::Delete => self.commands.delete_deadline,
            _ => self.commands.command_deadline,
        };
        at.checked_add(limit).unwrap_or(Timestamp::MAX)
    }

    /// Has the mapper look at a toolbox now. What it does not hear it finds within seconds by itself.
    pub(crate) async fn wake(&self, toolbox: ToolboxId, patience: Duration) -> bool {
        let Some(bus) = self.line.get() else { return false };
        let asked = bus
            .request(wire::subjects::wake(toolbox), "".into(), patience)
            .await;
        if let Err(error) = &asked {
            tracing::debug!(%error, %toolbox, "nobody settled a toolbox");
        }
        asked.is_ok()
    }
}
