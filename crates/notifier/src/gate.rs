//! Who may open a stream, and from where.

use std::sync::OnceLock;

use access::{Denied, Principal, Role, Verifier, Viewer};
use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bus::Tickets;
use domain::AccountId;
use jiff::Timestamp;
use url::Url;
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

    /// Whether a page of this request's origin may read: one that is listed, or one that came from here. Whoever names none
    /// is no browser.
    ///
    /// A page of a stranger whose name was made to lead here (DNS rebinding) also came from here, as far as anybody can
    /// tell. It gains nothing: no cookie or other right goes with its requests by itself, the token that the board was given
    /// is kept under the board's own origin, and without one there is nothing here to read.
    pub(crate) fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else {
            return true;
        };
        let Ok(origin) = origin.to_str() else { return false };
        self.origins.iter().any(|it| it == origin) || came_from_here(origin, headers)
    }

    /// The origins whose pages may read.
    pub(crate) fn origins(&self) -> impl Iterator<Item = HeaderValue> {
        self.origins
            .iter()
            .filter_map(|origin| HeaderValue::from_str(origin).ok())
    }
}

/// Whether an origin's host and port are those that the request was sent to. Its scheme is not compared: behind a proxy that
/// ends TLS, ours is another.
fn came_from_here(origin: &str, headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else {
        return false;
    };
    let Ok(origin) = origin.parse::<Url>() else {
        return false;
    };
    // With the origin's scheme, a host without a port has the port that the browser went to.
    let Ok(here) = format!("{}://{host}", origin.scheme()).parse::<Url>() else {
        return false;
    };
    origin.host().is_some()
        && origin.host() == here.host()
        && origin.port_or_known_default() == here.port_or_known_default()
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
    fn pages_that_came_from_here_are_told_by_host_and_port() {
        let here = |origin: &str, host: &'static str| {
            came_from_here(
                origin,
                &HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]),
            )
        };
        for (origin, host) in [
            ("http://127.0.0.1:8083", "127.0.0.1:8083"),
            ("http://[::1]:8083", "[::1]:8083"),
            ("http://status.example", "status.example"),
            ("http://status.example", "status.example:80"),
            ("https://status.example", "status.example"),
            ("https://status.example", "STATUS.example:443"),
        ] {
            assert!(here(origin, host), "{origin} at {host}");
        }
        for (origin, host) in [
            ("http://127.0.0.1:8084", "127.0.0.1:8083"),
            ("http://localhost:8083", "127.0.0.1:8083"),
            ("https://status.example", "status.example:80"),
            ("https://status.example.evil.example", "status.example"),
            ("https://evil.example", "status.example"),
            ("null", "status.example"),
            ("https://evil.example", "status.example@evil.example:x"),
            ("https://evil.example", ""),
            ("", ""),
        ] {
            assert!(!here(origin, host), "{origin} at {host}");
        }
        assert!(!came_from_here("http://status.example", &HeaderMap::new()));
    }

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
