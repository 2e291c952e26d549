//! Who may open a stream, and from where.

use std::sync::OnceLock;

use access::{Denied, Principal, Role, Verifier, Viewer};
use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bus::Tickets;
use domain::AccountId;
use jiff::Timestamp;
use wire::TicketEntry;

/// Why somebody is not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// What he shows is no good; why, for him.
    Denied(String),
    /// It cannot be found out now.
    Unavailable,
}

/// Where tokens and tickets are looked at.
#[derive(Debug)]
pub(crate) struct Gate {
    verifier: Verifier,
    origins: Vec<String>,
    tickets: OnceLock<Tickets>,
}

/// Names of parameters that people put tokens under: a URL ends in logs, histories and referrers.
const TOKEN_PARAMETERS: [&str; 8] = [
    "token",
    "access_token",
    "id_token",
    "auth_token",
    "jwt",
    "bearer",
    "authorization",
    "apikey",
];

/// What a subprotocol begins with that bears a token.
const BEARER_PROTOCOL: &str = "bearer.";

impl Gate {
    pub(crate) fn new(verifier: Verifier, origins: Vec<String>) -> Self {
        Self {
            verifier,
            origins: origins.into_iter().filter(|origin| !origin.is_empty()).collect(),
            tickets: OnceLock::new(),
        }
    }

    /// From now on tickets can be redeemed.
    pub(crate) fn open(&self, tickets: Tickets) {
        // Set once, when the bus is there.
        let _ = self.tickets.set(tickets);
    }

    /// Whom a bearer token proves.
    pub(crate) async fn token(&self, token: &str, now: Timestamp) -> Result<Principal, Stopped> {
        self.verifier.verify(token, now).await.map_err(|denied| {
            if denied.is_ours() {
                Stopped::Unavailable
            } else {
                Stopped::Denied(denied.to_string())
            }
        })
    }

    /// Whom a ticket proves. It is used up.
    pub(crate) async fn ticket(&self, ticket: &str, now: Timestamp) -> Result<Principal, Stopped> {
        let tickets = self.tickets.get().ok_or(Stopped::Unavailable)?;
        let entry = match tickets.redeem(ticket).await {
            Ok(entry) => entry,
            Err(error) => {
                tracing::debug!(%error, "a ticket could not be redeemed");
                return Err(Stopped::Unavailable);
            }
        };
        let entry = entry.filter(|entry| entry.valid_until > now);
        let entry =
            entry.ok_or_else(|| Stopped::Denied("the ticket is unknown, used or too old".to_owned()))?;
        let principal =
            principal(entry).ok_or_else(|| Stopped::Denied("the ticket proves nobody".to_owned()))?;
        if principal.expires_at <= now {
            return Err(Stopped::Denied(Denied::Expired.to_string()));
        }
        Ok(principal)
    }

    /// Whether a page of this request's origin may read. Whoever names none is no browser.
    pub(crate) fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else {
            return true;
        };
        let Ok(origin) = origin.to_str() else { return false };
        self.origins.iter().any(|it| it == origin)
    }

    /// The origins whose pages may read.
    pub(crate) fn origins(&self) -> impl Iterator<Item = HeaderValue> {
        self.origins
            .iter()
            .filter_map(|origin| HeaderValue::from_str(origin).ok())
    }
}

fn principal(entry: TicketEntry) -> Option<Principal> {
    let account = entry.account_id.map(AccountId);
    let role = [Role::User, Role::Admin, Role::Service]
        .into_iter()
        .find(|role| role.as_str() == entry.role)?;
    let viewer = match role {
        Role::User => Viewer::Account(account?),
        Role::Admin | Role::Service => Viewer::All,
    };
    Some(Principal {
        viewer,
        role,
        actor: entry.actor,
        account,
        expires_at: entry.expires_at,
    })
}

/// A parameter's name under which there is a token, as it seems.
pub(crate) fn token_parameter(query: Option<&str>) -> Option<&'static str> {
    let mut pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    pairs.find_map(|(name, _)| {
        let name = name.to_ascii_lowercase();
        TOKEN_PARAMETERS.into_iter().find(|it| *it == name)
    })
}

/// The token of the Authorization header: `None` where there is none, an error where it is not `Bearer`.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Stopped> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let no_bearer = || Stopped::Denied("the Authorization header is not one `Bearer` token".to_owned());
    if values.next().is_some() {
        return Err(no_bearer());
    }
    let text = value.to_str().map_err(|_| no_bearer())?;
    let (scheme, token) = text.split_once(' ').ok_or_else(no_bearer)?;
    if !scheme.eq_ignore_ascii_case("bearer") || token.trim().is_empty() {
        return Err(no_bearer());
    }
    Ok(Some(token.trim()))
}

/// The token of a subprotocol, where there is one: a JWT as it is, or in base64url as names of subprotocols always can be.
pub(crate) fn protocol_token<'a>(protocols: impl Iterator<Item = &'a HeaderValue>) -> Option<String> {
    let mut tokens = protocols.filter_map(|name| name.to_str().ok()?.strip_prefix(BEARER_PROTOCOL));
    let token = tokens.next()?;
    if token.contains('.') {
        return Some(token.to_owned());
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).unwrap_or_default();
    // What is no text is no token, and is turned down as one.
    Some(String::from_utf8(bytes).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_where_they_belong_and_where_they_do_not() {
        for (query, found) in [
            ("servers=a&cursor=b&ticket=c", None),
            ("Token=x", Some("token")),
            ("a=b&access%5Ftoken=x", Some("access_token")),
            ("apikey", Some("apikey")),
            ("", None),
        ] {
            assert_eq!(token_parameter(Some(query)), found, "{query}");
        }
        let mut headers = HeaderMap::new();
        assert_eq!(bearer(&headers), Ok(None));
        for (value, token) in [
            ("Bearer a.b.c", Some("a.b.c")),
            ("bearer  x ", Some("x")),
            ("Basic x", None),
            ("Bearer", None),
            ("Bearer  ", None),
        ] {
            headers.insert(header::AUTHORIZATION, HeaderValue::from_static(value));
            assert_eq!(bearer(&headers).ok().flatten(), token, "{value}");
        }
        headers.append(header::AUTHORIZATION, HeaderValue::from_static("Bearer x"));
        assert!(bearer(&headers).is_err());
        let protocols = |names: &[&'static str]| {
            let names: Vec<_> = names.iter().copied().map(HeaderValue::from_static).collect();
            protocol_token(names.iter())
        };
        assert_eq!(protocols(&["mcp-status.v1"]), None);
        assert_eq!(
            protocols(&["mcp-status.v1", "bearer.a.b.c"]).as_deref(),
            Some("a.b.c")
        );
        assert_eq!(protocols(&["bearer.YS5iLmM"]).as_deref(), Some("a.b.c"));
        assert_eq!(protocols(&["bearer.!"]).as_deref(), Some(""));
    }
}
