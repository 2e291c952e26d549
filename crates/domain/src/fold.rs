//! A batch of reports of one toolbox, folded into its rows.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use crate::change::{Cause, Change};
use crate::command::Action;
use crate::id::{InstanceName, ServerId};
use crate::order::Order;
use crate::reason::ReasonCode;
use crate::report::{ContainerReport, Coverage, Outcome, Report};
use crate::server::{Server, Taken};
use crate::settle::Circumstances;
use crate::status::StatusOnToolbox;
use crate::thresholds::Thresholds;
use crate::time::age;
use crate::toolbox::Toolbox;

/// What a fold decided. Nothing is done here: the caller writes, announces and counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fold {
    /// The toolbox after; write it when [`Fold::write_toolbox`].
    pub toolbox: Toolbox,
    /// Whether the toolbox's row is to be written.
    pub write_toolbox: bool,
    /// The servers to write, in the order they were given.
    pub write: Vec<Server>,
    /// The servers whose rows go.
    pub remove: Vec<ServerId>,
    /// What to announce, in order; per server the versions have no gap.
    pub changes: Vec<Change>,
    /// What was passed over.
    pub counts: Counts,
}

/// What a fold took and what it passed over. Nothing is dropped without being counted here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// Reports that were newer than all before them.
    pub accepted: u64,
    /// Reports that nothing was taken from, because all they say is old.
    pub stale: u64,
    /// Items about an incarnation that has been replaced.
    pub older_incarnation: u64,
    /// Items about containers that are no known instance: the agent's own, other people's.
    pub unknown_container: u64,
    /// Items that name an instance of another toolbox, or of none: the ids, for the log.
    pub foreign_instance: Vec<ServerId>,
    /// Second and further items about one instance in one report.
    pub duplicate_item: u64,
}

/// Folds `reports`, in any order and with any repetition, into a toolbox and *all* its servers.
///
/// `known_until` is up to when nothing newer can be known, at most `now`: the present, unless reports are still unread.
/// A report is judged at the time of the next one, and the newest at `known_until`, so that a backlog that is read late
/// tells what it would have told in time. `now` is when the changes are decided.
///
/// Deterministic: equal arguments give equal results, and reports that were folded before change nothing.
/// Only servers in `servers` can be touched, so a report can reach nothing but its own toolbox's instances.
pub fn fold(
    toolbox: Toolbox,
    servers: Vec<Server>,
    reports: &[Report],
    known_until: Timestamp,
    now: Timestamp,
    thresholds: &Thresholds,
) -> Fold {
    let known_until = known_until.min(now);
    let mut ordered: Vec<&Report> = reports
        .iter()
        .filter(|report| report.toolbox == toolbox.id)
        .collect();
    ordered.sort_by_key(|report| report.order);

    let mut folding = Folding {
        by_id: servers
            .iter()
            .enumerate()
            .map(|(at, server)| (server.id, at))
            .collect(),
        by_name: servers
            .iter()
            .enumerate()
            .map(|(at, server)| (server.name.clone(), at))
            .collect(),
        slots: servers
            .iter()
            .map(|server| Slot {
                server: server.clone(),
                gone: false,
                seen_in: None,
            })
            .collect(),
        toolbox: toolbox.clone(),
        changes: Vec::new(),
        counts: Counts::default(),
        known_until,
        now,
        thresholds,
    };
    let mut rest = ordered.as_slice();
    while let Some((report, newer)) = rest.split_first() {
        // What a report said was what was known until the next one that spoke of containers. Judged by the present, each
        // report of a backlog would announce a silence that never was.
        let next = newer
            .iter()
            .find(|next| matches!(next.outcome, Outcome::Containers { .. }));
        folding.known_until = next.map_or(known_until, |next| next.order.as_of.min(now));
        folding.take(report);
        rest = newer;
    }

    let every = thresholds.heartbeat_write_every();
    let mut write = Vec::new();
    let mut remove = Vec::new();
    for (slot, before) in folding.slots.iter().zip(&servers) {
        if slot.gone {
            remove.push(before.id);
        } else if worth_writing(&slot.server, before, &folding.toolbox, every) {
            write.push(slot.server.clone());
        }
    }
    Fold {
        // Written for every report: a heartbeat that is held back from the servers' rows must still make older reports
        // stale, and the toolbox's one row carries it for all of them.
        write_toolbox: folding.toolbox != toolbox,
        toolbox: folding.toolbox,
        write,
        remove,
        changes: folding.changes,
        counts: folding.counts,
    }
}

struct Slot {
    server: Server,
    gone: bool,
    /// The last report that spoke of it, to notice a second item.
    seen_in: Option<Order>,
}

struct Folding<'a> {
    toolbox: Toolbox,
    slots: Vec<Slot>,
    by_id: HashMap<ServerId, usize>,
    by_name: HashMap<InstanceName, usize>,
    changes: Vec<Change>,
    counts: Counts,
    /// Up to when nothing newer is known than the report being taken.
    known_until: Timestamp,
    now: Timestamp,
    thresholds: &'a Thresholds,
}

