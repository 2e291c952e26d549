//! The routes of status-api, one function each.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;
use wire::api::{
    Accepted, CommandRecord, Connection, ConnectionPage, ConnectionStatus, Fleet, HealthLabel, History,
    NewConnection, NewServer, OverrideRequest, Server, ServerChange, ServerPage, SignIn, StateLabel, Toolbox,
    ToolboxPage,
};

use crate::api::transport::{Ask, Client};
use crate::exit::Failure;

/// Asked for at once; the API gives fewer where that is more than it likes.
pub(super) const PAGE: u32 = 200;
/// Pages followed: 100,000 things, more than any installation has and less than a loop without an end.
const MOST_PAGES: usize = 500;

/// Which servers.
#[derive(Debug, Clone, Default)]
pub struct ServerFilter {
    /// In this state.
    pub state: Option<StateLabel>,
    /// Of this health.
    pub health: Option<HealthLabel>,
    /// On this toolbox.
    pub toolbox: Option<Uuid>,
    /// Of this name.
    pub name: Option<String>,
    /// Watched, or not.
    pub monitored: Option<bool>,
}

/// What can be done with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Start its container.
    Start,
    /// Stop it.
    Stop,
    /// Stop and start it.
    Restart,
    /// Remove it.
    Delete,
    /// Observe it now.
    Refresh,
    /// Watch it.
    Monitor,
    /// No longer watch it.
    Unmonitor,
}

impl Verb {
    /// The last part of its route.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Delete => "delete",
            Self::Refresh => "refresh",
            Self::Monitor => "monitor",
            Self::Unmonitor => "unmonitor",
        }
    }
}

/// Things of all pages, and whether any of them is only the last that was known.
#[derive(Debug, Clone)]
pub struct All<T> {
    /// The things.
    pub items: Vec<T>,
    /// The database or the bus is away.
    pub stale: bool,
}

impl Client {
    /// All servers that the filter lets through.
    pub async fn servers(&self, filter: &ServerFilter) -> Result<All<Server>, Failure> {
        self.all(async |cursor| {
            let ask = Ask::new(Method::GET, &["servers"])
                .query("state", filter.state)
                .query("health", filter.health)
                .query("toolboxId", filter.toolbox)
                .query("name", filter.name.as_ref())
                .query("monitored", filter.monitored)
                .query("limit", Some(PAGE))
                .query("cursor", cursor);
            let page: ServerPage = self.get(ask).await?;
            Ok((page.items, page.next, page.stale))
        })
        .await
    }

    /// One server.
    pub async fn server(&self, id: Uuid) -> Result<Server, Failure> {
        self.get(Ask::new(Method::GET, &["servers", &id.to_string()]))
            .await
    }

    /// The newest `limit` changes of a server.
    pub async fn history(&self, id: Uuid, limit: usize) -> Result<History, Failure> {
        let mut whole = History {
            items: Vec::new(),
            next: None,
            stale: false,
        };
        for _ in 0..MOST_PAGES {
            let left = limit - whole.items.len();
            let ask = Ask::new(Method::GET, &["servers", &id.to_string(), "history"])
                .query("limit", Some(left.min(PAGE as usize)))
                .query("cursor", whole.next.take());
            let page: History = self.get(ask).await?;
            whole.stale |= page.stale;
            whole.items.extend(page.items);
            whole.items.truncate(limit);
            whole.next = page.next;
            if whole.next.is_none() || whole.items.len() >= limit {
                break;
            }
        }
        Ok(whole)
    }

    /// Asks for something to be done with a server. `key` makes it harmless to ask twice.
    pub async fn act(
        &self,
        id: Uuid,
        verb: Verb,
        monitor: bool,
        wait: Duration,
        key: Uuid,
    ) -> Result<Accepted, Failure> {
        let ask = Ask::new(Method::POST, &["servers", &id.to_string(), verb.as_str()])
            .query("monitor", monitor.then_some(true))
            .wait(wait)
            .key(key);
        self.get(ask).await
    }

    /// Has a toolbox observed now.
    pub async fn refresh_toolbox(&self, id: Uuid, wait: Duration, key: Uuid) -> Result<Accepted, Failure> {
        let ask = Ask::new(Method::POST, &["toolboxes", &id.to_string(), "refresh"])
            .wait(wait)
            .key(key);
        self.get(ask).await
    }

    /// Has everything observed now.
    pub async fn refresh_all(&self, key: Uuid) -> Result<Accepted, Failure> {
        self.get(Ask::new(Method::POST, &["refresh"]).key(key)).await
    }

    /// Says what a server's status is, for a while.
    pub async fn put_override(
        &self,
        id: Uuid,
        word: &OverrideRequest,
        key: Uuid,
    ) -> Result<Accepted, Failure> {
        let ask = Ask::new(Method::PUT, &["servers", &id.to_string(), "override"]);
        self.get(ask.body(json!(word)).key(key)).await
    }

    /// Shows again what is observed.
    pub async fn clear_override(&self, id: Uuid, key: Uuid) -> Result<Accepted, Failure> {
        let ask = Ask::new(Method::DELETE, &["servers", &id.to_string(), "override"]);
        self.get(ask.key(key)).await
    }

