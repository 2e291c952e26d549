//! Partitions: made ahead, dropped in time, and never with something unpublished in them.

use std::time::Duration;

use domain::{Change, Server};
use jiff::Timestamp;
use sqlx::PgPool;
use store::batch::Writes;
use store::history::{Dropped, drop_older_than, ensure_partitions};
use store::outbox::{mark_published, unpublished};

use crate::support::{NOW, add_server, add_toolbox, change_row, scalar, until_somebody_waits, write};

const DAY: u64 = 86_400;
const WEEK: Duration = Duration::from_secs(7 * DAY);

/// `NOW` and some days.
fn day(days: i64) -> Timestamp {
    Timestamp::from_second(NOW.as_second() + days * 86_400).unwrap()
}

fn change(server: &Server, version: u64, at: Timestamp) -> Change {
    let after = Server {
        version,
        changed_at: Some(at),
        ..server.clone()
    };
    Change::Server(Box::new(domain::ServerChange {
        before: None,
        after,
        cause: domain::Cause::Age,
    }))
}

async fn announce(pool: &PgPool, change: &Change) -> Vec<store::OutboxRow> {
    write(
        pool,
        &Writes {
            changes: vec![change_row(change)],
            ..Writes::default()
        },
    )
    .await
    .unwrap()
}

/// Which partition holds which version.
async fn filed(pool: &PgPool) -> Vec<(String, i64)> {
    sqlx::query_as("SELECT tableoid::regclass::text, version FROM status_changes ORDER BY version")
        .fetch_all(pool)
        .await
        .unwrap()
}

/// Upkeep may give way to writers; then it is called again, as it is in life.
async fn ensure(pool: &PgPool, now: Timestamp, ahead: Duration) -> u32 {
    loop {
        let mut connection = pool.acquire().await.unwrap();
        match ensure_partitions(&mut connection, now, ahead).await {
            Err(error) if error.is_transient() => {}
            made => return made.unwrap(),
        }
    }
}

async fn drop_old(pool: &PgPool, now: Timestamp, keep: Duration) -> Dropped {
    loop {
        let mut connection = pool.acquire().await.unwrap();
        match drop_older_than(&mut connection, now, keep).await {
            Err(error) if error.is_transient() => {}
            dropped => return dropped.unwrap(),
        }
    }
}

// NOW is 2026-11-18, a Wednesday: its week is that of the 16th.

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn weeks_are_made_ahead_and_take_over_what_was_early(pool: PgPool) {
    let home = add_toolbox(&pool, 1).await;
    let server = add_server(&pool, &home, 10).await;
    announce(&pool, &change(&server, 1, day(0))).await;
    announce(&pool, &change(&server, 2, day(5))).await;
    announce(&pool, &change(&server, 3, day(400))).await;
    assert!(
        filed(&pool)
            .await
            .iter()
            .all(|(partition, _)| partition == "status_changes_default")
    );

    assert_eq!(ensure(&pool, NOW, 2 * WEEK).await, 3);
    assert_eq!(ensure(&pool, NOW, 2 * WEEK).await, 0, "they are there");
    assert_eq!(ensure(&pool, day(7), 2 * WEEK).await, 1);
    announce(&pool, &change(&server, 4, day(1))).await;
    let expected = [
        ("status_changes_20261116", 1),
        ("status_changes_20261123", 2),
        ("status_changes_default", 3),
        ("status_changes_20261116", 4),
    ];
    assert_eq!(
        filed(&pool).await,
        expected.map(|(partition, version)| (partition.to_owned(), version))
    );
    // Rows that moved are still in the outbox, in order.
    assert_eq!(unpublished(&pool, day(1000), 10).await.unwrap().len(), 4);
    // And the guard holds in a partition made later.
    let again = Writes {
        changes: vec![change_row(&change(&server, 1, day(1)))],
        ..Writes::default()
    };
    assert_eq!(
        write(&pool, &again).await.unwrap_err().kind(),
        store::ErrorKind::Data
    );
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn weeks_go_when_they_are_over_and_published(pool: PgPool) {
    let home = add_toolbox(&pool, 1).await;
    let server = add_server(&pool, &home, 10).await;
    ensure(&pool, NOW, 2 * WEEK).await;
    let first = announce(&pool, &change(&server, 1, day(0))).await;
    let second = announce(&pool, &change(&server, 2, day(7))).await;
    let stray = announce(&pool, &change(&server, 3, day(-30))).await;
    mark_published(&pool, &[first[0].id], day(0)).await.unwrap();

    let keep = Duration::from_secs(30 * DAY);
    assert_eq!(
        drop_old(&pool, day(34), keep).await,
        Dropped::default(),
        "the week ends on the 23rd"
    );
    let dropped = drop_old(&pool, day(70), keep).await;
    assert_eq!(
        dropped.partitions,
        ["status_changes_20261116", "status_changes_20261130"]
    );
    assert_eq!(
        dropped.kept,
        ["status_changes_20261123"],
        "something in it was never published"
    );
    assert_eq!(dropped.rows, 0);
    assert_eq!(unpublished(&pool, day(1000), 10).await.unwrap().len(), 2);

    let left: Vec<_> = second.iter().chain(&stray).map(|row| row.id).collect();
    mark_published(&pool, &left, day(70)).await.unwrap();
    let dropped = drop_old(&pool, day(70), keep).await;
    assert_eq!(
        (dropped.partitions.len(), dropped.kept.len(), dropped.rows),
        (1, 0, 1)
    );
    assert_eq!(
        scalar::<i64>(&pool, "SELECT count(*) FROM status_changes").await,
        0
    );
    // A change that comes now still has a place.
    announce(&pool, &change(&server, 5, day(0))).await;
}

/// Replicas tend the history at the same time, while changes are written.
#[sqlx::test(migrator = "store::MIGRATOR")]
async fn upkeep_by_many_while_changes_are_written(pool: PgPool) {
    let home = add_toolbox(&pool, 1).await;
    let server = add_server(&pool, &home, 10).await;
    let keepers: Vec<_> = (0..3)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let mut made = 0;
                for days in (0..140).step_by(7) {
                    made += ensure(&pool, day(days), WEEK).await;
                    drop_old(&pool, day(days), Duration::ZERO).await;
                }
                made
            })
        })
        .collect();
    for version in 1..=200 {
        let rows = announce(&pool, &change(&server, version, day(200))).await;
        mark_published(&pool, &[rows.last().unwrap().id], day(200))
            .await
            .unwrap();
    }
    let mut made = 0;
    for keeper in keepers {
        made += keeper.await.unwrap();
    }
    assert!(
        made >= 21,
        "20 weeks and one ahead, some of them made again after a drop: {made}"
    );
    assert_eq!(
        scalar::<i64>(&pool, "SELECT count(*) FROM status_changes").await,
        200
    );
}

