use bytes::Bytes;
use jiff::Timestamp;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn told(topic: Topic, account: u128, version: u64, sequence: u64, fate: Fate) -> Told {
    Told {
        topic,
        account: AccountId(Uuid::from_u128(account)),
        version,
        cursor: Cursor { epoch: 1, sequence },
        fate,
        elsewhere: false,
        changed_at: Timestamp::UNIX_EPOCH,
        observed_at: None,
        published_at: Timestamp::UNIX_EPOCH,
        message: Bytes::new(),
    }
}

fn status(server: u128, account: u128, version: u64) -> ServerStatus {
    ServerStatus {
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
    }
}

fn server(id: u128) -> ServerId {
    ServerId(Uuid::from_u128(id))
}

/// Takes in a status or an end.
fn take(picture: &mut Picture, id: u128, account: u128, version: u64, sequence: u64, gone: bool) -> Taken {
    let fate = if gone { Fate::Deleted } else { Fate::Is };
    let told = told(Topic::Server(server(id)), account, version, sequence, fate);
    picture.passed(sequence, Timestamp::UNIX_EPOCH);
    picture.take_server(server(id), (!gone).then(|| status(id, account, version)), told)
}

fn picture() -> Picture {
    Picture::begun(Cursor {
        epoch: 1,
        sequence: 0,
    })
}

/// What each account's owner holds who is told everything that concerns him.
type Held = BTreeMap<(AccountId, Topic), u64>;

fn hear(held: &mut Held, tolds: &[Arc<Told>]) {
    for told in tolds {
        match told.fate {
            Fate::Is => held.insert((told.account, told.topic), told.version),
            Fate::Deleted | Fate::Forgotten => held.remove(&(told.account, told.topic)),
        };
    }
}

fn owned(picture: &Picture) -> Held {
    let known = picture.servers.iter();
    known
        .map(|(id, known)| ((known.told.account, Topic::Server(*id)), known.told.version))
        .collect()
}

proptest! {
    #[test]
    fn the_newest_counts_and_whoever_is_told_or_resumes_holds_what_is(
        events in proptest::collection::vec((0..4_u128, 0..3_u128, 1..6_u64, any::<bool>()), 0..60),
        resume_at in 0..60_u64,
    ) {
        let mut picture = picture();
        let (mut held, mut resumed) = (Held::new(), Held::new());
        for (sequence, (id, account, version, gone)) in (1..).zip(events) {
            let before = picture.servers.get(&server(id)).map(|known| known.told.version);
            let taken = take(&mut picture, id, account, version, sequence, gone);
            prop_assert_eq!(taken.newer, before.is_none_or(|before| before < version));
            let now = picture.servers.get(&server(id)).map(|known| known.told.version);
            prop_assert_eq!(now, match (taken.newer, gone) {
                (true, true) => None,
                (true, false) => Some(version),
                (false, _) => before,
            });
            let mut index = HashMap::<AccountId, BTreeSet<ServerId>>::new();
            for (id, known) in &picture.servers {
                index.entry(known.told.account).or_default().insert(*id);
            }
            prop_assert_eq!(&index, &picture.servers_of);
            hear(&mut held, &taken.tell);
            prop_assert_eq!(&held, &owned(&picture));
            if sequence == resume_at {
                resumed = held.clone();
            }
        }
        // Away since then: the newest of everything that changed, and what went.
        let mut missed: Vec<_> = picture.tolds().chain(picture.departed.after(0)).cloned().collect();
        missed.retain(|told| told.cursor.sequence > resume_at);
        missed.sort_unstable_by_key(|told| told.cursor);
        hear(&mut resumed, &missed);
        if resume_at <= picture.position().sequence {
            prop_assert_eq!(&resumed, &owned(&picture));
        }
    }

    #[test]
    fn a_picture_that_is_painted_anew_tells_what_has_changed(
        events in proptest::collection::vec((0..4_u128, 0..3_u128, any::<bool>()), 0..40),
        lost_at in 0..40_usize,
        forgets in any::<bool>(),
    ) {
        let mut before = picture();
        let mut last = BTreeMap::new();
        let mut versions = HashMap::new();
        for (place, (id, account, gone)) in events.iter().enumerate() {
            let version: &mut u64 = versions.entry(*id).or_default();
            *version += 1;
            let sequence = place as u64 + 1;
            last.insert((*account, *id), (sequence, *version, *gone));
            if place < lost_at {
                take(&mut before, *id, *account, *version, sequence, *gone);
            }
        }
        let mut held = owned(&before);
        // The stream says where it stands, whatever is left in it.
        let mut anew = Picture::begun(Cursor { epoch: 1, sequence: events.len() as u64 });
        let mut last: Vec<_> = last.into_iter().collect();
        last.sort_unstable_by_key(|(_, (sequence, ..))| *sequence);
        for ((account, id), (sequence, version, gone)) in last {
            // Tombstones may have run out, and whole subjects been purged.
            if forgets && (gone || id == 0) {
                continue;
            }
            take(&mut anew, id, account, version, sequence, gone);
        }
        let changed = anew.changed_since(&before);
        hear(&mut held, &changed);
        prop_assert_eq!(held, owned(&anew));
    }
}

#[test]
fn a_toolbox_that_is_unseen_is_gone() {
    let id = ToolboxId(Uuid::from_u128(7));
    let event = |version| ToolboxEvent {
        toolbox_id: id.0,
        account_id: Uuid::from_u128(1),
        name: "box".to_owned(),
        version,
        status: "active".to_owned(),
        problem: None,
        agent_version: None,
        last_heartbeat: None,
        changed_at: Timestamp::UNIX_EPOCH,
    };
    let mut picture = picture();
    let of = |version, fate| told(Topic::Toolbox(id), 1, version, version, fate);
    assert!(picture.take_toolbox(id, Some(event(2)), of(2, Fate::Is)).newer);
    assert!(!picture.take_toolbox(id, None, of(2, Fate::Deleted)).newer);
    assert_eq!(picture.toolboxes.len(), 1);
    assert!(picture.take_toolbox(id, None, of(3, Fate::Deleted)).newer);
    assert!(picture.toolboxes.is_empty() && picture.toolboxes_of.is_empty());
    let owner = Viewer::Account(AccountId(Uuid::from_u128(1)));
    assert_eq!(picture.departed_of(owner, 2).count(), 1);
    assert_eq!(picture.departed_of(owner, 3).count(), 0);
}
