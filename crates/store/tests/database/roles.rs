//! Each service under its own role: what it may not, it is refused by the database.

use std::time::Duration;

use domain::{Desired, InstanceName, Server, ServerId, Toolbox};
use sqlx::postgres::PgPoolOptions;
use sqlx::{Executor as _, PgConnection, PgPool};
use store::batch::{self, Writes};
use store::{StoreError, entries, history, intent, registry};

use crate::support::{add_server, add_toolbox, at, id, order, take_reports, whole_report};

const ROLES: &str = include_str!("../../../../deploy/postgres/roles.sql");

/// A session as one of the roles, in the middle of a transaction that nobody will commit.
async fn as_role(connection: &mut PgConnection, role: &str) {
    connection
        .execute(sqlx::AssertSqlSafe(format!("SET SESSION AUTHORIZATION {role}")))
        .await
        .unwrap();
    // As the services set it: hidden rows are an error.
    connection.execute("SET row_security = off").await.unwrap();
}

/// Whether the database lets a role do this; it is undone.
async fn may(pool: &PgPool, role: &str, statement: &'static str) -> bool {
    let mut connection = pool.acquire().await.unwrap().detach();
    as_role(&mut connection, role).await;
    connection.execute("BEGIN").await.unwrap();
    match connection.execute(statement).await {
        Ok(_) => true,
        Err(error) => {
            let text = error.to_string();
            assert!(
                text.contains("permission denied") || text.contains("must be owner"),
                "{statement}: {text}"
            );
            false
        }
    }
}

const MAPPER: &str = "status_sync_mapper";
const API: &str = "status_sync_api";
const OPERATOR: &str = "status_sync_operator";

/// A statement, and who may execute it.
const TABLE: &[(&str, &[&str])] = &[
    ("SELECT * FROM account_tool_environments", &[MAPPER, API, OPERATOR]),
    ("SELECT * FROM status_changes", &[MAPPER, API, OPERATOR]),
    ("SELECT * FROM status_commands", &[MAPPER, API, OPERATOR]),
    ("SELECT * FROM status_sync_connections()", &[MAPPER, API, OPERATOR]),
    ("SELECT secret FROM status_webhooks", &[MAPPER, API]),
    // Statuses.
    ("UPDATE account_tool_instances SET mcp_state = 'running'", &[MAPPER]),
    ("UPDATE account_tool_instances SET health = 'healthy'", &[MAPPER]),
    ("UPDATE account_tool_instances SET status_on_toolbox = 'running'", &[MAPPER]),
    ("UPDATE account_tool_instances SET status_version = 9", &[MAPPER]),
    ("UPDATE account_tool_instances SET last_error = '{}'", &[MAPPER]),
    ("UPDATE account_tool_instances SET as_of = now(), as_of_seq = 1", &[MAPPER]),
    ("UPDATE account_tool_instances SET container_id = 'x'", &[MAPPER]),
    ("UPDATE account_tool_environments SET agent_status = 'active'", &[MAPPER]),
    ("UPDATE account_tool_environments SET last_heartbeat_at = now()", &[MAPPER]),
    (
        "INSERT INTO account_tool_instances (account_tool_environment_id, mcp_state)
         SELECT id, 'running' FROM account_tool_environments",
        &[],
    ),
    (
        "INSERT INTO status_changes (id, at, kind, subject_id, toolbox_id, account_id, version, state, nats_subject, event)
         VALUES (gen_random_uuid(), now(), 'toolbox', gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 1, 'active',
             'x', '{}')",
        &[MAPPER],
    ),
    ("UPDATE status_changes SET published_at = now()", &[MAPPER]),
    ("UPDATE status_changes SET event = '{}'", &[]),
    ("DELETE FROM status_changes", &[]),
    ("TRUNCATE status_changes", &[]),
    ("SELECT status_sync_ensure_week('2026-11-30')", &[MAPPER]),
    ("SELECT * FROM status_sync_drop_weeks('2020-01-01')", &[MAPPER]),
    // Intents and the registry.
    ("UPDATE account_tool_instances SET desired_state = 'stopped'", &[API]),
    ("UPDATE account_tool_instances SET monitored = false", &[API]),
    (
        "UPDATE account_tool_instances SET override_state = NULL, override_health = NULL, override_message = NULL,
         override_until = NULL",
        &[API],
    ),
    ("UPDATE account_tool_instances SET instance_name_on_toolbox = 'x'", &[API]),
    ("UPDATE account_tool_instances SET account_tool_environment_id = gen_random_uuid()", &[]),
    ("UPDATE account_tool_environments SET dtma_bearer_token = 'x'", &[API]),
    ("UPDATE account_tool_environments SET user_id = gen_random_uuid()", &[]),
    ("INSERT INTO account_tool_environments (id, user_id) VALUES (gen_random_uuid(), gen_random_uuid())", &[API]),
    ("DELETE FROM account_tool_environments", &[API]),
    ("DELETE FROM account_tool_instances", &[MAPPER, API]),
    ("DELETE FROM agent_mcp_connections", &[MAPPER, API]),
    ("UPDATE agent_mcp_connections SET is_active = false", &[API]),
    ("UPDATE agent_mcp_connections SET user_id = gen_random_uuid()", &[]),
    ("UPDATE status_commands SET executed_at = now()", &[MAPPER]),
    ("UPDATE status_commands SET dispatched_at = now()", &[API]),
    ("UPDATE status_commands SET requested_by = 'somebody else'", &[]),
    ("DELETE FROM status_commands", &[MAPPER]),
    ("UPDATE status_webhooks SET url = 'x'", &[API]),
    ("DELETE FROM status_webhooks", &[API]),
    // The schema.
    ("CREATE TABLE mine (id int)", &[]),
    ("ALTER TABLE account_tool_instances ADD COLUMN mine int", &[]),
    ("DROP TABLE status_changes", &[]),
    ("INSERT INTO status_sync_migrations SELECT * FROM status_sync_migrations", &[]),
];

