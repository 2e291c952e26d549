//! Verifying bearer tokens.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use jsonwebtoken::Algorithm;
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value};

use crate::claims::Policy;
use crate::denied::Denied;
use crate::key_set::{Head, Key};
use crate::keys::{Keeper, Keys};
use crate::metrics::Metrics;
use crate::options::AccessOptions;
use crate::principal::Principal;

/// Longest token taken, in bytes: Supabase's have under two thousand, and proxies pass no headers that are longer.
const TOKEN_MAX: usize = 8 << 10;

/// Verifies bearer tokens. Cheap to clone; clones share the keys.
#[derive(Clone)]
pub struct Verifier {
    inner: Arc<Inner>,
}

struct Inner {
    secret: Option<Key>,
    keys: Option<Arc<Keys>>,
    policy: Policy,
    metrics: Metrics,
}

impl Verifier {
    /// A verifier, and where keys are to be fetched the [`Keeper`] that does, which the host must run.
    ///
    /// # Errors
    /// What [`AccessOptions::check`] says, or that the system's certificates cannot be read.
    pub fn from_options(options: &AccessOptions) -> anyhow::Result<(Self, Option<Keeper>)> {
        options.check()?;
        let metrics = Metrics::new();
        let (keeper, keys) = options
            .url()?
            .map(|url| Keeper::new(url, options.jwks_refresh, metrics.clone()))
            .transpose()?
            .unzip();
        let inner = Inner {
            secret: options
                .secret()
                .map(|secret| Key::secret(secret.expose_secret().as_bytes())),
            keys,
            policy: Policy::of(options),
            metrics,
        };
        Ok((
            Self {
                inner: Arc::new(inner),
            },
            keeper,
        ))
    }

    /// Whom a token proves at `now`. May wait for keys, at most 2 seconds.
    ///
    /// # Errors
    /// Why it is turned down, which is counted.
    pub async fn verify(&self, token: &str, now: Timestamp) -> Result<Principal, Denied> {
        let outcome = match self.claims(token).await {
            Ok(claims) => self.inner.policy.judge(&claims, now),
            Err(denied) => Err(denied),
        };
        if let Err(denied) = &outcome {
            self.inner.metrics.denied(denied.label());
        }
        outcome
    }

    /// The claims of a token whose signature is good.
    async fn claims(&self, token: &str) -> Result<Map<String, Value>, Denied> {
        if token.len() > TOKEN_MAX {
            return Err(Denied::Malformed);
        }
        let head = Head::read(token)?;
        match head.algorithm {
            // Supabase puts a key id into these too, which names no public key.
            Algorithm::HS256 => {
                let secret = self.inner.secret.as_ref().ok_or(Denied::Algorithm)?;
                secret.open(token)
            }
            Algorithm::HS384 | Algorithm::HS512 => Err(Denied::Algorithm),
            _ => {
                let keys = self.inner.keys.as_ref().ok_or(Denied::Algorithm)?;
                keys.with(head.kid.as_deref()).await?.open(token, &head)
            }
        }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("secret", &self.inner.secret.is_some())
            .field("jwks", &self.inner.keys.is_some())
            .field("policy", &self.inner.policy)
            .finish()
    }
}
