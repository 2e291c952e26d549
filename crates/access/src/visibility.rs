//! Who may see a server, and who may command it. The rules themselves: nothing else in the system repeats them.

use domain::{AccountId, ServerId};

use crate::connections::Connections;
use crate::principal::Viewer;

/// Whether `viewer` may see the server `server` of the account `owner`: who sees everything, its owner, and who has an
/// active connection that names it.
pub fn may_see(viewer: Viewer, owner: AccountId, server: ServerId, connections: &Connections) -> bool {
    match viewer {
        Viewer::All => true,
        Viewer::Account(account) => account == owner || connections.grants(account, server),
    }
}

/// Whether `viewer` may start, stop or refresh what belongs to `owner`. A connection gives sight, not control: it lets
/// an agent use a server, and stopping it would take it from its owner.
pub fn may_command(viewer: Viewer, owner: AccountId) -> bool {
    match viewer {
        Viewer::All => true,
        Viewer::Account(account) => account == owner,
    }
}

#[cfg(test)]
mod tests {
    use domain::ConnectionId;
    use uuid::Uuid;

    use super::*;
    use crate::Connection;

    #[test]
    fn owners_command_connections_show_and_strangers_get_nothing() {
        let account = |id| AccountId(Uuid::from_u128(id));
        let server = |id| ServerId(Uuid::from_u128(id));
        let (owner, guest, stranger) = (account(1), account(2), account(3));
        let connections = Connections::default();
        let connection = Connection {
            id: ConnectionId(Uuid::from_u128(7)),
            agent: Uuid::from_u128(8),
            account: Some(guest),
            server: server(1),
            active: true,
        };
        connections.put(connection);
        for (viewer, sees, sees_another, commands) in [
            (Viewer::All, true, true, true),
            (Viewer::Account(owner), true, true, true),
            (Viewer::Account(guest), true, false, false),
            (Viewer::Account(stranger), false, false, false),
        ] {
            assert_eq!(
                may_see(viewer, owner, server(1), &connections),
                sees,
                "{viewer:?}"
            );
            assert_eq!(
                may_see(viewer, owner, server(2), &connections),
                sees_another,
                "{viewer:?}"
            );
            assert_eq!(may_command(viewer, owner), commands, "{viewer:?}");
        }
        connections.put(Connection {
            active: false,
            ..connection
        });
        assert!(!may_see(Viewer::Account(guest), owner, server(1), &connections));
    }
}
