//! Who asks: verified, and not too often.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use access::{Principal, Role, Viewer};
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use domain::AccountId;

use crate::app::App;
use crate::clock;
use crate::refusal::{Refusal, Result};

/// Whoever asks.
#[derive(Debug, Clone)]
pub(crate) struct Caller(pub(crate) Principal);

impl Caller {
    /// How far he sees.
    pub(crate) fn viewer(&self) -> Viewer {
        self.0.viewer
    }

    /// The account whose things he asks for in lists; `None`: all.
    pub(crate) fn account(&self) -> Option<AccountId> {
        match self.0.viewer {
            Viewer::All => None,
            Viewer::Account(account) => Some(account),
        }
    }

    /// Whether he may say what a server's status is.
    pub(crate) fn is_operator(&self) -> bool {
        matches!(self.0.role, Role::Admin | Role::Service)
    }
}

/// What bears a request that came over NATS: its peers have no address that says anything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OverNats;

/// The address that stands for everybody who asks over NATS.
const NATS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

impl FromRequestParts<App> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let verified = match bearer(&parts.headers) {
            Ok(token) => app
                .verifier
                .verify(token, clock::now())
                .await
                .map_err(|denied| (denied.label(), Refusal::denied(denied), !denied.is_ours())),
            Err((reason, refusal)) => Err((reason, refusal, true)),
        };
        let principal = match verified {
            Ok(principal) => principal,
            Err((reason, refusal, counts)) => {
                app.metrics.denied(reason);
                if counts && let Err(wait) = app.limits.failure(peer(parts)) {
                    app.metrics.denied("failures");
                    return Err(Refusal::too_many(wait));
                }
                return Err(refusal);
            }
        };
        let reads = matches!(parts.method, Method::GET | Method::HEAD);
        let taken = if reads {
            app.limits.read(&principal.actor)
        } else {
            app.limits.command(&principal.actor)
        };
        if let Err(wait) = taken {
            app.metrics.denied("rate");
            return Err(Refusal::too_many(wait));
        }
        if !app.fleet.is_loaded() {
            return Err(Refusal::unavailable(
                "the present is not known yet; ask again later",
            ));
        }
        Ok(Self(principal))
    }
}

/// The address that a request comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        Ok(Self(peer(parts)))
    }
}

fn peer(parts: &Parts) -> IpAddr {
    if parts.extensions.get::<OverNats>().is_some() {
        return NATS;
    }
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map_or(NATS, |ConnectInfo(address)| address.ip())
}

/// The token of a request.
pub(crate) fn bearer(headers: &HeaderMap) -> std::result::Result<&str, (&'static str, Refusal)> {
    let missing = || {
        let refusal = Refusal::unauthorised(None, "a bearer token is needed");
        ("no_token", refusal)
    };
    let malformed = || {
        let detail = "the Authorization header is not a bearer token";
        (
            "malformed",
            Refusal::unauthorised(Some("invalid_request"), detail),
        )
    };
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or_else(missing)?;
    if values.next().is_some() {
        return Err(malformed());
    }
    let value = value.to_str().map_err(|_| malformed())?;
    let (scheme, token) = value.split_once(' ').ok_or_else(malformed)?;
    if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() {
        Ok(token.trim())
    } else {
        Err(malformed())
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn one_bearer_token_and_nothing_else() {
        let read = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
            }
            bearer(&headers).map(str::to_owned).map_err(|(reason, _)| reason)
        };
        assert_eq!(read(&["Bearer abc"]), Ok("abc".to_owned()));
        assert_eq!(read(&["bearer  abc "]), Ok("abc".to_owned()));
        assert_eq!(read(&[]), Err("no_token"));
        for bad in [
            &["Basic abc"][..],
            &["Bearer"],
            &["Bearer "],
            &["Bearer a", "Bearer b"],
        ] {
            assert_eq!(read(bad), Err("malformed"), "{bad:?}");
        }
    }
}
