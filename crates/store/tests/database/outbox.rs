//! What is committed is published, once and in order, whatever happens in between.

use domain::{Change, Server, Toolbox};
use sqlx::PgPool;
use store::batch::Writes;
use store::outbox::{mark_published, oldest_unpublished, try_relay_lock, unpublished};
use store::{ChangeRow, Envelope, OutboxRow};
use uuid::Uuid;

use crate::support::{NOW, add_server, add_toolbox, at, change_row, write};

/// A change of `server` to `version`, decided at `seconds`.
fn change(server: &Server, version: u64, seconds: i64) -> Change {
    let after = Server {
        version,
        changed_at: Some(at(seconds)),
        ..server.clone()
    };
    Change::Server(Box::new(domain::ServerChange {
        before: None,
        after,
        cause: domain::Cause::Report,
    }))
}

async fn announce(pool: &PgPool, changes: &[Change]) -> Vec<OutboxRow> {
    write(
        pool,
        &Writes {
            changes: changes.iter().map(change_row).collect(),
            ..Writes::default()
        },
    )
    .await
    .unwrap()
}

fn versions(rows: &[OutboxRow]) -> Vec<(u128, u64)> {
    rows.iter()
        .map(|row| (row.subject.as_u128(), row.version))
        .collect()
}

fn ids(rows: &[OutboxRow]) -> Vec<Uuid> {
    rows.iter().map(|row| row.id).collect()
}

async fn two_servers(pool: &PgPool) -> (Toolbox, Server, Server) {
    let home = add_toolbox(pool, 1).await;
    let (a, b) = (
        add_server(pool, &home, 10).await,
        add_server(pool, &home, 11).await,
    );
    (home, a, b)
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn leftovers_come_before_what_is_newer(pool: PgPool) {
    let (_, a, b) = two_servers(&pool).await;
    // A crash between commit and publish, twice, and one of another server that nobody asks for here.
    let left = announce(&pool, &[change(&a, 1, 0)]).await;
    announce(&pool, &[change(&a, 2, 10)]).await;
    announce(&pool, &[change(&b, 1, 10)]).await;
    // A replica whose clock is behind: the order is the version's, not the clock's.
    let rows = announce(&pool, &[change(&a, 3, -100)]).await;
    assert_eq!(versions(&rows), [(10, 1), (10, 2), (10, 3)]);

    assert_eq!(mark_published(&pool, &ids(&left), at(20)).await.unwrap(), 1);
    assert_eq!(
        mark_published(&pool, &ids(&left), at(21)).await.unwrap(),
        0,
        "marked once"
    );
    let rows = announce(&pool, &[change(&b, 2, 20), change(&a, 4, 20)]).await;
    assert_eq!(versions(&rows), [(10, 2), (10, 3), (10, 4), (11, 1), (11, 2)]);
    mark_published(&pool, &ids(&rows), at(22)).await.unwrap();
    assert_eq!(versions(&announce(&pool, &[change(&a, 5, 30)]).await), [(10, 5)]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_relay_takes_whole_subjects_that_are_overdue(pool: PgPool) {
    let (_, a, b) = two_servers(&pool).await;
    assert_eq!(oldest_unpublished(&pool).await.unwrap(), None);
    announce(&pool, &[change(&a, 1, 50), change(&a, 2, 0), change(&b, 1, 40)]).await;
    assert_eq!(oldest_unpublished(&pool).await.unwrap(), Some(at(0)));

    assert_eq!(unpublished(&pool, at(0), 10).await.unwrap(), []);
    // Version 1 is younger than the limit by its clock, and still goes before version 2.
    let overdue = unpublished(&pool, at(10), 10).await.unwrap();
    assert_eq!(versions(&overdue), [(10, 1), (10, 2)]);
    assert_eq!(
        versions(&unpublished(&pool, at(41), 10).await.unwrap()),
        [(10, 1), (10, 2), (11, 1)]
    );
    assert_eq!(versions(&unpublished(&pool, at(41), 1).await.unwrap()), [(10, 1)]);

    mark_published(&pool, &ids(&overdue), at(60)).await.unwrap();
    assert_eq!(
        versions(&unpublished(&pool, at(100), 10).await.unwrap()),
        [(11, 1)]
    );
    assert_eq!(oldest_unpublished(&pool).await.unwrap(), Some(at(40)));
    assert_eq!(mark_published(&pool, &[], at(60)).await.unwrap(), 0);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_event_is_given_back_byte_for_byte(pool: PgPool) {
    let (_, a, _) = two_servers(&pool).await;
    let odd = r#"{ "b":1.50, "a":"\u00e9 é \u0000", "b":12345678901234567890123,  "z":[ ] }"#;
    let envelope = Envelope {
        nats_subject: "mcp.status.v1.x.y".to_owned(),
        event: serde_json::from_str(odd).unwrap(),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
    };
    let row = ChangeRow::new(Uuid::from_u128(7), &change(&a, 1, 3), envelope.clone());
    let rows = write(
        &pool,
        &Writes {
            changes: vec![row],
            ..Writes::default()
        },
    )
    .await
    .unwrap();
    let expected = OutboxRow {
        id: Uuid::from_u128(7),
        kind: store::ChangeKind::Server,
        subject: a.id.0,
        version: 1,
        at: at(3),
        nats_subject: envelope.nats_subject,
        event: odd.to_owned(),
        traceparent: envelope.traceparent,
    };
    assert_eq!(unpublished(&pool, at(4), 10).await.unwrap(), rows);
    assert_eq!(rows, [expected]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn one_relay_at_a_time(pool: PgPool) {
    let (mut one, mut two) = (pool.begin().await.unwrap(), pool.begin().await.unwrap());
    assert!(try_relay_lock(&mut one).await.unwrap());
    assert!(!try_relay_lock(&mut two).await.unwrap());
    one.rollback().await.unwrap();
    assert!(try_relay_lock(&mut two).await.unwrap());
}

/// Rolled back with the rows: nothing is announced that did not happen.
#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_change_is_committed_with_its_row_or_not_at_all(pool: PgPool) {
    let (home, a, _) = two_servers(&pool).await;
    let mut transaction = pool.begin().await.unwrap();
    let after = Server {
        version: 1,
        changed_at: Some(NOW),
        ..a.clone()
    };
    let writes = Writes {
        servers: vec![after],
        changes: vec![change_row(&change(&a, 1, 0))],
        ..Writes::default()
    };
    store::batch::write(&mut transaction, &writes).await.unwrap();
    drop(transaction);
    assert_eq!(unpublished(&pool, at(100), 10).await.unwrap(), []);
    assert_eq!(crate::support::read(&pool, home.id).await.1[0], a);
}