impl Folding<'_> {
    fn take(&mut self, report: &Report) {
        let before = self.toolbox.clone();
        let fresh = self.toolbox.observe(report);
        if self.toolbox.changed_since(&before) {
            self.toolbox.version += 1;
            self.toolbox.changed_at = Some(self.now);
            self.changes.push(Change::Toolbox(Box::new(self.toolbox.clone())));
        }
        let touched = match &report.outcome {
            Outcome::Containers { coverage, items } => {
                let touched = self.take_items(report, items);
                match coverage {
                    Coverage::Whole => touched | self.take_absences(report),
                    Coverage::Partial => touched | self.take_deletions(report),
                }
            }
            Outcome::Alive { .. } | Outcome::Failed(_) => false,
        };
        if fresh || touched {
            self.counts.accepted += 1;
        } else {
            self.counts.stale += 1;
        }
    }

    fn take_items(&mut self, report: &Report, items: &[ContainerReport]) -> bool {
        let skew = report.agent_time.map_or(SignedDuration::ZERO, |theirs| {
            report.order.as_of.duration_since(theirs)
        });
        let mut touched = false;
        for item in items {
            let Some(at) = self.find(item) else { continue };
            let whole_order = self.toolbox.whole_order;
            let Some(slot) = self.slots.get_mut(at) else {
                continue;
            };
            if slot.seen_in.replace(report.order) == Some(report.order) {
                self.counts.duplicate_item += 1;
                continue;
            }
            if slot.gone || !report.order.is_newer_than(slot.server.order.max(whole_order)) {
                continue;
            }
            let announced = slot.server.clone();
            match slot.server.observe(item, report.order, skew, self.thresholds) {
                Taken::OlderIncarnation => self.counts.older_incarnation += 1,
                Taken::Yes => {
                    touched = true;
                    self.settle_slot(at, &announced);
                }
            }
        }
        touched
    }

    fn take_absences(&mut self, report: &Report) -> bool {
        if !report.order.is_newer_than(self.toolbox.whole_order) {
            return false;
        }
        for at in 0..self.slots.len() {
            let Some(slot) = self.slots.get_mut(at) else {
                continue;
            };
            if slot.seen_in == Some(report.order)
                || slot.gone
                || !report.order.is_newer_than(slot.server.order)
            {
                continue;
            }
            let announced = slot.server.clone();
            if slot.server.label == StatusOnToolbox::PendingDelete {
                self.remove(at);
            } else if slot.server.observe_absence(report.order) {
                self.settle_slot(at, &announced);
            }
        }
        self.toolbox.whole_order = Some(report.order);
        true
    }

    /// A partial list says nothing by leaving a container out, save of one that its agent said to have deleted before.
    fn take_deletions(&mut self, report: &Report) -> bool {
        let mut touched = false;
        for at in 0..self.slots.len() {
            let Some(slot) = self.slots.get(at) else { continue };
            let deleted_at = slot.server.command_under_way().and_then(|command| {
                (command.action == Action::Delete)
                    .then_some(command.executed_at)
                    .flatten()
            });
            if !slot.gone
                && slot.seen_in != Some(report.order)
                && deleted_at.is_some_and(|deleted_at| deleted_at < report.order.as_of)
            {
                self.remove(at);
                touched = true;
            }
        }
        touched
    }

    /// Announces what an observation made of a server; a deletion that the agent confirms ends it.
    fn settle_slot(&mut self, at: usize, announced: &Server) {
        let Some(slot) = self.slots.get_mut(at) else {
            return;
        };
        let not_found = slot
            .server
            .observation
            .as_ref()
            .and_then(|seen| seen.reason.as_ref())
            .is_some_and(|reason| reason.code == ReasonCode::NotFound);
        if slot.server.label == StatusOnToolbox::PendingDelete && not_found {
            self.remove(at);
            return;
        }
        let problem = self.toolbox.problem.as_ref().map(|problem| &problem.reason);
        let around = Circumstances {
            problem,
            agent_heard_at: self.toolbox.heard_at,
            whole_as_of: self.toolbox.whole_order.map(|order| order.as_of),
            blind: false,
        };
        let settled = slot.server.announce(
            announced,
            around,
            Cause::Report,
            self.known_until,
            self.thresholds,
        );
        if let Some(mut change) = settled {
            slot.server.changed_at = Some(self.now);
            change.after.changed_at = Some(self.now);
            self.changes.push(Change::Server(Box::new(change)));
        }
    }

    fn remove(&mut self, at: usize) {
        if let Some(slot) = self.slots.get_mut(at) {
            slot.gone = true;
            self.changes.push(slot.server.removal(self.now));
        }
    }

    /// The server an item speaks of: by id where it has one, else by name. Counted where there is none.
    fn find(&mut self, item: &ContainerReport) -> Option<usize> {
        if let Some(id) = item.instance.id {
            let found = self.by_id.get(&id).copied();
            if found.is_none() {
                self.counts.foreign_instance.push(id);
            }
            return found;
        }
        let found = item
            .instance
            .names
            .iter()
            .find_map(|name| self.by_name.get(name).copied());
        if found.is_none() {
            self.counts.unknown_container += 1;
        }
        found
    }
}

/// Whether a server's row is to be written: anything but the heartbeat differs, or the heartbeat is old enough.
fn worth_writing(after: &Server, before: &Server, toolbox: &Toolbox, every: std::time::Duration) -> bool {
    let (Some(now), Some(then)) = (after.order, before.order) else {
        return after != before;
    };
    let beyond_heartbeat = Server {
        order: before.order,
        ..after.clone()
    } != *before;
    // Only a whole list's heartbeat is held back: the toolbox's row stands in for it (see `fold`).
    let held_by_toolbox = toolbox.whole_order >= Some(now);
    beyond_heartbeat || (now != then && (!held_by_toolbox || age(now.as_of, then.as_of) >= every))
}
