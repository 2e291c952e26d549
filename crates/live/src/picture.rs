//! One picture of the present: the newest of everything, and whose it is.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use domain::{AccountId, AgentStatus, ServerId, ToolboxId};
use wire::{ServerStatus, StatusEvent, ToolboxEvent};

/// The newest of everything.
#[derive(Debug, Default)]
pub(crate) struct Picture {
    pub(crate) servers: BTreeMap<ServerId, Arc<ServerStatus>>,
    pub(crate) servers_of: HashMap<AccountId, BTreeSet<ServerId>>,
    pub(crate) toolboxes: BTreeMap<ToolboxId, Arc<ToolboxEvent>>,
    pub(crate) toolboxes_of: HashMap<AccountId, BTreeSet<ToolboxId>>,
}

impl Picture {
    /// Takes in what happened to a server. `false`: it knows as much or more.
    ///
    /// A tombstone leaves nothing behind: within a subject events come in order, and of a server that moved to another
    /// account the tombstone is the older of the two.
    pub(crate) fn take_server(&mut self, event: StatusEvent) -> bool {
        let id = ServerId(event.server_id());
        let known = self.servers.get(&id);
        if known.is_some_and(|known| known.version >= event.version()) {
            return false;
        }
        if let Some(known) = known {
            leave(&mut self.servers_of, AccountId(known.account_id), &id);
        }
        match event {
            StatusEvent::Status(status) => {
                self.servers_of
                    .entry(AccountId(status.account_id))
                    .or_default()
                    .insert(id);
                self.servers.insert(id, Arc::new(status));
            }
            StatusEvent::Deleted(_) => {
                self.servers.remove(&id);
            }
        }
        true
    }

    /// Takes in what happened to a toolbox. `false`: it knows as much or more.
    pub(crate) fn take_toolbox(&mut self, event: ToolboxEvent) -> bool {
        let id = ToolboxId(event.toolbox_id);
        let known = self.toolboxes.get(&id);
        if known.is_some_and(|known| known.version >= event.version) {
            return false;
        }
        if let Some(known) = known {
            leave(&mut self.toolboxes_of, AccountId(known.account_id), &id);
        }
        // The end of a toolbox: nothing else announces this status.
        if event.status == AgentStatus::Unseen.as_str() {
            self.toolboxes.remove(&id);
        } else {
            self.toolboxes_of
                .entry(AccountId(event.account_id))
                .or_default()
                .insert(id);
            self.toolboxes.insert(id, Arc::new(event));
        }
        true
    }
}

fn leave<T: Ord>(of: &mut HashMap<AccountId, BTreeSet<T>>, account: AccountId, id: &T) {
    if let Some(ids) = of.get_mut(&account) {
        ids.remove(id);
        if ids.is_empty() {
            of.remove(&account);
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;
    use uuid::Uuid;
    use wire::Tombstone;

    use super::*;

    pub(crate) fn status(server: u128, account: u128, version: u64) -> StatusEvent {
        StatusEvent::Status(ServerStatus {
            server_id: Uuid::from_u128(server),
            toolbox_id: Uuid::from_u128(7),
            account_id: Uuid::from_u128(account),
            name: "mcp".to_owned(),
            version,
            state: "running".to_owned(),
            health: "healthy".to_owned(),
            uptime: None,
            last_started: None,
            last_error: None,
            status_on_toolbox: "running".to_owned(),
            container_id: None,
            as_of: None,
            changed_at: Timestamp::UNIX_EPOCH,
            previous: None,
            cause: None,
            monitored: true,
            command: None,
            override_until: None,
        })
    }

    fn deleted(server: u128, account: u128, version: u64) -> StatusEvent {
        StatusEvent::Deleted(Tombstone {
            server_id: Uuid::from_u128(server),
            toolbox_id: Uuid::from_u128(7),
            account_id: Uuid::from_u128(account),
            version,
            changed_at: Timestamp::UNIX_EPOCH,
        })
    }

    proptest! {
        #[test]
        fn the_newest_counts_and_the_index_is_that_of_the_servers(
            events in proptest::collection::vec((0..4_u128, 0..3_u128, 1..6_u64, any::<bool>()), 0..60)
        ) {
            let mut picture = Picture::default();
            for (server, account, version, gone) in events {
                let before = picture.servers.get(&ServerId(Uuid::from_u128(server))).map(|known| known.version);
                let event = if gone { deleted(server, account, version) } else { status(server, account, version) };
                let taken = picture.take_server(event);
                prop_assert_eq!(taken, before.is_none_or(|before| before < version));
                let now = picture.servers.get(&ServerId(Uuid::from_u128(server))).map(|known| known.version);
                prop_assert_eq!(now, match (taken, gone) {
                    (true, true) => None,
                    (true, false) => Some(version),
                    (false, _) => before,
                });
                let mut index = HashMap::<AccountId, BTreeSet<ServerId>>::new();
                for (id, server) in &picture.servers {
                    index.entry(AccountId(server.account_id)).or_default().insert(*id);
                }
                prop_assert_eq!(&index, &picture.servers_of);
            }
        }
    }

    #[test]
    fn a_toolbox_that_is_unseen_is_gone() {
        let event = |version, status: &str| ToolboxEvent {
            toolbox_id: Uuid::from_u128(7),
            account_id: Uuid::from_u128(1),
            name: "box".to_owned(),
            version,
            status: status.to_owned(),
            problem: None,
            agent_version: None,
            last_heartbeat: None,
            changed_at: Timestamp::UNIX_EPOCH,
        };
        let mut picture = Picture::default();
        assert!(picture.take_toolbox(event(2, "active")));
        assert!(!picture.take_toolbox(event(2, "unseen")));
        assert_eq!(picture.toolboxes.len(), 1);
        assert!(picture.take_toolbox(event(3, "unseen")));
        assert!(picture.toolboxes.is_empty() && picture.toolboxes_of.is_empty());
    }
}
