//! Brings the schema of the database named by `DATABASE_URL` up to date: for scripts and containers that migrate before
//! the services start.

use anyhow::Context as _;
use store::{Database, DatabaseOptions};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a program of its own, with this one setting"
    )]
    let url = std::env::var("DATABASE_URL").context("failed to read DATABASE_URL")?;
    let database = Database::connect(&DatabaseOptions::new(url.into())).await?;
    database.migrate().await?;
    database.close().await;
    Ok(())
}
