//! Why a script's order was not carried out.

use crate::action::ContainerAction;
use crate::fields::BadField;

/// An order that cannot be carried out. The texts name what was asked for and never hold a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SimError {
    /// No toolbox has this id or name.
    #[error("there is no toolbox `{0}`")]
    UnknownToolbox(String),
    /// The toolbox has no container of this name, id or instance.
    #[error("toolbox `{toolbox}` has no container `{container}`")]
    UnknownContainer {
        /// The toolbox's name.
        toolbox: String,
        /// What was asked for.
        container: String,
    },
    /// There is no action of this name.
    #[error("there is no action `{0}`; there are {names}", names = ContainerAction::NAMES.join(", "))]
    UnknownAction(String),
    /// The state of things forbids it, as Docker would.
    #[error("{0}")]
    Refused(String),
    /// The request cannot be understood.
    #[error(transparent)]
    BadField(#[from] BadField),
    /// A heartbeat was ordered of a fleet that has nowhere to send it.
    #[error("no heartbeat URL is configured")]
    NoHeartbeatUrl,
    /// The heartbeat's receiver gave no answer.
    #[error("the heartbeat got no answer: {0}")]
    HeartbeatUnanswered(String),
}
