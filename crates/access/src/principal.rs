//! Whom a token proves.

use domain::AccountId;
use jiff::Timestamp;

/// Whom a verified token proves. Holds nothing secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// What they may see.
    pub viewer: Viewer,
    /// As what they come.
    pub role: Role,
    /// Who it was, for the audit: the token's subject, or the role where it has none. At most 128 characters, none of
    /// them a control character.
    pub actor: String,
    /// Their account: the subject where it is a UUID. Always there for users.
    pub account: Option<AccountId>,
    /// When the token ends, without leeway. What is open then must close.
    pub expires_at: Timestamp,
}

/// How far somebody sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Viewer {
    /// Everything.
    All,
    /// What this account owns, and what its active connections name.
    Account(AccountId),
}

/// As what somebody comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// A person with an account.
    User,
    /// A person who may see and do everything.
    Admin,
    /// A service of the application, which may see and do everything.
    Service,
}

impl Role {
    /// The word for it, for logs and the audit.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
            Self::Service => "service_role",
        }
    }
}
