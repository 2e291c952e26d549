//! The three mapping tables, each a total function: reported word → DTMA status → `status_on_toolbox` → state.

use std::fmt;

use crate::labels::labels;
use crate::reason::{Reason, ReasonCode};

labels! {
    /// What an agent's word means. Six values; every word of every agent generation falls into one.
    DtmaStatus {
        /// The container runs.
        Running = "running",
        /// The container does not run, and nothing is wrong with that as such.
        Exited = "exited",
        /// On its way up, pulling and creating included.
        Starting = "starting",
        /// On its way down.
        Stopping = "stopping",
        /// The agent or Docker says it failed.
        Error = "error",
        /// The agent does not know, or used a word that nobody knows.
        Unknown = "unknown",
    }
}

labels! {
    /// What people see of a server.
    McpState {
        /// Up.
        Running = "running",
        /// Down.
        Stopped = "stopped",
        /// On its way up.
        Starting = "starting",
        /// On its way down, or being deleted.
        Stopping = "stopping",
        /// Failed.
        Error = "error",
        /// Not known: never observed, not understood, or silent for too long.
        Unknown = "unknown",
    }
}

labels! {
    /// How far the state can be relied on.
    Health {
        /// Running, and heard of lately.
        Healthy = "healthy",
        /// Running, but the knowledge is getting old, or Docker's health check has not passed yet.
        Degraded = "degraded",
        /// Failed, failing its health check, or not heard of for too long.
        Unhealthy = "unhealthy",
        /// Nothing can be said.
        Unknown = "unknown",
    }
}

labels! {
    /// What the people in charge want a server to be.
    Desired {
        /// Up.
        Running = "running",
        /// Down.
        Stopped = "stopped",
    }
}

/// The row's own label (`status_on_toolbox`), shared with the application that owns the table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum StatusOnToolbox {
    /// Asked for, not yet seen on the toolbox.
    PendingInstall,
    /// On its way up.
    Starting,
    /// Up.
    Running,
    /// On its way down.
    Stopping,
    /// Down.
    Stopped,
    /// Failed while starting or running.
    ErrorStarting,
    /// Failed while stopping.
    ErrorStopping,
    /// To be deleted once its container is gone.
    PendingDelete,
    /// A label of the owner application that means nothing to us. Kept until an observation replaces it.
    Foreign(String),
}

impl StatusOnToolbox {
    /// The labels that this system writes.
    pub const OWN: [StatusOnToolbox; 8] = [
        Self::PendingInstall,
        Self::Starting,
        Self::Running,
        Self::Stopping,
        Self::Stopped,
        Self::ErrorStarting,
        Self::ErrorStopping,
        Self::PendingDelete,
    ];

    /// The database label.
    pub fn as_str(&self) -> &str {
        match self {
            Self::PendingInstall => "pending_install",
            Self::Starting => "starting_on_toolbox",
            Self::Running => "running",
            Self::Stopping => "stopping_on_toolbox",
            Self::Stopped => "stopped",
            Self::ErrorStarting => "error_starting",
            Self::ErrorStopping => "error_stopping",
            Self::PendingDelete => "pending_delete",
            Self::Foreign(label) => label,
        }
    }

    /// Reads a database label; total, because the owner application may add its own.
    pub fn from_label(label: &str) -> Self {
        Self::OWN
            .into_iter()
            .find(|own| own.as_str() == label)
            .unwrap_or_else(|| Self::Foreign(label.to_owned()))
    }
}

impl fmt::Display for StatusOnToolbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// First table: an agent's word, in either case, to what it means, with the reason where the word alone gives one.
///
/// Total: a word that nobody knows is [`DtmaStatus::Unknown`] with the word kept as the reason.
pub fn dtma_status(word: &str) -> (DtmaStatus, Option<Reason>) {
    let said = |code, status| {
        (
            status,
            Some(Reason::new(code, format!("the agent reported {word:?}"))),
        )
    };
    match word.trim().to_ascii_lowercase().as_str() {
        "running" => (DtmaStatus::Running, None),
        "exited" | "stopped" => (DtmaStatus::Exited, None),
        "paused" => (
            DtmaStatus::Exited,
            Some(Reason::new(ReasonCode::Paused, "the container is paused")),
        ),
        "not_found" => (
            DtmaStatus::Exited,
            Some(Reason::new(
                ReasonCode::NotFound,
                "the agent knows no container of this name",
            )),
        ),
        "starting" | "created" | "restarting" | "pending" | "pulling" | "installing" | "deploying" => {
            (DtmaStatus::Starting, None)
        }
        "stopping" | "removing" => (DtmaStatus::Stopping, None),
        "error" | "failed" | "dead" | "error_inspecting" => {
            said(ReasonCode::ReportedError, DtmaStatus::Error)
        }
        _ => said(ReasonCode::UnknownStatus, DtmaStatus::Unknown),
    }
}

/// Second table: a DTMA status and what the row says to the row's next label.
///
/// `ever_seen` is whether any report ever spoke of the container before this one.
pub fn label_for(
    status: DtmaStatus,
    row: &StatusOnToolbox,
    desired: Option<Desired>,
    ever_seen: bool,
) -> StatusOnToolbox {
    use StatusOnToolbox as Label;
    if *row == Label::PendingDelete {
        return Label::PendingDelete;
    }
    match status {
        DtmaStatus::Running => Label::Running,
        DtmaStatus::Exited => Label::Stopped,
        DtmaStatus::Starting => Label::Starting,
        DtmaStatus::Stopping => Label::Stopping,
        DtmaStatus::Error => match row {
            Label::Stopping | Label::ErrorStopping => Label::ErrorStopping,
            _ if desired == Some(Desired::Stopped) => Label::ErrorStopping,
            _ => Label::ErrorStarting,
        },
        DtmaStatus::Unknown if ever_seen => row.clone(),
        DtmaStatus::Unknown => Label::PendingInstall,
    }
}

/// Third table: the row's label and the DTMA status last observed (`None`: never seen) to what people see.
pub fn state_for(label: &StatusOnToolbox, observed: Option<DtmaStatus>) -> McpState {
    use StatusOnToolbox as Label;
    match (label, observed) {
        (Label::PendingDelete, _) => McpState::Stopping,
        (_, Some(DtmaStatus::Unknown)) | (Label::PendingInstall | Label::Foreign(_), _) => McpState::Unknown,
        (Label::Running, _) => McpState::Running,
        (Label::Stopped, _) => McpState::Stopped,
        (Label::Starting, _) => McpState::Starting,
        (Label::Stopping, _) => McpState::Stopping,
        (Label::ErrorStarting | Label::ErrorStopping, _) => McpState::Error,
    }
}
