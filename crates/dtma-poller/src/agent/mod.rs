//! What agents say: every generation's status answers and heartbeats, read into one form.
//!
//! ```text
//!  GET /tools/status  B ──┐
//!  GET /status      A, C ─┼─► Said { agent's clock and version, RawOutcome }
//!  POST /heartbeat        ┘      every container, or alive without a list
//! ```
//!
//! | said | an item is told by | coverage |
//! |---|---|---|
//! | B, `/tools/status` | `account_tool_instance_id`, else `instance_name_on_toolbox`; `status` is the word | whole |
//! | C, `/status` | `names`; `state` is the word, `status` Docker's text | whole |
//! | A, `/status` | `account_tool_instance_id`; `status` is the word | partial |
//! | heartbeat by names | as C | whole |
//! | heartbeat by instance | `account_tool_instance_id`; `status_on_toolbox` is the word | partial |
//! | heartbeat without items | | alive: it says nothing of any container |
//! | an error in place of C's list | `error` | alive, `docker_unavailable` |
//!
//! A list is taken for whole only when every item of it says so: an error between containers, or items of another
//! shape, make it partial, because absence must never be guessed. Fields that are not known are ignored; a known
//! field of the wrong type refuses the whole body and is named.
//!
//! This module is pure and total: no body, however hostile, makes it panic, recurse or allocate more than a small
//! multiple of the body's length, and everything it returns is accepted by [`wire::RawReport::into_report`].

mod item;
mod json;

use domain::{Dialect, Reason, ReasonCode};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use wire::{RawContainer, RawCoverage, RawOutcome, RawReport};

use item::{Item, Kind, Says};
use json::{Raw, cut, instant, list, object, text};

pub use json::Unreadable;

/// Longest agent version kept, in bytes.
const MAX_VERSION: usize = 64;

/// What an agent said in one answer or heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Its clock, where it told it.
    pub agent_time: Option<Timestamp>,
    /// Its version, where it told it.
    pub agent_version: Option<String>,
    /// [`RawOutcome::Containers`] or [`RawOutcome::Alive`], never a failure.
    pub outcome: RawOutcome,
}

#[derive(Deserialize)]
struct Top<'a> {
    #[serde(borrow)]
    tool_instances: Raw<'a>,
    #[serde(borrow)]
    tool_statuses: Raw<'a>,
    #[serde(borrow)]
    timestamp: Raw<'a>,
    #[serde(borrow)]
    version: Raw<'a>,
    #[serde(borrow)]
    dtma_version: Raw<'a>,
}

/// Reads the answer to a status request on the route of `dialect`.
///
/// # Errors
/// [`Unreadable`], when the body is not what any generation answers there.
pub fn read_status(dialect: Dialect, body: &[u8]) -> Result<Said, Unreadable> {
    let top = top(body)?;
    let items = items(top.tool_instances, "tool_instances")?;
    let all_named = items.iter().all(|item| item.kind == Kind::Named);
    let whole = match dialect {
        Dialect::Tools => true,
        // An empty list is C's only where nothing speaks for A; A leaves out what it does not manage.
        Dialect::Status if items.is_empty() => top.dtma_version.is_none() && top.version.is_some(),
        Dialect::Status => all_named,
    };
    said(&top, outcome(items, whole))
}

/// Reads a heartbeat.
///
/// # Errors
/// [`Unreadable`], when the body is not what any generation sends.
pub fn read_heartbeat(body: &[u8]) -> Result<Said, Unreadable> {
    let top = top(body)?;
    let items = items(top.tool_statuses, "tool_statuses")?;
    if items.is_empty() {
        return said(&top, RawOutcome::Alive { problem: None });
    }
    let whole = items.iter().all(|item| item.kind == Kind::Named);
    said(&top, outcome(items, whole))
}

fn top(body: &[u8]) -> Result<Top<'_>, Unreadable> {
    object(json::body(body)?).map_err(|error| error.under("body"))
}

fn items(raw: Raw<'_>, field: &str) -> Result<Vec<Item>, Unreadable> {
    let few = list::<&RawValue>(raw, field, RawReport::MAX_CONTAINERS, "a list")?;
    if few.more {
        return Err(Unreadable::wrong(field, "at most 5000 items"));
    }
    few.items
        .into_iter()
        .enumerate()
        .map(|(at, raw)| item::read(raw).map_err(|error| error.under(format_args!("{field}[{at}]"))))
        .collect()
}

fn outcome(items: Vec<Item>, whole: bool) -> RawOutcome {
    let mut containers: Vec<RawContainer> = Vec::with_capacity(items.len());
    let mut trouble = None;
    for item in items {
        match item.says {
            Says::Container(container) => containers.push(*container),
            Says::Trouble(words) => trouble = trouble.or(Some(words)),
        }
    }
    match trouble {
        Some(words) if containers.is_empty() => {
            let message = format!("the agent cannot ask its Docker engine: {words}");
            RawOutcome::Alive {
                problem: Some((&Reason::new(ReasonCode::DockerUnavailable, message)).into()),
            }
        }
        Some(_) => RawOutcome::Containers {
            coverage: RawCoverage::Partial,
            containers,
        },
        None => {
            let coverage = if whole {
                RawCoverage::Whole
            } else {
                RawCoverage::Partial
            };
            RawOutcome::Containers { coverage, containers }
        }
    }
}

fn said(top: &Top<'_>, outcome: RawOutcome) -> Result<Said, Unreadable> {
    let version = match text(top.dtma_version, "dtma_version")? {
        Some(version) => Some(version),
        None => text(top.version, "version")?,
    };
    Ok(Said {
        agent_time: instant(top.timestamp, "timestamp")?,
        agent_version: version.map(|version| cut(version, MAX_VERSION)),
        outcome,
    })
}

#[cfg(test)]
mod tests;
