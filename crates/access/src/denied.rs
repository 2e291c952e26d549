//! Why a token was turned down.

/// Why a token was turned down. The texts are for clients: they never hold any part of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// No JWT, longer than one is taken, or a claim of a wrong type.
    #[error("the token is not a JWT that can be read")]
    Malformed,
    /// Signed by an algorithm that is not taken, or not with the key it names: `none` above all.
    #[error("the token is signed by an algorithm that is not accepted")]
    Algorithm,
    /// Names a key that the key server does not have, or fits none of those it has.
    #[error("the token is signed with an unknown key")]
    UnknownKey,
    /// Was not signed with the key, or was changed since.
    #[error("the token's signature is wrong")]
    Signature,
    /// Says no end.
    #[error("the token has no expiry time")]
    NoExpiry,
    /// Is over.
    #[error("the token has expired")]
    Expired,
    /// Has not begun.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// Is for others.
    #[error("the token is for another audience")]
    Audience,
    /// Comes from elsewhere.
    #[error("the token is from another issuer")]
    Issuer,
    /// Proves a role that sees nothing, such as `anon`.
    #[error("the token's role has no access")]
    Role,
    /// A user's token that names no account.
    #[error("the token's subject is not the id of an account")]
    Subject,
    /// No key could be fetched yet, so nothing can be said about the token: not the client's fault.
    #[error("tokens cannot be verified at the moment")]
    KeysUnavailable,
}

impl Denied {
    /// Which one it is, for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::NoExpiry => "no_expiry",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Audience => "audience",
            Self::Issuer => "issuer",
            Self::Role => "role",
            Self::Subject => "subject",
            Self::KeysUnavailable => "keys_unavailable",
        }
    }

    /// Whether the fault is ours and the token may well be good: the answer is 503, not 401.
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::KeysUnavailable)
    }
}
