//! The pool's limits, what its errors ask of the caller, and what they must not show.

use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use store::{Database, DatabaseOptions, ErrorKind, StoreError};

use crate::support::ensure_role;

fn options(url: &str) -> DatabaseOptions {
    DatabaseOptions {
        acquire_timeout: Duration::from_millis(300),
        ..DatabaseOptions::new(url.to_owned().into())
    }
}

/// A port of this machine on which nobody listens.
async fn closed_port() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn errors_and_debug_output_do_not_show_the_password() {
    let port = closed_port().await;
    for url in [
        format!("postgres://app:hunter2@127.0.0.1:{port}/db"),
        "postgres://app:hunter2@[not-a-host/db".to_owned(),
        "postgres://app:hunter2@host:notaport/db".to_owned(),
        "postgres://app:hunter2@host/db?sslmode=hunter2".to_owned(),
        "app:hunter2".to_owned(),
        "hunter2".to_owned(),
    ] {
        let options = options(&url);
        let mut shown = format!("{options:?}");
        match Database::connect(&options).await {
            Ok(database) => panic!("connected to {database:?}"),
            Err(error) => {
                shown += &format!("{error} {error:?} {error:#?}");
                shown += &format!("{:?}", anyhow::Error::new(error).context("failed"));
            }
        }
        if let Ok(database) = Database::connect_lazy(&options) {
            shown += &format!("{database:?} {:?}", database.pool());
        }
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[tokio::test]
async fn a_lazy_pool_outlives_the_absence_of_the_database() {
    let port = closed_port().await;
    let database =
        Database::connect_lazy(&options(&format!("postgres://app:secret@127.0.0.1:{port}/db"))).unwrap();
    for _ in 0..2 {
        assert!(database.ping().await.unwrap_err().is_transient());
    }
    assert!(database.migrate().await.unwrap_err().is_transient());
    assert!(database.begin().await.map(|_| ()).unwrap_err().is_transient());
}

#[sqlx::test(migrations = false)]
async fn the_limits_are_set(_: PgPoolOptions, own: PgConnectOptions) {
    let options = DatabaseOptions {
        max_connections: 1,
        statement_timeout: Duration::from_millis(50),
        acquire_timeout: Duration::from_secs(2),
        ..DatabaseOptions::new(own.to_url_lossy().to_string().into())
    };
    let database = Database::connect(&options).await.unwrap();
    let slow = sqlx::query("SELECT pg_sleep(60)")
        .execute(database.pool())
        .await
        .unwrap_err();
    let slow = StoreError::from(slow);
    assert!(slow.is_transient(), "{slow}");
    assert!(slow.to_string().contains("57014"), "{slow}");

    let held = database.begin().await.unwrap();
    let none_left = database.ping().await.unwrap_err();
    assert!(none_left.is_transient(), "{none_left}");
    drop(held);
    database.ping().await.unwrap();

    let name: String = sqlx::query_scalar("SELECT current_setting('application_name')")
        .fetch_one(database.pool())
        .await
        .unwrap();
    assert_eq!(name, "mcp-status-sync");
    database.close().await;
    assert_eq!(
        database.ping().await.unwrap_err().kind(),
        ErrorKind::Setup,
        "closed for good"
    );
}

/// A role that row security applies to would see an empty registry, and everything as deleted: it gets an error.
#[sqlx::test(migrator = "store::MIGRATOR")]
async fn row_security_never_hides_rows_silently(_: PgPoolOptions, own: PgConnectOptions) {
    let database = Database::connect(&DatabaseOptions::new(own.to_url_lossy().to_string().into()))
        .await
        .unwrap();
    ensure_role(database.pool(), "status_sync_test_restricted").await;
    sqlx::raw_sql(
        "GRANT SELECT ON account_tool_environments, account_tool_instances TO status_sync_test_restricted;
        ALTER TABLE account_tool_environments ENABLE ROW LEVEL SECURITY",
    )
    .execute(database.pool())
    .await
    .unwrap();
    store::registry::read(database.pool())
        .await
        .expect("the owner sees all");

    let mut restricted = database.pool().acquire().await.unwrap();
    sqlx::raw_sql("SET ROLE status_sync_test_restricted")
        .execute(&mut *restricted)
        .await
        .unwrap();
    let error = store::registry::read(&mut *restricted).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Setup, "{error}");
    sqlx::raw_sql("RESET ROLE")
        .execute(&mut *restricted)
        .await
        .unwrap();
    drop(restricted);
    database.close().await;
}

/// Time-outs are for queries: a migration may take longer.
#[sqlx::test(migrations = false)]
async fn a_migration_is_not_cut_short(_: PgPoolOptions, own: PgConnectOptions) {
    let options = DatabaseOptions {
        statement_timeout: Duration::from_millis(1),
        ..DatabaseOptions::new(own.to_url_lossy().to_string().into())
    };
    let database = Database::connect_lazy(&options).unwrap();
    database.migrate().await.unwrap();
    database.close().await;
}

/// PostgreSQL quotes the whole failing row, token and all; no error of ours passes that on.
#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_error_does_not_show_the_row(pool: PgPool) {
    let refused = sqlx::query(
        "INSERT INTO account_tool_environments (user_id, dtma_bearer_token, agent_status)
        VALUES (gen_random_uuid(), 'hunter2', 'odd')",
    )
    .execute(&pool)
    .await
    .unwrap_err();
    assert!(
        format!("{refused:?}").contains("hunter2"),
        "else this test proves nothing"
    );
    let error = StoreError::from(refused);
    assert_eq!(error.kind(), ErrorKind::Data);
    let shown = format!("{error} {error:?}") + &format!("{:?}", anyhow::Error::new(error));
    assert!(
        !shown.contains("hunter2") && shown.contains("status_sync_agent_status"),
        "{shown}"
    );
}

/// A label that only a newer version writes: this one leaves the row alone.
#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_unknown_label_is_not_guessed_at(pool: PgPool) {
    let home = crate::support::add_toolbox(&pool, 1).await;
    crate::support::add_server(&pool, &home, 10).await;
    sqlx::raw_sql(
        "ALTER TABLE account_tool_instances DROP CONSTRAINT status_sync_mcp_state;
        UPDATE account_tool_instances SET mcp_state = 'sleeping'",
    )
    .execute(&pool)
    .await
    .unwrap();
    let error = store::snapshot::servers(&pool, None, 10).await.unwrap_err();
    assert!(
        error.to_string().contains("mcp_state") && error.to_string().contains("sleeping"),
        "{error}"
    );
    assert_eq!(error.kind(), ErrorKind::Setup);
}

/// Futures of this crate are spawned by those who use it.
#[test]
fn futures_can_be_sent() {
    fn sent<T: Send>(_: T) {}
    let _ = |database: &'static Database, connection: &'static mut sqlx::PgConnection| {
        sent(database.migrate());
        sent(store::batch::lock(connection, &[]));
    };
}
