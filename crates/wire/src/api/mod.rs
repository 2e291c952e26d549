//! What status-api is asked and answers, over HTTP and over NATS alike, version 1. JSON, field names in camelCase; those of a
//! status (`state`, `health`, `uptime`, `lastStarted`, `lastError`) are the owner application's.
//!
//! Readers ignore fields that they do not know, and requests refuse them: a field that is misspelt must not be a wish that
//! is silently not granted.

mod command;
mod fleet;
mod registry;
mod server;
mod sign_in;
mod ticket;
mod timeline;
mod webhook;
mod whole;

pub use command::{
    Accepted, CommandKind, CommandOutcomeLabel, CommandPage, CommandRecord, OverrideRequest, Problem,
};
pub use fleet::{Counts, Fleet, Lag, OldestKnowledge};
pub use registry::{
    Connection, ConnectionChange, ConnectionLabel, ConnectionPage, ConnectionStatus, NewConnection,
    NewServer, NewToolbox, ServerChange, Toolbox, ToolboxChange, ToolboxLabel, ToolboxPage,
};
pub use server::{HealthLabel, History, HistoryEntry, Override, Server, ServerPage, StateLabel};
pub use sign_in::{Me, RedeemSignIn, RoleLabel, SignIn, SignedIn};
pub use ticket::Ticket;
pub use timeline::{Band, FleetTimeline, ServerTimeline};
pub use webhook::{
    DeadLetter, DeadLetterPage, NewWebhook, Webhook, WebhookChange, WebhookFilters, WebhookLog,
    WebhookOptions, WebhookPage, WebhookRotation, WebhookSent, WebhookWithSecret,
};

/// Labels of a fixed spelling that also exist in the domain, with a way back.
macro_rules! label {
    ($(#[$meta:meta])* $name:ident = $domain:ty { $($(#[$vmeta:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vmeta])* $variant),+ }

        impl From<$domain> for $name {
            fn from(value: $domain) -> Self {
                match value { $(<$domain>::$variant => Self::$variant),+ }
            }
        }

        impl From<$name> for $domain {
            fn from(value: $name) -> Self {
                match value { $($name::$variant => Self::$variant),+ }
            }
        }

        impl $name {
            /// The label.
            pub fn as_str(self) -> &'static str {
                <$domain>::from(self).as_str()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = domain::UnknownLabel;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse::<$domain>().map(Self::from)
            }
        }
    };
}
pub(crate) use label;
