//! Docker's human status text, the only place where some agents tell exit codes, health and start time.
//!
//! The text is that of `docker ps`: `Up 2 hours (unhealthy)`, `Exited (3) 6 seconds ago`,
//! `Restarting (1) 2 seconds ago`, `Up 5 minutes (Paused)`, `Created`, `Dead`, `Removal In Progress`.

use std::time::Duration;

use crate::labels::labels;

labels! {
    /// What Docker's own health check of a container says.
    DockerHealth {
        /// The container has no health check.
        None = "none",
        /// The check has not passed yet.
        Starting = "starting",
        /// The check passes.
        Healthy = "healthy",
        /// The check fails.
        Unhealthy = "unhealthy",
    }
}

/// How long a container has been up, as far as rounded text can tell: at least `at_least`, less than `below`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpFor {
    /// The text rounds down to this.
    pub at_least: Duration,
    /// The next text would begin here.
    pub below: Duration,
}

/// What the text says beyond the state word. Everything is optional, because the text is meant for people.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatusText {
    /// Set for running containers.
    pub up_for: Option<UpFor>,
    /// Set for `Exited (N)` and `Restarting (N)`.
    pub exit_code: Option<i64>,
    /// Set for running containers: the text shows a health check whenever there is one.
    pub health: Option<DockerHealth>,
    /// `Up … (Paused)`.
    pub paused: bool,
}

impl StatusText {
    /// Reads the text; what it does not understand it leaves unset.
    pub fn parse(text: &str) -> Self {
        let mut parsed = Self::default();
        let text = text.trim();
        if let Some(rest) = text.strip_prefix("Up ") {
            let (span, note) = match rest.rfind('(') {
                Some(at) => (rest[..at].trim(), rest[at..].trim_matches(['(', ')', ' '])),
                None => (rest.trim(), ""),
            };
            parsed.up_for = human_duration(span);
            parsed.paused = note == "Paused";
            parsed.health = match note {
                "healthy" => Some(DockerHealth::Healthy),
                "unhealthy" => Some(DockerHealth::Unhealthy),
                "health: starting" => Some(DockerHealth::Starting),
                "" => Some(DockerHealth::None),
                _ => None,
            };
        } else if let Some(rest) = text
            .strip_prefix("Exited (")
            .or_else(|| text.strip_prefix("Restarting ("))
        {
            parsed.exit_code = rest.split(')').next().and_then(|code| code.parse().ok());
        }
        parsed
    }
}

const SECOND: u64 = 1;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;
const MONTH: u64 = 30 * DAY;
const YEAR: u64 = 365 * DAY;

/// The inverse of the engine's `units.HumanDuration`, which rounds hours to the nearest and all else down.
fn human_duration(text: &str) -> Option<UpFor> {
    let span = |at_least: u64, below: u64| {
        Some(UpFor {
            at_least: Duration::from_secs(at_least),
            below: Duration::from_secs(below),
        })
    };
    match text {
        "Less than a second" => return span(0, 1),
        "About a minute" => return span(MINUTE, 2 * MINUTE),
        "About an hour" => return span(HOUR - HOUR / 2, 2 * HOUR - HOUR / 2),
        _ => {}
    }
    let (count, unit) = text.split_once(' ')?;
    let n: u64 = count.parse().ok().filter(|n| *n <= 1_000_000)?;
    match unit {
        "second" | "seconds" => span(n, n + 1),
        "minute" | "minutes" => span(n * MINUTE, (n + 1) * MINUTE),
        "hour" | "hours" => span((n * HOUR).saturating_sub(HOUR / 2), n * HOUR + HOUR / 2),
        "day" | "days" => span(n * DAY, (n + 1) * DAY),
        "week" | "weeks" => span(n * WEEK, (n + 1) * WEEK),
        "month" | "months" => span(n * MONTH, (n + 1) * MONTH),
        "year" | "years" => span(n * YEAR, (n + 1) * YEAR),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_docker_ps() {
        let up = |at_least, below| {
            Some(UpFor {
                at_least: Duration::from_secs(at_least),
                below: Duration::from_secs(below),
            })
        };
        let none = Some(DockerHealth::None);
        let cases = [
            ("Up 30 seconds", up(30, 31), None, none, false),
            ("Up Less than a second", up(0, 1), None, none, false),
            ("Up About a minute", up(60, 120), None, none, false),
            ("Up 5 minutes (Paused)", up(300, 360), None, None, true),
            (
                "Up About an hour (healthy)",
                up(1800, 5400),
                None,
                Some(DockerHealth::Healthy),
                false,
            ),
            (
                "Up 2 hours (unhealthy)",
                up(5400, 9000),
                None,
                Some(DockerHealth::Unhealthy),
                false,
            ),
            (
                "Up 4 seconds (health: starting)",
                up(4, 5),
                None,
                Some(DockerHealth::Starting),
                false,
            ),
            ("Up 3 days", up(3 * DAY, 4 * DAY), None, none, false),
            ("Exited (3) 6 seconds ago", None, Some(3), None, false),
            ("Exited (137) 2 weeks ago", None, Some(137), None, false),
            ("Restarting (1) 2 seconds ago", None, Some(1), None, false),
            ("Created", None, None, None, false),
            ("Dead", None, None, None, false),
            ("Up", None, None, None, false),
            ("Up 99999999999999999999 hours", None, None, none, false),
            ("Exited (oops", None, None, None, false),
            ("", None, None, None, false),
        ];
        for (text, up_for, exit_code, health, paused) in cases {
            assert_eq!(
                StatusText::parse(text),
                StatusText {
                    up_for,
                    exit_code,
                    health,
                    paused
                },
                "{text:?}"
            );
        }
    }
}
