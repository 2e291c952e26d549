//! The migrations over an empty database and over the owner's, of several kinds; and the queries on each of them.

use domain::{AccountId, Health, McpState, Server, ServerId, StatusOnToolbox, Thresholds, ToolboxId};
use sqlx::PgPool;
use store::batch::Writes;
use store::{registry, snapshot, sweep};

use crate::support::{at, ensure_role, id, order, read, scalar, take_reports, whole_report, write};

/// All rows of a table, by the columns it had before us.
async fn rows(pool: &PgPool, table: &str, columns: &[String]) -> String {
    let list = columns
        .iter()
        .map(|column| format!("{column:?}"))
        .collect::<Vec<_>>()
        .join(", ");
    let query = format!(
        "SELECT COALESCE(json_agg(r ORDER BY r.id), '[]')::text FROM (SELECT {list} FROM {table}) AS r"
    );
    sqlx::query_scalar(sqlx::AssertSqlSafe(query))
        .fetch_one(pool)
        .await
        .unwrap()
}

async fn columns(pool: &PgPool, table: &str) -> Vec<String> {
    let query = "SELECT attname::text FROM pg_attribute
        WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum";
    sqlx::query_scalar(query)
        .bind(table)
        .fetch_all(pool)
        .await
        .unwrap()
}

const TABLES: [&str; 3] = [
    "account_tool_environments",
    "account_tool_instances",
    "agent_mcp_connections",
];

/// Migrates the owner's database and checks that nothing of his is another than before.
async fn migrate_keeping_everything(pool: &PgPool) {
    let mut before = Vec::new();
    for table in TABLES {
        let there: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
            .bind(table)
            .fetch_one(pool)
            .await
            .unwrap();
        if there {
            let columns = columns(pool, table).await;
            before.push((table, rows(pool, table, &columns).await, columns));
        }
    }
    store::migrate(pool).await.unwrap();
    for (table, rows_before, columns_before) in before {
        assert_eq!(rows(pool, table, &columns_before).await, rows_before, "{table}");
        assert!(columns(pool, table).await.starts_with(&columns_before), "{table}");
    }
}

/// Everything there is in the schema, to see that a second run changes nothing.
async fn schema(pool: &PgPool) -> String {
    scalar(
        pool,
        "SELECT concat_ws(E'\\n',
            (SELECT string_agg(format('%s.%s %s %s %s', attrelid::regclass, attname, atttypid::regtype, attnotnull, atthasdef), E'\\n'
                ORDER BY attrelid::regclass::text, attnum)
                FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
                WHERE relnamespace = 'public'::regnamespace AND attnum > 0),
            (SELECT string_agg(format('%s %s', conrelid::regclass, pg_get_constraintdef(oid)), E'\\n' ORDER BY oid)
                FROM pg_constraint WHERE connamespace = 'public'::regnamespace),
            (SELECT string_agg(pg_get_indexdef(indexrelid), E'\\n' ORDER BY indexrelid) FROM pg_index
                WHERE indrelid::regclass::text !~ '^pg_'),
            (SELECT string_agg(format('%s %s', enumtypid::regtype, enumlabel), E'\\n' ORDER BY oid) FROM pg_enum),
            (SELECT string_agg(format('%s.%s', pubname, tablename), E'\\n' ORDER BY tablename) FROM pg_publication_tables),
            (SELECT string_agg(version::text, ' ') FROM status_sync_migrations))",
    )
    .await
}

