//! Whether this replica can do its work: what `/readyz` answers, and when the host is told that it may go on.

use std::time::Duration;

use bus::Line;
use service::{Lifecycle, Readiness};
use store::Database;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::pace::Rounds;

/// The database answers, and has our tables.
pub(crate) const DATABASE: &str = "database";
/// There is a connection to NATS.
pub(crate) const NATS: &str = "nats";
/// The streams are as they must be.
pub(crate) const STREAMS: &str = "streams";
/// The registry has been mirrored, by this replica or another.
pub(crate) const REGISTRY: &str = "registry";
/// All of them.
pub(crate) const CHECKS: [&str; 4] = [DATABASE, NATS, STREAMS, REGISTRY];

/// How often the two are asked. Cheap, and a load balancer asks no more often.
const EVERY: Duration = Duration::from_secs(1);
/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(3);

/// Watches the database and the connection, and tells the host once all is well for the first time.
pub(crate) async fn run(
    database: Database,
    line: Line,
    readiness: Readiness,
    lifecycle: Lifecycle,
    url: String,
) -> anyhow::Result<()> {
    let mut rounds = Rounds::every(EVERY, lifecycle.shutdown.clone());
    let mut told = false;
    while rounds.next().await {
        readiness.set(DATABASE, usable(&database).await);
        readiness.set(
            NATS,
            if line.is_up() {
                Ok(())
            } else {
                Err("not connected".to_owned())
            },
        );
        if !told && readiness.get().is_ok() {
            told = true;
            tracing::info!(url, "ready");
            lifecycle.ready(url.as_str());
        }
    }
    Ok(())
}

/// Asks something of a table of ours: a database without them is of no use yet.
pub(crate) async fn usable(database: &Database) -> Result<(), String> {
    match tokio::time::timeout(PATIENCE, store::outbox::oldest_unpublished(database.pool())).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {PATIENCE:?}")),
    }
}

/// Makes streams and shared consumers that are missing, and checks those that are there, until shutdown: for all services,
/// since permissions let no other make them.
///
/// The first time a difference is an error: a service must not start on streams that are not what it needs. Later it is
/// told and makes the replica unready, but the work goes on as far as it does.
pub(crate) async fn streams(
    mut line: Line,
    readiness: Readiness,
    every: Duration,
    ensured: watch::Sender<bool>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let Some(bus) = line.first(&shutdown).await else {
        return Ok(());
    };
    let mut rounds = Rounds::every(every, shutdown.clone());
    let mut differ = false;
    while rounds.next().await {
        let ensuring = async {
            bus.ensure_streams().await?;
            bus.ensure_consumers().await
        };
        let outcome = match ensuring.await {
            Ok(()) => {
                ensured.send_replace(true);
                if std::mem::take(&mut differ) {
                    tracing::info!("the streams are as they must be again");
                }
                Ok(())
            }
            // An outage, which the connection's own check tells.
            Err(error) if error.is_transient() => Err(error.to_string()),
            Err(error) if !*ensured.borrow() => return Err(error.into()),
            Err(error) => {
                // Once: a difference that stands is not news every few seconds.
                if !std::mem::replace(&mut differ, true) {
                    tracing::error!(%error, "the streams are not as they must be");
                }
                Err(error.to_string())
            }
        };
        readiness.set(STREAMS, outcome);
    }
    Ok(())
}
