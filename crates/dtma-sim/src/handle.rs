//! A running simulation in the hands of a test or a hosting program.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::action::ContainerAction;
use crate::container::Health;
use crate::error::SimError;
use crate::fields::BadField;
use crate::heartbeat;
use crate::misbehaviour::Order;
use crate::sim::Shared;
use crate::stats::{StatsReport, ToolboxStats};
use crate::toolbox::{ContainerView, Payload, Toolbox, ToolboxInfo};

/// A running simulation. What a script orders is done when the method returns: a poll that begins afterwards sees it.
///
/// Dropping the handle ends the simulation at once; [`SimHandle::shutdown`] waits for it to be over.
#[derive(Debug)]
pub struct SimHandle {
    shared: Arc<Shared>,
    tasks: JoinSet<anyhow::Result<()>>,
    shutdown: CancellationToken,
    kill: CancellationToken,
}

impl Drop for SimHandle {
    fn drop(&mut self) {
        self.shutdown.cancel();
        self.kill.cancel();
    }
}

impl SimHandle {
    pub(crate) fn new(
        shared: Arc<Shared>,
        tasks: JoinSet<anyhow::Result<()>>,
        shutdown: CancellationToken,
        kill: CancellationToken,
    ) -> Self {
        Self {
            shared,
            tasks,
            shutdown,
            kill,
        }
    }

    /// URL of the control API (below `/control`) and of the shared port, without a trailing slash.
    pub fn base_url(&self) -> &str {
        &self.shared.base_url
    }

    /// How many toolboxes there are.
    pub fn len(&self) -> usize {
        self.shared.fleet.toolboxes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.shared.fleet.toolboxes.is_empty()
    }

    /// The toolbox in place `index`.
    ///
    /// # Panics
    /// When the fleet has no such place.
    pub fn toolbox(&self, index: usize) -> ToolboxInfo {
        self.shared.fleet.toolboxes[index].info()
    }

    /// Every toolbox, in the seed's order.
    pub fn fleet(&self) -> Vec<ToolboxInfo> {
        self.shared.fleet.toolboxes.iter().map(Toolbox::info).collect()
    }

    /// The containers on a toolbox as its Docker sees them now, foreign ones too.
    ///
    /// # Errors
    /// When there is no such toolbox.
    pub fn containers(&self, toolbox: Uuid) -> Result<Vec<ContainerView>, SimError> {
        Ok(self.find(toolbox)?.views(self.shared.clock.now()))
    }

    /// Carries out an action on a container, named by its name, id, id prefix of 12 digits or instance id.
    ///
    /// # Errors
    /// When there is no such toolbox or container, or its state forbids the action.
    pub fn act(
        &self,
        toolbox: Uuid,
        container: &str,
        action: &ContainerAction,
    ) -> Result<ContainerView, SimError> {
        self.find(toolbox)?
            .act(container, action, self.shared.clock.now())
    }

    /// Starts a container: it runs when this returns.
    ///
    /// # Errors
    /// As [`SimHandle::act`].
    pub fn start_container(&self, toolbox: Uuid, container: &str) -> Result<ContainerView, SimError> {
        self.act(
            toolbox,
            container,
            &ContainerAction::Start {
                delay: Duration::ZERO,
            },
        )
    }

    /// Stops a container: it has exited with code 0 when this returns.
    ///
    /// # Errors
    /// As [`SimHandle::act`].
    pub fn stop_container(&self, toolbox: Uuid, container: &str) -> Result<ContainerView, SimError> {
        self.act(
            toolbox,
            container,
            &ContainerAction::Stop {
                exit_code: 0,
                delay: Duration::ZERO,
            },
        )
    }

    /// Ends a running container with this exit code; `oom` as the kernel does for memory.
    ///
    /// # Errors
    /// As [`SimHandle::act`].
    pub fn crash_container(
        &self,
        toolbox: Uuid,
        container: &str,
        exit_code: i32,
        oom: bool,
    ) -> Result<ContainerView, SimError> {
        self.act(toolbox, container, &ContainerAction::Crash { exit_code, oom })
    }

    /// Takes a container off the machine behind the agent's back.
    ///
    /// # Errors
    /// As [`SimHandle::act`].
    pub fn remove_container(&self, toolbox: Uuid, container: &str) -> Result<ContainerView, SimError> {
        self.act(
            toolbox,
            container,
            &ContainerAction::Remove {
                delay: Duration::ZERO,
            },
        )
    }

    /// Replaces a container by a running one with a new id; brings a removed one back.
    ///
    /// # Errors
    /// As [`SimHandle::act`].
    pub fn recreate_container(&self, toolbox: Uuid, container: &str) -> Result<ContainerView, SimError> {
        self.act(
            toolbox,
            container,
            &ContainerAction::Recreate {
                start: true,
                delay: Duration::ZERO,
            },
        )
    }

    /// Fixes the verdict of a container's health check.
    ///
    /// # Errors
    /// As [`SimHandle::act`].
    pub fn set_health(
        &self,
        toolbox: Uuid,
        container: &str,
        status: Option<Health>,
    ) -> Result<ContainerView, SimError> {
        self.act(toolbox, container, &ContainerAction::Health { status })
    }

    /// Lets an agent misbehave until it is cleared or the order's number of requests is used up.
    ///
    /// # Errors
    /// When there is no such toolbox, or a number is out of its range.
    pub fn misbehave(&self, toolbox: Uuid, order: impl Into<Order>) -> Result<(), SimError> {
        let order = order.into();
        order.check()?;
        self.find(toolbox)?.lock().faults.set(order);
        Ok(())
    }

