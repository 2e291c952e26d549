//! What may be seen, and what no longer is.

use std::collections::BTreeSet;
use std::sync::Arc;

use access::{Viewer, may_see};
use domain::{AccountId, ServerId};
use jiff::Timestamp;
use live::{Picture, Topic};
use wire::stream::{GoneReason, ResetReason, StreamMessage};

use super::{Session, Start, Wanted, not_found_in};
use crate::frame::Frame;
use crate::reader::{Mark, Milestone};

impl Session {
    /// Every server of a subscription to all.
    pub(super) fn visible(&self, picture: &Picture) -> Vec<uuid::Uuid> {
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

    /// What active connections show that is another's.
    pub(super) fn grants(&self, picture: &Picture) -> BTreeSet<ServerId> {
        let Viewer::Account(account) = self.viewer() else {
            return BTreeSet::new();
        };
        let mut servers = self.fleet.connections().servers_of(account);
        servers.retain(|id| picture.server(*id).is_none_or(|told| told.account != account));
        servers
    }

    pub(super) fn sees(&self, owner: AccountId, server: ServerId) -> bool {
        may_see(self.viewer(), owner, server, self.fleet.connections())
    }

    /// What was seen when a subscription began and is seen now; what came in between has been told by itself.
    pub(super) fn still_seen(&self, servers: Vec<uuid::Uuid>) -> Vec<uuid::Uuid> {
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
    pub(super) fn lose(&mut self, id: ServerId, frames: &mut Vec<Frame>) {
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
    pub(super) fn begin_anew(&mut self, reason: ResetReason, now: Timestamp, frames: &mut Vec<Frame>) {
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
