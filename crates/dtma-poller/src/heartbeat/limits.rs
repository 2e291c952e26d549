//! How often one toolbox may push, and how often one address may be wrong.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use domain::ToolboxId;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

/// Most addresses told apart. What comes beyond shares one budget, so that a sender with many addresses can neither
/// fill our memory nor buy itself tries.
const ADDRESSES: usize = 16_384;

/// A steady rate and what may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) per_second: NonZeroU32,
    pub(crate) burst: NonZeroU32,
}

/// Both limits.
pub(crate) struct Limits {
    toolboxes: Keyed<ToolboxId>,
    /// `None`: all addresses beyond [`ADDRESSES`] together.
    failures: Keyed<Option<IpAddr>>,
}

struct Keyed<K: Hash + Eq + Clone> {
    limiter: DefaultKeyedRateLimiter<K>,
    clock: DefaultClock,
}

impl Limits {
    pub(crate) fn new(toolboxes: Rate, failures: Rate) -> Self {
        Self {
            toolboxes: Keyed::new(toolboxes),
            failures: Keyed::new(failures),
        }
    }

    /// Counts a heartbeat of a toolbox.
    ///
    /// # Errors
    /// How long to wait, when it has had its share.
    pub(crate) fn heartbeat(&self, toolbox: ToolboxId) -> Result<(), Duration> {
        // Only toolboxes of the registry come here, so it bounds the keys.
        self.toolboxes.take(&toolbox)
    }

    /// Counts a failed authentication.
    ///
    /// # Errors
    /// How long to wait, when the address has had its share.
    pub(crate) fn failure(&self, peer: IpAddr) -> Result<(), Duration> {
        if self.failures.limiter.len() >= ADDRESSES {
            self.failures.limiter.retain_recent();
        }
        let full = self.failures.limiter.len() >= ADDRESSES;
        self.failures.take(&(!full).then(|| network(peer)))
    }

    /// Forgets who has not been heard of for as long as its budget takes to be whole again.
    pub(crate) fn tidy(&self) {
        self.toolboxes.limiter.retain_recent();
        self.failures.limiter.retain_recent();
    }
}

impl<K: Hash + Eq + Clone> Keyed<K> {
    fn new(rate: Rate) -> Self {
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        Self {
            limiter: RateLimiter::keyed(quota),
            clock: DefaultClock::default(),
        }
    }

    fn take(&self, key: &K) -> Result<(), Duration> {
        self.limiter
            .check_key(key)
            .map_err(|until| until.wait_time_from(self.clock.now()))
    }
}

/// Who an address belongs to: an IPv6 host has a network of them for itself.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn rate(per_second: u32, burst: u32) -> Rate {
        let positive = |n| NonZeroU32::new(n).unwrap();
        Rate {
            per_second: positive(per_second),
            burst: positive(burst),
        }
    }

    #[test]
    fn a_burst_then_a_wait_each_for_itself() {
        let limits = Limits::new(rate(1, 3), rate(1, 1));
        let [one, two] = [1, 2].map(|id| ToolboxId(Uuid::from_u128(id)));
        for _ in 0..3 {
            assert_eq!(limits.heartbeat(one), Ok(()));
        }
        let wait = limits.heartbeat(one).unwrap_err();
        assert!(
            wait > Duration::ZERO && wait <= Duration::from_secs(1),
            "{wait:?}"
        );
        assert_eq!(limits.heartbeat(two), Ok(()));
    }

    #[test]
    fn a_network_is_one_sender() {
        let limits = Limits::new(rate(1, 1), rate(1, 1));
        let from = |peer: &str| limits.failure(peer.parse().unwrap()).is_ok();
        assert!(from("2001:db8:1:1::1"));
        assert!(!from("2001:db8:1:1:ffff::2"));
        assert!(from("2001:db8:1:2::1"));
        assert!(from("10.0.0.1"));
        assert!(!from("::ffff:10.0.0.1"));
    }

    #[test]
    fn many_addresses_do_not_fill_the_memory() {
        let limits = Limits::new(rate(1, 1), rate(1, 10));
        for address in 0..u32::try_from(ADDRESSES).unwrap() + 5 {
            limits.failure(IpAddr::V4(address.into())).unwrap();
        }
        assert!(limits.failures.limiter.len() <= ADDRESSES + 1);
    }
}
