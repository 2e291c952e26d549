//! Folding reports that are not from just now: after an outage of ours, a backlog of them is read.
//!
//! What such a report says of a server's health is meant for when it was made. Judged by the present, every server would
//! be announced as silent, report by report, until the backlog is read, although nobody ever fell silent. So each is
//! judged at the time up to which nothing newer was known: when the next one was made, and the last of a batch when the
//! rows' knowledge ends.

use std::collections::{HashMap, HashSet};

use domain::{Change, Counts, Fold, Report, Server, ServerId, Thresholds, Toolbox};
use jiff::Timestamp;

/// As [`domain::fold`], with every report judged at its own time. `known_until` is up to when nothing newer can be known,
/// at most `now`, when the changes are decided.
pub(crate) fn fold(
    toolbox: Toolbox,
    servers: Vec<Server>,
    reports: &[Report],
    known_until: Timestamp,
    now: Timestamp,
    thresholds: &Thresholds,
) -> Fold {
    let mut ordered: Vec<&Report> = reports.iter().collect();
    ordered.sort_by_key(|report| report.order);
    // A report may be newer than the stream's clock says.
    let end = ordered
        .last()
        .map_or(known_until, |last| known_until.max(last.order.as_of))
        .min(now);
    let recent = now.checked_sub(thresholds.heartbeat_write_every()).unwrap_or(now);
    if end >= recent && ordered.first().is_none_or(|first| first.order.as_of >= recent) {
        // By far the most: all is from just now.
        return domain::fold(toolbox, servers, reports, now, thresholds);
    }

    let mut state = State::new(toolbox, servers);
    for (at, report) in ordered.iter().enumerate() {
        let next = ordered.get(at + 1).map_or(end, |next| next.order.as_of);
        state.take(report, next.min(now), thresholds);
    }
    state.decided(now)
}

/// Rows between the reports of one batch.
struct State {
    toolbox: Toolbox,
    write_toolbox: bool,
    servers: Vec<Server>,
    write: HashSet<ServerId>,
    removed: Vec<ServerId>,
    changes: Vec<Change>,
    counts: Counts,
}

impl State {
    fn new(toolbox: Toolbox, servers: Vec<Server>) -> Self {
        Self {
            toolbox,
            write_toolbox: false,
            servers,
            write: HashSet::new(),
            removed: Vec::new(),
            changes: Vec::new(),
            counts: Counts::default(),
        }
    }

    fn take(&mut self, report: &Report, at: Timestamp, thresholds: &Thresholds) {
        let servers = std::mem::take(&mut self.servers);
        let before = servers.clone();
        let fold = domain::fold(
            self.toolbox.clone(),
            servers,
            std::slice::from_ref(report),
            at,
            thresholds,
        );
        self.toolbox = fold.toolbox;
        self.write_toolbox |= fold.write_toolbox;
        self.write.extend(fold.write.iter().map(|server| server.id));
        self.removed.extend(&fold.remove);
        self.changes.extend(fold.changes);
        self.counts = sum(std::mem::take(&mut self.counts), fold.counts);
        let mut written: HashMap<ServerId, Server> =
            fold.write.into_iter().map(|server| (server.id, server)).collect();
        self.servers = before
            .into_iter()
            .filter(|server| !fold.remove.contains(&server.id))
            .map(|server| written.remove(&server.id).unwrap_or(server))
            .collect();
    }

    /// The whole, with its changes decided now, whatever time they were judged at.
    fn decided(mut self, now: Timestamp) -> Fold {
        let mut changed = HashSet::new();
        let mut toolbox_changed = false;
        for change in &mut self.changes {
            match change {
                Change::Server(change) => {
                    change.after.changed_at = Some(now);
                    changed.insert(change.after.id);
                }
                Change::Removed { at, .. } => *at = now,
                Change::Toolbox(after) => {
                    after.changed_at = Some(now);
                    toolbox_changed = true;
                }
            }
        }
        if toolbox_changed {
            self.toolbox.changed_at = Some(now);
        }
        let mut write: Vec<Server> = self
            .servers
            .into_iter()
            .filter(|server| self.write.contains(&server.id))
            .collect();
        for server in write.iter_mut().filter(|server| changed.contains(&server.id)) {
            server.changed_at = Some(now);
        }
        Fold {
            toolbox: self.toolbox,
            write_toolbox: self.write_toolbox,
            write,
            remove: self.removed,
            changes: self.changes,
            counts: self.counts,
        }
    }
}

fn sum(mut total: Counts, more: Counts) -> Counts {
    total.accepted += more.accepted;
    total.stale += more.stale;
    total.older_incarnation += more.older_incarnation;
    total.unknown_container += more.unknown_container;
    total.duplicate_item += more.duplicate_item;
    total.foreign_instance.extend(more.foreign_instance);
    total
}

#[cfg(test)]
mod tests {
    use domain::{
        AccountId, ContainerReport, Coverage, Health, InstanceName, InstanceRef, McpState, Order, Outcome,
        Source, StatusOnToolbox, ToolboxId,
    };
    use jiff::SignedDuration;
    use uuid::Uuid;

