//! The registry, its lock, and servers whose rows somebody else deleted.

use std::time::Duration;

use domain::{Change, InstanceName, ServerId, ToolboxId};
use secrecy::ExposeSecret;
use sqlx::PgPool;
use store::batch::Writes;
use store::registry::{self, RegistryInstance, Unusable, try_mirror_lock, vanished};
use store::{ChangeKind, Database};

use crate::support::{
    NOW, account, add_server, add_toolbox, at, change_row, id, order, scalar, take_reports,
    until_somebody_waits, whole_report, write,
};

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_whole_registry(pool: PgPool) {
    assert!(registry::read(&pool).await.unwrap().toolboxes.is_empty());
    let (one, two) = (add_toolbox(&pool, 1).await, add_toolbox(&pool, 2).await);
    let (seen, plain) = (
        add_server(&pool, &two, 10).await,
        add_server(&pool, &two, 11).await,
    );
    add_server(&pool, &two, 12).await;
    take_reports(
        &pool,
        &[whole_report(two.id, order(0, 1), &[&seen], "running")],
        at(0),
    )
    .await;
    sqlx::raw_sql(
        "UPDATE account_tool_environments SET name = NULL, public_ip_address = ' ', dtma_bearer_token = '' WHERE name = 'box 1';
        UPDATE account_tool_environments SET public_ip_address = '192.0.2.7', dtma_bearer_token = 'abc123',
            dtma_base_url = 'http://agent:1' WHERE name = 'box 2';
        UPDATE account_tool_instances SET instance_name_on_toolbox = E'a\tb' WHERE instance_name_on_toolbox = 'mcp-12';
        UPDATE account_tool_instances SET monitored = false, instance_name_on_toolbox = '/slashed'
            WHERE instance_name_on_toolbox = 'mcp-11';
        ALTER TABLE account_tool_environments ALTER user_id DROP NOT NULL;
        INSERT INTO account_tool_environments (id, name) VALUES ('00000000-0000-0000-0000-000000000003', 'nobody''s')",
    )
    .execute(&pool)
    .await
    .unwrap();

    let registry = registry::read(&pool).await.unwrap();
    assert!(
        !format!("{registry:?}").contains("abc123"),
        "the token must not show"
    );
    let [first, second] = &registry.toolboxes[..] else {
        panic!("{registry:?}")
    };
    assert_eq!(
        (first.id, first.account, first.name.as_str()),
        (one.id, account(1), "")
    );
    assert!(first.public_ip.is_none() && first.base_url.is_none() && first.token.is_none());
    assert_eq!(first.instances, []);
    assert_eq!(second.public_ip.as_deref(), Some("192.0.2.7"));
    assert_eq!(second.base_url.as_deref(), Some("http://agent:1"));
    assert_eq!(second.token.as_ref().unwrap().expose_secret(), "abc123");
    let instance = |id, name: &str, monitored, seen, version| RegistryInstance {
        id,
        name: InstanceName::new(name).unwrap(),
        monitored,
        seen,
        commanded: false,
        version,
    };
    assert_eq!(
        second.instances,
        [
            instance(seen.id, "mcp-10", true, true, 1),
            instance(plain.id, "slashed", false, false, 0)
        ]
    );
    assert_eq!(
        registry.unusable,
        [
            Unusable {
                toolbox: two.id,
                instance: Some(ServerId(id(12))),
                why: "its name can be no container's"
            },
            Unusable {
                toolbox: ToolboxId(id(3)),
                instance: None,
                why: "it belongs to no account"
            },
        ]
    );
    // Nobody's toolbox is nobody's news either.
    let page = store::snapshot::toolboxes(&pool, None, 10).await.unwrap();
    assert_eq!(page.items.len(), 2);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn one_mirror_at_a_time(pool: PgPool) {
    let database = Database::from_pool(pool);
    let mut held = try_mirror_lock(&database).await.unwrap().expect("nobody has it");
    assert!(try_mirror_lock(&database).await.unwrap().is_none());
    held.check().await.unwrap();
    held.release().await.unwrap();
    let held = acquired(&database).await;
    drop(held);
    acquired(&database).await.release().await.unwrap();
}

/// The server notices the end of a session a moment after it.
async fn acquired(database: &Database) -> registry::MirrorLock {
    for _ in 0..1_000 {
        if let Some(lock) = try_mirror_lock(database).await.unwrap() {
            return lock;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the lock did not come back");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_lost_lock_is_noticed(pool: PgPool) {
    let database = Database::from_pool(pool.clone());
    let mut held = try_mirror_lock(&database).await.unwrap().unwrap();
    let ended: i64 = scalar(
        &pool,
        "SELECT count(pg_terminate_backend(pid)) FROM pg_locks
        WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    .await;
    assert_eq!(ended, 1);
    assert!(held.check().await.unwrap_err().is_transient());
}

async fn tombstone(pool: &PgPool, server: ServerId, known: u64) -> Option<(u64, Vec<store::OutboxRow>)> {
    let mut transaction = pool.begin().await.unwrap();
    let change = vanished(&mut transaction, server, ToolboxId(id(1)), account(1), known, NOW)
        .await
        .unwrap()?;
    let Change::Removed { version, .. } = change else {
        panic!("{change:?}")
    };
    let writes = Writes {
        changes: vec![change_row(&change)],
        ..Writes::default()
    };
    let outbox = store::batch::write(&mut transaction, &writes).await.unwrap();
    transaction.commit().await.unwrap();
    Some((version, outbox))
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_server_that_vanished_is_told_once(pool: PgPool) {
    let home = add_toolbox(&pool, 1).await;
    let (server, silent) = (
        add_server(&pool, &home, 10).await,
        add_server(&pool, &home, 11).await,
    );
    take_reports(
        &pool,
        &[whole_report(home.id, order(0, 1), &[&server], "running")],
        at(0),
    )
    .await;
    take_reports(
        &pool,
        &[whole_report(home.id, order(60, 2), &[&server], "exited")],
        at(60),
    )
    .await;
    assert!(tombstone(&pool, server.id, 2).await.is_none(), "its row is there");

    sqlx::query("DELETE FROM account_tool_instances")
        .execute(&pool)
        .await
        .unwrap();
    let (version, outbox) = tombstone(&pool, server.id, 1).await.expect("it is gone");
    assert_eq!(version, 3, "the history knows better than the mirror");
    let told: Vec<_> = outbox.iter().map(|row| (row.kind, row.version)).collect();
    assert_eq!(
        told,
        [
            (ChangeKind::Server, 1),
            (ChangeKind::Server, 2),
            (ChangeKind::Deleted, 3)
        ]
    );
    assert!(tombstone(&pool, server.id, 9).await.is_none(), "told already");

    assert!(
        tombstone(&pool, silent.id, 0).await.is_none(),
        "nothing was ever told of it"
    );
    // The history does not reach back, the mirror remembers.
    assert_eq!(tombstone(&pool, ServerId(id(12)), 41).await.unwrap().0, 42);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn two_replicas_that_notice_at_once_tell_it_once(pool: PgPool) {
    let home = add_toolbox(&pool, 1).await;
    let server = add_server(&pool, &home, 10).await;
    take_reports(
        &pool,
        &[whole_report(home.id, order(0, 1), &[&server], "running")],
        at(0),
    )
    .await;
    sqlx::query("DELETE FROM account_tool_instances")
        .execute(&pool)
        .await
        .unwrap();

    let mut first = pool.begin().await.unwrap();
    let change = vanished(&mut first, server.id, home.id, home.account, 1, NOW)
        .await
        .unwrap()
        .unwrap();
    let second = tokio::spawn({
        let (pool, server) = (pool.clone(), server.id);
        async move { tombstone(&pool, server, 1).await }
    });
    let mut watcher = pool.acquire().await.unwrap();
    until_somebody_waits(&mut watcher).await;
    let writes = Writes {
        changes: vec![change_row(&change)],
        ..Writes::default()
    };
    store::batch::write(&mut first, &writes).await.unwrap();
    first.commit().await.unwrap();
    assert!(second.await.unwrap().is_none());
    assert_eq!(
        scalar::<i64>(
            &pool,
            "SELECT count(*) FROM status_changes WHERE kind = 'deleted'"
        )
        .await,
        1
    );
    // And whoever did not ask is refused by the index.
    assert!(
        write(
            &pool,
            &Writes {
                changes: vec![change_row(&change)],
                ..Writes::default()
            }
        )
        .await
        .is_err()
    );
}
