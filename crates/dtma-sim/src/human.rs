//! How Docker writes ages and states for people, to the letter: clients parse these texts.

use jiff::{SignedDuration, Timestamp};

use crate::container::{DockerState, Health, Observed};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;

/// A duration as Docker's `units.HumanDuration` writes it: `Less than a second`, `About a minute`, `2 weeks`.
///
/// Minutes are cut but hours are rounded, so one hour and 31 minutes is `2 hours`. A negative duration (a clock
/// that was set back) reads like a very short one, as it does in Docker.
pub fn human_duration(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    let minutes = seconds / MINUTE;
    let hours = (seconds + HOUR / 2) / HOUR;
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", seconds / HOUR / 24 / 365),
    }
}

/// The `Status` column of `docker ps` for a container, `now` being the engine's time.
pub(crate) fn status_text(seen: &Observed, now: Timestamp) -> String {
    let since = |at: Option<Timestamp>| human_duration(now.duration_since(at.unwrap_or(now)));
    match seen.state {
        DockerState::Paused => format!("Up {} (Paused)", since(seen.started)),
        DockerState::Restarting => format!("Restarting ({}) {} ago", seen.exit_code, since(seen.finished)),
        DockerState::Running => match seen.health {
            None => format!("Up {}", since(seen.started)),
            Some(Health::Starting) => format!("Up {} (health: starting)", since(seen.started)),
            Some(Health::Healthy) => format!("Up {} (healthy)", since(seen.started)),
            Some(Health::Unhealthy) => format!("Up {} (unhealthy)", since(seen.started)),
        },
        DockerState::Removing => "Removal In Progress".to_owned(),
        DockerState::Dead => "Dead".to_owned(),
        DockerState::Created => "Created".to_owned(),
        DockerState::Exited => format!("Exited ({}) {} ago", seen.exit_code, since(seen.finished)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * HOUR;

    /// The table of Docker's own test, and the borders between its units.
    #[test]
    fn durations_read_as_docker_writes_them() {
        let table = [
            (-5, "Less than a second"),
            (0, "Less than a second"),
            (1, "1 second"),
            (2, "2 seconds"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (35 * MINUTE + 40, "35 minutes"),
            (59 * MINUTE + 59, "59 minutes"),
            (HOUR, "About an hour"),
            (HOUR + 29 * MINUTE, "About an hour"),
            (HOUR + 31 * MINUTE, "2 hours"),
            (3 * HOUR + 59 * MINUTE, "4 hours"),
            (36 * HOUR, "36 hours"),
            (47 * HOUR, "47 hours"),
            (2 * DAY, "2 days"),
            (13 * DAY + 5 * HOUR, "13 days"),
            (14 * DAY, "2 weeks"),
            (30 * DAY, "4 weeks"),
            (44 * DAY, "6 weeks"),
            (60 * DAY, "2 months"),
            (120 * DAY, "4 months"),
            (720 * DAY, "24 months"),
            (734 * DAY, "2 years"),
            (3 * 365 * DAY + 60 * DAY, "3 years"),
        ];
        for (seconds, text) in table {
            assert_eq!(
                human_duration(SignedDuration::from_secs(seconds)),
                text,
                "{seconds} s"
            );
        }
        assert_eq!(
            human_duration(SignedDuration::from_millis(450)),
            "Less than a second"
        );
        assert_eq!(human_duration(SignedDuration::from_millis(1_999)), "1 second");
    }

    #[test]
    fn every_state_has_docker_s_text() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let ago = |seconds| Some(now - SignedDuration::from_secs(seconds));
        let seen = |state, exit_code, started, finished, health| Observed {
            state,
            exit_code,
            oom_killed: false,
            started,
            finished,
            health,
            restarts: 0,
        };
        let up = |health| seen(DockerState::Running, 0, ago(2 * HOUR), None, health);
        let table = [
            (up(None), "Up 2 hours"),
            (up(Some(Health::Starting)), "Up 2 hours (health: starting)"),
            (up(Some(Health::Healthy)), "Up 2 hours (healthy)"),
            (up(Some(Health::Unhealthy)), "Up 2 hours (unhealthy)"),
            (
                seen(DockerState::Paused, 0, ago(300), None, None),
                "Up 5 minutes (Paused)",
            ),
            (
                seen(DockerState::Restarting, 1, ago(60), ago(2), None),
                "Restarting (1) 2 seconds ago",
            ),
            (
                seen(DockerState::Exited, 3, ago(60), ago(30), None),
                "Exited (3) 30 seconds ago",
            ),
            (
                seen(DockerState::Exited, 137, ago(90), ago(60), None),
                "Exited (137) About a minute ago",
            ),
            (seen(DockerState::Created, 0, None, None, None), "Created"),
            (seen(DockerState::Dead, 1, ago(60), ago(30), None), "Dead"),
            (
                seen(DockerState::Removing, 0, ago(60), ago(30), None),
                "Removal In Progress",
            ),
        ];
        for (observed, text) in table {
            assert_eq!(status_text(&observed, now), text);
        }
    }
}
