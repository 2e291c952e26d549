//! One item of a status list or heartbeat, of whichever shape.

use domain::{ContainerId, InstanceName};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;
use wire::{RawContainer, RawReport};

use super::json::{Raw, Unreadable, cut, instant, list, object, plain, text};

/// Names kept of one container: Docker gives one, and a few more only with its long-deprecated links.
const MAX_NAMES: usize = 8;
/// Longest status text kept, in bytes: Docker's longest has 40.
const MAX_TEXT: usize = 256;
/// Longest image name kept, in bytes: a registry reference with a digest fits.
const MAX_IMAGE: usize = 512;

/// What one item says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) kind: Kind,
    pub(super) says: Says,
}

/// How an item is built, which tells what kind of list it stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Shape C: any container on the machine, by its names.
    Named,
    /// Shapes A and B, and heartbeats of managed instances: by the instance's id or name.
    Instance,
}

/// A container, or why there is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Says {
    Container(Box<RawContainer>),
    /// The agent could not ask Docker; its words.
    Trouble(String),
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    account_tool_instance_id: Raw<'a>,
    #[serde(borrow)]
    instance_name_on_toolbox: Raw<'a>,
    #[serde(borrow)]
    names: Raw<'a>,
    #[serde(borrow)]
    id: Raw<'a>,
    #[serde(borrow)]
    container_id: Raw<'a>,
    #[serde(borrow)]
    state: Raw<'a>,
    #[serde(borrow)]
    status: Raw<'a>,
    #[serde(borrow)]
    status_on_toolbox: Raw<'a>,
    #[serde(borrow)]
    runtime_details: Raw<'a>,
    #[serde(borrow)]
    image: Raw<'a>,
    #[serde(borrow)]
    error: Raw<'a>,
}

/// Reads one item.
pub(super) fn read(raw: &RawValue) -> Result<Item, Unreadable> {
    let fields: Fields<'_> = object(raw)?;
    if fields.state.is_some() || fields.names.is_some() {
        return Ok(Item {
            kind: Kind::Named,
            says: named(&fields)?,
        });
    }
    let (word, runtime) = match (fields.status_on_toolbox, fields.status) {
        (Some(word), _) => (needed(word, "status_on_toolbox")?, fields.runtime_details),
        (None, Some(word)) => (needed(word, "status")?, None),
        (None, None) => {
            let trouble = text(fields.error, "error")?
                .ok_or_else(|| Unreadable::wrong("", "a container's status, or an error"))?;
            // Only C and its heartbeats put an error in place of their list.
            return Ok(Item {
                kind: Kind::Named,
                says: Says::Trouble(trouble),
            });
        }
    };
    let mut container = RawContainer {
        server_id: instance_id(&fields)?,
        names: text(fields.instance_name_on_toolbox, "instance_name_on_toolbox")?
            .into_iter()
            .filter(|name| usable(name))
            .collect(),
        container_id: container_id(fields.container_id, "container_id")?,
        image: image(&fields, "image")?,
        word,
        ..RawContainer::default()
    };
    if let Some(runtime) = runtime {
        details(runtime, &mut container).map_err(|error| error.under("runtime_details"))?;
    }
    if fields.account_tool_instance_id.is_none() && fields.instance_name_on_toolbox.is_none() {
        return Err(Unreadable::wrong(
            "",
            "an account_tool_instance_id or instance_name_on_toolbox",
        ));
    }
    Ok(Item {
        kind: Kind::Instance,
        says: Says::Container(Box::new(container)),
    })
}

fn named(fields: &Fields<'_>) -> Result<Says, Unreadable> {
    let state = fields.state.ok_or_else(|| Unreadable::wrong("state", "a text"))?;
    let names = match fields.names {
        Some(names) => list::<String>(Some(names), "names", MAX_NAMES, "a list of texts")?.items,
        // Docker has none for a container that is half removed.
        None => Vec::new(),
    };
    Ok(Says::Container(Box::new(RawContainer {
        server_id: instance_id(fields)?,
        names: names.into_iter().filter(|name| usable(name)).collect(),
        word: needed(state, "state")?,
        text: text(fields.status, "status")?.map(|text| cut(text, MAX_TEXT)),
        container_id: container_id(fields.id.or(fields.container_id), "id")?,
        image: image(fields, "image")?,
        ..RawContainer::default()
    })))
}

