//! `board`: a link that opens the board, signed in.

use domain::AccountId;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde::Serialize;
use url::Url;

use crate::api::{Client, Limits};
use crate::ctl::Context;
use crate::exit::Failure;
use crate::place::{AUDIENCE, Minting, TokenSource, read_secret};

/// Tokens for the board of one's own `statusctl up`: a working day.
const TOKEN_FOR: SignedDuration = SignedDuration::from_hours(12);

/// Options of `board`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Where the board is; by default what the profile or `statusctl up` says
    #[arg(long, value_name = "URL")]
    pub board_url: Option<String>,
}

/// A link that opens the board once, and signs in whoever opens it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Link {
    pub(crate) url: String,
    expires_at: Timestamp,
}

/// Prints a link.
///
/// # Errors
/// When it is not known where the board is, there is no token, or status-api gives no code.
pub async fn run(context: &Context, options: &Options) -> Result<(), Failure> {
    let installation = context.installation()?;
    let board = options
        .board_url
        .as_ref()
        .or(installation.board.as_ref())
        .ok_or_else(|| {
            Failure::usage(format!(
                "it is not known where the board of {} is: give --board-url",
                installation.name
            ))
        })?;
    let client = match &installation.token {
        TokenSource::Secret(path) => {
            let token = token(&read_secret(path)?, installation.demo_account, context.now())?;
            Client::new(&installation.api.clone()?, Some(token), Limits::default())?
        }
        _ => context.client_of(&installation).await?,
    };
    let link = link(&client, board).await?;
    context.answer(&link, |_| format!("{}\n", link.url));
    if !context.global.json {
        context.note("it works once, within 15 minutes");
    }
    Ok(())
}

/// A token for the board of one's own installation: the demo account's, or where there is none one that sees everything.
///
/// # Errors
/// When the secret is too short.
pub(crate) fn token(
    secret: &SecretString,
    account: Option<AccountId>,
    now: Timestamp,
) -> Result<SecretString, Failure> {
    let minting = Minting {
        account,
        role: match account {
            Some(_) => "authenticated",
            None => "service_role",
        },
        audience: AUDIENCE,
        issuer: None,
        lasts: TOKEN_FOR,
    };
    minting.mint(secret, now)
}

/// A link for whom the client asks as.
///
/// # Errors
/// When the board's address is none, or status-api gives no code.
pub(crate) async fn link(client: &Client, board: &str) -> Result<Link, Failure> {
    let mut url = address(board)?;
    let code = client.create_sign_in().await?;
    // No server sees a fragment, and no log has it.
    url.set_fragment(Some(&format!("code={}", code.code)));
    Ok(Link {
        url: url.into(),
        expires_at: code.expires_at,
    })
}

/// Reads the board's address.
///
/// # Errors
/// When it is none.
pub(crate) fn address(text: &str) -> Result<Url, Failure> {
    text.parse::<Url>()
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .ok_or_else(|| {
            Failure::usage("the board's URL cannot be read: expected http://host:port or https://host")
        })
}
