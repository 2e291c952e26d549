//! `override`: an operator says what a server's status is, for a while.

use std::time::Duration;

use uuid::Uuid;
use wire::api::OverrideRequest;

use crate::ctl::Context;
use crate::ctl::servers::{Health, State};
use crate::exit::{Exit, Failure};
use crate::find;
use crate::show::command;

/// Options of `override`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Which server: its name, TOOLBOX/NAME, its id, or the beginning of its id
    pub server: String,
    /// The state to show
    #[arg(long, value_enum, required_unless_present = "clear")]
    pub state: Option<State>,
    /// The health to show; unknown if not given
    #[arg(long, value_enum)]
    pub health: Option<Health>,
    /// For how long, 10s to 168h
    #[arg(long = "for", value_name = "DURATION", value_parser = service::duration, required_unless_present = "clear")]
    pub lasts: Option<Duration>,
    /// Why, for everybody who sees it
    #[arg(long, value_name = "TEXT", required_unless_present = "clear")]
    pub message: Option<String>,
    /// Show again what is observed
    #[arg(long, conflicts_with_all = ["state", "health", "lasts", "message"])]
    pub clear: bool,
}

/// Sets or clears an override.
///
/// # Errors
/// When it is refused.
pub async fn run(context: &Context, options: &Options) -> Result<Exit, Failure> {
    let request = request(options)?;
    let client = context.client().await?;
    let found = find::server(&client, &options.server).await?;
    let key = Uuid::new_v4();
    let accepted = match &request {
        Some(request) => client.put_override(found.id, request, key).await?,
        None => client.clear_override(found.id, key).await?,
    };
    context.answer(&accepted, |look| command::line(&found.name, &accepted, look));
    Ok(command::exit(accepted.command.outcome, false))
}

/// What is asked for; `None`: that it is cleared.
fn request(options: &Options) -> Result<Option<OverrideRequest>, Failure> {
    let (Some(state), Some(lasts), Some(message)) = (options.state, options.lasts, &options.message) else {
        return Ok(None);
    };
    let expires_in = u32::try_from(lasts.as_secs())
        .map_err(|_| Failure::usage("an override lasts for a week at most (field for)"))?;
    Ok(Some(OverrideRequest {
        state: state.into(),
        health: options.health.map(Into::into),
        message: message.clone(),
        expires_in,
    }))
}
