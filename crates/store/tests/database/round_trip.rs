//! A value that is written is read back as the same value, field by field.

use domain::{Server, StatusOnToolbox, Toolbox, ToolboxId};
use jiff::Timestamp;
use sqlx::PgPool;
use store::batch::Writes;
use store::snapshot;

use crate::generate::{one, server, toolbox};
use crate::support::{NOW, add_server, add_toolbox, at, id, order, read, scalar, write};

/// What the owner's application wrote of a server, beside its row's existence.
async fn set_intent(pool: &PgPool, server: &Server) {
    sqlx::query("UPDATE account_tool_instances SET desired_state = $2, monitored = $3 WHERE id = $1")
        .bind(server.id.0)
        .bind(server.desired.map(|desired| desired.as_str()))
        .bind(server.monitored)
        .execute(pool)
        .await
        .unwrap();
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn every_field_of_a_server(pool: PgPool) {
    let home = add_toolbox(&pool, 1).await;
    let servers: Vec<Server> = (100..500).map(|n| one(n, server(n, home.id))).collect();
    for server in &servers {
        add_server(&pool, &home, server.id.0.as_u128()).await;
        set_intent(&pool, server).await;
    }
    write(
        &pool,
        &Writes {
            servers: servers.clone(),
            ..Writes::default()
        },
    )
    .await
    .unwrap();

    let (_, read_back) = read(&pool, home.id).await;
    assert_eq!(read_back.len(), servers.len());
    for (read_back, written) in read_back.iter().zip(&servers) {
        assert_eq!(read_back, written);
        assert_eq!(
            snapshot::server(&pool, written.id).await.unwrap().as_ref(),
            Some(written)
        );
    }
    let heartbeats: i64 = scalar(
        &pool,
        "SELECT count(*) FROM account_tool_instances WHERE last_heartbeat_from_dtma = as_of",
    )
    .await;
    assert_eq!(
        usize::try_from(heartbeats).unwrap(),
        servers.iter().filter(|server| server.order.is_some()).count()
    );
    let messages: i64 = scalar(
        &pool,
        "SELECT count(*) FROM account_tool_instances
        WHERE instance_error_message IS NOT DISTINCT FROM last_error ->> 'message'",
    )
    .await;
    assert_eq!(usize::try_from(messages).unwrap(), servers.len());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn every_field_of_a_toolbox(pool: PgPool) {
    let toolboxes: Vec<Toolbox> = (1..200).map(|n| one(n, toolbox(n))).collect();
    for toolbox in &toolboxes {
        add_toolbox(&pool, toolbox.id.0.as_u128()).await;
    }
    write(
        &pool,
        &Writes {
            toolboxes: toolboxes.clone(),
            ..Writes::default()
        },
    )
    .await
    .unwrap();

    let page = snapshot::toolboxes(&pool, None, 1_000).await.unwrap();
    assert_eq!(page.items, toolboxes);
    assert_eq!(page.next, None);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn pages_meet_without_gap_or_overlap(pool: PgPool) {
    let home = add_toolbox(&pool, 1).await;
    let mut expected = Vec::new();
    for n in 10..20 {
        expected.push(add_server(&pool, &home, n).await);
    }
    // A name that no container can have takes a place on its page and appears on none.
    sqlx::query("UPDATE account_tool_instances SET instance_name_on_toolbox = ' ' WHERE id = $1")
        .bind(id(13))
        .execute(&pool)
        .await
        .unwrap();
    expected.retain(|server| server.id.0 != id(13));

    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = snapshot::servers(&pool, after, 3).await.unwrap();
        assert!(page.items.len() <= 3);
        seen.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, expected);
    assert_eq!(
        snapshot::toolboxes(&pool, Some(home.id), 5).await.unwrap().items,
        []
    );
    let unknown = domain::ServerId(id(999));
    assert_eq!(snapshot::server(&pool, unknown).await.unwrap(), None);
}

/// The domain counts in nanoseconds and saturates; a row counts in microseconds and ends at 4714 BC.
#[sqlx::test(migrator = "store::MIGRATOR")]
async fn instants_beyond_what_a_row_can_hold(pool: PgPool) {
    let home = add_toolbox(&pool, 1).await;
    let mut server = add_server(&pool, &home, 10).await;
    let fine = Timestamp::from_nanosecond(NOW.as_nanosecond() + 123_456_789).unwrap();
    server.order = Some(domain::Order {
        as_of: fine,
        sequence: 7,
    });
    server.last_started_at = Some(Timestamp::MIN);
    write(
        &pool,
        &Writes {
            servers: vec![server.clone()],
            ..Writes::default()
        },
    )
    .await
    .unwrap();

    let (_, read_back) = read(&pool, home.id).await;
    let stored = read_back[0].order;
    assert!(
        !server.order.unwrap().is_newer_than(stored),
        "delivered again, it must be stale: {stored:?}"
    );
    assert!(read_back[0].last_started_at.unwrap() < at(-1_000_000_000));
}

/// What the row says for people's intent is theirs: a report never writes over it.
#[sqlx::test(migrator = "store::MIGRATOR")]
async fn intent_and_ownership_are_not_written(pool: PgPool) {
    let home = add_toolbox(&pool, 1).await;
    let before = add_server(&pool, &home, 10).await;
    let mut stale = before.clone();
    stale.desired = Some(domain::Desired::Stopped);
    stale.monitored = false;
    stale.name = domain::InstanceName::new("another").unwrap();
    stale.toolbox = ToolboxId(id(77));
    stale.account = crate::support::account(9);
    stale.label = StatusOnToolbox::Running;
    stale.order = Some(order(0, 1));
    write(
        &pool,
        &Writes {
            servers: vec![stale.clone()],
            ..Writes::default()
        },
    )
    .await
    .unwrap();

    let (_, after) = read(&pool, home.id).await;
    assert_eq!(
        after,
        [Server {
            label: StatusOnToolbox::Running,
            order: stale.order,
            ..before
        }]
    );
}
