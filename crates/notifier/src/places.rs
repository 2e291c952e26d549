//! How many connections there may be: in all, of one account, from one address.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use domain::AccountId;

/// The counts. Cheap to clone; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Places(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: Most,
    taken: Mutex<Taken>,
}

/// The limits; 0: none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Most {
    pub(crate) connections: usize,
    pub(crate) per_account: usize,
    pub(crate) per_address: usize,
}

#[derive(Debug, Default)]
struct Taken {
    connections: usize,
    accounts: HashMap<AccountId, usize>,
    addresses: HashMap<IpAddr, usize>,
}

/// Which limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    Connections,
    Account,
    Address,
}

impl Full {
    /// For clients and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "too_many_connections",
            Self::Account => "too_many_connections_of_account",
            Self::Address => "too_many_connections_from_address",
        }
    }
}

/// A place, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Places,
    address: IpAddr,
    account: Option<AccountId>,
}

impl Places {
    pub(crate) fn new(most: Most) -> Self {
        Self(Arc::new(Inner {
            most,
            taken: Mutex::default(),
        }))
    }

    /// A place for a connection from an address, before it is known whose it is.
    pub(crate) fn take(&self, address: IpAddr) -> Result<Place, Full> {
        let (most, address) = (&self.0.most, network(address));
        self.with(|taken| {
            if is_full(taken.connections, most.connections) {
                return Err(Full::Connections);
            }
            enter(&mut taken.addresses, address, most.per_address).ok_or(Full::Address)?;
            taken.connections += 1;
            Ok(())
        })?;
        Ok(Place {
            places: self.clone(),
            address,
            account: None,
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Taken) -> T) -> T {
        change(&mut self.0.taken.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Place {
    /// Counts it as an account's, once.
    pub(crate) fn of(&mut self, account: AccountId) -> Result<(), Full> {
        if self.account.is_some() {
            return Ok(());
        }
        let most = self.places.0.most.per_account;
        self.places
            .with(|taken| enter(&mut taken.accounts, account, most))
            .ok_or(Full::Account)?;
        self.account = Some(account);
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (address, account) = (self.address, self.account);
        self.places.with(|taken| {
            taken.connections = taken.connections.saturating_sub(1);
            leave(&mut taken.addresses, &address);
            if let Some(account) = account {
                leave(&mut taken.accounts, &account);
            }
        });
    }
}

fn is_full(taken: usize, most: usize) -> bool {
    most != 0 && taken >= most
}

fn enter<K: Eq + Hash>(of: &mut HashMap<K, usize>, key: K, most: usize) -> Option<()> {
    let taken = of.get(&key).copied().unwrap_or_default();
    if is_full(taken, most) {
        return None;
    }
    of.insert(key, taken + 1);
    Some(())
}

fn leave<K: Eq + Hash>(of: &mut HashMap<K, usize>, key: &K) {
    if let Some(taken) = of.get_mut(key) {
        *taken -= 1;
        if *taken == 0 {
            of.remove(key);
        }
    }
}

/// Whoever has one IPv6 address has 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn each_limit_holds_and_places_are_given_back() {
        let places = Places::new(Most {
            connections: 3,
            per_account: 1,
            per_address: 2,
        });
        let (one, two) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        let account = AccountId(Uuid::from_u128(1));
        let mut first = places.take(one).unwrap();
        let mut second = places.take(one).unwrap();
        assert_eq!(places.take(one).unwrap_err(), Full::Address);
        first.of(account).unwrap();
        first.of(account).unwrap();
        assert_eq!(second.of(account).unwrap_err(), Full::Account);
        let third = places.take(two).unwrap();
        assert_eq!(places.take(two).unwrap_err(), Full::Connections);
        drop(first);
        second.of(account).unwrap();
        drop((second, third));
        places.with(|taken| {
            assert_eq!(taken.connections, 0);
            assert!(taken.accounts.is_empty() && taken.addresses.is_empty());
        });
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_ipv4_is_itself() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(network(address("2001:db8::1")), network(address("2001:db8::2")));
        assert_ne!(
            network(address("2001:db8::1")),
            network(address("2001:db8:0:1::1"))
        );
        assert_eq!(network(address("::ffff:10.0.0.1")), address("10.0.0.1"));
    }
}