    /// Lets the whole fleet misbehave.
    ///
    /// # Errors
    /// When a number is out of its range.
    pub fn misbehave_all(&self, order: impl Into<Order>) -> Result<(), SimError> {
        let order = order.into();
        order.check()?;
        for toolbox in &self.shared.fleet.toolboxes {
            toolbox.lock().faults.set(order.clone());
        }
        Ok(())
    }

    /// Ends every misbehaviour of an agent, and every payload it serves verbatim.
    ///
    /// # Errors
    /// When there is no such toolbox.
    pub fn clear(&self, toolbox: Uuid) -> Result<(), SimError> {
        self.find(toolbox)?.clear(None);
        Ok(())
    }

    /// Ends every misbehaviour in the fleet.
    pub fn clear_all(&self) {
        self.shared
            .fleet
            .toolboxes
            .iter()
            .for_each(|toolbox| toolbox.clear(None));
    }

    /// Lets an agent answer `GET path` with these bytes as JSON, verbatim, until cleared. The agent's check of the
    /// token stays.
    ///
    /// # Errors
    /// When there is no such toolbox, the path does not begin with a slash, or the toolbox serves too many already.
    pub fn serve_payload(&self, toolbox: Uuid, path: &str, body: impl Into<Bytes>) -> Result<(), SimError> {
        if !path.starts_with('/') {
            return Err(BadField::new("path", "must begin with `/`").into());
        }
        let content_type = "application/json; charset=utf-8".to_owned();
        self.find(toolbox)?.serve(
            path,
            Payload {
                status: 200,
                content_type,
                body: body.into(),
            },
        )
    }

    /// Posts a heartbeat of an agent now and gives the answer's status code.
    ///
    /// # Errors
    /// When there is no such toolbox, no heartbeat URL is configured, or the receiver does not answer.
    pub async fn heartbeat_now(&self, toolbox: Uuid) -> Result<u16, SimError> {
        heartbeat::post_now(&self.shared, self.find(toolbox)?, None).await
    }

    /// Posts these bytes as a heartbeat of an agent, verbatim, under its token.
    ///
    /// # Errors
    /// As [`SimHandle::heartbeat_now`].
    pub async fn post_heartbeat(&self, toolbox: Uuid, body: impl Into<Bytes>) -> Result<u16, SimError> {
        heartbeat::post_now(&self.shared, self.find(toolbox)?, Some(body.into())).await
    }

    /// Restarts the agent process: it forgets what it managed (commands for earlier containers are 404 from now on,
    /// dialect B knows no ids any more, dialect A and `managed` heartbeats list nothing) and sends its start-up heartbeat, unless it is silent or has nowhere to send it. Gives the answer's code.
    ///
    /// # Errors
    /// When there is no such toolbox, or the heartbeat's receiver does not answer.
    pub async fn restart_agent(&self, toolbox: Uuid) -> Result<Option<u16>, SimError> {
        self.shared.restart_agent(self.find(toolbox)?).await
    }

    /// What has been counted over the fleet.
    pub fn stats(&self) -> StatsReport {
        self.shared.stats()
    }

    /// What one toolbox has counted.
    ///
    /// # Errors
    /// When there is no such toolbox.
    pub fn toolbox_stats(&self, toolbox: Uuid) -> Result<ToolboxStats, SimError> {
        Ok(self.find(toolbox)?.lock().stats.clone())
    }

    /// Waits until the simulation is over, which it is after a shutdown or when a part of it fails.
    ///
    /// # Errors
    /// When a part ended without having been told to.
    pub async fn wait(mut self) -> anyhow::Result<()> {
        let mut outcome = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            let early = !self.shutdown.is_cancelled();
            self.shutdown.cancel();
            let ended = ended
                .context("a task of the simulation panicked")
                .and_then(|result| result);
            let ended = ended.and_then(|()| {
                anyhow::ensure!(!early, "a task of the simulation ended early");
                Ok(())
            });
            outcome = outcome.and(ended);
        }
        outcome
    }

    /// Ends the simulation: no new connections, answers under way get a moment, then everything is closed.
    ///
    /// # Errors
    /// As [`SimHandle::wait`].
    pub async fn shutdown(self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        self.wait().await
    }

    fn find(&self, toolbox: Uuid) -> Result<&Toolbox, SimError> {
        self.shared
            .fleet
            .by_id(toolbox)
            .ok_or_else(|| SimError::UnknownToolbox(toolbox.to_string()))
    }
}

impl Shared {
    pub(crate) async fn restart_agent(&self, toolbox: &Toolbox) -> Result<Option<u16>, SimError> {
        toolbox.forget_managed();
        if !self.heartbeats.are_sent() || toolbox.lock().faults.silent() {
            return Ok(None);
        }
        heartbeat::post_now(self, toolbox, None).await.map(Some)
    }

    pub(crate) fn stats(&self) -> StatsReport {
        let mut report = StatsReport {
            heartbeats_late: self.heartbeats_late.load(Ordering::Relaxed),
            chaos_events: self.chaos_events.load(Ordering::Relaxed),
            ..StatsReport::default()
        };
        for toolbox in &self.fleet.toolboxes {
            report.add(toolbox.id, toolbox.lock().stats.clone());
        }
        report
    }
}