/// The whole way of a report over rows that the owner inserted: lock, fold, write, read, sweep, remove.
async fn use_it(pool: &PgPool) {
    let (box_id, server_id) = (ToolboxId(id(1)), ServerId(id(10)));
    let found = snapshot::server(pool, server_id).await.unwrap().unwrap();
    assert_eq!(
        (found.state, found.health, found.version),
        (McpState::Unknown, Health::Unknown, 0)
    );
    for (step, (word, label, state)) in [
        ("starting", StatusOnToolbox::Starting, McpState::Starting),
        ("running", StatusOnToolbox::Running, McpState::Running),
        ("removing", StatusOnToolbox::Stopping, McpState::Stopping),
        ("dead", StatusOnToolbox::ErrorStopping, McpState::Error),
        ("exited", StatusOnToolbox::Stopped, McpState::Stopped),
        ("failed", StatusOnToolbox::ErrorStarting, McpState::Error),
        ("running", StatusOnToolbox::Running, McpState::Running),
    ]
    .into_iter()
    .enumerate()
    {
        let seconds = step as i64 * 20;
        let report = whole_report(box_id, order(seconds, 1), &[&found], word);
        take_reports(pool, &[report], at(seconds)).await;
        let server = snapshot::server(pool, server_id).await.unwrap().unwrap();
        assert_eq!((server.label, server.state), (label, state), "{word}");
    }
    assert_eq!(
        scalar::<String>(pool, "SELECT min(status::text) FROM account_tool_environments").await,
        "active"
    );
    // An hour of silence, seen by the sweep.
    let mut transaction = pool.begin().await.unwrap();
    let swept = sweep::candidates(&mut transaction, at(3_600), &Thresholds::default(), false, 10)
        .await
        .unwrap();
    let swept = swept
        .iter()
        .find(|candidate| candidate.server.id == server_id)
        .unwrap();
    let (after, _) = swept
        .server
        .sweep(swept.circumstances(false), at(3_600), &Thresholds::default())
        .unwrap();
    transaction.rollback().await.unwrap();
    write(
        pool,
        &Writes {
            servers: vec![after],
            ..Writes::default()
        },
    )
    .await
    .unwrap();
    assert_eq!(
        snapshot::server(pool, server_id).await.unwrap().unwrap().state,
        McpState::Unknown
    );
    let registry = registry::read(pool).await.unwrap();
    assert_eq!(registry.toolboxes[0].public_ip.as_deref(), Some("192.0.2.1"));
    // To be deleted, and gone from the toolbox.
    sqlx::query("UPDATE account_tool_instances SET status_on_toolbox = 'pending_delete' WHERE id = $1")
        .bind(server_id.0)
        .execute(pool)
        .await
        .unwrap();
    take_reports(
        pool,
        &[whole_report(box_id, order(4_000, 1), &[], "running")],
        at(4_000),
    )
    .await;
    assert_eq!(snapshot::server(pool, server_id).await.unwrap(), None);
}

#[sqlx::test(migrations = false)]
async fn an_empty_database(pool: PgPool) {
    store::migrate(&pool).await.unwrap();
    let first = schema(&pool).await;
    store::migrate(&pool).await.unwrap();
    assert_eq!(schema(&pool).await, first);
    sqlx::raw_sql(
        "INSERT INTO account_tool_environments (id, user_id, public_ip_address)
            VALUES ('00000000-0000-0000-0000-000000000001', gen_random_uuid(), '192.0.2.1');
        INSERT INTO account_tool_instances (id, account_tool_environment_id, instance_name_on_toolbox)
            SELECT '00000000-0000-0000-0000-00000000000a', id, 'mcp-10' FROM account_tool_environments",
    )
    .execute(&pool)
    .await
    .unwrap();
    use_it(&pool).await;
}

