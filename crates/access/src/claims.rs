//! From the claims of a token whose signature is good to whom it proves. A function of claims, policy and time.

use std::time::Duration;

use domain::AccountId;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::denied::Denied;
use crate::options::{AccessOptions, AdminClaim};
use crate::principal::{Principal, Role, Viewer};

/// Longest actor, in characters: a UUID, or whatever another issuer names people by.
const ACTOR_MAX: usize = 128;

/// What is asked of claims.
#[derive(Debug)]
pub(crate) struct Policy {
    audience: String,
    issuer: Option<String>,
    admin: AdminClaim,
    leeway: SignedDuration,
}

impl Policy {
    pub(crate) fn of(options: &AccessOptions) -> Self {
        let bounded = |leeway: Duration| SignedDuration::try_from(leeway).unwrap_or(SignedDuration::ZERO);
        Self {
            audience: options.jwt_audience.clone(),
            issuer: options.issuer().map(str::to_owned),
            admin: options.admin_claim.clone(),
            leeway: bounded(options.jwt_leeway),
        }
    }

    /// Whom the claims prove at `now`.
    pub(crate) fn judge(&self, claims: &Map<String, Value>, now: Timestamp) -> Result<Principal, Denied> {
        let expires_at = date(claims, "exp")?.ok_or(Denied::NoExpiry)?;
        if now.duration_since(expires_at) >= self.leeway {
            return Err(Denied::Expired);
        }
        if let Some(begins_at) = date(claims, "nbf")?
            && begins_at.duration_since(now) > self.leeway
        {
            return Err(Denied::NotYetValid);
        }
        if let Some(issuer) = &self.issuer
            && claims.get("iss").and_then(Value::as_str) != Some(issuer)
        {
            return Err(Denied::Issuer);
        }
        let role = self.role(claims)?;
        match claims.get("aud") {
            // Supabase's own keys for services are such tokens.
            None | Some(Value::Null) if role == Role::Service => {}
            Some(audience) if names(audience, &self.audience) => {}
            _ => return Err(Denied::Audience),
        }
        let subject = claims.get("sub").and_then(Value::as_str);
        let account = subject
            .and_then(|subject| Uuid::try_parse(subject).ok())
            .map(AccountId);
        let viewer = match role {
            Role::User => Viewer::Account(account.ok_or(Denied::Subject)?),
            Role::Admin | Role::Service => Viewer::All,
        };
        Ok(Principal {
            viewer,
            role,
            actor: actor(subject, role),
            account,
            expires_at,
        })
    }

    fn role(&self, claims: &Map<String, Value>) -> Result<Role, Denied> {
        match claims.get("role") {
            Some(Value::String(role)) if role == "service_role" => Ok(Role::Service),
            _ if self.admin.matches(claims) => Ok(Role::Admin),
            None | Some(Value::Null) => Ok(Role::User),
            Some(Value::String(role)) if role == "authenticated" => Ok(Role::User),
            Some(_) => Err(Denied::Role),
        }
    }
}

/// A claim that is a date, in seconds since 1970 and possibly parts of one; `None` where there is none.
fn date(claims: &Map<String, Value>, name: &str) -> Result<Option<Timestamp>, Denied> {
    let number = match claims.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number,
        Some(_) => return Err(Denied::Malformed),
    };
    // What does not fit is no date: milliseconds for seconds, which would never expire.
    let date = match number.as_i64() {
        Some(seconds) => Timestamp::from_second(seconds).ok(),
        None => number
            .as_f64()
            .and_then(|seconds| SignedDuration::try_from_secs_f64(seconds).ok())
            .and_then(|since| Timestamp::from_duration(since).ok()),
    };
    date.map(Some).ok_or(Denied::Malformed)
}

fn names(audience: &Value, wanted: &str) -> bool {
    match audience {
        Value::String(one) => one == wanted,
        Value::Array(several) => several.iter().any(|one| one.as_str() == Some(wanted)),
        _ => false,
    }
}

fn actor(subject: Option<&str>, role: Role) -> String {
    let shown = subject.unwrap_or_default().chars().filter(|c| !c.is_control());
    let shown: String = shown.take(ACTOR_MAX).collect();
    if shown.trim().is_empty() {
        role.as_str().to_owned()
    } else {
        shown
    }
}
