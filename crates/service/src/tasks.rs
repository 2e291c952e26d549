//! Supervised tasks: none is an orphan, and one that ends early ends the service.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// How long a service may take to stop: under the 30 s that container engines give, with room to flush telemetry.
const GRACE: Duration = Duration::from_secs(20);

/// The tasks of one service. Dropping it aborts them.
#[derive(Debug, Default)]
pub struct Tasks {
    set: JoinSet<(&'static str, anyhow::Result<()>)>,
}

impl Tasks {
    /// Starts a task that is to run until shutdown.
    pub fn spawn<F>(&mut self, name: &'static str, task: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.set.spawn(async move { (name, task.await) });
    }

    /// Runs until `shutdown`, then waits for all tasks, at most 20 s. A task that ends or fails before that cancels
    /// `shutdown`, so that the others drain, and is the error.
    ///
    /// # Errors
    /// Names the task that ended early, failed, panicked, or did not stop in time.
    pub async fn run(mut self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut outcome = tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            Some(ended) = self.set.join_next() => match named(ended) {
                // Shutdown may have come while the task was ending.
                Ok(_) if shutdown.is_cancelled() => Ok(()),
                Ok(name) => Err(anyhow!("task {name} ended by itself")),
                Err(error) => Err(error),
            },
        };
        shutdown.cancel();
        let drained = tokio::time::timeout(GRACE, async {
            let mut first = Ok(());
            while let Some(ended) = self.set.join_next().await {
                if let Err(error) = named(ended) {
                    tracing::error!(error = format!("{error:#}"), "task failed while stopping");
                    first = first.and(Err(error));
                }
            }
            first
        })
        .await
        .unwrap_or_else(|_| Err(anyhow!("tasks did not stop within {GRACE:?}")));
        if outcome.is_ok() {
            outcome = drained;
        }
        outcome
    }
}

fn named(ended: Result<(&'static str, anyhow::Result<()>), JoinError>) -> anyhow::Result<&'static str> {
    match ended {
        Ok((name, result)) => result
            .map(|()| name)
            .with_context(|| format!("task {name} failed")),
        Err(error) => Err(anyhow!(error).context("a task panicked")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_early_ends_all() {
        let shutdown = CancellationToken::new();
        let mut tasks = Tasks::default();
        tasks.spawn("short", async { Ok(()) });
        let until = shutdown.clone();
        tasks.spawn("long", async move {
            until.cancelled().await;
            Ok(())
        });
        let error = tasks.run(shutdown.clone()).await.unwrap_err();
        assert_eq!(error.to_string(), "task short ended by itself");
        assert!(shutdown.is_cancelled());
    }

    #[tokio::test]
    async fn shutdown_is_no_error_and_a_failure_while_stopping_is() {
        for fails in [false, true] {
            let shutdown = CancellationToken::new();
            let mut tasks = Tasks::default();
            let until = shutdown.clone();
            tasks.spawn("worker", async move {
                until.cancelled().await;
                if fails { Err(anyhow!("flush")) } else { Ok(()) }
            });
            shutdown.cancel();
            let outcome = tasks.run(shutdown).await.map_err(|error| format!("{error:#}"));
            assert_eq!(
                outcome,
                if fails {
                    Err("task worker failed: flush".to_owned())
                } else {
                    Ok(())
                }
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_stop_is_named_as_such() {
        let shutdown = CancellationToken::new();
        let mut tasks = Tasks::default();
        tasks.spawn("stuck", std::future::pending());
        shutdown.cancel();
        let error = tasks.run(shutdown).await.unwrap_err();
        assert!(error.to_string().contains("did not stop"), "{error}");
    }
}