/// A writer that holds the default partition is not waited for: the upkeep gives up and says that it may try again.
#[sqlx::test(migrator = "store::MIGRATOR")]
async fn upkeep_does_not_queue_behind_a_writer(pool: PgPool) {
    let home = add_toolbox(&pool, 1).await;
    let server = add_server(&pool, &home, 10).await;
    let mut writer = pool.begin().await.unwrap();
    let writes = Writes {
        changes: vec![change_row(&change(&server, 1, day(0)))],
        ..Writes::default()
    };
    store::batch::write(&mut writer, &writes).await.unwrap();
    let upkeep = tokio::spawn({
        let pool = pool.clone();
        async move {
            let mut connection = pool.acquire().await.unwrap();
            ensure_partitions(&mut connection, NOW, Duration::ZERO).await
        }
    });
    until_somebody_waits(&mut pool.acquire().await.unwrap()).await;
    assert!(upkeep.await.unwrap().unwrap_err().is_transient());
    writer.commit().await.unwrap();
    assert_eq!(ensure(&pool, NOW, Duration::ZERO).await, 1);
    assert_eq!(filed(&pool).await, [("status_changes_20261116".to_owned(), 1)]);
}

/// A writer that was on its way to the default partition while its week was made is refused there. That is nobody's
/// fault, and the same again finds the week.
#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_writer_that_meets_the_making_of_its_week_may_try_again(pool: PgPool) {
    let home = add_toolbox(&pool, 1).await;
    let server = add_server(&pool, &home, 10).await;
    let mut upkeep = pool.begin().await.unwrap();
    assert_eq!(
        ensure_partitions(&mut upkeep, NOW, Duration::ZERO).await.unwrap(),
        1
    );
    let writer = tokio::spawn({
        let (pool, change) = (pool.clone(), change(&server, 1, day(0)));
        async move {
            let changes = vec![change_row(&change)];
            let writes = Writes {
                changes,
                ..Writes::default()
            };
            write(&pool, &writes).await
        }
    });
    until_somebody_waits(&mut pool.acquire().await.unwrap()).await;
    upkeep.commit().await.unwrap();
    let refused = writer.await.unwrap().unwrap_err();
    assert!(refused.is_transient(), "{refused}");
    announce(&pool, &change(&server, 1, day(0))).await;
    assert_eq!(filed(&pool).await, [("status_changes_20261116".to_owned(), 1)]);
}
