//! Locking and writing: order, concurrency, and what must not happen.

use domain::{Change, Health, McpState, StatusOnToolbox, Thresholds, ToolboxId};
use sqlx::PgPool;
use store::batch::{self, Writes};
use store::{ErrorKind, StoreError};

use crate::support::{
    NOW, add_server, add_toolbox, at, change_row, id, order, read, scalar, take_reports,
    until_somebody_waits, whole_report, write,
};

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_report_becomes_rows_and_changes(pool: PgPool) {
    let home = add_toolbox(&pool, 1).await;
    let server = add_server(&pool, &home, 10).await;
    let outbox = take_reports(
        &pool,
        &[whole_report(home.id, order(0, 1), &[&server], "running")],
        at(1),
    )
    .await;

    let (toolbox, servers) = read(&pool, home.id).await;
    assert_eq!(
        (servers[0].state, servers[0].health),
        (McpState::Running, Health::Healthy)
    );
    assert_eq!(servers[0].label, StatusOnToolbox::Running);
    assert_eq!(toolbox.whole_order, Some(order(0, 1)));
    assert_eq!(
        outbox
            .iter()
            .map(|row| (row.subject, row.version))
            .collect::<Vec<_>>(),
        [(id(1), 1), (id(10), 1)]
    );
    let owners_view: String = scalar(
        &pool,
        "SELECT status || ' ' || dtma_last_known_version FROM account_tool_environments",
    )
    .await;
    assert_eq!(owners_view, "active 1.2.3");
    let history: (String, String, String, Option<String>) =
        sqlx::query_as("SELECT kind, state, health, error_code FROM status_changes WHERE subject_id = $1")
            .bind(id(10))
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(
        history,
        ("server".into(), "running".into(), "healthy".into(), None)
    );
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn locked_in_the_order_of_ids_and_only_what_exists(pool: PgPool) {
    let (first, second) = (add_toolbox(&pool, 1).await, add_toolbox(&pool, 2).await);
    // Ids that lie across the toolboxes.
    let (a, b, c) = (
        add_server(&pool, &second, 10).await,
        add_server(&pool, &first, 11).await,
        add_server(&pool, &second, 12).await,
    );
    let mut transaction = pool.begin().await.unwrap();
    let ids = [ToolboxId(id(99)), second.id, first.id, second.id];
    let locked = batch::lock(&mut transaction, &ids).await.unwrap();
    assert_eq!(locked, [(first, vec![b]), (second, vec![a, c])]);
    assert_eq!(batch::lock(&mut transaction, &[]).await.unwrap(), []);
}

/// Two batches that name the same toolboxes in opposite orders, many times over: both get through, and no update of one
/// is lost to the other.
#[sqlx::test(migrator = "store::MIGRATOR")]
async fn crossing_batches_never_deadlock(pool: PgPool) {
    const ROUNDS: u64 = 100;
    let mut toolboxes = Vec::new();
    for n in 1..=4 {
        let toolbox = add_toolbox(&pool, n).await;
        // Servers' ids in the opposite order of their toolboxes'.
        add_server(&pool, &toolbox, 100 - n).await;
        toolboxes.push(toolbox.id);
    }
    let batch_of = |ids: Vec<ToolboxId>, pool: PgPool| async move {
        for _ in 0..ROUNDS {
            let mut transaction = pool.begin().await?;
            let mut writes = Writes::default();
            for (mut toolbox, servers) in batch::lock(&mut transaction, &ids).await? {
                toolbox.version += 1;
                toolbox.changed_at = Some(NOW);
                writes.toolboxes.push(toolbox);
                writes.servers.extend(servers.into_iter().map(|mut server| {
                    server.version += 1;
                    server.changed_at = Some(NOW);
                    server
                }));
            }
            batch::write(&mut transaction, &writes).await?;
            transaction.commit().await?;
        }
        Ok::<_, StoreError>(())
    };
    let forwards = tokio::spawn(batch_of(toolboxes.clone(), pool.clone()));
    let backwards = tokio::spawn(batch_of(toolboxes.iter().rev().copied().collect(), pool.clone()));
    forwards.await.unwrap().unwrap();
    backwards.await.unwrap().unwrap();

    for toolbox in toolboxes {
        let (toolbox, servers) = read(&pool, toolbox).await;
        assert_eq!((toolbox.version, servers[0].version), (2 * ROUNDS, 2 * ROUNDS));
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_late_report_cannot_bring_back_what_was_deleted(pool: PgPool) {
    let home = add_toolbox(&pool, 1).await;
    let (gone, stays) = (
        add_server(&pool, &home, 10).await,
        add_server(&pool, &home, 11).await,
    );
    let report = whole_report(home.id, order(0, 1), &[&gone, &stays], "running");
    take_reports(&pool, std::slice::from_ref(&report), at(1)).await;
    let (_, known) = read(&pool, home.id).await;
    sqlx::query("DELETE FROM account_tool_instances WHERE id = $1")
        .bind(gone.id.0)
        .execute(&pool)
        .await
        .unwrap();

    let late = whole_report(home.id, order(60, 2), &[&gone, &stays], "exited");
    let outbox = take_reports(&pool, &[late, report], at(61)).await;
    assert!(
        outbox
            .iter()
            .all(|row| row.subject != gone.id.0 || row.version == 1),
        "{outbox:?}"
    );
    let (_, servers) = read(&pool, home.id).await;
    assert_eq!(
        servers.iter().map(|server| server.id).collect::<Vec<_>>(),
        [stays.id]
    );

    // Nor can whoever still holds the row's former state.
    let mut stale = known[0].clone();
    stale.version += 1;
    stale.changed_at = Some(NOW);
    let change = Change::Server(Box::new(domain::ServerChange {
        before: None,
        after: stale.clone(),
        cause: domain::Cause::Report,
    }));
    let before: i64 = scalar(&pool, "SELECT count(*) FROM status_changes").await;
    let refused = write(
        &pool,
        &Writes {
            servers: vec![stale, servers[0].clone()],
            changes: vec![change_row(&change)],
            ..Writes::default()
        },
    )
    .await
    .unwrap_err();
    assert!(
        matches!(
            refused,
            StoreError::Overtaken {
                given: 2,
                missed: 1,
                ..
            }
        ),
        "{refused}"
    );
    assert!(refused.is_transient());
    assert_eq!(
        scalar::<i64>(&pool, "SELECT count(*) FROM account_tool_instances").await,
        1
    );
    assert_eq!(
        scalar::<i64>(&pool, "SELECT count(*) FROM status_changes").await,
        before
    );
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_lower_version_is_never_written(pool: PgPool) {
    let mut home = add_toolbox(&pool, 1).await;
    let mut server = add_server(&pool, &home, 10).await;
    (home.version, server.version) = (5, 5);
    write(
        &pool,
        &Writes {
            toolboxes: vec![home.clone()],
            servers: vec![server.clone()],
            ..Writes::default()
        },
    )
    .await
    .unwrap();
    (home.version, server.version) = (4, 4);
    for writes in [
        Writes {
            toolboxes: vec![home],
            ..Writes::default()
        },
        Writes {
            servers: vec![server],
            ..Writes::default()
        },
    ] {
        assert!(matches!(
            write(&pool, &writes).await.unwrap_err(),
            StoreError::Overtaken { .. }
        ));
    }
}

/// The same version twice is a writer that did not hold the lock: refused, and nobody's passing trouble.
#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_version_is_announced_once(pool: PgPool) {
    let home = add_toolbox(&pool, 1).await;
    let server = add_server(&pool, &home, 10).await;
    let change = Change::Removed {
        server: server.id,
        toolbox: home.id,
        account: home.account,
        version: 1,
        at: NOW,
    };
    let writes = Writes {
        changes: vec![change_row(&change)],
        ..Writes::default()
    };
    write(&pool, &writes).await.unwrap();
    let again = Writes {
        changes: vec![change_row(&change)],
        ..Writes::default()
    };
    assert_eq!(write(&pool, &again).await.unwrap_err().kind(), ErrorKind::Data);
    // A toolbox counts for itself.
    let mut namesake = home.clone();
    (namesake.id, namesake.version, namesake.changed_at) = (ToolboxId(server.id.0), 1, Some(NOW));
    let change = Change::Toolbox(Box::new(namesake));
    write(
        &pool,
        &Writes {
            changes: vec![change_row(&change)],
            ..Writes::default()
        },
    )
    .await
    .unwrap();
}

/// A server that is to be deleted and whose container is gone: the row goes, its connections with it, a tombstone stays.
#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_removal_takes_the_row_and_leaves_a_tombstone(pool: PgPool) {
    let home = add_toolbox(&pool, 1).await;
    let server = add_server(&pool, &home, 10).await;
    take_reports(
        &pool,
        &[whole_report(home.id, order(0, 1), &[&server], "running")],
        at(0),
    )
    .await;
    // The owner's foreign key may not cascade.
    sqlx::raw_sql(
        "ALTER TABLE agent_mcp_connections DROP CONSTRAINT agent_mcp_connections_account_tool_instance_id_fkey;
        ALTER TABLE agent_mcp_connections ADD FOREIGN KEY (account_tool_instance_id)
            REFERENCES account_tool_instances (id) ON DELETE RESTRICT;
        INSERT INTO agent_mcp_connections (agent_id, account_tool_instance_id)
            SELECT gen_random_uuid(), id FROM account_tool_instances;
        UPDATE account_tool_instances SET status_on_toolbox = 'pending_delete'",
    )
    .execute(&pool)
    .await
    .unwrap();
    let outbox = take_reports(
        &pool,
        &[whole_report(home.id, order(30, 2), &[], "running")],
        at(30),
    )
    .await;

    assert_eq!(read(&pool, home.id).await.1, []);
    assert_eq!(
        scalar::<i64>(&pool, "SELECT count(*) FROM agent_mcp_connections").await,
        0
    );
    let last = outbox.last().unwrap();
    assert_eq!(
        (last.kind, last.subject, last.version),
        (store::ChangeKind::Deleted, server.id.0, 2)
    );
}

/// A batch that has to wait sees what the one before it wrote.
#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_second_batch_reads_what_the_first_wrote(pool: PgPool) {
    let home = add_toolbox(&pool, 1).await;
    let server = add_server(&pool, &home, 10).await;
    let mut first = pool.begin().await.unwrap();
    let (toolbox, servers) = batch::lock(&mut first, &[home.id]).await.unwrap().remove(0);
    let second = tokio::spawn({
        let (pool, report) = (
            pool.clone(),
            whole_report(home.id, order(0, 1), &[&server], "exited"),
        );
        async move { take_reports(&pool, &[report], at(11)).await }
    });
    let mut watcher = pool.acquire().await.unwrap();
    until_somebody_waits(&mut watcher).await;

    let newer = whole_report(home.id, order(10, 2), &[&server], "running");
    let fold = domain::fold(toolbox, servers, &[newer], at(10), at(10), &Thresholds::default());
    let writes = Writes {
        toolboxes: vec![fold.toolbox],
        servers: fold.write,
        changes: fold.changes.iter().map(change_row).collect(),
        ..Writes::default()
    };
    batch::write(&mut first, &writes).await.unwrap();
    first.commit().await.unwrap();

    assert_eq!(
        second.await.unwrap(),
        [],
        "the older report must have found the newer one's row"
    );
    assert_eq!(read(&pool, home.id).await.1[0].state, McpState::Running);
}
