//! One simulated machine: Docker's containers, the agent's memory of what it manages, and what goes wrong with it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use uuid::Uuid;

use crate::action::{ContainerAction, valid_name};
use crate::catalog;
use crate::clock::shift;
use crate::container::{Container, DockerState, Health, Life};
use crate::error::SimError;
use crate::faults::Faults;
use crate::fields::BadField;
use crate::human::status_text;
use crate::seed::{Lane, Seed, hex};
use crate::stats::ToolboxStats;

/// Containers one machine can hold; installs beyond it fail as they do on a full disk.
pub(crate) const MAX_CONTAINERS: usize = 1_000;

/// Payloads one toolbox can be told to serve verbatim.
const MAX_PAYLOADS: usize = 16;

/// The generation of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// `GET /status`, authenticated, of managed instances by id.
    A,
    /// `GET /tools/status`, authenticated, of every container; `GET /status` is open as in C.
    B,
    /// `GET /status`, open, of every container by name.
    OpenC,
}

/// What an agent's heartbeats say of containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BeatStyle {
    Names,
    Managed,
    Empty,
}

/// A tool instance as the application's database would know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InstanceInfo {
    /// `account_tool_instance_id`
    pub id: Uuid,
    /// `instance_name_on_toolbox`: the container's name.
    pub name: String,
}

/// What a registry has to know of a toolbox to poll it and to recognise its heartbeats.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct ToolboxInfo {
    /// The toolbox.
    pub id: Uuid,
    /// The account that owns it.
    pub account_id: Uuid,
    /// `toolbox-00001` and so on.
    pub name: String,
    /// Where its agent answers, without a trailing slash.
    pub base_url: String,
    /// The agent's bearer token, 64 hexadecimal digits. Left out of `Debug`.
    pub token: String,
    /// The agent's generation.
    pub dialect: Dialect,
    /// Its instances. Containers that belong to nobody are not among them.
    pub instances: Vec<InstanceInfo>,
}

impl fmt::Debug for ToolboxInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolboxInfo")
            .field("id", &self.id)
            .field("account_id", &self.account_id)
            .field("name", &self.name)
            .field("base_url", &self.base_url)
            .field("dialect", &self.dialect)
            .field("instances", &self.instances)
            .finish_non_exhaustive()
    }
}

/// A container as the machine's Docker sees it now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ContainerView {
    /// Its name.
    pub name: String,
    /// Its 64-digit id.
    pub container_id: String,
    /// The instance it belongs to, if any.
    pub instance_id: Option<Uuid>,
    /// Whether the agent remembers it: only then do commands reach it.
    pub managed: bool,
    /// Docker's state.
    pub state: DockerState,
    /// Docker's text, such as `Up 2 hours (unhealthy)`.
    pub status: String,
    /// Exit code of the last run; 0 while it runs.
    pub exit_code: i32,
    /// Whether the last run was ended for memory.
    pub oom_killed: bool,
    /// The verdict of its health check, while it runs and has one.
    pub health: Option<Health>,
    /// When the last run began.
    pub started_at: Option<Timestamp>,
    /// When the last run ended.
    pub finished_at: Option<Timestamp>,
}

/// An answer to serve verbatim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Payload {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: Bytes,
}

/// The time on one machine: the true instant, and how far its clock is off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MachineTime {
    pub(crate) now: Timestamp,
    pub(crate) offset: SignedDuration,
}

impl MachineTime {
    /// An instant as this machine would write it down.
    pub(crate) fn stamp(self, at: Timestamp) -> Timestamp {
        shift(at, self.offset)
    }
}

/// One machine. What never changes stands here, the rest behind the lock, which is never held across an await.
pub(crate) struct Toolbox {
    pub(crate) seed: Seed,
    pub(crate) id: Uuid,
    pub(crate) account_id: Uuid,
    pub(crate) name: String,
    pub(crate) token: String,
    pub(crate) dialect: Dialect,
    pub(crate) style: BeatStyle,
    pub(crate) base_url: String,
    pub(crate) port: u16,
    pub(crate) booted: Timestamp,
    pub(crate) clock_offset: SignedDuration,
    pub(crate) state: Mutex<State>,
}

impl fmt::Debug for Toolbox {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Toolbox")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("base_url", &self.base_url)
            .finish_non_exhaustive()
    }
}

/// What changes on a machine.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// What Docker has.
    pub(crate) containers: Vec<Container>,
    /// The agent's memory: container name to instance. Lost when the agent restarts.
    pub(crate) managed: BTreeMap<String, Uuid>,
    /// What the application's database would hold.
    pub(crate) instances: Vec<InstanceInfo>,
    pub(crate) faults: Faults,
    pub(crate) payloads: BTreeMap<String, Payload>,
    pub(crate) stats: ToolboxStats,
    /// Containers ever made here: the next one's place in the seed's tree.
    pub(crate) births: u64,
}

