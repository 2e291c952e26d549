//! What is asked of a service's log, by request and reply on [`subjects::log`](crate::subjects::log).

use serde::{Deserialize, Serialize};

/// Log something else for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogChange {
    /// A level, or directives such as `info,bus=debug`; none: what the service was started with, at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directives: Option<String>,
    /// For how long, 1 to [`LogChange::LONGEST`].
    pub seconds: u32,
}

impl LogChange {
    /// A day: nobody is to fill a disk for ever by forgetting.
    pub const LONGEST: u32 = 24 * 3600;
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogChanged {
    /// Why it was not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
