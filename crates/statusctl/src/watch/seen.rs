//! A server as the live table shows it, whoever told of it.

use jiff::Timestamp;
use uuid::Uuid;
use wire::ServerStatus;
use wire::api::Server;

/// A server, as far as it is shown.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) id: Uuid,
    pub(crate) toolbox: Uuid,
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) health: String,
    /// While it runs.
    pub(crate) started: Option<Timestamp>,
    pub(crate) changed: Option<Timestamp>,
    /// How old the knowledge is, in seconds; events do not tell, because a sign of life is none.
    pub(crate) age: Option<u64>,
    pub(crate) why: String,
    pub(crate) explained: bool,
}

impl From<&ServerStatus> for Seen {
    fn from(status: &ServerStatus) -> Self {
        let error = status.last_error.as_ref();
        let why = crate::show::server::reasons(
            error.map(|error| (error.code.as_str(), error.message.as_str())),
            status.command.as_ref().map(|command| command.action.as_str()),
            status.override_until.is_some(),
            status.monitored,
        );
        Self {
            id: status.server_id,
            toolbox: status.toolbox_id,
            name: status.name.clone(),
            state: status.state.clone(),
            health: status.health.clone(),
            started: status.last_started.filter(|_| status.state == "running"),
            changed: Some(status.changed_at),
            age: None,
            why,
            explained: error.is_some(),
        }
    }
}

impl From<&Server> for Seen {
    fn from(server: &Server) -> Self {
        Self {
            id: server.server_id,
            toolbox: server.toolbox_id,
            name: server.name.clone(),
            state: server.state.as_str().to_owned(),
            health: server.health.as_str().to_owned(),
            started: server.last_started.filter(|_| server.uptime.is_some()),
            changed: server.changed_at,
            age: server.age,
            why: crate::show::server::why(server),
            explained: server.last_error.is_some(),
        }
    }
}
