//! The whole fleet, built from the seed.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Mutex;

use jiff::Timestamp;
use rand::Rng as _;
use uuid::Uuid;

use crate::catalog;
use crate::config::{DialectMix, HeartbeatStyle, SimConfig};
use crate::error::SimError;
use crate::seed::{Lane, Seed, hex};
use crate::toolbox::{BeatStyle, Dialect, InstanceInfo, State, Toolbox};

/// Host ports of published containers begin here.
const FIRST_HOST_PORT: u16 = 18_000;

/// Every toolbox, in the order the seed made them.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) seed: Seed,
    pub(crate) toolboxes: Vec<Toolbox>,
    by_id: HashMap<Uuid, usize>,
}

impl Fleet {
    /// Builds the fleet as it is at `now`. `address` gives the base URL and port of a toolbox by index and id.
    pub(crate) fn build(
        config: &SimConfig,
        now: Timestamp,
        address: impl Fn(usize, Uuid) -> (String, u16),
    ) -> anyhow::Result<Self> {
        let seed = Seed(config.seed);
        let toolboxes: Vec<Toolbox> = (0..config.toolboxes)
            .map(|index| build_toolbox(config, seed, index, now, &address))
            .collect::<anyhow::Result<_>>()?;
        let by_id = toolboxes
            .iter()
            .enumerate()
            .map(|(index, toolbox)| (toolbox.id, index))
            .collect();
        Ok(Self {
            seed,
            toolboxes,
            by_id,
        })
    }

    /// A toolbox by its id.
    pub(crate) fn by_id(&self, id: Uuid) -> Option<&Toolbox> {
        self.by_id.get(&id).and_then(|index| self.toolboxes.get(*index))
    }

    /// A toolbox by its id's text or its name.
    pub(crate) fn find(&self, key: &str) -> Result<&Toolbox, SimError> {
        let by_id = key.parse().ok().and_then(|id| self.by_id(id));
        by_id
            .or_else(|| self.toolboxes.iter().find(|toolbox| toolbox.name == key))
            .ok_or_else(|| SimError::UnknownToolbox(key.to_owned()))
    }

    /// The index of a toolbox by its id.
    pub(crate) fn index_of(&self, id: Uuid) -> Option<usize> {
        self.by_id.get(&id).copied()
    }
}

