//! What a person who looks for the fault is told.

use std::time::Duration;

use domain::CommandId;
use sqlx::PgPool;
use store::commands::{self, NewCommand};
use store::inspect::{self, LateCommands};

use crate::support::{add_server, add_toolbox, at, id};

#[sqlx::test(migrations = false)]
async fn a_database_without_the_schema_misses_all_of_it(pool: PgPool) {
    let mut connection = pool.acquire().await.unwrap();
    let found = inspect::migrations(&mut connection).await.unwrap();
    assert_eq!(found.applied, 0);
    assert_eq!(found.missing.len(), store::MIGRATOR.iter().count());
    assert_eq!(found.missing[0], "1 owner tables");
    assert!(found.changed.is_empty());

    store::migrate(&pool).await.unwrap();
    let found = inspect::migrations(&mut connection).await.unwrap();
    assert_eq!(found.applied, store::MIGRATOR.iter().count());
    assert!(found.missing.is_empty() && found.changed.is_empty() && found.newer == 0);
    assert_eq!(found.unfinished, None);
}

#[sqlx::test(migrations = false)]
async fn a_changed_an_unfinished_and_a_newer_migration_are_told(pool: PgPool) {
    store::migrate(&pool).await.unwrap();
    for statement in [
        "UPDATE status_sync_migrations SET checksum = '\\x00' WHERE version = 2",
        "UPDATE status_sync_migrations SET success = false WHERE version = 3",
        "INSERT INTO status_sync_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'of tomorrow', true, '\\x01', 0)",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    let mut connection = pool.acquire().await.unwrap();
    let found = inspect::migrations(&mut connection).await.unwrap();
    assert_eq!(found.changed, ["2 labels"]);
    assert_eq!(found.unfinished, Some(3));
    assert_eq!(found.newer, 1);
}

#[sqlx::test(migrations = false)]
async fn commands_that_nobody_sees_to_are_counted(pool: PgPool) {
    store::migrate(&pool).await.unwrap();
    let home = add_toolbox(&pool, 1).await;
    let mut connection = pool.acquire().await.unwrap();
    for n in 1..=3 {
        let server = add_server(&pool, &home, n).await;
        let command = NewCommand {
            id: CommandId(id(n)),
            kind: "start",
            server: Some(server.id),
            toolbox: Some(server.toolbox),
            account: Some(server.account),
            requested_by: "somebody".to_owned(),
            requested_at: at(0),
            deadline: Some(at(if n == 1 { 60 } else { 1000 })),
            idempotency: None,
            done: false,
            message: None,
            traceparent: None,
        };
        commands::accept(&mut connection, &command).await.unwrap();
    }
    commands::mark_dispatched(&pool, CommandId(id(3)), at(1))
        .await
        .unwrap();
    let patience = Duration::from_secs(30);
    let late = inspect::late_commands(&pool, at(100), patience).await.unwrap();
    assert_eq!(
        late,
        LateCommands {
            undispatched: 1,
            overdue: 1
        }
    );
    let late = inspect::late_commands(&pool, at(20), patience).await.unwrap();
    assert_eq!(late, LateCommands::default());
}

#[sqlx::test(migrations = false)]
async fn it_has_a_clock_and_a_version(pool: PgPool) {
    let first = inspect::clock(&pool).await.unwrap();
    assert!(inspect::clock(&pool).await.unwrap() > first);
    let version = inspect::version(&pool).await.unwrap();
    assert!(
        version.starts_with(|digit: char| digit.is_ascii_digit()),
        "{version}"
    );
}
