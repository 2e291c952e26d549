//! What a report means: the pure heart of status synchronisation.
//!
//! ```text
//!  Report ──► fold(toolbox, servers, reports, now) ──► Fold { rows to write, changes to announce, counts }
//!                       │
//!                       ├─ order:   is this report newer than what the row has?
//!                       ├─ observe: word → DTMA status → status_on_toolbox, start time, incarnation
//!                       ├─ command: what was asked of it, and whether that had its effect
//!                       └─ settle:  facts + now → state, health, last_error  (the sweep calls this one alone)
//! ```
//!
//! Facts (what an agent last said, and when) and the view (what people see) are kept apart: the view is a
//! function of the facts and the time, so a report, the passing of time and a late replay all go through the
//! same [`settle`], and there is nothing to keep in step.
//!
//! This crate must never read a clock, the environment or randomness, never do I/O, and never panic on any
//! input: time is an argument everywhere.

mod blind;
mod cadence;
mod change;
mod command;
mod docker;
mod fold;
mod id;
mod labels;
mod operator;
mod order;
mod reason;
mod report;
mod server;
mod settle;
mod status;
mod thresholds;
mod time;
mod toolbox;

pub use blind::{FleetSilence, observer_blind};
pub use cadence::{
    CadencePolicy, Dialect, Interest, PollPlan, first_plan, plan_after_heartbeat, plan_after_poll,
};
pub use change::{Cause, Change, ServerChange};
pub use command::{Action, Command, CommandEnd, Ended, Execution};
pub use docker::{DockerHealth, StatusText, UpFor};
pub use fold::{Counts, Fold, fold};
pub use id::{AccountId, CommandId, ConnectionId, ContainerId, InstanceName, ServerId, ToolboxId};
pub use labels::UnknownLabel;
pub use operator::Override;
pub use order::Order;
pub use reason::{LastError, Reason, ReasonCode, sanitise};
pub use report::{AgentFailure, ContainerReport, Coverage, InstanceRef, Outcome, Report, Source};
pub use server::{Observation, Server};
pub use settle::{Circumstances, View, settle, uptime};
pub use status::{Desired, DtmaStatus, Health, McpState, StatusOnToolbox, dtma_status, label_for, state_for};
pub use thresholds::Thresholds;
pub use toolbox::{AgentStatus, Toolbox};