/// The state word, which may be blank but not missing.
fn needed(raw: &RawValue, field: &str) -> Result<String, Unreadable> {
    let word: Option<String> = plain(Some(raw), field, "a text")?;
    Ok(cut(word.unwrap_or_default(), RawReport::MAX_WORD))
}

fn instance_id(fields: &Fields<'_>) -> Result<Option<Uuid>, Unreadable> {
    let field = "account_tool_instance_id";
    text(fields.account_tool_instance_id, field)?
        .map(|id| {
            id.trim()
                .parse()
                .map_err(|_| Unreadable::wrong(field, "a UUID or null"))
        })
        .transpose()
}

/// Whether an instance can have this name. Cutting a longer one could make it another's.
fn usable(name: &str) -> bool {
    InstanceName::new(name).is_some()
}

fn container_id(raw: Raw<'_>, field: &str) -> Result<Option<String>, Unreadable> {
    Ok(text(raw, field)?
        .and_then(|id| ContainerId::new(&id))
        .map(|id| id.as_str().to_owned()))
}

fn image(fields: &Fields<'_>, field: &str) -> Result<Option<String>, Unreadable> {
    Ok(text(fields.image, field)?.map(|image| cut(image, MAX_IMAGE)))
}

#[derive(Deserialize)]
struct Runtime<'a> {
    #[serde(borrow)]
    container_id: Raw<'a>,
    #[serde(borrow)]
    image: Raw<'a>,
    #[serde(borrow)]
    started_at: Raw<'a>,
    #[serde(borrow)]
    state_details: Raw<'a>,
}

/// Docker's `State`, as its inspect call gives it.
#[derive(Deserialize)]
struct State<'a> {
    #[serde(borrow, rename = "Running")]
    running: Raw<'a>,
    #[serde(borrow, rename = "Restarting")]
    restarting: Raw<'a>,
    #[serde(borrow, rename = "OOMKilled")]
    oom_killed: Raw<'a>,
    #[serde(borrow, rename = "ExitCode")]
    exit_code: Raw<'a>,
    #[serde(borrow, rename = "Error")]
    error: Raw<'a>,
    #[serde(borrow, rename = "StartedAt")]
    started_at: Raw<'a>,
    #[serde(borrow, rename = "FinishedAt")]
    finished_at: Raw<'a>,
}

/// What a heartbeat of a managed instance adds.
fn details(raw: &RawValue, container: &mut RawContainer) -> Result<(), Unreadable> {
    let runtime: Runtime<'_> = object(raw)?;
    container.container_id =
        container_id(runtime.container_id, "container_id")?.or(container.container_id.take());
    if let Some(image) = text(runtime.image, "image")? {
        container.image = Some(cut(image, MAX_IMAGE));
    }
    container.started_at = instant(runtime.started_at, "started_at")?;
    if let Some(raw) = runtime.state_details {
        state(raw, container).map_err(|error| error.under("state_details"))?;
    }
    Ok(())
}

fn state(raw: &RawValue, container: &mut RawContainer) -> Result<(), Unreadable> {
    let state: State<'_> = object(raw)?;
    let flag = |raw, field| plain::<bool>(raw, field, "true or false");
    let running = match flag(state.running, "Running")? {
        Some(running) => running,
        None => container.word.trim().eq_ignore_ascii_case("running"),
    };
    // Docker calls a container that waits for its restart running as well; its exit code is that of the last run.
    let running = running && flag(state.restarting, "Restarting")? != Some(true);
    let exit_code = plain::<i64>(state.exit_code, "ExitCode", "a whole number")?;
    // A container that has never run has the exit code 0 and the zero date.
    let never_ended = state.finished_at.is_some() && finished(state.finished_at)?.is_none();
    container.exit_code = exit_code.filter(|_| !running && !never_ended);
    container.oom_killed = flag(state.oom_killed, "OOMKilled")?;
    // Sanitised here as well as where it is taken, so that no secret in it is kept in the stream.
    container.error = text(state.error, "Error")?.map(|error| domain::sanitise(&error));
    if container.started_at.is_none() {
        container.started_at = instant(state.started_at, "StartedAt")?;
    }
    Ok(())
}

fn finished(raw: Raw<'_>) -> Result<Option<Timestamp>, Unreadable> {
    instant(raw, "FinishedAt")
}
