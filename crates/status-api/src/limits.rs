//! How often one caller may ask, and how often one address may be wrong.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::config::LimitOptions;

/// Most keys told apart. What comes beyond shares one budget, so that nobody with many names or addresses can fill our
/// memory or buy himself tries.
const KEYS: usize = 16_384;

/// All limits.
#[derive(Debug)]
pub(crate) struct Limits {
    reads: Keyed<String>,
    commands: Keyed<String>,
    failures: Keyed<IpAddr>,
    sign_ins: Keyed<String>,
    redemptions: Keyed<IpAddr>,
    studies: Keyed<String>,
}

/// Looks at everything that one caller may have made in a second, where no kept answer serves. A page makes one in a while.
const STUDIES: NonZeroU32 = NonZeroU32::new(2).unwrap();
/// And at once.
const STUDIES_BURST: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// Codes to sign in with that one caller may have made at once, and then in a minute. Each lies in the bus for 15 minutes with
/// the token in it.
const SIGN_INS: NonZeroU32 = NonZeroU32::new(10).unwrap();

#[derive(Debug)]
struct Keyed<K: Hash + Eq + Clone> {
    /// `None`: all beyond [`KEYS`] together.
    limiter: DefaultKeyedRateLimiter<Option<K>>,
    clock: DefaultClock,
}

impl Limits {
    pub(crate) fn new(options: &LimitOptions) -> Self {
        let per_second = |rate, burst| Quota::per_second(rate).allow_burst(burst);
        let wrong = per_second(options.failed_token_rate, options.failed_token_burst);
        Self {
            reads: Keyed::new(per_second(options.rate, options.rate_burst)),
            commands: Keyed::new(per_second(options.command_rate, options.command_burst)),
            failures: Keyed::new(wrong),
            sign_ins: Keyed::new(Quota::per_minute(SIGN_INS)),
            redemptions: Keyed::new(wrong),
            studies: Keyed::new(per_second(STUDIES, STUDIES_BURST)),
        }
    }

    /// Counts a read of a caller.
    ///
    /// # Errors
    /// How long to wait, when he has had his share.
    pub(crate) fn read(&self, actor: &str) -> Result<(), Duration> {
        self.reads.take(actor.to_owned())
    }

    /// Counts a command of a caller.
    ///
    /// # Errors
    /// How long to wait, when he has had his share.
    pub(crate) fn command(&self, actor: &str) -> Result<(), Duration> {
        self.commands.take(actor.to_owned())
    }

    /// Counts a failed authentication.
    ///
    /// # Errors
    /// How long to wait, when the address has had its share.
    pub(crate) fn failure(&self, peer: IpAddr) -> Result<(), Duration> {
        self.failures.take(network(peer))
    }

    /// Counts a code that a caller has made.
    ///
    /// # Errors
    /// How long to wait, when he has had his share.
    pub(crate) fn sign_in(&self, actor: &str) -> Result<(), Duration> {
        self.sign_ins.take(actor.to_owned())
    }

    /// Counts a code that an address brings, right or wrong.
    ///
    /// # Errors
    /// How long to wait, when the address has had its share.
    pub(crate) fn redemption(&self, peer: IpAddr) -> Result<(), Duration> {
        self.redemptions.take(network(peer))
    }

    /// Counts a look at everything that a caller may see.
    ///
    /// # Errors
    /// How long to wait, when he has had his share.
    pub(crate) fn study(&self, actor: &str) -> Result<(), Duration> {
        self.studies.take(actor.to_owned())
    }

    /// Forgets who has not been heard of for as long as his budget takes to be whole again.
    pub(crate) fn tidy(&self) {
        self.reads.limiter.retain_recent();
        self.commands.limiter.retain_recent();
        self.failures.limiter.retain_recent();
        self.sign_ins.limiter.retain_recent();
        self.redemptions.limiter.retain_recent();
        self.studies.limiter.retain_recent();
    }
}

impl<K: Hash + Eq + Clone> Keyed<K> {
    fn new(quota: Quota) -> Self {
        Self {
            limiter: RateLimiter::keyed(quota),
            clock: DefaultClock::default(),
        }
    }

    fn take(&self, key: K) -> Result<(), Duration> {
        let full = self.limiter.len() >= KEYS;
        self.limiter
            .check_key(&(!full).then_some(key))
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
    use super::*;

    #[test]
    fn a_burst_then_a_wait_each_for_itself() {
        let two = NonZeroU32::new(2).unwrap();
        let limits = Limits::new(&LimitOptions {
            rate: NonZeroU32::MIN,
            rate_burst: two,
            command_rate: NonZeroU32::MIN,
            command_burst: NonZeroU32::MIN,
            ..LimitOptions::default()
        });
        assert!(limits.read("a").is_ok() && limits.read("a").is_ok());
        let wait = limits.read("a").unwrap_err();
        assert!(
            wait > Duration::ZERO && wait <= Duration::from_secs(1),
            "{wait:?}"
        );
        assert!(limits.read("b").is_ok(), "another's budget is another");
        assert!(limits.command("a").is_ok() && limits.command("a").is_err());
    }

    #[test]
    fn an_ipv6_host_has_one_budget_for_its_network() {
        let limits = Limits::new(&LimitOptions::default());
        let address = |last: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, last));
        for tried in 0..20 {
            assert!(limits.failure(address(tried)).is_ok(), "{tried}");
        }
        assert!(limits.failure(address(999)).is_err());
        let v4: IpAddr = "192.0.2.1".parse().unwrap();
        assert!(limits.failure(v4).is_ok());
    }

    #[test]
    fn more_keys_than_there_is_room_for_share_one_budget() {
        let limits = Limits::new(&LimitOptions {
            command_rate: NonZeroU32::MIN,
            command_burst: NonZeroU32::MIN,
            ..LimitOptions::default()
        });
        for key in 0..KEYS {
            assert!(limits.command(&key.to_string()).is_ok());
        }
        assert!(limits.command("one more").is_ok());
        assert!(limits.command("and another").is_err());
        assert!(limits.commands.limiter.len() <= KEYS + 1);
    }
}