fn build_toolbox(
    config: &SimConfig,
    root: Seed,
    index: usize,
    now: Timestamp,
    address: &impl Fn(usize, Uuid) -> (String, u16),
) -> anyhow::Result<Toolbox> {
    let seed = root.at(Lane::Toolbox, index as u64);
    let mut rng = seed.rng();
    let id = seed.uuid();
    let account = root.at(Lane::Account, (index / config.toolboxes_per_account) as u64);
    let dialect = match config.dialect {
        DialectMix::A => Dialect::A,
        DialectMix::B => Dialect::B,
        DialectMix::OpenC => Dialect::OpenC,
        DialectMix::Mixed => [Dialect::A, Dialect::B, Dialect::OpenC][rng.random_range(0..3)],
    };
    let style = match (config.heartbeat_style, dialect) {
        (HeartbeatStyle::Names, _) => BeatStyle::Names,
        (HeartbeatStyle::Managed, _) | (HeartbeatStyle::ByDialect, Dialect::A) => BeatStyle::Managed,
        (HeartbeatStyle::Empty, _) => BeatStyle::Empty,
        (HeartbeatStyle::ByDialect, _) => BeatStyle::Names,
    };
    let mut state = State::default();
    for place in 0..config.containers_per_toolbox {
        let (name, image, port) = catalog::tool(place);
        let spot = seed.at(Lane::Container, state.births);
        state.births += 1;
        let mut draw = spot.at(Lane::Draw, 0).rng();
        let (life, check) = catalog::first_life(&mut draw, config.lifecycles, now);
        let created = catalog::created_before(&life, now);
        let mut container = catalog::container(
            spot.bytes(),
            &name,
            Cow::Borrowed(image),
            "node server.js",
            created,
            life,
        );
        container.check = check;
        let host_port = u16::try_from(place)
            .ok()
            .and_then(|place| FIRST_HOST_PORT.checked_add(place));
        container.port = host_port
            .filter(|_| draw.random_bool(0.5))
            .map(|host| (port, host));
        state.containers.push(container);
        let instance = seed.at(Lane::Instance, place as u64).uuid();
        state.managed.insert(name.clone(), instance);
        state.instances.push(InstanceInfo { id: instance, name });
    }
    let foreign = catalog::foreign(seed, &mut state.births, now);
    let booted = foreign.first().map_or(now, |manager| manager.created);
    state.containers.extend(foreign);
    let (base_url, port) = address(index, id);
    Ok(Toolbox {
        seed,
        id,
        account_id: account.uuid(),
        name: format!("toolbox-{:05}", index + 1),
        token: hex(&rng.random::<[u8; 32]>()),
        dialect,
        style,
        base_url,
        port,
        booted,
        clock_offset: config.clock_offset()?,
        state: Mutex::new(state),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn noon() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    pub(crate) fn fleet(config: &SimConfig) -> Fleet {
        Fleet::build(config, noon(), |_, id| (format!("http://sim.test/t/{id}"), 80)).unwrap()
    }

    fn varied(toolboxes: usize, seed: u64) -> SimConfig {
        SimConfig {
            toolboxes,
            seed,
            lifecycles: crate::config::Lifecycles::Varied,
            ..SimConfig::default()
        }
    }

    fn faces(fleet: &Fleet) -> Vec<String> {
        let face =
            |toolbox: &Toolbox| serde_json::to_string(&(toolbox.info(), toolbox.views(noon()))).unwrap();
        fleet.toolboxes.iter().map(face).collect()
    }

    #[test]
    fn a_seed_is_a_fleet() {
        let one = faces(&fleet(&varied(20, 42)));
        assert_eq!(one, faces(&fleet(&varied(20, 42))));
        let other = faces(&fleet(&varied(20, 43)));
        assert!(one.iter().zip(&other).all(|(a, b)| a != b));
    }

    #[test]
    fn a_smaller_fleet_is_the_beginning_of_a_larger_one() {
        let large = faces(&fleet(&varied(20, 42)));
        assert_eq!(large[..5], faces(&fleet(&varied(5, 42))));
    }

    #[test]
    fn ids_tokens_and_names_are_unique_and_well_formed() {
        let fleet = fleet(&varied(300, 1));
        let infos: Vec<_> = fleet.toolboxes.iter().map(Toolbox::info).collect();
        let tokens: std::collections::HashSet<_> = infos.iter().map(|info| info.token.clone()).collect();
        let ids: std::collections::HashSet<_> = infos
            .iter()
            .flat_map(|info| info.instances.iter().map(|it| it.id).chain([info.id]))
            .collect();
        assert_eq!((tokens.len(), ids.len()), (300, 300 * 4));
        assert!(
            tokens
                .iter()
                .all(|token| token.len() == 64 && token.bytes().all(|b| b.is_ascii_hexdigit()))
        );
        let accounts: std::collections::HashSet<_> = infos.iter().map(|info| info.account_id).collect();
        assert_eq!(accounts.len(), 75);
        for dialect in [Dialect::A, Dialect::B, Dialect::OpenC] {
            let share = infos.iter().filter(|info| info.dialect == dialect).count();
            assert!((70..130).contains(&share), "{dialect:?}: {share} of 300");
        }
    }

    #[test]
    fn a_token_is_never_in_debug_text() {
        let info = fleet(&SimConfig::default()).toolboxes[0].info();
        assert!(!format!("{info:?}").contains(&info.token));
    }

    #[test]
    fn an_idle_fleet_runs() {
        let fleet = fleet(&SimConfig::default());
        let states = fleet.toolboxes.iter().flat_map(|toolbox| toolbox.views(noon()));
        assert!(states.into_iter().all(|view| view.status.starts_with("Up ")));
    }
}
