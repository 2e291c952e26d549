//! Which servers the agents of an account are connected to, in memory.
//!
//! The application's table is the truth and this a copy that the host feeds: whole at the start and from time to time,
//! row by row in between. A connection is some hundred bytes; there are as many as the table has.

use std::collections::{BTreeSet, HashMap};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use domain::{AccountId, ConnectionId, ServerId};
use uuid::Uuid;

/// One connection of an agent of the application to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// Which one.
    pub id: ConnectionId,
    /// The agent (of the application; not the one on a toolbox).
    pub agent: Uuid,
    /// Whose agent it is. `None` grants nobody anything.
    pub account: Option<AccountId>,
    /// The server it names.
    pub server: ServerId,
    /// Whether it counts. One that does not is kept, to be shown.
    pub active: bool,
}

/// The connections. One per process, shared.
#[derive(Debug, Default)]
pub struct Connections {
    inner: RwLock<Index>,
}

#[derive(Debug, Default)]
struct Index {
    by_id: HashMap<ConnectionId, Connection>,
    of_account: HashMap<AccountId, BTreeSet<ConnectionId>>,
    /// How many active connections of an account name a server: two agents may be connected to the same. Never 0.
    grants: HashMap<AccountId, HashMap<ServerId, usize>>,
}

impl Connections {
    /// Takes these for the whole truth: what is not among them is gone. Of several with one id the last counts.
    pub fn replace(&self, connections: Vec<Connection>) {
        let mut index = Index::default();
        for connection in connections {
            index.put(connection);
        }
        *self.write() = index;
    }

    /// Takes over one connection, new or changed.
    pub fn put(&self, connection: Connection) {
        self.write().put(connection);
    }

    /// Forgets one.
    pub fn remove(&self, id: ConnectionId) {
        self.write().remove(id);
    }

    /// One connection, active or not.
    pub fn get(&self, id: ConnectionId) -> Option<Connection> {
        self.read().by_id.get(&id).copied()
    }

    /// All connections of an account, active or not, in the order of their ids.
    pub fn of_account(&self, account: AccountId) -> Vec<Connection> {
        let index = self.read();
        let ids = index.of_account.get(&account).into_iter().flatten();
        ids.filter_map(|id| index.by_id.get(id).copied()).collect()
    }

    /// The servers that active connections of an account name.
    pub fn servers_of(&self, account: AccountId) -> BTreeSet<ServerId> {
        let index = self.read();
        let servers = index.grants.get(&account).into_iter().flatten();
        servers.map(|(server, _)| *server).collect()
    }

    /// Whether an active connection of the account names the server.
    pub fn grants(&self, account: AccountId, server: ServerId) -> bool {
        let index = self.read();
        index
            .grants
            .get(&account)
            .is_some_and(|servers| servers.contains_key(&server))
    }

    // Every change leaves the maps whole, so a panic elsewhere while they were held does not spoil them.
    fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Index> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    fn put(&mut self, connection: Connection) {
        self.remove(connection.id);
        self.by_id.insert(connection.id, connection);
        let Some(account) = connection.account else { return };
        self.of_account.entry(account).or_default().insert(connection.id);
        if connection.active {
            *self
                .grants
                .entry(account)
                .or_default()
                .entry(connection.server)
                .or_default() += 1;
        }
    }

    fn remove(&mut self, id: ConnectionId) {
        let Some(connection) = self.by_id.remove(&id) else {
            return;
        };
        let Some(account) = connection.account else { return };
        if let Some(ids) = self.of_account.get_mut(&account) {
            ids.remove(&id);
            if ids.is_empty() {
                self.of_account.remove(&account);
            }
        }
        if connection.active
            && let Some(servers) = self.grants.get_mut(&account)
        {
            if let Some(count) = servers.get_mut(&connection.server) {
                *count -= 1;
                if *count == 0 {
                    servers.remove(&connection.server);
                }
            }
            if servers.is_empty() {
                self.grants.remove(&account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    // Few of each, so that they collide.
    const IDS: u128 = 6;
    const ACCOUNTS: u128 = 3;
    const SERVERS: u128 = 3;

    #[derive(Debug, Clone)]
    enum Step {
        Replace(Vec<Connection>),
        Put(Connection),
        Remove(ConnectionId),
    }

    fn connection() -> impl Strategy<Value = Connection> {
        (
            0..IDS,
            0..2_u128,
            proptest::option::of(0..ACCOUNTS),
            0..SERVERS,
            any::<bool>(),
        )
            .prop_map(|(id, agent, account, server, active)| Connection {
                id: ConnectionId(Uuid::from_u128(id)),
                agent: Uuid::from_u128(agent),
                account: account.map(|account| AccountId(Uuid::from_u128(account))),
                server: ServerId(Uuid::from_u128(server)),
                active,
            })
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            1 => vec(connection(), 0..8).prop_map(Step::Replace),
            5 => connection().prop_map(Step::Put),
            3 => (0..IDS).prop_map(|id| Step::Remove(ConnectionId(Uuid::from_u128(id)))),
        ]
    }

    /// The same in a list, by looking at all of it every time.
    #[derive(Default)]
    struct Model(Vec<Connection>);

    impl Model {
        fn take(&mut self, step: &Step) {
            match step {
                Step::Replace(connections) => {
                    self.0.clear();
                    for connection in connections {
                        self.take(&Step::Put(*connection));
                    }
                }
                Step::Put(connection) => {
                    self.take(&Step::Remove(connection.id));
                    self.0.push(*connection);
                }
                Step::Remove(id) => self.0.retain(|connection| connection.id != *id),
            }
        }
    }

    proptest! {
        #[test]
        fn any_order_of_changes_leaves_what_a_list_would_hold(steps in vec(step(), 0..40)) {
            let connections = Connections::default();
            let mut model = Model::default();
            for step in steps {
                model.take(&step);
                match step {
                    Step::Replace(all) => connections.replace(all),
                    Step::Put(one) => connections.put(one),
                    Step::Remove(id) => connections.remove(id),
                }
                for id in (0..IDS).map(|id| ConnectionId(Uuid::from_u128(id))) {
                    let expected = model.0.iter().find(|connection| connection.id == id).copied();
                    prop_assert_eq!(connections.get(id), expected);
                }
                for account in (0..ACCOUNTS).map(|account| AccountId(Uuid::from_u128(account))) {
                    let mut expected: Vec<_> =
                        model.0.iter().copied().filter(|it| it.account == Some(account)).collect();
                    expected.sort_by_key(|connection| connection.id);
                    let servers: BTreeSet<_> =
                        expected.iter().filter(|it| it.active).map(|it| it.server).collect();
                    for server in (0..SERVERS).map(|server| ServerId(Uuid::from_u128(server))) {
                        prop_assert_eq!(connections.grants(account, server), servers.contains(&server));
                    }
                    prop_assert_eq!(connections.of_account(account), expected);
                    prop_assert_eq!(connections.servers_of(account), servers);
                }
                let index = connections.read();
                prop_assert!(index.of_account.values().all(|ids| !ids.is_empty()), "empty entries pile up");
                prop_assert!(index.grants.values().all(|servers| !servers.is_empty()), "empty entries pile up");
            }
        }
    }
}
