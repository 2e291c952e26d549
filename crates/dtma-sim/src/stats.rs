//! What the simulation has counted: requests by path, answers by code, concurrency, heartbeats.

use std::collections::BTreeMap;

use serde::Serialize;
use uuid::Uuid;

use crate::agent::RouteKey;

/// Heartbeats of one toolbox, or of the whole fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HeartbeatStats {
    /// Posted, answered or not.
    pub sent: u64,
    /// Answers by status code.
    pub answers: BTreeMap<u16, u64>,
    /// Posts that got no answer: refused, timed out.
    pub failures: u64,
    /// Turns that passed without a post because the agent was told to be silent.
    pub silenced: u64,
}

impl HeartbeatStats {
    fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.failures += other.failures;
        self.silenced += other.silenced;
        for (code, count) in &other.answers {
            *self.answers.entry(*code).or_default() += count;
        }
    }
}

/// What one toolbox has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ToolboxStats {
    /// Requests by route, such as `GET /status` or `POST /tools/{name}/start`.
    pub requests: BTreeMap<&'static str, u64>,
    /// Answers by status code. A request that was hung or refused has none.
    pub answers: BTreeMap<u16, u64>,
    /// Status reads being answered now.
    pub polls_in_flight: u32,
    /// The most status reads that were ever being answered at once.
    pub max_concurrent_polls: u32,
    /// Its heartbeats.
    pub heartbeats: HeartbeatStats,
}

/// What the whole fleet has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StatsReport {
    /// Requests by route, over all toolboxes.
    pub requests: BTreeMap<&'static str, u64>,
    /// Answers by status code, over all toolboxes.
    pub answers: BTreeMap<u16, u64>,
    /// The most status reads that any one toolbox was answering at once.
    pub max_concurrent_polls: u32,
    /// Heartbeats of all.
    pub heartbeats: HeartbeatStats,
    /// Heartbeats that came late because as many as allowed were under way.
    pub heartbeats_late: u64,
    /// Container events of the chaos driver so far.
    pub chaos_events: u64,
    /// Each toolbox that had anything to count.
    pub toolboxes: BTreeMap<Uuid, ToolboxStats>,
}

impl StatsReport {
    /// Adds one toolbox; one that counted nothing is not listed.
    pub(crate) fn add(&mut self, id: Uuid, stats: ToolboxStats) {
        if stats == ToolboxStats::default() {
            return;
        }
        for (route, count) in &stats.requests {
            *self.requests.entry(route).or_default() += count;
        }
        for (code, count) in &stats.answers {
            *self.answers.entry(*code).or_default() += count;
        }
        self.max_concurrent_polls = self.max_concurrent_polls.max(stats.max_concurrent_polls);
        self.heartbeats.add(&stats.heartbeats);
        self.toolboxes.insert(id, stats);
    }
}

impl ToolboxStats {
    pub(crate) fn request(&mut self, route: RouteKey) {
        *self.requests.entry(route.label()).or_default() += 1;
        if route.is_poll() {
            self.polls_in_flight += 1;
            self.max_concurrent_polls = self.max_concurrent_polls.max(self.polls_in_flight);
        }
    }

    pub(crate) fn request_over(&mut self, route: RouteKey) {
        if route.is_poll() {
            self.polls_in_flight = self.polls_in_flight.saturating_sub(1);
        }
    }

    pub(crate) fn answer(&mut self, code: u16) {
        *self.answers.entry(code).or_default() += 1;
    }

    /// Counts a heartbeat's end: the answer's code, or none.
    pub(crate) fn heartbeat(&mut self, code: Option<u16>) {
        self.heartbeats.sent += 1;
        match code {
            Some(code) => *self.heartbeats.answers.entry(code).or_default() += 1,
            None => self.heartbeats.failures += 1,
        }
    }

    /// Forgets the counts but not what is under way.
    pub(crate) fn reset(&mut self) {
        let polls_in_flight = self.polls_in_flight;
        *self = Self {
            polls_in_flight,
            max_concurrent_polls: polls_in_flight,
            ..Self::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concurrency_is_of_polls_only_and_survives_a_reset() {
        let mut stats = ToolboxStats::default();
        stats.request(RouteKey::Status);
        stats.request(RouteKey::ToolsStatus);
        stats.request(RouteKey::Start);
        assert_eq!((stats.polls_in_flight, stats.max_concurrent_polls), (2, 2));
        stats.request_over(RouteKey::Start);
        stats.request_over(RouteKey::Status);
        assert_eq!((stats.polls_in_flight, stats.max_concurrent_polls), (1, 2));
        stats.reset();
        assert_eq!((stats.polls_in_flight, stats.max_concurrent_polls), (1, 1));
        assert!(stats.requests.is_empty());
    }

    #[test]
    fn the_fleet_is_the_sum_of_its_toolboxes() {
        let mut one = ToolboxStats::default();
        one.request(RouteKey::Status);
        one.answer(200);
        one.heartbeat(Some(204));
        one.heartbeat(None);
        let mut report = StatsReport::default();
        report.add(Uuid::from_u128(1), one.clone());
        report.add(Uuid::from_u128(2), one);
        report.add(Uuid::from_u128(3), ToolboxStats::default());
        assert_eq!(report.requests["GET /status"], 2);
        assert_eq!(report.answers[&200], 2);
        assert_eq!((report.heartbeats.sent, report.heartbeats.failures), (4, 2));
        assert_eq!(report.toolboxes.len(), 2);
    }
}
