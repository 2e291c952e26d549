//! Simulated DTMA agents that behave, and misbehave, like the real ones: thousands of them in one process.
//!
//! The crate is the other side of the wire. What polls agents, commands them and takes their heartbeats is tested
//! against it, from single scripted cases ("the container crashes now, the agent hangs next") to the load of a whole
//! installation. It is written from the wire alone and shares no code with what it tests, so that a mistake cannot
//! cancel itself out.
//!
//! ```text
//!             seed ──► fleet: toolboxes ──► containers whose life is a function of (seed, scripts, now)
//!                        ▲        ▲   │
//!   chaos (one task) ────┘        │   ├──► GET /status, /tools/status, /health ─► faults ─► poller
//!   scripts: SimHandle, /control ─┘   ├◄── POST /tools…, start, stop, DELETE ◄── commands
//!                                     └──► POST /heartbeat (one scheduler, bounded) ─► receiver
//! ```
//!
//! # In a test
//!
//! ```no_run
//! # async fn test() -> anyhow::Result<()> {
//! use dtma_sim::{Misbehaviour, Sim, SimConfig};
//! use tokio_util::sync::CancellationToken;
//!
//! let sim = Sim::start(SimConfig { toolboxes: 2, ..SimConfig::default() }, CancellationToken::new()).await?;
//! let toolbox = sim.toolbox(0);
//! sim.crash_container(toolbox.id, &toolbox.instances[0].name, 137, true)?;
//! sim.misbehave(sim.toolbox(1).id, Misbehaviour::Hang)?;
//! // … poll toolbox.base_url with toolbox.token …
//! sim.shutdown().await
//! # }
//! ```
//!
//! # Over HTTP
//!
//! | request below [`SimHandle::base_url`] | does |
//! |---|---|
//! | `GET /control/fleet` | lists toolboxes with ids, accounts, base URLs, tokens, instances |
//! | `GET /control/toolboxes/{id or name}` | one toolbox with its containers, misbehaviour and counts |
//! | `GET …/containers/{name, id or instance id}` | one container |
//! | `POST …/containers/{…}/{action}` | an action of [`ContainerAction`], its fields as the body |
//! | `POST …/misbehave` | a [`Misbehaviour`] by `kind` and fields, with optional `scope` and `times` |
//! | `POST …/clear` | ends the misbehaviour of `kind`, or all of it and all served payloads |
//! | `POST …/heartbeat-now` | posts a heartbeat and gives the answer's code |
//! | `POST …/serve-payload` | serves `body` verbatim at `path`, or posts it with `heartbeat: true` |
//! | `POST …/restart-agent` | the agent forgets what it managed and sends its start-up heartbeat |
//! | `POST /control/misbehave`, `/control/clear` | the same for all, or for the ids in `toolboxes` |
//! | `GET /control/stats`, `GET …/stats` | requests by path, answers by code, concurrency, heartbeats |
//! | `DELETE /control/stats` | forgets the counts |
//!
//! An unknown name is a 404 with `{"error"}` naming it, a bad body a 400 naming the field, and what Docker would
//! refuse a 409.
//!
//! # What it must never do
//!
//! - Depend on a crate of this workspace, or be depended on outside tests, demonstrations and load.
//! - Open anything but its own ports, or hold real credentials: its tokens are made from the seed and listed openly,
//!   so it belongs on loopback or a closed network.
//! - Grow with time: what it keeps is bounded by the fleet's size and its configured limits.

mod action;
mod agent;
mod bomb;
mod catalog;
mod chaos;
mod clock;
mod config;
mod container;
mod control;
mod error;
mod faults;
mod fields;
mod fleet;
mod handle;
mod heartbeat;
mod human;
mod misbehaviour;
mod net;
mod payload;
mod registry;
mod seed;
mod sim;
mod stats;
mod toolbox;

pub use action::ContainerAction;
pub use clock::{Clock, ManualClock};
pub use config::{DialectMix, HeartbeatPath, HeartbeatStyle, Lifecycles, PayloadFile, SimConfig};
pub use container::{DockerState, Health};
pub use error::SimError;
pub use fields::BadField;
pub use handle::SimHandle;
pub use human::human_duration;
pub use misbehaviour::{Misbehaviour, Order, Scope};
pub use sim::Sim;
pub use stats::{HeartbeatStats, StatsReport, ToolboxStats};
pub use toolbox::{ContainerView, Dialect, InstanceInfo, ToolboxInfo};

use tokio_util::sync::CancellationToken;

/// Runs a simulation until `shutdown` is cancelled.
///
/// # Errors
/// As [`Sim::start`], and when a part of the simulation ends early.
pub async fn run(config: SimConfig, shutdown: CancellationToken) -> anyhow::Result<()> {
    run_with(config, shutdown, |_| Ok(())).await
}

/// Runs a simulation until `shutdown` is cancelled and calls `ready` once it answers.
///
/// # Errors
/// As [`run`], and when `ready` fails.
pub async fn run_with(
    config: SimConfig,
    shutdown: CancellationToken,
    ready: impl FnOnce(&SimHandle) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let sim = Sim::start(config, shutdown).await?;
    ready(&sim)?;
    sim.wait().await
}
