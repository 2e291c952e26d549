//! `sim`: simulated agents alone.

use anyhow::Context as _;
use dtma_sim::{Sim, SimConfig};
use store::{Database, DatabaseOptions};
use tokio_util::sync::CancellationToken;

use crate::ctl::Context;
use crate::exit::Failure;
use crate::{up, watch};

/// Options of `sim`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// What is simulated.
    #[command(flatten)]
    pub sim: SimConfig,
    /// Register the fleet in the database (DATABASE_URL), as the application that owns the tables would
    #[arg(long)]
    pub register: bool,
}

/// Simulates until `shutdown`.
///
/// # Errors
/// When the fleet cannot be started, or not be registered.
pub async fn run(context: &Context, options: Options, shutdown: CancellationToken) -> Result<(), Failure> {
    let database = if options.register {
        let options = DatabaseOptions::new(context.database_url()?);
        Some(Database::connect(&options).await.context("--register")?)
    } else {
        None
    };
    let sim = Sim::start(options.sim, shutdown).await?;
    if let Some(database) = database {
        up::demo::register(&database, &sim.fleet()).await?;
        database.close().await;
    }
    let ready = serde_json::json!({ "url": sim.base_url(), "toolboxes": sim.len() });
    watch::print_line(&ready.to_string())?;
    Ok(sim.wait().await?)
}
