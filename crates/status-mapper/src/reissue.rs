//! Changes that no report and no passing of time brings about: what was told is under another account, or ahead of
//! the rows.
//!
//! Pure. The version goes on from the highest that anybody was told, so that subscribers take what follows for newer.

use domain::{AccountId, Cause, Change, Server, ServerChange, Toolbox};
use jiff::Timestamp;

/// A server whose toolbox now belongs to another account than `from`, under which it was announced up to `past`: the
/// end of it there, then its beginning here.
///
/// The end has the lower version: who may see both accounts takes the beginning for newer.
pub(crate) fn moved(server: Server, from: AccountId, past: u64, now: Timestamp) -> (Server, [Change; 2]) {
    let version = server.version.max(past) + 1;
    let end = Change::Removed {
        server: server.id,
        toolbox: server.toolbox,
        account: from,
        version,
        at: now,
    };
    let (server, beginning) = renumbered(server, version, now);
    (server, [end, beginning])
}

/// A server that was announced up to `past`, told anew as it stands.
pub(crate) fn renumbered(server: Server, past: u64, now: Timestamp) -> (Server, Change) {
    let after = Server {
        version: server.version.max(past) + 1,
        changed_at: Some(now),
        ..server
    };
    let change = ServerChange {
        before: None,
        after: after.clone(),
        cause: Cause::Registry,
    };
    (after, Change::Server(Box::new(change)))
}

/// A toolbox that was announced up to `past`, told anew as it stands.
pub(crate) fn renumbered_toolbox(toolbox: Toolbox, past: u64, now: Timestamp) -> (Toolbox, Change) {
    let after = Toolbox {
        version: toolbox.version.max(past) + 1,
        changed_at: Some(now),
        ..toolbox
    };
    (after.clone(), Change::Toolbox(Box::new(after)))
}

#[cfg(test)]
mod tests {
    use domain::{InstanceName, ServerId, ToolboxId};
    use uuid::Uuid;

    use super::*;

    const FROM: AccountId = AccountId(Uuid::from_u128(1));
    const TO: AccountId = AccountId(Uuid::from_u128(2));

    fn server(version: u64) -> Server {
        let (id, toolbox) = (ServerId(Uuid::from_u128(3)), ToolboxId(Uuid::from_u128(4)));
        Server {
            version,
            ..Server::new(id, toolbox, TO, InstanceName::new("mcp").unwrap())
        }
    }

    #[test]
    fn a_move_ends_before_it_begins_and_both_are_newer_than_all_before() {
        for (row, told, end_version) in [(5, 5, 6), (9, 5, 10), (5, 9, 10)] {
            let (after, changes) = moved(server(row), FROM, told, Timestamp::UNIX_EPOCH);
            let [
                Change::Removed { account, version, .. },
                Change::Server(beginning),
            ] = changes
            else {
                panic!("{changes:?}")
            };
            assert_eq!((account, version), (FROM, end_version));
            assert_eq!(
                (beginning.after.account, beginning.after.version),
                (TO, end_version + 1)
            );
            assert_eq!(beginning.before, None);
            assert_eq!(after, beginning.after);
        }
    }

    #[test]
    fn what_is_told_anew_is_newer_than_what_was_told() {
        let (after, _) = renumbered(server(3), 7, Timestamp::UNIX_EPOCH);
        assert_eq!(
            (after.version, after.changed_at),
            (8, Some(Timestamp::UNIX_EPOCH))
        );
        let toolbox = Toolbox::new(ToolboxId(Uuid::from_u128(4)), TO, "box");
        let (after, change) = renumbered_toolbox(toolbox, 2, Timestamp::UNIX_EPOCH);
        assert_eq!(after.version, 3);
        assert_eq!(change, Change::Toolbox(Box::new(after)));
    }
}