#[sqlx::test(migrations = false)]
async fn the_owners_database_with_enums(pool: PgPool) {
    sqlx::raw_sql(include_str!("sql/owner_enums.sql"))
        .execute(&pool)
        .await
        .unwrap();
    migrate_keeping_everything(&pool).await;
    let first = schema(&pool).await;
    migrate_keeping_everything(&pool).await;
    assert_eq!(schema(&pool).await, first, "a second run is none");

    let published = "SELECT string_agg(tablename, ' ' ORDER BY tablename) FROM pg_publication_tables";
    assert_eq!(
        scalar::<String>(&pool, published).await,
        "account_tool_environments account_tool_instances"
    );
    assert!(
        first.contains("CREATE INDEX status_sync_instances_toolbox_idx"),
        "his index is a partial one"
    );
    let kept = "SELECT count(*) FROM pg_policies WHERE policyname = 'Users can view their own'";
    assert_eq!(scalar::<i64>(&pool, kept).await, 1);
    let secured = "SELECT count(*) FROM pg_class WHERE relrowsecurity AND relname ~ '^account_tool_'";
    assert_eq!(scalar::<i64>(&pool, secured).await, 2);

    // What he had means what it meant.
    let (toolbox, servers) = read(&pool, ToolboxId(id(2))).await;
    assert_eq!(
        (toolbox.heard_at, toolbox.agent_version.as_deref()),
        (Some("2025-06-01T10:00:00Z".parse().unwrap()), Some("0.9.0"))
    );
    assert_eq!(
        (toolbox.account, toolbox.name.as_str()),
        (AccountId(id(0xacc0_0002)), "")
    );
    assert_eq!(servers, []);
    let (_, servers) = read(&pool, ToolboxId(id(1))).await;
    let labels: Vec<_> = servers.iter().map(|server| server.label.clone()).collect();
    assert_eq!(
        labels,
        [
            StatusOnToolbox::Running,
            StatusOnToolbox::Foreign("deleting".to_owned())
        ]
    );
    let registry = registry::read(&pool).await.unwrap();
    assert_eq!(registry.toolboxes[1].public_ip.as_deref(), Some("2001:db8::2"));

    // A label of his that says nothing to us survives a write, and his trigger works.
    let foreign = Server {
        order: Some(order(0, 1)),
        ..servers[1].clone()
    };
    write(
        &pool,
        &Writes {
            servers: vec![foreign.clone()],
            ..Writes::default()
        },
    )
    .await
    .unwrap();
    assert_eq!(read(&pool, ToolboxId(id(1))).await.1[1], foreign);
    let touched =
        "SELECT updated_at::date::text FROM account_tool_instances WHERE instance_name_on_toolbox = 'mcp-11'";
    assert_eq!(scalar::<String>(&pool, touched).await, "2001-02-03");
    sqlx::raw_sql("DELETE FROM agent_mcp_connections; DELETE FROM account_tool_environments WHERE do_droplet_id IS NULL AND name IS NULL")
        .execute(&pool)
        .await
        .unwrap();
    use_it(&pool).await;
    assert_eq!(
        scalar::<i64>(&pool, "SELECT count(version) FROM account_tool_instances").await,
        0,
        "mcp-11 has none"
    );
}

/// The owner replaces his enum, as one does to rename labels: nothing of ours stands in his way, and goes on working.
#[sqlx::test(migrations = false)]
async fn the_owner_may_replace_his_enum(pool: PgPool) {
    sqlx::raw_sql(include_str!("sql/owner_enums.sql"))
        .execute(&pool)
        .await
        .unwrap();
    store::migrate(&pool).await.unwrap();
    // Statements are prepared, and plans kept, while the old type is there.
    let other = read(&pool, ToolboxId(id(1))).await.1.remove(1);
    take_reports(
        &pool,
        &[whole_report(
            ToolboxId(id(1)),
            order(-60, 1),
            &[&other],
            "starting",
        )],
        at(-60),
    )
    .await;
    sqlx::raw_sql(
        r#"CREATE TYPE tool_status AS ENUM ('pending_install', 'starting_on_toolbox', 'running', 'stopping_on_toolbox',
            'stopped', 'error_starting', 'error_stopping', 'pending_delete', 'deleting');
        DROP INDEX idx_mcp_server_discovery;
        ALTER TABLE account_tool_instances ALTER status_on_toolbox DROP DEFAULT,
            ALTER status_on_toolbox TYPE tool_status USING status_on_toolbox::text::tool_status;
        DROP TYPE "Odd Types"."installation status";
        DELETE FROM agent_mcp_connections; DELETE FROM account_tool_environments WHERE name IS NULL"#,
    )
    .execute(&pool)
    .await
    .unwrap();
    use_it(&pool).await;
}

