//! Deterministic derivation: every id, token and first lifecycle is a function of the seed and a place in the fleet.
//!
//! Nothing is drawn from one long stream: each fact has a lane and an index of its own. So a fleet of ten is the
//! first ten toolboxes of a fleet of a thousand, and adding a container changes no other one.

use std::fmt::Write as _;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use uuid::Uuid;

/// What a derived value is for; two lanes never give the same stream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lane {
    Account = 1,
    Toolbox = 2,
    Container = 3,
    Instance = 4,
    Image = 5,
    Chaos = 6,
    Phase = 7,
    Load = 8,
    Draw = 9,
}

/// A point in the tree of derived values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seed(pub(crate) u64);

impl Seed {
    /// The value `index` of `lane` below this one.
    pub(crate) fn at(self, lane: Lane, index: u64) -> Self {
        Self(mix(mix(self.0 ^ mix(lane as u64)) ^ index))
    }

    /// A generator that starts here.
    pub(crate) fn rng(self) -> StdRng {
        StdRng::seed_from_u64(self.0)
    }

    /// A version 4 UUID.
    pub(crate) fn uuid(self) -> Uuid {
        uuid::Builder::from_random_bytes(self.rng().random()).into_uuid()
    }

    /// 32 bytes: a token or a container id.
    pub(crate) fn bytes(self) -> [u8; 32] {
        self.rng().random()
    }

    /// A number in 0..1, without the cost of a generator.
    pub(crate) fn unit(self) -> f64 {
        const STEPS: f64 = (1_u64 << 53) as f64;
        (mix(self.0) >> 11) as f64 / STEPS
    }
}

/// SplitMix64's finaliser: neighbouring inputs give unrelated outputs.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}"); // Writing to a String cannot fail.
            text
        })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn lanes_and_indices_never_meet() {
        let root = Seed(7);
        let lanes = [Lane::Account, Lane::Toolbox, Lane::Container, Lane::Instance];
        let ids: HashSet<Uuid> = lanes
            .iter()
            .flat_map(|lane| (0..500).map(|i| root.at(*lane, i).uuid()))
            .collect();
        assert_eq!(ids.len(), 2_000);
        assert_eq!(
            root.at(Lane::Toolbox, 3).uuid(),
            Seed(7).at(Lane::Toolbox, 3).uuid()
        );
        assert_ne!(
            root.at(Lane::Toolbox, 3).uuid(),
            Seed(8).at(Lane::Toolbox, 3).uuid()
        );
        assert_eq!(root.uuid().get_version_num(), 4);
    }

    #[test]
    fn units_fill_the_interval() {
        let units: Vec<f64> = (0..1_000).map(|i| Seed(1).at(Lane::Phase, i).unit()).collect();
        assert!(units.iter().all(|u| (0.0..1.0).contains(u)));
        let low = units.iter().filter(|u| **u < 0.5).count();
        assert!((400..600).contains(&low), "{low} of 1000 in the lower half");
    }

    #[test]
    fn hex_is_lower_case_and_padded() {
        assert_eq!(hex(&[0x00, 0x0f, 0xab]), "000fab");
    }
}
