//! Who is asking, and how a token gets from a terminal to a browser.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// As what a caller comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoleLabel {
    /// A person with an account.
    User,
    /// A person who may see and do everything.
    Admin,
    /// A service of the application, which may see and do everything.
    ServiceRole,
}

/// Whom a token proves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Me {
    /// The account; absent for who has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<Uuid>,
    /// As what he comes.
    pub role: RoleLabel,
    /// Who it is: the token's subject, or the role where it has none.
    pub actor: String,
    /// When the token ends.
    pub expires_at: Timestamp,
}

/// A code for which the caller's own token is given, once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignIn {
    /// The code. As good as the token itself while it works: it belongs into a link's fragment and nowhere else.
    pub code: String,
    /// Until when it works.
    pub expires_at: Timestamp,
}

/// Asks for the token that was left for a code.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RedeemSignIn {
    /// The code.
    #[schema(max_length = 64)]
    pub code: String,
}

/// The token that was left for a code.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignedIn {
    /// A bearer token.
    pub token: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

// Codes and tokens are not for logs.

impl fmt::Debug for SignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignIn")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RedeemSignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedeemSignIn").finish_non_exhaustive()
    }
}

impl fmt::Debug for SignedIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedIn")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}
