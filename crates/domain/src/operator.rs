//! An operator's word on a server, which for a while stands for what would be seen of it.

use jiff::Timestamp;

use crate::reason::{Reason, ReasonCode};
use crate::server::Server;
use crate::status::{Health, McpState};

/// What an operator said of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The state to show.
    pub state: McpState,
    /// The health to show.
    pub health: Health,
    /// Why, for people.
    pub message: String,
    /// Until when it stands, at most; what is observed meanwhile is kept and shows again then.
    pub until: Timestamp,
}

impl Server {
    /// The operator's word, where it stands at `now`.
    pub fn override_in_force(&self, now: Timestamp) -> Option<&Override> {
        self.overridden.as_ref().filter(|word| now < word.until)
    }
}

impl Override {
    pub(crate) fn reason(&self) -> Reason {
        let Self { until, message, .. } = self;
        Reason::new(
            ReasonCode::OperatorOverride,
            format!("set by an operator until {until:.0}: {message}"),
        )
    }
}