impl Toolbox {
    /// The changing part.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // Every change leaves the state whole, so a panic elsewhere while it was held does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The changing part as it stands at `now`.
    pub(crate) fn settled(&self, now: Timestamp) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        state.containers.retain_mut(|container| container.settle(now));
        state
    }

    pub(crate) fn info(&self) -> ToolboxInfo {
        ToolboxInfo {
            id: self.id,
            account_id: self.account_id,
            name: self.name.clone(),
            base_url: self.base_url.clone(),
            token: self.token.clone(),
            dialect: self.dialect,
            instances: self.lock().instances.clone(),
        }
    }

    pub(crate) fn time(&self, state: &State, now: Timestamp) -> MachineTime {
        MachineTime {
            now,
            offset: state.faults.clock_offset().unwrap_or(self.clock_offset),
        }
    }

    pub(crate) fn version(&self) -> &'static str {
        match self.dialect {
            Dialect::B => "1.0.0",
            Dialect::A | Dialect::OpenC => "0.1.0",
        }
    }

    /// An id no container of the fleet has had.
    pub(crate) fn fresh_id(&self, state: &mut State) -> [u8; 32] {
        let id = self.seed.at(Lane::Container, state.births).bytes();
        state.births += 1;
        id
    }

    /// Every container as it is at `now`.
    pub(crate) fn views(&self, now: Timestamp) -> Vec<ContainerView> {
        let state = self.settled(now);
        state
            .containers
            .iter()
            .map(|container| state.view(container, now))
            .collect()
    }

    /// One container, by name, id, id prefix of 12 digits or instance id.
    pub(crate) fn view_of(&self, key: &str, now: Timestamp) -> Result<ContainerView, SimError> {
        let state = self.settled(now);
        let index = state.find(key).ok_or_else(|| self.unknown(key))?;
        Ok(state.view(&state.containers[index], now))
    }

    /// Carries out a scripted action and says what came of it.
    pub(crate) fn act(
        &self,
        key: &str,
        action: &ContainerAction,
        now: Timestamp,
    ) -> Result<ContainerView, SimError> {
        let mut state = self.settled(now);
        let index = match state.find(key) {
            Some(index) => index,
            None if matches!(action, ContainerAction::Recreate { .. }) => {
                self.bring_back(&mut state, key, now)?
            }
            None => return Err(self.unknown(key)),
        };
        match action {
            ContainerAction::Rename { to } if !valid_name(to) => {
                return Err(BadField::new("to", "must be a container name").into());
            }
            ContainerAction::Rename { to } if state.by_name(to).is_some() => {
                return Err(SimError::Refused(format!(
                    "toolbox `{}` has a container `{to}` already",
                    self.name
                )));
            }
            ContainerAction::Recreate { .. } => {
                let id = self.fresh_id(&mut state);
                state.containers[index].id = id;
            }
            _ => {}
        }
        action
            .apply(&mut state.containers[index], now)
            .map_err(SimError::Refused)?;
        Ok(state.view(&state.containers[index], now))
    }

    /// Makes a container for an instance that has none.
    fn bring_back(&self, state: &mut State, key: &str, now: Timestamp) -> Result<usize, SimError> {
        let known = |instance: &&InstanceInfo| instance.name == key || instance.id.to_string() == key;
        let name = state
            .instances
            .iter()
            .find(known)
            .map(|instance| instance.name.clone())
            .ok_or_else(|| self.unknown(key))?;
        let image = catalog::image_of(&name);
        state.containers.push(catalog::container(
            [0; 32],
            &name,
            image,
            "node server.js",
            now,
            Life::Created,
        ));
        Ok(state.containers.len() - 1)
    }

    fn unknown(&self, key: &str) -> SimError {
        SimError::UnknownContainer {
            toolbox: self.name.clone(),
            container: key.to_owned(),
        }
    }

    /// The agent process starts anew and remembers nothing it managed.
    pub(crate) fn forget_managed(&self) {
        self.lock().managed.clear();
    }

    /// Serves `payload` at `path` from now on.
    pub(crate) fn serve(&self, path: &str, payload: Payload) -> Result<(), SimError> {
        let mut state = self.lock();
        if state.payloads.len() >= MAX_PAYLOADS && !state.payloads.contains_key(path) {
            return Err(SimError::Refused(format!(
                "toolbox `{}` serves {MAX_PAYLOADS} payloads already",
                self.name
            )));
        }
        state.payloads.insert(path.to_owned(), payload);
        Ok(())
    }

    /// Ends the misbehaviour of this kind, or all of it and every payload served verbatim.
    pub(crate) fn clear(&self, kind: Option<&str>) {
        let mut state = self.lock();
        match kind {
            Some(kind) => state.faults.clear_kind(kind),
            None => {
                state.faults = Faults::default();
                state.payloads.clear();
            }
        }
    }
}

impl State {
    pub(crate) fn by_name(&self, name: &str) -> Option<usize> {
        self.containers
            .iter()
            .position(|container| container.name == name)
    }

    /// The container a script means.
    pub(crate) fn find(&self, key: &str) -> Option<usize> {
        self.by_name(key).or_else(|| {
            let instance = key.parse().ok().and_then(|id: Uuid| {
                let known = self.instances.iter().find(|instance| instance.id == id)?;
                self.by_name(&known.name)
            });
            let by_id = |container: &Container| key.len() >= 12 && hex(&container.id).starts_with(key);
            instance.or_else(|| self.containers.iter().position(by_id))
        })
    }

    pub(crate) fn view(&self, container: &Container, now: Timestamp) -> ContainerView {
        let seen = container.observe(now);
        ContainerView {
            name: container.name.clone(),
            container_id: container.hex_id(),
            instance_id: self
                .instances
                .iter()
                .find(|it| it.name == container.name)
                .map(|it| it.id),
            managed: self.managed.contains_key(&container.name),
            state: seen.state,
            status: status_text(&seen, now),
            exit_code: seen.exit_code,
            oom_killed: seen.oom_killed,
            health: seen.health,
            started_at: seen.started,
            finished_at: seen.finished,
        }
    }
}