#[sqlx::test(migrations = false)]
async fn the_owners_database_with_text(pool: PgPool) {
    sqlx::raw_sql(include_str!("sql/owner_text.sql"))
        .execute(&pool)
        .await
        .unwrap();
    migrate_keeping_everything(&pool).await;
    let first = schema(&pool).await;
    migrate_keeping_everything(&pool).await;
    assert_eq!(schema(&pool).await, first);
    assert!(
        !first.contains("status_sync_instances_toolbox_idx"),
        "his index serves"
    );
    let (toolbox, servers) = read(&pool, ToolboxId(id(1))).await;
    assert_eq!(toolbox.heard_at, Some("2025-06-01T12:00:00Z".parse().unwrap()));
    assert_eq!(
        servers[0].label,
        StatusOnToolbox::PendingInstall,
        "he left it empty"
    );
    use_it(&pool).await;
}

/// A column of ours that exists and means something else: no migration, and a message that names it.
#[sqlx::test(migrations = false)]
async fn a_column_of_another_meaning_stops_the_migration(pool: PgPool) {
    sqlx::raw_sql(include_str!("sql/owner_enums.sql"))
        .execute(&pool)
        .await
        .unwrap();
    sqlx::raw_sql("ALTER TABLE account_tool_instances ADD health integer")
        .execute(&pool)
        .await
        .unwrap();
    let error = store::migrate(&pool).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("account_tool_instances.health is integer, not text"),
        "{error}"
    );
    assert!(!error.is_transient());
    assert!(
        !columns(&pool, "account_tool_instances")
            .await
            .contains(&"mcp_state".to_owned()),
        "half of it was kept"
    );
    sqlx::raw_sql("ALTER TABLE account_tool_instances DROP health")
        .execute(&pool)
        .await
        .unwrap();
    store::migrate(&pool).await.unwrap();
}

/// Several replicas start at once on an empty database.
#[sqlx::test(migrations = false)]
async fn replicas_migrate_at_once(pool: PgPool) {
    let replicas: Vec<_> = (0..4)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { store::migrate(&pool).await })
        })
        .collect();
    for replica in replicas {
        replica.await.unwrap().unwrap();
    }
    let applied: i64 = scalar(&pool, "SELECT count(*) FROM status_sync_migrations").await;
    assert_eq!(usize::try_from(applied).unwrap(), store::MIGRATOR.iter().count());
}

/// A newer version was here first: an older one goes on working.
#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_newer_schema_does_not_stop_an_older_version(pool: PgPool) {
    sqlx::raw_sql(
        "INSERT INTO status_sync_migrations (version, description, success, checksum, execution_time)
        VALUES (9999, 'from the future', true, '', 0)",
    )
    .execute(&pool)
    .await
    .unwrap();
    store::migrate(&pool).await.unwrap();
}

/// On Supabase the browser's roles may use every new table of the schema. Ours are none of their business.
#[sqlx::test(migrations = false)]
async fn browsers_have_no_access_to_what_we_create(pool: PgPool) {
    ensure_role(&pool, "anon").await;
    ensure_role(&pool, "authenticated").await;
    sqlx::raw_sql("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated")
        .execute(&pool)
        .await
        .unwrap();
    store::migrate(&pool).await.unwrap();
    let mut connection = pool.acquire().await.unwrap();
    store::history::ensure_partitions(&mut connection, at(0), std::time::Duration::ZERO)
        .await
        .unwrap();
    let open: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
            AND (has_table_privilege('anon', oid, 'SELECT') OR has_table_privilege('authenticated', oid, 'UPDATE')
                OR NOT relrowsecurity)",
    )
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    assert_eq!(open, Vec::<String>::new());
}
