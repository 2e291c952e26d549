//! Making tokens, for hosts that own the secret: development, demonstrations and tests. In production the application
//! issues them, and whoever verifies them makes none.

use anyhow::ensure;
use domain::AccountId;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use crate::options::SECRET_MIN;

/// What a new token says.
#[derive(Debug, Clone, Copy)]
pub struct NewToken<'a> {
    /// Whose it is; `None` for services.
    pub subject: Option<AccountId>,
    /// `authenticated`, `service_role`, …
    pub role: &'a str,
    /// Whom it is for; `None` is taken of services only.
    pub audience: Option<&'a str>,
    /// Who says so.
    pub issuer: Option<&'a str>,
    /// When it is made.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

#[derive(Serialize)]
struct Claims<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    role: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    iat: i64,
    exp: i64,
}

/// Makes a token, signed with the secret by HS256.
///
/// # Errors
/// When the secret is shorter than a [`Verifier`](crate::Verifier) would take.
pub fn mint(secret: &SecretString, token: &NewToken<'_>) -> anyhow::Result<SecretString> {
    let secret = secret.expose_secret().as_bytes();
    ensure!(
        secret.len() >= SECRET_MIN,
        "a secret for tokens is at least {SECRET_MIN} bytes long"
    );
    let claims = Claims {
        sub: token.subject.map(|subject| subject.to_string()),
        role: token.role,
        aud: token.audience,
        iss: token.issuer,
        iat: token.issued_at.as_second(),
        exp: token.expires_at.as_second(),
    };
    Ok(encode(
        &Header::new(Algorithm::HS256),
        &claims,
        &EncodingKey::from_secret(secret),
    )?
    .into())
}
