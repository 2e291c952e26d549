//! `statusctl doctor`: looks at everything it can reach, says what is wrong, and what to do about it.
//!
//! ```text
//!  NATS, PostgreSQL, status-api, /readyz, agents ─► facts (read only) ─► judge (pure) ─► findings ─► lines or JSON
//! ```
//!
//! It changes nothing: no stream is made, no row written, no schedule touched. What it has no access to is said to be
//! skipped, and is no error.

mod agents;
mod base;
mod finding;
mod judge;
mod nats;
pub mod runbook;
mod services;

use std::path::PathBuf;

use jiff::Timestamp;

use crate::ctl::Context;
use crate::exit::{Exit, Failure};
use crate::show::json;

/// Options of `doctor`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// NATS server to look at; also NATS_URL, else that of the profile or of `statusctl up`
    #[arg(long, value_name = "URL")]
    pub nats_url: Option<String>,
    /// Credentials file to log in to NATS with; also NATS_CREDENTIALS
    #[arg(long, value_name = "FILE")]
    pub nats_credentials: Option<PathBuf>,
    /// Ask every agent from here, too: GET /health, without a token
    #[arg(long)]
    pub probe: bool,
}

/// Looks, and says.
///
/// # Errors
/// When it is not known where to look; what is found wrong is no error of its own.
pub async fn run(context: &Context, options: &Options) -> Result<Exit, Failure> {
    let installation =
        context.installation_with(options.nats_url.clone(), options.nats_credentials.clone())?;
    let now = || context.now();
    let (nats, base, services) = tokio::join!(
        nats::facts(installation.nats.as_ref(), now),
        base::facts(installation.database.as_ref(), now),
        services::facts(context, &installation),
    );
    let probes = match options.probe {
        true => Some(agents::probe(&nats, &base).await),
        false => None,
    };
    let mut findings = judge::nats(&nats);
    findings.extend(judge::database(&base, context.now()));
    findings.extend(judge::registry(&nats, &base));
    findings.extend(judge::services(&services));
    findings.extend(judge::agents(&base, &services, probes.as_deref()));
    if context.global.json {
        context.print(&json(&findings));
    } else {
        context.print(&finding::report(&findings, context.look()));
    }
    Ok(finding::exit(&findings))
}

/// How far another clock is ahead of ours, in milliseconds: it was read between two looks at ours.
fn ahead(before: Timestamp, theirs: Timestamp, after: Timestamp) -> i64 {
    let middle = before.as_millisecond().midpoint(after.as_millisecond());
    theirs.as_millisecond() - middle
}
