//! One connection's subscriptions, and what it is to be told: without a socket, so that both kinds of stream tell the same.
//!
//! ```text
//!  subscribe ─► under the picture's lock: visible? ─► entered in the hub · present state into the inbox · mark `present`
//!  next      ─► inbox ─► still visible? ─┬─ yes: the event
//!                                        └─ no: `gone`, and not a byte of it
//! ```

mod sight;
mod subscribe;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use access::Viewer;
use domain::{AccountId, ServerId};
use jiff::Timestamp;
use live::{Fleet, Told, Topic};
use wire::Cursor;
use wire::stream::{ErrorCode, StreamMessage};

use crate::frame::Frame;
use crate::hub::Hub;
use crate::reader::{Mark, Milestone, Next, Reader};

/// Subscriptions that may wait for their `present`: whoever asks faster than he reads is told so.
const OPEN_MARKS: usize = 64;

/// One connection.
#[derive(Debug)]
pub(crate) struct Session {
    hub: Hub,
    fleet: Fleet,
    reader: Arc<Reader>,
    /// Most servers by name.
    most: usize,
    all: bool,
    toolboxes: bool,
    /// By name, and whose they were then.
    named: HashMap<ServerId, AccountId>,
    /// Seen by a connection, as part of all.
    granted: BTreeSet<ServerId>,
    told_stale: bool,
    /// What stands in the stream up to here was told as the state that was asked for last, and what comes after as changes.
    state: u64,
}

/// What is subscribed to, or unsubscribed from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) all: bool,
    pub(crate) servers: Vec<ServerId>,
    pub(crate) toolboxes: bool,
}

/// From where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    Snapshot,
    Cursor(Cursor),
    /// There was one that cannot be read.
    NoCursor,
}

impl Start {
    pub(crate) fn read(cursor: Option<&str>) -> Self {
        match cursor.map(str::parse) {
            None => Self::Snapshot,
            Some(Ok(cursor)) => Self::Cursor(cursor),
            Some(Err(_)) => Self::NoCursor,
        }
    }
}

impl Session {
    pub(crate) fn new(hub: &Hub, fleet: &Fleet, viewer: Viewer, most: usize) -> Self {
        Self {
            reader: hub.join(viewer),
            hub: hub.clone(),
            fleet: fleet.clone(),
            most,
            all: false,
            toolboxes: false,
            named: HashMap::new(),
            granted: BTreeSet::new(),
            told_stale: false,
            state: 0,
        }
    }

    /// Up to where in the stream what is told is state, and no change.
    pub(crate) fn state(&self) -> u64 {
        self.state
    }

    pub(crate) fn reader(&self) -> &Arc<Reader> {
        &self.reader
    }

    /// Whether it is subscribed to nothing.
    pub(crate) fn is_idle(&self) -> bool {
        !self.all && !self.toolboxes && self.named.is_empty()
    }

    fn viewer(&self) -> Viewer {
        self.reader.viewer
    }

    /// What is to be said next, at most about `most` messages; nothing when nothing waits.
    pub(crate) fn next(&mut self, most: usize, now: Timestamp) -> Vec<Frame> {
        let mut frames = Vec::new();
        let (reset, recheck, stale) = {
            let mut inbox = self.reader.inbox();
            (
                inbox.reset.take(),
                std::mem::take(&mut inbox.recheck),
                inbox.stale,
            )
        };
        if stale && !self.told_stale {
            self.told_stale = true;
            frames.push(StreamMessage::Stale.into());
        }
        if let Some(reason) = reset {
            self.begin_anew(reason, now, &mut frames);
        }
        if recheck {
            self.recheck(&mut frames);
        }
        let taken = self.reader.inbox().take(most);
        for next in taken {
            match next {
                Next::Told(told) => self.told(told, &mut frames),
                Next::Mark(mark) => self.mark(mark, &mut frames),
            }
        }
        frames
    }

    /// Whether more waits.
    pub(crate) fn has_more(&self) -> bool {
        !self.reader.inbox().is_empty()
    }

    /// An event, if it may still be seen: the last look, at whatever went on since it was handed out.
    fn told(&mut self, told: Arc<Told>, frames: &mut Vec<Frame>) {
        let seen = match told.topic {
            Topic::Server(id) => self.sees(told.account, id),
            Topic::Toolbox(_) => {
                self.viewer() == Viewer::All || self.viewer() == Viewer::Account(told.account)
            }
        };
        if seen {
            frames.push(Frame::Told(told));
        } else if let Topic::Server(id) = told.topic {
            self.lose(id, frames);
        }
    }

    fn mark(&mut self, mark: Mark, frames: &mut Vec<Frame>) {
        let epoch = self.fleet.look(|picture| picture.position().epoch);
        let cursor = Cursor {
            epoch,
            sequence: mark.at,
        };
        match mark.what {
            Milestone::Present(servers) => {
                let servers = servers.map(|servers| self.still_seen(servers));
                frames.push(StreamMessage::Present { cursor, servers }.into());
            }
            Milestone::Current if self.told_stale => {
                self.told_stale = false;
                frames.push(StreamMessage::Current { cursor }.into());
            }
            Milestone::Current => {}
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let (named, granted) = (&self.named, &self.granted);
        self.hub.change(|index| {
            for id in named
                .keys()
                .chain(granted.iter().filter(|id| !named.contains_key(id)))
            {
                index.unname(*id, &self.reader);
            }
            index.leave(&self.reader);
        });
    }
}

pub(crate) fn refused(code: ErrorCode, message: String) -> Frame {
    StreamMessage::Error {
        code,
        message,
        servers: Vec::new(),
    }
    .into()
}

/// The same whether they do not exist or are another's.
fn not_found(servers: &[ServerId]) -> Frame {
    StreamMessage::Error {
        code: ErrorCode::NotFound,
        message: "there is no such server".to_owned(),
        servers: servers.iter().map(|id| id.0).collect(),
    }
    .into()
}

fn not_found_in(frames: &[Frame]) -> Vec<ServerId> {
    let mut found = Vec::new();
    for frame in frames {
        if let Frame::Own(message) = frame
            && let StreamMessage::Error { servers, .. } = &**message
        {
            found.extend(servers.iter().copied().map(ServerId));
        }
    }
    found
}
