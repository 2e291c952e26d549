//! Webhooks, as they are asked for, made and changed; what was delivered, and what was not.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::whole;
use crate::{WebhookAttempt, WebhookKind, WebhookTemplate};

/// What a webhook is told of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WebhookFilters {
    /// Only of these servers; absent or empty: of any. With `toolboxes`, a server of either list is told of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 500)]
    pub servers: Vec<Uuid>,
    /// Only of servers on these toolboxes; absent or empty: on any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 500)]
    pub toolboxes: Vec<Uuid>,
    /// Only of these kinds of change; absent or empty: of any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 5)]
    pub kinds: Vec<WebhookKind>,
}

/// What keeps a webhook quiet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WebhookOptions {
    /// Tell of a change only when it still holds after so many seconds; 0: at once.
    #[serde(default, deserialize_with = "whole::read")]
    #[schema(maximum = 86400)]
    pub after_seconds: u32,
    /// Do not tell of what a command brings about: changes while it is carried out, and the one that ends it, unless that is
    /// an error.
    #[serde(default)]
    pub not_during_own_commands: bool,
    /// Tell of one server at most once in so many seconds; what changes meanwhile is told at their end, if it is another
    /// then. 0: of each change.
    #[serde(default, deserialize_with = "whole::read")]
    #[schema(maximum = 86400)]
    pub at_most_every_seconds: u32,
    /// When so many servers change within `summaryWindow`, tell of them in one message; 0: never.
    #[serde(default, deserialize_with = "whole::read")]
    #[schema(maximum = 10000)]
    pub summary_from: u32,
    /// Seconds that changes are gathered for, where `summaryFrom` is given: each waits so long. 0: 10 seconds.
    #[serde(default, deserialize_with = "whole::read")]
    #[schema(maximum = 3600)]
    pub summary_window: u32,
}

/// A webhook, as far as it may be shown: its secret is only when it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// Which one.
    pub webhook_id: Uuid,
    /// Whose it is.
    pub account_id: Uuid,
    /// Where it is posted to.
    pub url: String,
    /// Whether it is told anything.
    pub enabled: bool,
    /// What it is told of.
    pub filters: WebhookFilters,
    /// What is posted.
    pub template: WebhookTemplate,
    /// What keeps it quiet.
    pub options: WebhookOptions,
    /// Until when the secret before the present one signs as well; absent: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_secret_until: Option<Timestamp>,
    /// When it was made: it is told of what changes from then on.
    pub created_at: Timestamp,
}

/// A webhook and its secret, which is shown this once.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookWithSecret {
    /// The webhook.
    #[serde(flatten)]
    pub webhook: Webhook,
    /// What deliveries are signed with, `whsec_` and base64; absent where the answer is a repeated one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// Webhooks, in the order of their ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookPage {
    /// The webhooks of this page.
    pub items: Vec<Webhook>,
    /// Ask for the next page with this as `cursor`; absent after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A webhook to register.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewWebhook {
    /// Which one; made up where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_id: Option<Uuid>,
    /// Whose it is: the caller's, where it is not given. Only who sees all may name another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<Uuid>,
    /// Where it is posted to: an http or https URL without user and fragment.
    #[schema(max_length = 2000, pattern = "^[Hh][Tt][Tt][Pp][Ss]?:[^\\s#]+$")]
    pub url: String,
    /// Whether it is told anything; yes, where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// What it is told of; everything, where it is not given.
    #[serde(default)]
    pub filters: WebhookFilters,
    /// What is posted; `standard`, where it is not given.
    #[serde(default)]
    pub template: WebhookTemplate,
    /// What keeps it quiet; nothing, where it is not given.
    #[serde(default)]
    pub options: WebhookOptions,
}

/// What is to change of a webhook; what is absent stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WebhookChange {
    /// Where it is posted to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 2000, pattern = "^[Hh][Tt][Tt][Pp][Ss]?:[^\\s#]+$")]
    pub url: Option<String>,
    /// Whether it is told anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// What it is told of, in place of all filters it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filters: Option<WebhookFilters>,
    /// What is posted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<WebhookTemplate>,
    /// What keeps it quiet, in place of all options it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<WebhookOptions>,
}

/// A secret to be replaced.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WebhookRotation {
    /// For how many seconds the present secret signs as well; a day, where it is not given.
    #[serde(
        default,
        deserialize_with = "whole::read_if_any",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(maximum = 604800)]
    pub overlap_seconds: Option<u32>,
}

/// What was sent on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookSent {
    /// The deliveries: what the receiver finds in `webhook-id`, and people in the delivery log.
    pub delivery_ids: Vec<Uuid>,
}

/// Attempts, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookLog {
    /// The attempts: at most the last hundred, of at most seven days.
    pub items: Vec<WebhookAttempt>,
}

/// A delivery that will not be tried again by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// Which one.
    pub delivery_id: Uuid,
    /// What it tells of.
    pub event_type: String,
    /// Of which server, where it is of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_id: Option<Uuid>,
    /// Why it was given up.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// Attempts made.
    pub attempts: u32,
    /// When it was to be posted first.
    pub first_at: Timestamp,
    /// What would be posted.
    pub payload: String,
}

/// Dead letters, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetterPage {
    /// The dead letters of this page.
    pub items: Vec<DeadLetter>,
    /// Ask for the next page with this as `cursor`; absent after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The secret does not belong in a log.
impl std::fmt::Debug for WebhookWithSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookWithSecret")
            .field("webhook", &self.webhook)
            .finish_non_exhaustive()
    }
}
