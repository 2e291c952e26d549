//! Who is asking; and one-use codes, by which a token gets from a terminal to a browser without being in a URL.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use secrecy::ExposeSecret as _;
use wire::api::{Me, RedeemSignIn, RoleLabel, SignIn, SignedIn};

use crate::answer::{ok, secret};
use crate::app::App;
use crate::ask::Ask;
use crate::caller::{Caller, Peer, bearer};
use crate::clock;
use crate::params::Params;
use crate::refusal::{Refusal, Result};

/// Get who is asking
///
/// Whom the token proves, and until when.
#[utoipa::path(get, path = "/v1/me", operation_id = "getMe", tag = "sign-in",
    responses((status = 200, description = "Who it is", body = Me)))]
pub(crate) async fn get_me(Caller(principal): Caller, _: Params<()>) -> Result<Response> {
    let role = match principal.role {
        access::Role::User => RoleLabel::User,
        access::Role::Admin => RoleLabel::Admin,
        access::Role::Service => RoleLabel::ServiceRole,
    };
    ok(&Me {
        account_id: principal.account.map(|account| account.0),
        role,
        actor: principal.actor,
        expires_at: principal.expires_at,
    })
}

/// Get a code to sign in with
///
/// A code that gets whoever brings it, once, within 15 minutes, the caller's own token: for a link that a terminal prints and
/// a browser opens. It belongs into the link's fragment, which no server sees. Never answered twice alike, so an
/// Idempotency-Key is not heeded.
#[utoipa::path(post, path = "/v1/sign-ins", operation_id = "createSignIn", tag = "sign-in",
    responses((status = 201, description = "The code, which works once", body = SignIn)))]
pub(crate) async fn create_sign_in(
    State(app): State<App>,
    Caller(principal): Caller,
    _: Params<()>,
    headers: HeaderMap,
) -> Result<Response> {
    if let Err(wait) = app.limits.sign_in(&principal.actor) {
        app.metrics.denied("rate");
        return Err(Refusal::too_many(wait));
    }
    // It was verified a moment ago.
    let token = bearer(&headers).map_err(|(_, refusal)| refusal)?.into();
    let bus = app.bus()?;
    let now = clock::now();
    let issued = async {
        bus.sign_ins()
            .await?
            .issue(&token, principal.expires_at, now)
            .await
    };
    let issued = issued.await.map_err(|error| {
        tracing::debug!(%error, "a sign-in could not be issued");
        Refusal::unavailable("codes cannot be issued at the moment")
    })?;
    secret(
        StatusCode::CREATED,
        &SignIn {
            code: issued.code.expose_secret().to_owned(),
            expires_at: issued.valid_until,
        },
    )
}

/// Get the token that was left for a code
///
/// Needs no token. The code is used up, whatever becomes of the answer. How often one address may try is limited.
#[utoipa::path(post, path = "/v1/sign-ins/redeem", operation_id = "redeemSignIn", tag = "sign-in", security(()),
    request_body = RedeemSignIn,
    responses((status = 200, description = "The token", body = SignedIn)))]
pub(crate) async fn redeem_sign_in(
    State(app): State<App>,
    Peer(peer): Peer,
    _: Params<()>,
    ask: Ask,
) -> Result<Response> {
    // Before anything is looked up: who needs no token must not make us ask the bus as often as he likes.
    if let Err(wait) = app.limits.redemption(peer) {
        app.metrics.denied("redemptions");
        return Err(Refusal::too_many(wait));
    }
    let RedeemSignIn { code } = ask.read()?;
    let bus = app.bus()?;
    let now = clock::now();
    let redeemed = async { bus.sign_ins().await?.redeem(&code, now).await };
    let found = redeemed.await.map_err(|error| {
        tracing::debug!(%error, "a sign-in could not be redeemed");
        Refusal::unavailable("codes cannot be looked up at the moment")
    })?;
    let found = found.ok_or_else(|| {
        app.metrics.denied("sign_in");
        Refusal::new(
            StatusCode::NOT_FOUND,
            "not found",
            "the code is unknown, used or too old",
        )
    })?;
    secret(
        StatusCode::OK,
        &SignedIn {
            token: found.token.expose_secret().to_owned(),
            expires_at: found.expires_at,
        },
    )
}
