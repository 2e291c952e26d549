//! One-use links that sign somebody in: a token, left for whoever brings the code.
//!
//! The code is what opens the entry, in both senses: its hash names it, and a key derived from it unseals the token. Whoever
//! reads the whole bucket therefore has no token, and no code.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use wire::SignInEntry;
use wire::streams::{SIGN_IN_TTL, SIGN_INS};

use crate::one_use::{Code, OneUse};
use crate::publish::encode;
use crate::{Bus, BusError, SealingKey};

/// What the key is for: another use of the same code would have another key.
const PURPOSE: &[u8] = b"mcp-status sign-in v1";

/// The sign-ins.
#[derive(Debug, Clone)]
pub struct SignIns(OneUse);

/// A code, and until when it works.
#[derive(Debug)]
pub struct IssuedSignIn {
    /// The code. Works once.
    pub code: SecretString,
    /// Until when.
    pub valid_until: Timestamp,
}

/// What a code opens.
#[derive(Debug)]
pub struct SignIn {
    /// A bearer token.
    pub token: SecretString,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// What is sealed.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sealed {
    token: String,
    expires_at: Timestamp,
    valid_until: Timestamp,
}

impl Bus {
    /// The sign-ins; their bucket is made where it is missing.
    ///
    /// # Errors
    /// As [`Bus::ensure_streams`], for the bucket alone.
    pub async fn sign_ins(&self) -> Result<SignIns, BusError> {
        Ok(SignIns(OneUse::new(self, &SIGN_INS).await?))
    }
}

impl SignIns {
    /// Leaves a token that ends at `expires_at` for whoever brings the code, once, within
    /// [`wire::streams::SIGN_IN_TTL`] and the token's own time.
    ///
    /// # Errors
    /// Those of publishing.
    pub async fn issue(
        &self,
        token: &SecretString,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<IssuedSignIn, BusError> {
        let left = Duration::try_from(expires_at.duration_since(now)).unwrap_or_default();
        // A whole second is the least that the server counts in.
        let life = left.clamp(Duration::from_secs(1), SIGN_IN_TTL);
        let valid_until = SignedDuration::try_from(life)
            .ok()
            .and_then(|life| now.checked_add(life).ok())
            .unwrap_or(expires_at)
            .min(expires_at);
        let sealed = Sealed {
            token: token.expose_secret().to_owned(),
            expires_at,
            valid_until,
        };
        let text = serde_json::to_string(&sealed).map_err(|error| BusError::Client {
            what: "seal a sign-in".to_owned(),
            problem: error.to_string(),
        })?;
        let code = Code::random()?;
        let entry = SignInEntry {
            sealed: SealingKey::derived(code.expose(), PURPOSE).seal_for(code.key().as_bytes(), &text.into()),
        };
        self.0.put(&code, life, encode(&entry)?).await?;
        Ok(IssuedSignIn {
            code: code.expose().into(),
            valid_until,
        })
    }

    /// Takes the token that was left for a code; `None` where there is none (any more), or another was faster.
    ///
    /// # Errors
    /// Those of requests and of publishing; then the code may or may not be used up.
    pub async fn redeem(&self, code: &str, now: Timestamp) -> Result<Option<SignIn>, BusError> {
        let Some(code) = Code::read(code) else {
            return Ok(None);
        };
        let Some(found) = self.0.take(&code).await? else {
            return Ok(None);
        };
        let Some(sealed) = self.open(&code, &found) else {
            return Ok(None);
        };
        Ok((now < sealed.valid_until).then(|| SignIn {
            token: sealed.token.into(),
            expires_at: sealed.expires_at,
        }))
    }

    fn open(&self, code: &Code, found: &[u8]) -> Option<Sealed> {
        let entry = SignInEntry::decode(found)
            .inspect_err(|refused| self.0.unreadable(refused))
            .ok()?;
        let text = SealingKey::derived(code.expose(), PURPOSE)
            .open_for(code.key().as_bytes(), &entry.sealed)
            .inspect_err(|error| self.0.unreadable(error))
            .ok()?;
        serde_json::from_str(text.expose_secret())
            // What the parser says may repeat what it read.
            .inspect_err(|_| self.0.unreadable(&"what was sealed is no sign-in"))
            .ok()
    }
}
