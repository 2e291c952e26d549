//! Who settles a toolbox when it is asked to, in place of the mapper.

use std::sync::Arc;

use domain::ServerId;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wire::subjects;

use crate::ground::Ground;

/// A mapper's stand-in: shows what commands, overrides and intents say, and nothing else.
pub(crate) struct StandIn {
    shutdown: CancellationToken,
    running: JoinHandle<()>,
}

impl StandIn {
    /// Answers until it is stopped.
    pub(crate) async fn new(ground: &Arc<Ground>) -> Self {
        let shutdown = CancellationToken::new();
        let running = tokio::spawn({
            let (ground, shutdown) = (Arc::clone(ground), shutdown.clone());
            async move {
                let bus = ground.bus.clone();
                let answering = bus.answer(
                    subjects::WAKES.to_owned(),
                    Some("mapper"),
                    8,
                    shutdown,
                    |request| {
                        let ground = Arc::clone(&ground);
                        async move {
                            settle(&ground, subjects::toolbox_of(&request.subject)?.0).await;
                            Some("".into())
                        }
                    },
                );
                answering.await.unwrap();
            }
        });
        let stand_in = Self { shutdown, running };
        // Until it is heard.
        crate::ground::eventually("the stand-in answers", async || {
            let subject = subjects::wake(domain::ToolboxId(Uuid::nil()));
            ground
                .bus
                .request(subject, "".into(), std::time::Duration::from_secs(1))
                .await
                .ok()
        })
        .await;
        stand_in
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.unwrap();
    }
}

async fn settle(ground: &Ground, toolbox: Uuid) {
    let changed: Vec<Uuid> = sqlx::query_scalar(
        "UPDATE account_tool_instances AS i SET
            mcp_state = COALESCE(i.override_state, c.state, i.mcp_state),
            status_on_toolbox = COALESCE(c.label, i.status_on_toolbox),
            status_version = i.status_version + 1, status_changed_at = now()
        FROM account_tool_instances AS same
        LEFT JOIN LATERAL (
            SELECT CASE kind WHEN 'start' THEN 'starting' WHEN 'restart' THEN 'starting' ELSE 'stopping' END AS state,
                CASE kind WHEN 'start' THEN 'starting_on_toolbox' WHEN 'restart' THEN 'starting_on_toolbox'
                    WHEN 'stop' THEN 'stopping_on_toolbox' ELSE 'pending_delete' END AS label
            FROM status_commands WHERE server_id = same.id AND finished_at IS NULL AND deadline IS NOT NULL
        ) AS c ON true
        WHERE i.id = same.id AND i.account_tool_environment_id = $1 RETURNING i.id",
    )
    .bind(toolbox)
    .fetch_all(&ground.pool)
    .await
    .unwrap();
    for server in changed {
        ground.publish(ServerId(server)).await;
    }
}

/// Ends a command as the mapper does when a report shows its effect.
pub(crate) async fn finish(ground: &Ground, command: &str, outcome: &str) {
    let command: Uuid = command.parse().unwrap();
    sqlx::query(
        "UPDATE status_commands SET finished_at = now(), closed_at = now(), outcome = $2 WHERE id = $1",
    )
    .bind(command)
    .bind(outcome)
    .execute(&ground.pool)
    .await
    .unwrap();
}
