//! `token`: a token made from a secret, for development.

use std::path::PathBuf;
use std::time::Duration;

use domain::AccountId;
use jiff::SignedDuration;
use secrecy::ExposeSecret as _;
use uuid::Uuid;

use crate::ctl::Context;
use crate::exit::Failure;
use crate::place::{AUDIENCE, Minting, read_file_or_stdin, read_secret};
use crate::up::secrets::JWT_SECRET_FILE;

/// As whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// A user: sees what is his, and what his agents are connected to
    Authenticated,
    /// A service of the application: sees and may do everything
    ServiceRole,
}

/// Options of `token`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// As whom; authenticated with --account, else service-role
    #[arg(long, value_enum)]
    pub role: Option<Role>,
    /// Which user
    #[arg(long, value_name = "UUID", required_if_eq("role", "authenticated"))]
    pub account: Option<Uuid>,
    /// For how long
    #[arg(long = "for", value_name = "DURATION", default_value = "1h", value_parser = service::duration)]
    pub lasts: Duration,
    /// Read the secret that status-api verifies with (JWT_SECRET) from this file, or from standard input with `-`; by default that of `statusctl up` on the data folder
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    /// Whom it is for
    #[arg(long, default_value = AUDIENCE, value_name = "AUDIENCE")]
    pub audience: String,
    /// Who says so
    #[arg(long, value_name = "ISSUER")]
    pub issuer: Option<String>,
}

/// Prints a token.
///
/// # Errors
/// When there is no secret, or it is too short.
pub async fn run(context: &Context, options: &Options) -> Result<(), Failure> {
    let secret = match &options.secret_file {
        Some(path) => read_file_or_stdin(path).await?,
        None => read_secret(&context.data_dir().join(JWT_SECRET_FILE))?,
    };
    let role = options.role.unwrap_or(match options.account {
        Some(_) => Role::Authenticated,
        None => Role::ServiceRole,
    });
    if options.lasts.as_secs() == 0 {
        return Err(Failure::usage("a token must last for a second at least (--for)"));
    }
    let lasts = SignedDuration::try_from(options.lasts)
        .map_err(|_| Failure::usage("a token cannot last that long"))?;
    let minting = Minting {
        account: options.account.map(AccountId),
        role: match role {
            Role::Authenticated => "authenticated",
            Role::ServiceRole => "service_role",
        },
        audience: &options.audience,
        issuer: options.issuer.as_deref(),
        lasts,
    };
    let token = minting.mint(&secret, context.now())?;
    let answer = serde_json::json!({ "token": token.expose_secret() });
    context.answer(&answer, |_| format!("{}\n", token.expose_secret()));
    Ok(())
}
