//! One connection's subscriptions, and what it is to be told: without a socket, so that both kinds of stream tell the same.
//!
//! ```text
//!  subscribe ─► under the picture's lock: visible? ─► entered in the hub · present state into the inbox · mark `present`
//!  next      ─► inbox ─► still visible? ─┬─ yes: the event
//!                                        └─ no: `gone`, and not a byte of it
//! ```

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use access::{Viewer, may_see};
use domain::{AccountId, ServerId};
use jiff::Timestamp;
use live::{Fleet, Picture, Told, Topic};
use wire::Cursor;
use wire::stream::{ErrorCode, GoneReason, ResetReason, StreamMessage};

use crate::frame::Frame;
use crate::hub::{Hub, Index};
use crate::reader::{Inbox, Mark, Milestone, Next, Reader};

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
        }
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

    /// Adds subscriptions; what is to be said at once.
    pub(crate) fn subscribe(&mut self, wanted: Wanted, start: Start, now: Timestamp) -> Vec<Frame> {
        let wanted = Wanted {
            servers: wanted
                .servers
                .into_iter()
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
            ..wanted
        };
        let new = wanted
            .servers
            .iter()
            .filter(|id| !self.named.contains_key(id))
            .count();
        if self.named.len() + new > self.most {
            let text = format!(
                "a connection may name {} servers; subscribe to all instead",
                self.most
            );
            return vec![refused(ErrorCode::Limit, text)];
        }
        if self.reader.inbox().marks() >= OPEN_MARKS {
            let text = "too many subscriptions wait for their state; read first".to_owned();
            return vec![refused(ErrorCode::Limit, text)];
        }
        let fleet = self.fleet.clone();
        let mut unseen = Vec::new();
        let reset = fleet.look(|picture| {
            let (since, reset) = match start {
                Start::Snapshot => (None, None),
                Start::NoCursor => (None, Some(ResetReason::Malformed)),
                Start::Cursor(cursor) => match picture.covers(cursor, now) {
                    Ok(()) => (Some(cursor.sequence), None),
                    Err(reason) => (None, Some(reason)),
                },
            };
            let (hub, reader) = (self.hub.clone(), Arc::clone(&self.reader));
            hub.change(|index| {
                let mut inbox = reader.inbox();
                unseen = self.enter(&wanted, since, picture, index, &mut inbox);
            });
            reset
        });
        let mut frames = Vec::new();
        if !unseen.is_empty() {
            frames.push(not_found(&unseen));
        }
        let seen: Vec<_> = wanted
            .servers
            .iter()
            .filter(|id| !unseen.contains(id))
            .map(|id| id.0)
            .collect();
        if seen.is_empty() && !wanted.all && !wanted.toolboxes {
            return frames;
        }
        frames.push(
            StreamMessage::Subscribed {
                all: wanted.all,
                servers: seen,
                toolboxes: wanted.toolboxes,
            }
            .into(),
        );
        if let Some(reason) = reset {
            frames.push(StreamMessage::Reset { reason }.into());
        }
        if reset.is_some() || start == Start::Snapshot {
            frames.push(StreamMessage::Snapshot.into());
        }
        frames
    }

    /// Enters subscriptions and puts their state into the inbox: all of it, or what changed since. What is not seen is
    /// returned, whether it exists or not.
    fn enter(
        &mut self,
        wanted: &Wanted,
        since: Option<u64>,
        picture: &Picture,
        index: &mut Index,
        inbox: &mut Inbox,
    ) -> Vec<ServerId> {
        let viewer = self.viewer();
        let is_new = |told: &Told| since.is_none_or(|since| told.cursor.sequence > since);
        let mut unseen = Vec::new();
        for id in &wanted.servers {
            let there = picture.server(*id).filter(|told| self.sees(told.account, *id));
            let gone = || since.and_then(|since| self.gone_since(*id, since, picture));
            let Some(told) = there.cloned().or_else(gone) else {
                unseen.push(*id);
                continue;
            };
            if self.named.insert(*id, told.account).is_none() && !self.granted.contains(id) {
                index.name(*id, &self.reader);
            }
            // What a connection shows may have been out of sight meanwhile.
            if is_new(&told) || viewer != Viewer::All && viewer != Viewer::Account(told.account) {
                inbox.put(&told);
            }
        }
        if wanted.all {
            if !self.all {
                index.all(&self.reader);
                self.all = true;
            }
            for told in picture.servers_of(viewer).filter(|told| is_new(told)) {
                inbox.put(told);
            }
            for id in self.grants(picture) {
                if self.granted.insert(id) && !self.named.contains_key(&id) {
                    index.name(id, &self.reader);
                }
                if let Some(told) = picture.server(id) {
                    inbox.put(told);
                }
            }
        }
        if wanted.toolboxes {
            if !self.toolboxes {
                index.toolboxes(&self.reader);
                self.toolboxes = true;
            }
            for told in picture.toolboxes_of(viewer).filter(|told| is_new(told)) {
                inbox.put(told);
            }
        }
        for told in since
            .into_iter()
            .flat_map(|since| picture.departed_of(viewer, since))
        {
            let is_wanted = match told.topic {
                // Still to be seen by a connection.
                Topic::Server(id) => wanted.all && !self.granted.contains(&id),
                Topic::Toolbox(_) => wanted.toolboxes,
            };
            if is_wanted {
                inbox.put(told);
            }
        }
        inbox.all = self.all;
        inbox.named = self.named.len();
        if unseen.len() < wanted.servers.len() || wanted.all || wanted.toolboxes {
            let whole = wanted.all && since.is_some() && viewer != Viewer::All;
            inbox.mark(Mark {
                at: picture.position().sequence,
                what: Milestone::Present(whole.then(|| self.visible(picture))),
            });
        }
        unseen
    }

    /// Every server of a subscription to all.
    fn visible(&self, picture: &Picture) -> Vec<uuid::Uuid> {
        let own = picture
            .servers_of(self.viewer())
            .filter_map(|told| match told.topic {
                Topic::Server(id) => Some(id),
                Topic::Toolbox(_) => None,
            });
        let granted = self
            .granted
            .iter()
            .copied()
            .filter(|id| picture.server(*id).is_some());
        let all: BTreeSet<_> = own.chain(granted).collect();
        all.into_iter().map(|id| id.0).collect()
    }

    /// The end of a server that the viewer owned, or may have seen.
    fn gone_since(&self, id: ServerId, since: u64, picture: &Picture) -> Option<Arc<Told>> {
        let mut gone = picture.departed_of(self.viewer(), since);
        gone.find(|told| told.topic == Topic::Server(id)).cloned()
    }

    /// What active connections show that is another's.
    fn grants(&self, picture: &Picture) -> BTreeSet<ServerId> {
        let Viewer::Account(account) = self.viewer() else {
            return BTreeSet::new();
        };
        let mut servers = self.fleet.connections().servers_of(account);
        servers.retain(|id| picture.server(*id).is_none_or(|told| told.account != account));
        servers
    }

    fn sees(&self, owner: AccountId, server: ServerId) -> bool {
        may_see(self.viewer(), owner, server, self.fleet.connections())
    }

    /// Ends subscriptions; what is to be said at once.
    pub(crate) fn unsubscribe(&mut self, wanted: Wanted) -> Vec<Frame> {
        let (hub, reader) = (self.hub.clone(), Arc::clone(&self.reader));
        let mut ended = Wanted::default();
        hub.change(|index| {
            if wanted.all && self.all {
                index.not_all(&reader);
                for id in std::mem::take(&mut self.granted) {
                    if !self.named.contains_key(&id) {
                        index.unname(id, &reader);
                    }
                }
                self.all = false;
                ended.all = true;
            }
            if wanted.toolboxes && self.toolboxes {
                index.no_toolboxes(&reader);
                self.toolboxes = false;
                ended.toolboxes = true;
            }
            for id in &wanted.servers {
                if self.named.remove(id).is_some() {
                    if !self.granted.contains(id) {
                        index.unname(*id, &reader);
                    }
                    ended.servers.push(*id);
                }
            }
            let mut inbox = reader.inbox();
            inbox.all = self.all;
            inbox.named = self.named.len();
            inbox.retain(|topic| match topic {
                Topic::Server(id) => self.all || self.named.contains_key(&id),
                Topic::Toolbox(_) => self.toolboxes,
            });
        });
        let message = StreamMessage::Unsubscribed {
            all: ended.all,
            servers: ended.servers.into_iter().map(|id| id.0).collect(),
            toolboxes: ended.toolboxes,
        };
        vec![message.into()]
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

    /// What was seen when a subscription began and is seen now; what came in between has been told by itself.
    fn still_seen(&self, servers: Vec<uuid::Uuid>) -> Vec<uuid::Uuid> {
        self.fleet.look(|picture| {
            let mut now: BTreeSet<_> = self.visible(picture).into_iter().collect();
            // Told to be gone, or soon will be.
            now.extend(
                servers
                    .into_iter()
                    .filter(|id| picture.server(ServerId(*id)).is_none()),
            );
            now.into_iter().collect()
        })
    }

    /// A server that is out of sight: nothing more of it comes.
    fn lose(&mut self, id: ServerId, frames: &mut Vec<Frame>) {
        let owner = self.named.remove(&id);
        let was_granted = self.granted.remove(&id);
        let (hub, reader) = (self.hub.clone(), Arc::clone(&self.reader));
        hub.change(|index| {
            if owner.is_some() || was_granted {
                index.unname(id, &reader);
            }
            let mut inbox = reader.inbox();
            inbox.named = self.named.len();
            inbox.retain(|topic| topic != Topic::Server(id));
        });
        if owner.is_none() && !was_granted {
            return;
        }
        let was_own = owner.is_some_and(|owner| self.viewer() == Viewer::Account(owner));
        let reason = if was_own {
            GoneReason::Moved
        } else {
            GoneReason::Revoked
        };
        frames.push(
            StreamMessage::Gone {
                server_id: Some(id.0),
                toolbox_id: None,
                reason,
            }
            .into(),
        );
    }

    /// Looks again at what may be seen: what is out of sight goes, what came into sight of a subscription to all comes.
    pub(crate) fn recheck(&mut self, frames: &mut Vec<Frame>) {
        if self.viewer() == Viewer::All {
            return;
        }
        let fleet = self.fleet.clone();
        let lost = fleet.look(|picture| {
            let mut lost: BTreeSet<ServerId> = BTreeSet::new();
            lost.extend(self.named.keys().copied().filter(|id| {
                picture
                    .server(*id)
                    .is_some_and(|told| !self.sees(told.account, *id))
            }));
            if self.all {
                let now = self.grants(picture);
                let over: Vec<_> = self.granted.difference(&now).copied().collect();
                let (own, over): (Vec<_>, Vec<_>) = over.into_iter().partition(|id| {
                    let told = picture.server(*id);
                    told.is_some_and(|told| self.sees(told.account, *id))
                });
                lost.extend(over);
                let (hub, reader) = (self.hub.clone(), Arc::clone(&self.reader));
                hub.change(|index| {
                    let mut inbox = reader.inbox();
                    // Now its own: comes with the others.
                    for id in own {
                        self.granted.remove(&id);
                        if !self.named.contains_key(&id) {
                            index.unname(id, &reader);
                        }
                    }
                    for id in now {
                        if self.granted.insert(id) {
                            if !self.named.contains_key(&id) {
                                index.name(id, &reader);
                            }
                            if let Some(told) = picture.server(id) {
                                inbox.put(told);
                            }
                        }
                    }
                });
            }
            lost
        });
        for id in lost {
            self.lose(id, frames);
        }
    }

    /// Everything again: what was told is no longer true.
    fn begin_anew(&mut self, reason: ResetReason, now: Timestamp, frames: &mut Vec<Frame>) {
        if self.is_idle() {
            self.told_stale = false;
            return;
        }
        frames.push(StreamMessage::Reset { reason }.into());
        let wanted = Wanted {
            all: self.all,
            servers: self.named.keys().copied().collect(),
            toolboxes: self.toolboxes,
        };
        let more = self.subscribe(wanted, Start::Snapshot, now);
        for id in not_found_in(&more) {
            let mut gone = Vec::new();
            self.lose(id, &mut gone);
        }
        frames.extend(more);
        if std::mem::take(&mut self.told_stale) {
            let position = self.fleet.look(Picture::position);
            self.told_stale = true;
            self.reader.inbox().mark(Mark {
                at: position.sequence,
                what: Milestone::Current,
            });
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
