//! Changing what is subscribed to.

use std::collections::BTreeSet;
use std::sync::Arc;

use access::Viewer;
use domain::ServerId;
use jiff::Timestamp;
use live::{Fate, Picture, Told, Topic};
use wire::stream::{ErrorCode, ResetReason, StreamMessage};

use super::{OPEN_MARKS, Session, Start, Wanted, not_found, refused};
use crate::frame::Frame;
use crate::hub::Index;
use crate::reader::{Inbox, Mark, Milestone};

impl Session {
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
            self.state = picture.position().sequence;
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
            // One that went may come back, and who named it is told then: it is named as long as its end is remembered.
            let gone = || self.gone(*id, picture);
            let Some(told) = there.or_else(gone).cloned() else {
                unseen.push(*id);
                continue;
            };
            if self.named.insert(*id, told.account).is_none() && !self.granted.contains(id) {
                index.name(*id, &self.reader);
            }
            // What a connection shows may have been out of sight meanwhile.
            let granted = viewer != Viewer::All && viewer != Viewer::Account(told.account);
            if is_new(&told) || granted || told.fate != Fate::Is {
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

    /// The end of a server that the viewer saw as its owner, or because he sees all.
    fn gone<'a>(&self, id: ServerId, picture: &'a Picture) -> Option<&'a Arc<Told>> {
        match self.viewer() {
            // Where it goes on as another's it is not there for this one.
            Viewer::Account(_) if picture.server(id).is_some() => None,
            Viewer::Account(account) => picture.departed(account, Topic::Server(id)),
            Viewer::All => picture.end_of(Topic::Server(id)),
        }
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
        let all = self.all;
        let not_named = wanted
            .servers
            .iter()
            .filter(|id| all && !ended.servers.contains(id));
        let not_named: Vec<_> = not_named.map(|id| id.0).collect();
        let message = StreamMessage::Unsubscribed {
            all: ended.all,
            servers: ended.servers.into_iter().map(|id| id.0).collect(),
            toolboxes: ended.toolboxes,
        };
        let mut frames = vec![message.into()];
        if !not_named.is_empty() {
            frames.push(
                StreamMessage::Error {
                    code: ErrorCode::Unsupported,
                    message: "part of a subscription to all, which ends as a whole".to_owned(),
                    servers: not_named,
                }
                .into(),
            );
        }
        frames
    }
}
