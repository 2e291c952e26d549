//! The application that owns the tables works beside us, and keeps what is its own.

use domain::{AgentFailure, InstanceName, Outcome, Reason, ReasonCode, Report, ToolboxId};
use sqlx::PgPool;
use store::batch;
use store::registration::{NewInstance, NewToolbox, put_instance, put_toolbox};
use uuid::Uuid;

use crate::support::{
    account, add_server, add_toolbox, at, id, order, read, scalar, take_reports, whole_report,
};

/// The owner's application goes on adding instances and connections while a batch holds the rows.
#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_locks_do_not_stop_the_owners_inserts(pool: PgPool) {
    let home = add_toolbox(&pool, 1).await;
    let server = add_server(&pool, &home, 10).await;
    let mut transaction = pool.begin().await.unwrap();
    batch::lock(&mut transaction, &[home.id]).await.unwrap();

    let mut owner = pool.begin().await.unwrap();
    sqlx::query("SET LOCAL lock_timeout = '5s'")
        .execute(&mut *owner)
        .await
        .unwrap();
    sqlx::query("INSERT INTO account_tool_instances (account_tool_environment_id, instance_name_on_toolbox) VALUES ($1, 'new')")
        .bind(home.id.0)
        .execute(&mut *owner)
        .await
        .unwrap();
    sqlx::query("INSERT INTO agent_mcp_connections (agent_id, account_tool_instance_id) VALUES ($1, $2)")
        .bind(Uuid::nil())
        .bind(server.id.0)
        .execute(&mut *owner)
        .await
        .unwrap();
    owner.commit().await.unwrap();
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_owners_life_cycle_labels_are_his(pool: PgPool) {
    let home = add_toolbox(&pool, 1).await;
    let failing = |seconds, sequence| Report {
        outcome: Outcome::Failed(AgentFailure {
            reason: Reason::new(ReasonCode::AgentUnreachable, "refused"),
            in_a_row: 2,
        }),
        ..whole_report(home.id, order(seconds, sequence), &[], "running")
    };
    let label = "SELECT status FROM account_tool_environments";
    for (number, (owners, answers, becomes)) in [
        ("awaiting_heartbeat", true, "active"),
        ("active", false, "unresponsive"),
        ("unresponsive", true, "active"),
        ("pending_deprovision", false, "pending_deprovision"),
        ("provisioning", true, "provisioning"),
        ("awaiting_heartbeat", true, "active"),
    ]
    .into_iter()
    .enumerate()
    {
        sqlx::query("UPDATE account_tool_environments SET status = $1")
            .bind(owners)
            .execute(&pool)
            .await
            .unwrap();
        let (seconds, sequence) = (60 * number as i64, number as u64);
        let report = if answers {
            whole_report(home.id, order(seconds, sequence), &[], "running")
        } else {
            failing(seconds, sequence)
        };
        take_reports(&pool, &[report], at(seconds)).await;
        assert_eq!(scalar::<String>(&pool, label).await, becomes, "step {number}");
    }
}

/// The mirror of the error for the old application follows announced errors, and does not touch his own text before.
#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_owners_error_text_follows_announced_errors(pool: PgPool) {
    let home = add_toolbox(&pool, 1).await;
    let server = add_server(&pool, &home, 10).await;
    let text = "SELECT COALESCE(instance_error_message, 'none') FROM account_tool_instances";
    take_reports(
        &pool,
        &[whole_report(home.id, order(0, 1), &[&server], "paused")],
        at(0),
    )
    .await;
    assert_eq!(scalar::<String>(&pool, text).await, "the container is paused");

    sqlx::query("UPDATE account_tool_instances SET instance_error_message = 'his own'")
        .execute(&pool)
        .await
        .unwrap();
    take_reports(
        &pool,
        &[whole_report(home.id, order(60, 2), &[&server], "paused")],
        at(60),
    )
    .await;
    assert_eq!(
        scalar::<String>(&pool, text).await,
        "his own",
        "a heartbeat is no news"
    );
    take_reports(
        &pool,
        &[whole_report(home.id, order(120, 3), &[&server], "running")],
        at(120),
    )
    .await;
    assert_eq!(scalar::<String>(&pool, text).await, "none");
}

/// Where there is no such application, rows are registered; registering them again changes no status.
#[sqlx::test(migrator = "store::MIGRATOR")]
async fn registering_again_keeps_what_is_known(pool: PgPool) {
    let mut toolbox = NewToolbox {
        id: ToolboxId(id(1)),
        account: account(1),
        name: "box 1".to_owned(),
        base_url: "http://agent:1".to_owned(),
        token: "abc123".into(),
    };
    let instance = NewInstance {
        id: domain::ServerId(id(10)),
        toolbox: toolbox.id,
        name: InstanceName::new("mcp-10").unwrap(),
    };
    put_toolbox(&pool, &toolbox).await.unwrap();
    put_instance(&pool, &instance).await.unwrap();
    let server = read(&pool, toolbox.id).await.1.remove(0);
    take_reports(
        &pool,
        &[whole_report(toolbox.id, order(0, 1), &[&server], "running")],
        at(0),
    )
    .await;
    let (home_before, servers_before) = read(&pool, toolbox.id).await;

    toolbox.name = "renamed".to_owned();
    put_toolbox(&pool, &toolbox).await.unwrap();
    put_instance(&pool, &instance).await.unwrap();
    let (home, servers) = read(&pool, toolbox.id).await;
    assert_eq!(servers, servers_before);
    assert_eq!(
        home,
        domain::Toolbox {
            name: "renamed".to_owned(),
            ..home_before
        }
    );
}
