//! Rows that the owner's application would have inserted, and shorthands.

use std::time::Duration;

use domain::{
    AccountId, Change, ContainerReport, Coverage, InstanceName, InstanceRef, Order, Outcome, Report, Server,
    ServerId, Source, Thresholds, Toolbox, ToolboxId,
};
use jiff::Timestamp;
use serde_json::value::RawValue;
use sqlx::{PgConnection, PgPool};
use store::batch::{self, Writes};
use store::{ChangeRow, Envelope, OutboxRow};
use uuid::Uuid;

use crate::generate::Intent;

/// The instant around which tests happen: a Wednesday.
pub(crate) const NOW: Timestamp = Timestamp::constant(1_795_000_000, 0);

/// `NOW` and some seconds.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(NOW.as_second() + seconds).unwrap()
}

pub(crate) fn order(seconds: i64, sequence: u64) -> Order {
    Order {
        as_of: at(seconds),
        sequence,
    }
}

/// Ids in the order of `n`, so that tests can speak of first and last.
pub(crate) fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

pub(crate) fn account(n: u128) -> AccountId {
    AccountId(id(0xacc0_0000 + n))
}

/// A toolbox row as the owner inserts it, of account 1.
pub(crate) async fn add_toolbox(pool: &PgPool, n: u128) -> Toolbox {
    let toolbox = Toolbox::new(ToolboxId(id(n)), account(1), format!("box {n}"));
    sqlx::query("INSERT INTO account_tool_environments (id, user_id, name) VALUES ($1, $2, $3)")
        .bind(toolbox.id.0)
        .bind(toolbox.account.0)
        .bind(&toolbox.name)
        .execute(pool)
        .await
        .unwrap();
    toolbox
}

/// An instance row as the owner inserts it.
pub(crate) async fn add_server(pool: &PgPool, toolbox: &Toolbox, n: u128) -> Server {
    let name = InstanceName::new(&format!("mcp-{n}")).unwrap();
    let server = Server::new(ServerId(id(n)), toolbox.id, toolbox.account, name);
    sqlx::query(
        "INSERT INTO account_tool_instances (id, account_tool_environment_id, instance_name_on_toolbox)
        VALUES ($1, $2, $3)",
    )
    .bind(server.id.0)
    .bind(toolbox.id.0)
    .bind(server.name.as_str())
    .execute(pool)
    .await
    .unwrap();
    server
}

/// A whole list in which every one of `servers` has the state `word`.
pub(crate) fn whole_report(toolbox: ToolboxId, order: Order, servers: &[&Server], word: &str) -> Report {
    let item = |server: &&Server| {
        ContainerReport::of(
            InstanceRef {
                id: None,
                names: vec![server.name.clone()],
            },
            word,
        )
    };
    Report {
        toolbox,
        order,
        source: Source::Poll,
        agent_time: None,
        agent_version: Some("1.2.3".to_owned()),
        next_within: Some(Duration::from_secs(30)),
        outcome: Outcome::Containers {
            coverage: Coverage::Whole,
            items: servers.iter().map(item).collect(),
        },
    }
}

/// A row for the outbox; its event names the version, so that a mix-up shows.
pub(crate) fn change_row(change: &Change) -> ChangeRow {
    let (subject, version, at) = match change {
        Change::Server(change) => (change.after.id.0, change.after.version, change.after.changed_at),
        Change::Removed {
            server, version, at, ..
        } => (server.0, *version, Some(*at)),
        Change::Toolbox(toolbox) => (toolbox.id.0, toolbox.version, toolbox.changed_at),
    };
    let millis = u64::try_from(at.unwrap().as_millisecond()).unwrap();
    let id = Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, millis / 1000, 0));
    let event =
        RawValue::from_string(format!("{{\"subject\": \"{subject}\",  \"version\":{version}}}")).unwrap();
    let envelope = Envelope {
        nats_subject: format!("test.{subject}"),
        event,
        traceparent: Some(format!("00-{version}")),
    };
    ChangeRow::new(id, change, envelope)
}

