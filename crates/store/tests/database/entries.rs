//! The registry, entry by entry.

use domain::{AccountId, ConnectionId, InstanceName, ServerId, ToolboxId};
use sqlx::PgPool;
use store::entries::{self, ConnectionEntry, ToolboxChange, ToolboxEntry};
use store::reading;

use crate::support::{account, add_server, add_toolbox, at, id, order, take_reports, whole_report};

fn entry(n: u128, public_ip: Option<&str>) -> ToolboxEntry {
    ToolboxEntry {
        id: ToolboxId(id(n)),
        account: account(1),
        name: format!("box {n}"),
        base_url: Some("http://agent:1".to_owned()),
        public_ip: public_ip.map(str::to_owned),
        token: Some(format!("token {n}").into()),
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_address_goes_into_whatever_type_the_owner_s_column_has(pool: PgPool) {
    for (n, kind, refuses) in [(1, "text", false), (2, "inet", true), (3, "varchar(100)", false)] {
        let alter = format!(
            "ALTER TABLE account_tool_environments ALTER public_ip_address TYPE {kind} USING NULL::{kind}"
        );
        sqlx::query(sqlx::AssertSqlSafe(alter))
            .execute(&pool)
            .await
            .unwrap();
        entries::add_toolbox(&pool, &entry(n, Some("192.0.2.7")))
            .await
            .unwrap();
        let mut connection = pool.acquire().await.unwrap();
        let read = reading::toolbox(&mut connection, ToolboxId(id(n)))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(read.public_ip.as_deref(), Some("192.0.2.7"), "{kind}");
        let host = ToolboxChange {
            public_ip: Some("agent.example".to_owned()),
            ..ToolboxChange::default()
        };
        let changed = entries::change_toolbox(&pool, ToolboxId(id(n)), &host).await;
        assert_eq!(changed.is_err(), refuses, "{kind}");
        let none = ToolboxChange {
            public_ip: Some(String::new()),
            base_url: Some(String::new()),
            ..ToolboxChange::default()
        };
        assert!(
            entries::change_toolbox(&pool, ToolboxId(id(n)), &none)
                .await
                .unwrap()
        );
        let read = reading::toolbox(&mut connection, ToolboxId(id(n)))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (read.public_ip, read.base_url, read.has_token),
            (None, None, true),
            "{kind}"
        );
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_is_taken_is_told_and_what_is_not_there_is_not_changed(pool: PgPool) {
    let (one, two) = (entry(1, None), entry(2, None));
    entries::add_toolbox(&pool, &one).await.unwrap();
    assert!(entries::add_toolbox(&pool, &one).await.unwrap_err().is_taken());
    assert!(entries::has_toolbox(&pool, one.id).await.unwrap());
    assert!(!entries::has_toolbox(&pool, two.id).await.unwrap());
    let token = one.token.as_ref().unwrap();
    assert!(entries::token_is_taken(&pool, two.id, token).await.unwrap());
    assert!(!entries::token_is_taken(&pool, one.id, token).await.unwrap());
    let same = ToolboxEntry {
        token: one.token.clone(),
        ..two.clone()
    };
    assert!(entries::add_toolbox(&pool, &same).await.unwrap_err().is_taken());

    let (first, second) = (ServerId(id(10)), ServerId(id(11)));
    let name = InstanceName::new("mcp").unwrap();
    entries::add_server(&pool, first, one.id, &name, false)
        .await
        .unwrap();
    assert!(entries::has_server(&pool, first).await.unwrap());
    assert!(
        entries::name_is_taken(&pool, second, one.id, &name)
            .await
            .unwrap()
    );
    assert!(!entries::name_is_taken(&pool, first, one.id, &name).await.unwrap());
    assert!(
        entries::add_server(&pool, second, one.id, &name, true)
            .await
            .unwrap_err()
            .is_taken()
    );
    let other = InstanceName::new("other").unwrap();
    assert!(entries::rename_server(&pool, first, &other).await.unwrap());
    assert!(!entries::rename_server(&pool, second, &other).await.unwrap());

    let connection = ConnectionEntry {
        id: ConnectionId(id(20)),
        agent: id(21),
        account: account(2),
        server: first,
        active: true,
    };
    entries::add_connection(&pool, &connection).await.unwrap();
    assert!(entries::has_connection(&pool, connection.id).await.unwrap());
    assert!(
        entries::set_connection_active(&pool, connection.id, false)
            .await
            .unwrap()
    );
    let row = reading::connection(&pool, connection.id).await.unwrap().unwrap();
    assert_eq!(
        (row.account, row.server, row.active),
        (Some(account(2)), first, false)
    );
    // Those of an account's agents and to its servers.
    for (who, count) in [
        (Some(account(1)), 1),
        (Some(account(2)), 1),
        (Some(account(3)), 0),
        (None, 1),
    ] {
        let found = reading::connections_of(&pool, who, None, 10).await.unwrap();
        assert_eq!(found.len(), count, "{who:?}");
        let after = reading::connections_of(&pool, who, Some(connection.id), 10)
            .await
            .unwrap();
        assert!(after.is_empty());
    }
    assert!(entries::remove_connection(&pool, connection.id).await.unwrap());
    assert!(!entries::remove_connection(&pool, connection.id).await.unwrap());
    assert!(entries::remove_server(&pool, first).await.unwrap());
    assert!(!entries::remove_server(&pool, first).await.unwrap());
    assert!(entries::remove_toolbox(&pool, one.id).await.unwrap());
    assert!(!entries::remove_toolbox(&pool, one.id).await.unwrap());
    assert!(
        !entries::change_toolbox(&pool, one.id, &ToolboxChange::default())
            .await
            .unwrap()
    );
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_was_never_announced(pool: PgPool) {
    let toolbox = add_toolbox(&pool, 1).await;
    let (seen, one, two) = (
        add_server(&pool, &toolbox, 10).await,
        add_server(&pool, &toolbox, 11).await,
        add_server(&pool, &toolbox, 12).await,
    );
    take_reports(
        &pool,
        &[whole_report(toolbox.id, order(0, 1), &[&seen], "running")],
        at(0),
    )
    .await;
    sqlx::query("UPDATE account_tool_instances SET monitored = false WHERE id = $1")
        .bind(two.id.0)
        .execute(&pool)
        .await
        .unwrap();
    let of = async |account: Option<AccountId>, granted: &[ServerId], after| {
        reading::unannounced(&pool, account, granted, after, 10)
            .await
            .unwrap()
    };
    assert_eq!(of(None, &[], None).await, [one.id, two.id]);
    assert_eq!(of(Some(account(1)), &[], Some(one.id)).await, [two.id]);
    assert_eq!(of(Some(account(2)), &[], None).await, []);
    assert_eq!(of(Some(account(2)), &[two.id, seen.id], None).await, [two.id]);
    assert_eq!(
        reading::count_unannounced(&pool, None, &[]).await.unwrap(),
        (2, 1)
    );
    let active = vec![("active".to_owned(), 1)];
    assert_eq!(reading::count_toolboxes(&pool, None).await.unwrap(), active);
    assert_eq!(
        reading::count_toolboxes(&pool, Some(account(2))).await.unwrap(),
        []
    );
    let granted = reading::count_unannounced(&pool, Some(account(2)), &[one.id])
        .await
        .unwrap();
    assert_eq!(granted, (1, 0));
}