/// One test, because roles belong to the whole server: it makes them once, and again.
#[sqlx::test(migrator = "store::MIGRATOR")]
async fn each_role_may_do_what_its_service_does_and_no_more(pool: PgPool) {
    // As on Supabase: browser roles that everything new is open to, and row security.
    pool.execute(
        "DO $$ BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'status_sync_browser') THEN
                CREATE ROLE status_sync_browser;
            END IF;
         END $$;
         GRANT EXECUTE ON FUNCTION status_sync_drop_weeks(timestamptz) TO status_sync_browser;
         ALTER TABLE account_tool_instances ENABLE ROW LEVEL SECURITY;
         ALTER TABLE status_changes ENABLE ROW LEVEL SECURITY;",
    )
    .await
    .unwrap();
    for _ in 0..2 {
        pool.execute(ROLES).await.unwrap();
    }
    assert!(
        !may(
            &pool,
            "status_sync_browser",
            "SELECT * FROM status_sync_drop_weeks('2020-01-01')"
        )
        .await
    );

    let home = add_toolbox(&pool, 1).await;
    let server = add_server(&pool, &home, 10).await;
    for (statement, who) in TABLE {
        for role in [MAPPER, API, OPERATOR] {
            let expected = who.contains(&role);
            assert_eq!(may(&pool, role, statement).await, expected, "{role}: {statement}");
        }
    }

    // What the services do, with their own statements; the whole of it runs in the end-to-end tests, under these roles.
    let mapper = pool_of(&pool, MAPPER).await;
    let report = whole_report(home.id, order(0, 1), &[&server], "running");
    assert!(!take_reports(&mapper, &[report], at(0)).await.is_empty());
    let mut connection = mapper.acquire().await.unwrap();
    let made = history::ensure_partitions(&mut connection, at(0), Duration::from_secs(7 * 24 * 3600)).await;
    assert_eq!(made.unwrap(), 2);
    drop(connection);
    assert_eq!(registry::read(&mapper).await.unwrap().toolboxes.len(), 1);
    let api = pool_of(&pool, API).await;
    assert!(
        intent::set_desired(&api, server.id, Desired::Stopped)
            .await
            .unwrap()
    );
    let refused = take_reports_as(&api, &home, &server).await.unwrap_err();
    assert!(refused.to_string().contains("permission denied"), "{refused}");
    assert!(entries::remove_server(&api, server.id).await.unwrap());
    let name = InstanceName::new("another").unwrap();
    entries::add_server(&api, ServerId(id(11)), home.id, &name, true)
        .await
        .unwrap();
}

/// What the mapper does first with a batch.
async fn take_reports_as(pool: &PgPool, home: &Toolbox, server: &Server) -> Result<(), StoreError> {
    let mut transaction = pool.begin().await.unwrap();
    let writes = Writes {
        toolboxes: vec![home.clone()],
        servers: vec![server.clone()],
        ..Writes::default()
    };
    batch::write(&mut transaction, &writes).await.map(|_| ())
}

/// The database as a role sees it.
async fn pool_of(pool: &PgPool, role: &'static str) -> PgPool {
    PgPoolOptions::new()
        .max_connections(2)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                as_role(connection, role).await;
                Ok(())
            })
        })
        .connect_with((*pool.connect_options()).clone())
        .await
        .unwrap()
}