    use super::*;

    const TOOLBOX: ToolboxId = ToolboxId(Uuid::from_u128(1));
    const NOW: Timestamp = Timestamp::constant(1_795_000_000, 0);

    fn ago(minutes: i64) -> Timestamp {
        NOW - SignedDuration::from_mins(minutes)
    }

    fn rows() -> (Toolbox, Vec<Server>) {
        let account = AccountId(Uuid::from_u128(2));
        let name = InstanceName::new("mcp").unwrap();
        (
            Toolbox::new(TOOLBOX, account, "box"),
            vec![Server::new(ServerId(Uuid::from_u128(3)), TOOLBOX, account, name)],
        )
    }

    fn report(as_of: Timestamp, words: &[&str]) -> Report {
        let name = InstanceName::new("mcp").unwrap();
        let item = |word: &&str| {
            ContainerReport::of(
                InstanceRef {
                    id: None,
                    names: vec![name.clone()],
                },
                *word,
            )
        };
        Report {
            toolbox: TOOLBOX,
            order: Order { as_of, sequence: 1 },
            source: Source::Poll,
            agent_time: None,
            agent_version: None,
            next_within: None,
            outcome: Outcome::Containers {
                coverage: Coverage::Whole,
                items: words.iter().map(item).collect(),
            },
        }
    }

    fn views(fold: &Fold) -> Vec<(McpState, Health)> {
        let view = |change: &Change| match change {
            Change::Server(change) => Some((change.after.state, change.after.health)),
            Change::Removed { .. } | Change::Toolbox(_) => None,
        };
        fold.changes.iter().filter_map(view).collect()
    }

    #[test]
    fn a_backlog_of_an_agent_that_never_was_silent_announces_no_silence() {
        let (toolbox, servers) = rows();
        let reports: Vec<Report> = (0..60)
            .map(|minutes| report(ago(minutes), &["running"]))
            .collect();
        let fold = fold(toolbox, servers, &reports, NOW, NOW, &Thresholds::default());
        assert_eq!(views(&fold), [(McpState::Running, Health::Healthy)]);
        assert_eq!(fold.counts.accepted, 60);
        assert_eq!(fold.write[0].order.unwrap().as_of, NOW);
        assert_eq!(fold.write[0].changed_at, Some(NOW));
    }

    #[test]
    fn what_is_still_unread_is_not_silence_and_what_was_read_to_its_end_is() {
        let old = [report(ago(60), &["running"])];
        for (known_until, expected) in [
            (ago(59), (McpState::Running, Health::Healthy)),
            (ago(57), (McpState::Running, Health::Degraded)),
            (NOW, (McpState::Unknown, Health::Unknown)),
        ] {
            let (toolbox, servers) = rows();
            let fold = fold(toolbox, servers, &old, known_until, NOW, &Thresholds::default());
            assert_eq!(views(&fold), [expected], "known until {known_until}");
        }
    }

    #[test]
    fn a_real_silence_in_a_backlog_is_told_and_so_is_everything_that_happened() {
        let (toolbox, servers) = rows();
        let reports = [
            report(ago(60), &["running"]),
            report(ago(30), &["running"]),
            report(ago(29), &["exited"]),
        ];
        let fold = fold(toolbox, servers, &reports, ago(29), NOW, &Thresholds::default());
        assert_eq!(
            views(&fold),
            [
                (McpState::Unknown, Health::Unknown),
                (McpState::Running, Health::Healthy),
                (McpState::Stopped, Health::Unknown)
            ]
        );
        let versions: Vec<u64> = fold
            .changes
            .iter()
            .filter_map(|change| match change {
                Change::Server(change) => Some(change.after.version),
                Change::Removed { .. } | Change::Toolbox(_) => None,
            })
            .collect();
        assert_eq!(versions, [1, 2, 3]);
        assert_eq!(fold.write[0].version, 3);
    }

    #[test]
    fn a_deletion_in_a_backlog_ends_it() {
        let (toolbox, mut servers) = rows();
        servers[0].label = StatusOnToolbox::PendingDelete;
        let reports = [
            report(ago(60), &["running"]),
            report(ago(30), &[]),
            report(ago(20), &["running"]),
        ];
        let fold = fold(toolbox, servers, &reports, NOW, NOW, &Thresholds::default());
        assert_eq!(fold.remove.len(), 1);
        assert!(fold.write.is_empty(), "{:?}", fold.write);
        assert!(
            matches!(fold.changes.last(), Some(Change::Removed { at, .. }) if *at == NOW),
            "{:?}",
            fold.changes
        );
    }

    #[test]
    fn reports_from_just_now_are_the_domain_s_alone() {
        let reports = [
            report(NOW, &["running"]),
            report(NOW - SignedDuration::from_secs(5), &["starting"]),
        ];
        let (toolbox, servers) = rows();
        let ours = fold(
            toolbox.clone(),
            servers.clone(),
            &reports,
            NOW,
            NOW,
            &Thresholds::default(),
        );
        assert_eq!(
            ours,
            domain::fold(toolbox, servers, &reports, NOW, &Thresholds::default())
        );
    }
}