/// Locks, folds and writes, as the mapper does, in a transaction of its own.
pub(crate) async fn take_reports(pool: &PgPool, reports: &[Report], now: Timestamp) -> Vec<OutboxRow> {
    let mut toolboxes: Vec<ToolboxId> = reports.iter().map(|report| report.toolbox).collect();
    toolboxes.sort();
    toolboxes.dedup();
    let mut transaction = pool.begin().await.unwrap();
    let mut writes = Writes::default();
    for (toolbox, servers) in batch::lock(&mut transaction, &toolboxes).await.unwrap() {
        let fold = domain::fold(toolbox, servers, reports, now, now, &Thresholds::default());
        if fold.write_toolbox {
            writes.toolboxes.push(fold.toolbox);
        }
        writes.servers.extend(fold.write);
        writes.removed.extend(fold.remove);
        writes.changes.extend(fold.changes.iter().map(change_row));
    }
    let outbox = batch::write(&mut transaction, &writes).await.unwrap();
    transaction.commit().await.unwrap();
    outbox
}

/// Writes in a transaction of its own.
pub(crate) async fn write(pool: &PgPool, writes: &Writes) -> Result<Vec<OutboxRow>, store::StoreError> {
    let mut transaction = pool.begin().await?;
    let outbox = batch::write(&mut transaction, writes).await?;
    transaction.commit().await?;
    Ok(outbox)
}

/// Writes what people want of a server, with a command as far along as given.
pub(crate) async fn want(pool: &PgPool, server: ServerId, intent: Intent) {
    store::intent::set_monitored(pool, server, intent.monitored)
        .await
        .unwrap();
    store::intent::set_override(pool, server, intent.overridden.as_ref())
        .await
        .unwrap();
    let Some(command) = intent.command else { return };
    let toolbox: Uuid =
        sqlx::query_scalar("SELECT account_tool_environment_id FROM account_tool_instances WHERE id = $1")
            .bind(server.0)
            .fetch_one(pool)
            .await
            .unwrap();
    let text = |at: Timestamp| at.to_string();
    sqlx::query(
        "INSERT INTO status_commands (id, kind, server_id, toolbox_id, requested_by, requested_at, deadline,
            executed_at, finished_at, outcome, message)
        VALUES ($1, $2, $3, $4, 'test', $5::text::timestamptz, $6::text::timestamptz, $7::text::timestamptz,
            $8::text::timestamptz, $9, $10)",
    )
    .bind(command.id.0)
    .bind(command.action.as_str())
    .bind(server.0)
    .bind(toolbox)
    .bind(text(command.requested_at))
    .bind(text(command.deadline))
    .bind(command.executed_at.map(text))
    .bind(command.ended.as_ref().map(|ended| text(ended.at)))
    .bind(command.ended.as_ref().map(|ended| ended.end.as_str()))
    .bind(command.ended.as_ref().and_then(|ended| ended.message.clone()))
    .execute(pool)
    .await
    .unwrap();
}

/// One toolbox and its servers, as they are now.
pub(crate) async fn read(pool: &PgPool, toolbox: ToolboxId) -> (Toolbox, Vec<Server>) {
    let mut transaction = pool.begin().await.unwrap();
    let mut locked = batch::lock(&mut transaction, &[toolbox]).await.unwrap();
    assert_eq!(locked.len(), 1);
    locked.remove(0)
}

/// One value out of the database.
pub(crate) async fn scalar<T>(pool: &PgPool, query: &'static str) -> T
where
    T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    sqlx::query_scalar(query).fetch_one(pool).await.unwrap()
}

/// Waits until another session waits for a lock that this database's sessions hold.
pub(crate) async fn until_somebody_waits(connection: &mut PgConnection) {
    let waiting = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    for _ in 0..2_000 {
        let count: i64 = sqlx::query_scalar(waiting)
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        if count > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("nobody came to wait for the lock");
}

/// Sees to a role without rights. Roles belong to the server and not to a test's database: it is made once, by whichever
/// test comes first, and stays, because another test may be using it.
pub(crate) async fn ensure_role(pool: &PgPool, name: &'static str) {
    let create = format!("CREATE ROLE {name} NOLOGIN");
    if let Err(error) = sqlx::query(sqlx::AssertSqlSafe(create)).execute(pool).await {
        let code = error
            .as_database_error()
            .and_then(|error| error.code())
            .map(|code| code.into_owned());
        // Duplicate object; or, where two tests did it at the same moment, the catalogue's unique key.
        assert!(matches!(code.as_deref(), Some("42710" | "23505")), "{error}");
    }
}
