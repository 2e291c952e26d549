//! `migrate`: the database's schema brought up to date, as a step of its own before services of a new version start.

use std::time::Duration;

use store::{Database, DatabaseOptions, ErrorKind, StoreError, inspect};

use crate::ctl::Context;
use crate::exit::{Exit, Failure};

/// Between attempts. A database that starts, or a table that is in use for a moment, needs seconds.
const PAUSE: Duration = Duration::from_secs(1);

/// Options of `migrate`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// How long to try again where the database is away, or a table in use
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = service::duration)]
    pub wait: Duration,
}

/// Migrates, and says what was done.
///
/// # Errors
/// When the database cannot be reached in time, or refuses.
pub async fn run(context: &Context, options: &Options) -> Result<(), Failure> {
    let database = Database::connect_lazy(&DatabaseOptions::new(context.database_url()?))
        .map_err(|error| Failure::usage(error.to_string()))?;
    let began = tokio::time::Instant::now();
    let applied = loop {
        match once(&database).await {
            Ok(applied) => break applied,
            Err(error) if error.kind() == ErrorKind::Transient => {
                let text = format!("{:#}", anyhow::Error::from(error));
                if began.elapsed() >= options.wait {
                    return Err(Failure::new(Exit::Unreachable, text));
                }
                tracing::info!(error = text, "the database cannot be migrated yet");
            }
            Err(error) => return Err(anyhow::Error::from(error).into()),
        }
        tokio::time::sleep(PAUSE).await;
    };
    database.close().await;
    let text = if applied.is_empty() {
        "the schema was up to date".to_owned()
    } else {
        format!("applied {}", applied.join(", "))
    };
    context.told(&serde_json::json!({ "applied": applied }), &text);
    Ok(())
}

/// What was missing, and no longer is.
async fn once(database: &Database) -> Result<Vec<String>, StoreError> {
    let missing = inspect::migrations(&mut *database.begin().await?).await?.missing;
    database.migrate().await?;
    Ok(missing)
}