    /// What is kept of a command, once it is done or `wait` is over.
    pub async fn command(&self, id: Uuid, wait: Duration) -> Result<CommandRecord, Failure> {
        let ask = Ask::new(Method::GET, &["commands", &id.to_string()]).wait(wait);
        self.get(ask).await
    }

    /// All of it in numbers.
    pub async fn fleet(&self) -> Result<Fleet, Failure> {
        self.get(Ask::new(Method::GET, &["fleet"])).await
    }

    /// Registers a server.
    pub async fn add_server(&self, server: &NewServer, key: Uuid) -> Result<Server, Failure> {
        let ask = Ask::new(Method::POST, &["servers"]);
        self.get(ask.body(json!(server)).key(key)).await
    }

    /// Changes a server's registration.
    pub async fn change_server(&self, id: Uuid, change: &ServerChange, key: Uuid) -> Result<Server, Failure> {
        let mut body = json!(change);
        leave_out_nulls(&mut body);
        let ask = Ask::new(Method::PATCH, &["servers", &id.to_string()]);
        self.get(ask.body(body).key(key)).await
    }

    /// Takes a server out of the registry; its container stays.
    pub async fn remove_server(&self, id: Uuid, key: Uuid) -> Result<(), Failure> {
        self.done(Ask::new(Method::DELETE, &["servers", &id.to_string()]).key(key))
            .await
    }

    /// All toolboxes of the caller.
    pub async fn toolboxes(&self) -> Result<All<Toolbox>, Failure> {
        self.all(async |cursor| {
            let ask = Ask::new(Method::GET, &["toolboxes"])
                .query("limit", Some(PAGE))
                .query("cursor", cursor);
            let page: ToolboxPage = self.get(ask).await?;
            Ok((page.items, page.next, page.stale))
        })
        .await
    }

    /// One toolbox with its servers.
    pub async fn toolbox(&self, id: Uuid) -> Result<Toolbox, Failure> {
        self.get(Ask::new(Method::GET, &["toolboxes", &id.to_string()]))
            .await
    }

    /// Registers a toolbox; the body is a [`wire::api::NewToolbox`].
    pub async fn add_toolbox(&self, toolbox: Value, key: Uuid) -> Result<Toolbox, Failure> {
        let ask = Ask::new(Method::POST, &["toolboxes"]);
        self.get(ask.body(toolbox).key(key)).await
    }

    /// Changes a toolbox's registration; the body is a [`wire::api::ToolboxChange`].
    pub async fn change_toolbox(&self, id: Uuid, change: Value, key: Uuid) -> Result<Toolbox, Failure> {
        let ask = Ask::new(Method::PATCH, &["toolboxes", &id.to_string()]);
        self.get(ask.body(change).key(key)).await
    }

    /// Takes a toolbox and its servers out of the registry.
    pub async fn remove_toolbox(&self, id: Uuid, key: Uuid) -> Result<(), Failure> {
        self.done(Ask::new(Method::DELETE, &["toolboxes", &id.to_string()]).key(key))
            .await
    }

    /// All connections of the caller.
    pub async fn connections(&self) -> Result<All<Connection>, Failure> {
        self.all(async |cursor| {
            let ask = Ask::new(Method::GET, &["connections"])
                .query("limit", Some(PAGE))
                .query("cursor", cursor);
            let page: ConnectionPage = self.get(ask).await?;
            Ok((page.items, page.next, false))
        })
        .await
    }

    /// Registers a connection.
    pub async fn add_connection(&self, connection: &NewConnection, key: Uuid) -> Result<Connection, Failure> {
        let ask = Ask::new(Method::POST, &["connections"]);
        self.get(ask.body(json!(connection)).key(key)).await
    }

    /// Ends a connection.
    pub async fn remove_connection(&self, id: Uuid, key: Uuid) -> Result<(), Failure> {
        self.done(Ask::new(Method::DELETE, &["connections", &id.to_string()]).key(key))
            .await
    }

    /// Whether an agent can use a server.
    pub async fn connection_status(&self, id: Uuid) -> Result<ConnectionStatus, Failure> {
        self.get(Ask::new(Method::GET, &["connections", &id.to_string(), "status"]))
            .await
    }

    /// A code that gets whoever brings it, once, the token that this client asks with.
    pub async fn create_sign_in(&self) -> Result<SignIn, Failure> {
        self.get(Ask::new(Method::POST, &["sign-ins"])).await
    }

    pub(super) async fn all<T>(
        &self,
        page: impl AsyncFn(Option<String>) -> Result<(Vec<T>, Option<String>, bool), Failure>,
    ) -> Result<All<T>, Failure> {
        let mut all = All {
            items: Vec::new(),
            stale: false,
        };
        let mut cursor = None;
        for _ in 0..MOST_PAGES {
            let (items, next, stale) = page(cursor).await?;
            all.items.extend(items);
            all.stale |= stale;
            cursor = next;
            if cursor.is_none() {
                return Ok(all);
            }
        }
        Err(Failure::new(
            crate::exit::Exit::Failed,
            format!("{} has more than {MOST_PAGES} pages", self.place()),
        ))
    }
}

/// What is absent stays as it is; `null` is nothing that a change may say.
fn leave_out_nulls(body: &mut Value) {
    if let Value::Object(fields) = body {
        fields.retain(|_, value| !value.is_null());
    }
}
