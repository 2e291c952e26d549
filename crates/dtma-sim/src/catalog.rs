//! What simulated machines run: tools with plausible names and images, and the containers that are nobody's.

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};
use rand::Rng as _;
use rand::rngs::StdRng;

use crate::clock::shift;
use crate::config::Lifecycles;
use crate::container::{Container, Finish, Health, HealthCheck, Life};
use crate::seed::{Lane, Seed};

/// Tools in the order toolboxes receive them: name, image, port inside the container.
const TOOLS: [(&str, &str, u16); 12] = [
    ("github", "mcp/github:1.2", 8080),
    ("postgres", "mcp/postgres:3", 8081),
    ("slack", "mcp/slack:0.9", 8082),
    ("web", "mcp/web-search:2.0", 8083),
    ("files", "mcp/filesystem:1.0", 8084),
    ("browser", "mcp/browser:1.7", 8085),
    ("jira", "mcp/jira:2.1", 8086),
    ("notion", "mcp/notion:1.1", 8087),
    ("mail", "mcp/mail:0.4", 8088),
    ("stripe", "mcp/stripe:5", 8089),
    ("sentry", "mcp/sentry:1.3", 8090),
    ("redis", "mcp/redis:7", 8091),
];

/// The agent's own container, which every list of dialects B and C carries.
pub(crate) const MANAGER: &str = "dtma_manager";

/// Containers of other people, which some machines have: name, image.
const FOREIGN: [(&str, &str); 3] = [
    ("watchtower", "containrrr/watchtower:1.7.1"),
    ("portainer", "portainer/agent:2.21"),
    ("scratch", "bb:1"),
];

/// Oldest age given to anything, in seconds: long enough for Docker to speak of months.
const OLDEST: f64 = 130.0 * 86_400.0;

/// The name, image and port of the tool in place `index` of a toolbox.
pub(crate) fn tool(index: usize) -> (String, &'static str, u16) {
    let (name, image, port) = TOOLS[index % TOOLS.len()];
    let round = index / TOOLS.len();
    let name = if round == 0 {
        format!("mcp-{name}")
    } else {
        format!("mcp-{name}-{}", round + 1)
    };
    (name, image, port)
}

/// The image of a container by its name: the tool's, or one that the name suggests.
pub(crate) fn image_of(name: &str) -> Cow<'static, str> {
    let stem = name.strip_prefix("mcp-").unwrap_or(name);
    match TOOLS
        .iter()
        .find(|(tool, ..)| stem == *tool || stem.starts_with(&format!("{tool}-")))
    {
        Some((_, image, _)) => Cow::Borrowed(image),
        None => Cow::Owned(format!("mcp/{stem}:1")),
    }
}

/// A container made at `created`.
pub(crate) fn container(
    id: [u8; 32],
    name: &str,
    image: Cow<'static, str>,
    command: impl Into<Cow<'static, str>>,
    created: Timestamp,
    life: Life,
) -> Container {
    // The same image has the same id on every machine.
    let image_seed = image
        .bytes()
        .fold(Seed(0), |seed, byte| seed.at(Lane::Image, u64::from(byte)));
    Container {
        id,
        name: name.to_owned(),
        image,
        image_id: image_seed.bytes(),
        command: command.into(),
        created,
        port: None,
        life,
        check: None,
        uninspectable: false,
    }
}

/// The containers on a machine that belong to no instance: the agent's own and perhaps others.
pub(crate) fn foreign(seed: Seed, births: &mut u64, now: Timestamp) -> Vec<Container> {
    let mut rng = seed.at(Lane::Draw, 0).rng();
    let manager = (MANAGER, "dtma/manager:1", true);
    let others = FOREIGN.map(|(name, image)| (name, image, rng.random_bool(0.3)));
    let mut born = Vec::with_capacity(2);
    for (name, image, here) in std::iter::once(manager).chain(others) {
        if here {
            let since = shift(now, -age(&mut rng, 3_600.0));
            let id = seed.at(Lane::Container, *births).bytes();
            *births += 1;
            born.push(container(
                id,
                name,
                Cow::Borrowed(image),
                "/entrypoint.sh",
                since,
                Life::Running { since },
            ));
        }
    }
    born
}

