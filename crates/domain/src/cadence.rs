//! When to look at a toolbox next.
//!
//! Plans ride in the body of the message schedule, so pollers keep no state. Every plan repeats by itself
//! until it is replaced: a lost message delays one poll and ends nothing.

use std::time::Duration;

use crate::id::ToolboxId;
use crate::labels::labels;
use crate::status::DtmaStatus;

labels! {
    /// Which status route an agent serves.
    Dialect {
        /// `GET /tools/status`: newer agents.
        Tools = "tools",
        /// `GET /status`: all others.
        Status = "status",
    }
}

/// How often toolboxes are polled. Every value is at least one second, the finest a schedule can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CadencePolicy {
    /// While a command is under way for an instance: somebody waits for what comes of it, and not for long. Default 2 s.
    pub commanded: Duration,
    /// While an instance starts or stops. Default 10 s.
    pub transition: Duration,
    /// While one runs, or is expected and was never seen. Default 30 s.
    pub running: Duration,
    /// While one is in error, or its status is not understood. Default 60 s.
    pub error: Duration,
    /// When all are stopped, or there is none. Default 5 min.
    pub stopped: Duration,
    /// How long an agent that pushes may be silent before it is polled. Default 2 min.
    pub dead_man: Duration,
    /// Longest wait after failures. Default 5 min.
    pub backoff_max: Duration,
}

impl Default for CadencePolicy {
    fn default() -> Self {
        Self {
            commanded: Duration::from_secs(2),
            transition: Duration::from_secs(10),
            running: Duration::from_secs(30),
            error: Duration::from_secs(60),
            stopped: Duration::from_secs(300),
            dead_man: Duration::from_secs(120),
            backoff_max: Duration::from_secs(300),
        }
    }
}

/// What the next poll must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PollPlan {
    /// Period of the schedule; whole seconds, at least one.
    pub every: Duration,
    /// Polls that failed in a row so far.
    pub failures: u32,
    /// Whether the next poll is the dead-man's switch: made only when a heartbeat that is expected does not come.
    pub dead_man: bool,
    /// What the agent was found to speak; `None`: not tried yet.
    pub dialect: Option<Dialect>,
}

/// Why an instance is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// A command is under way for it, whatever it was found to be.
    Commanded,
    /// Somebody has it watched, and it was found to be this.
    Watched(DtmaStatus),
}

impl CadencePolicy {
    fn interval_of(&self, interest: Interest) -> Duration {
        match interest {
            Interest::Commanded => self.commanded,
            Interest::Watched(DtmaStatus::Starting | DtmaStatus::Stopping) => self.transition,
            Interest::Watched(DtmaStatus::Running) => self.running,
            Interest::Watched(DtmaStatus::Error | DtmaStatus::Unknown) => self.error,
            Interest::Watched(DtmaStatus::Exited) => self.stopped,
        }
    }

    /// The shortest interval that any of `interests` asks for, spread by toolbox.
    fn interval(&self, toolbox: ToolboxId, interests: impl IntoIterator<Item = Interest>) -> Duration {
        let shortest = interests
            .into_iter()
            .map(|interest| self.interval_of(interest))
            .min()
            .unwrap_or(self.stopped);
        spread(toolbox, shortest)
    }
}

/// Shortens an interval by up to a tenth, always the same for one toolbox: polls that began together drift apart,
/// and none is ever later than promised.
fn spread(toolbox: ToolboxId, interval: Duration) -> Duration {
    let millis = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
    let cut = (millis / 10).saturating_mul(hash(toolbox) % 1000) / 1000;
    whole_seconds(Duration::from_millis(millis - cut))
}

/// Rounded up to what a schedule can express.
fn whole_seconds(interval: Duration) -> Duration {
    let up = interval.as_secs() + u64::from(interval.subsec_nanos() > 0);
    Duration::from_secs(up.max(1))
}

/// A well-mixed number that depends on the id alone (ids may be sequential or time-ordered).
fn hash(toolbox: ToolboxId) -> u64 {
    let (high, low) = toolbox.0.as_u64_pair();
    let mut x = high ^ low.rotate_left(32);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The plan for a toolbox that has none, when `how_many` are planned at once.
///
/// First polls are spread over a second for every 100 toolboxes, up to the running interval, so that neither a
/// single new toolbox waits nor a fresh start meets a whole fleet at once.
pub fn first_plan(policy: &CadencePolicy, toolbox: ToolboxId, how_many: usize) -> PollPlan {
    let window = (how_many as u64 / 100).clamp(1, policy.running.as_secs().max(1));
    PollPlan {
        every: Duration::from_secs(1 + hash(toolbox) % window),
        failures: 0,
        dead_man: false,
        dialect: None,
    }
}

/// The plan after a poll.
///
/// `answer` is what it found of the toolbox's instances that are of interest, `None` when it failed. `jitter` is a fresh
/// random number in `0.0..1.0`; anything else is clamped.
pub fn plan_after_poll<I>(
    policy: &CadencePolicy,
    toolbox: ToolboxId,
    before: PollPlan,
    answer: Option<I>,
    dialect: Option<Dialect>,
    jitter: f64,
) -> PollPlan
where
    I: IntoIterator<Item = Interest>,
{
    match answer {
        Some(interests) => PollPlan {
            every: policy.interval(toolbox, interests),
            failures: 0,
            dead_man: false,
            dialect,
        },
        None => {
            let failures = before.failures.saturating_add(1);
            let doubled = policy
                .running
                .saturating_mul(1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX));
            let limit = doubled.min(policy.backoff_max);
            let jitter = if jitter.is_finite() {
                jitter.clamp(0.0, 1.0)
            } else {
                0.0
            };
            PollPlan {
                every: whole_seconds(limit.mul_f64(1.0 - jitter / 4.0)),
                failures,
                dead_man: false,
                dialect,
            }
        }
    }
}

/// The plan after an accepted heartbeat that spoke of its containers: an agent that pushes is not also polled, but
/// watched by a dead-man's switch, except while an instance is on its way up or down or a command is under way for it.
pub fn plan_after_heartbeat(
    policy: &CadencePolicy,
    interests: impl IntoIterator<Item = Interest>,
    dialect: Option<Dialect>,
) -> PollPlan {
    let on_its_way = |interest: &Interest| {
        matches!(
            interest,
            Interest::Commanded | Interest::Watched(DtmaStatus::Starting | DtmaStatus::Stopping)
        )
    };
    let quickest = interests
        .into_iter()
        .filter(on_its_way)
        .map(|interest| policy.interval_of(interest))
        .min();
    PollPlan {
        every: whole_seconds(quickest.unwrap_or(policy.dead_man)),
        failures: 0,
        dead_man: quickest.is_none(),
        dialect,
    }
}