/// The life a tool's container begins with, and its health check.
pub(crate) fn first_life(
    rng: &mut StdRng,
    lifecycles: Lifecycles,
    now: Timestamp,
) -> (Life, Option<HealthCheck>) {
    let since = shift(now, -age(rng, 40.0));
    let checked = rng.random_bool(0.3).then_some(HealthCheck::Passes);
    let roll = match lifecycles {
        Lifecycles::Stable => 0,
        Lifecycles::Varied => rng.random_range(0..100),
    };
    // A run that ended some time after it began and before now.
    let mut finish = |code, oom| {
        let lasted = now.duration_since(since).as_secs_f64() * rng.random_range(0.05..0.95);
        let finished = shift(since, SignedDuration::from_secs_f64(lasted));
        Finish {
            started: since,
            finished,
            code,
            oom,
        }
    };
    let life = match roll {
        0..=63 => Life::Running { since },
        64..=69 => {
            return (
                Life::Running { since },
                Some(HealthCheck::Fixed(Health::Unhealthy)),
            );
        }
        70..=75 => Life::Exited(finish(0, false)),
        76..=81 => Life::Exited(finish(3, false)),
        82..=85 => Life::Exited(finish(137, true)),
        86..=88 => Life::Paused { since },
        89..=93 => Life::CrashLoop {
            since,
            up: SignedDuration::from_secs(20),
            down: SignedDuration::from_secs(10),
            code: 1,
            oom: false,
        },
        94..=95 => Life::Created,
        96..=97 => Life::Dead(finish(1, false)),
        _ => Life::Starting {
            ready: shift(now, SignedDuration::from_secs(rng.random_range(10..90))),
            last: None,
        },
    };
    (life, checked)
}

/// An age between `youngest` seconds and the oldest, each order of magnitude as likely as the next.
fn age(rng: &mut StdRng, youngest: f64) -> SignedDuration {
    let unit: f64 = rng.random();
    // Whole milliseconds, as far as the wire goes.
    SignedDuration::from_secs_f64((youngest * (OLDEST / youngest).powf(unit)).floor())
}

/// When a container that lives like this was made: never after its first start.
pub(crate) fn created_before(life: &Life, now: Timestamp) -> Timestamp {
    let first = match life {
        Life::Created | Life::Starting { .. } | Life::Removing { .. } => now,
        Life::Running { since }
        | Life::Stopping { since, .. }
        | Life::CrashLoop { since, .. }
        | Life::Paused { since } => *since,
        Life::Exited(finish) | Life::Dead(finish) => finish.started,
    };
    shift(first, SignedDuration::from_secs(-1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tool_names_never_repeat_and_keep_their_image() {
        let names: std::collections::BTreeSet<String> = (0..200).map(|index| tool(index).0).collect();
        assert_eq!(names.len(), 200);
        for index in 0..200 {
            let (name, image, _) = tool(index);
            assert_eq!(image_of(&name), image, "{name}");
        }
        assert_eq!(image_of("mcp-other"), "mcp/other:1");
    }

    #[test]
    fn varied_lives_cover_every_kind() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let mut rng = Seed(1).rng();
        let mut states = std::collections::BTreeMap::<&str, usize>::new();
        for _ in 0..2_000 {
            let (life, check) = first_life(&mut rng, Lifecycles::Varied, now);
            let mut one = container(
                [0; 32],
                "mcp-x",
                Cow::Borrowed("x"),
                "x",
                created_before(&life, now),
                life,
            );
            one.check = check;
            let seen = one.observe(now);
            assert!(
                seen.started
                    .is_none_or(|started| started > one.created && started <= now)
            );
            assert!(seen.finished.is_none_or(|finished| finished <= now));
            *states.entry(seen.state.as_str()).or_default() += 1;
        }
        let kinds: Vec<&str> = states.keys().copied().collect();
        assert_eq!(
            kinds,
            ["created", "dead", "exited", "paused", "restarting", "running"]
        );
        assert!(states["running"] > 1_200, "{states:?}");
    }
}
