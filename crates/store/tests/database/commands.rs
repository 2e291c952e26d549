//! Commands: accepted once, ended once, read by whoever looks after them.

use domain::{
    AccountId, Action, Circumstances, Command, CommandEnd, CommandId, Execution, McpState, Server, ServerId,
    Thresholds, Toolbox,
};
use serde_json::value::RawValue;
use sqlx::PgPool;
use store::batch::{self, Writes};
use store::commands::{self, Acceptance, Answer, Filter, Idempotency, NewCommand};

use crate::support::{
    account, add_server, add_toolbox, at, change_row, id, order, read, take_reports, whole_report,
};

fn new(n: u128, server: &Server, action: Action) -> NewCommand {
    NewCommand {
        id: CommandId(id(0xc000 + n)),
        kind: action.as_str(),
        server: Some(server.id),
        toolbox: Some(server.toolbox),
        account: Some(server.account),
        requested_by: "somebody".to_owned(),
        requested_at: at(i64::try_from(n).unwrap()),
        deadline: Some(at(100)),
        idempotency: None,
        done: false,
        message: None,
        traceparent: Some("00-trace".to_owned()),
    }
}

async fn accept(pool: &PgPool, command: &NewCommand) -> Acceptance {
    let mut transaction = pool.begin().await.unwrap();
    let acceptance = commands::accept(&mut transaction, command).await.unwrap();
    transaction.commit().await.unwrap();
    acceptance
}

async fn one_server(pool: &PgPool) -> (Toolbox, Server) {
    let toolbox = add_toolbox(pool, 1).await;
    let server = add_server(pool, &toolbox, 10).await;
    take_reports(
        pool,
        &[whole_report(toolbox.id, order(0, 1), &[&server], "exited")],
        at(0),
    )
    .await;
    (toolbox, server)
}

/// Tells what the agent made of the newest command, as the mapper does.
async fn executed(pool: &PgPool, server: &Server, n: u128, execution: Execution, seconds: i64) -> bool {
    let mut transaction = pool.begin().await.unwrap();
    let locked = batch::lock(&mut transaction, &[server.toolbox]).await.unwrap();
    let server = locked[0].1.iter().find(|row| row.id == server.id).unwrap();
    let around = Circumstances::default();
    let decided = server.executed(
        CommandId(id(0xc000 + n)),
        &execution,
        at(seconds),
        around,
        at(seconds),
        &Thresholds::default(),
    );
    let taken = decided.is_some();
    if let Some((after, change)) = decided {
        let writes = Writes {
            servers: vec![after],
            changes: change.iter().map(change_row).collect(),
            ..Writes::default()
        };
        batch::write(&mut transaction, &writes).await.unwrap();
        transaction.commit().await.unwrap();
    }
    taken
}

async fn command_of(pool: &PgPool, server: &Server) -> Option<Command> {
    let (_, servers) = read(pool, server.toolbox).await;
    servers
        .into_iter()
        .find(|row| row.id == server.id)
        .unwrap()
        .command
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn one_at_a_time_from_acceptance_to_its_effect(pool: PgPool) {
    let (toolbox, server) = one_server(&pool).await;
    assert!(matches!(
        accept(&pool, &new(1, &server, Action::Start)).await,
        Acceptance::Accepted
    ));
    let Acceptance::Busy(busy) = accept(&pool, &new(2, &server, Action::Stop)).await else {
        panic!("two at once");
    };
    assert_eq!((busy.id, busy.kind.as_str()), (CommandId(id(0xc001)), "start"));
    let command = command_of(&pool, &server).await.unwrap();
    assert_eq!(
        (command.action, command.requested_at, command.deadline),
        (Action::Start, at(1), at(100))
    );

    assert!(executed(&pool, &server, 1, Execution::Done, 5).await);
    assert_eq!(command_of(&pool, &server).await.unwrap().executed_at, Some(at(5)));
    take_reports(
        &pool,
        &[whole_report(toolbox.id, order(6, 2), &[&server], "running")],
        at(6),
    )
    .await;
    assert_eq!(command_of(&pool, &server).await, None, "it is over");
    let record = commands::get(&pool, CommandId(id(0xc001)))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (record.outcome.as_deref(), record.finished_at),
        (Some("succeeded"), Some(at(6)))
    );
    assert!(!executed(&pool, &server, 1, Execution::Done, 7).await, "once");
    assert!(matches!(
        accept(&pool, &new(8, &server, Action::Stop)).await,
        Acceptance::Accepted
    ));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_failed_is_shown_until_the_next_command(pool: PgPool) {
    let (_, server) = one_server(&pool).await;
    accept(&pool, &new(1, &server, Action::Start)).await;
    let refused = Execution::Refused("the agent does not manage it".to_owned());
    assert!(executed(&pool, &server, 1, refused, 5).await);
    let (_, servers) = read(&pool, server.toolbox).await;
    assert_eq!(servers[0].state, McpState::Error);
    assert_eq!(
        servers[0].command.as_ref().unwrap().ended.as_ref().unwrap().end,
        CommandEnd::Failed
    );
    assert!(matches!(
        accept(&pool, &new(6, &server, Action::Start)).await,
        Acceptance::Accepted
    ));
    let command = command_of(&pool, &server).await.unwrap();
    assert_eq!((command.id, command.ended), (CommandId(id(0xc006)), None));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_key_is_good_for_one_request_of_one_person(pool: PgPool) {
    let (_, server) = one_server(&pool).await;
    let keyed = |n, action, by: &str| NewCommand {
        idempotency: Some(Idempotency {
            key: "key".to_owned(),
            fingerprint: format!("{action}"),
        }),
        requested_by: by.to_owned(),
        ..new(n, &server, action)
    };
    accept(&pool, &keyed(1, Action::Start, "one")).await;
    assert!(matches!(
        accept(&pool, &keyed(2, Action::Start, "one")).await,
        Acceptance::Repeated
    ));
    let repeat = commands::find_repeat(&pool, "one", "key").await.unwrap().unwrap();
    assert_eq!(
        (repeat.id, repeat.fingerprint.as_str()),
        (CommandId(id(0xc001)), "start")
    );
    assert!(repeat.answer.is_none());
    // The last that is kept counts.
    for (status, body, location) in [(202, Some(r#"{"a":  1}"#), Some("/there")), (204, None, None)] {
        let answer = Answer {
            status,
            body: body.map(|body| RawValue::from_string(body.to_owned()).unwrap()),
            location: location.map(str::to_owned),
        };
        commands::keep_answer(&pool, repeat.id, &answer).await.unwrap();
        let kept = commands::find_repeat(&pool, "one", "key").await.unwrap().unwrap();
        assert_eq!(kept.requested_at, repeat.requested_at);
        let kept = kept.answer.unwrap();
        assert_eq!(
            (
                kept.status,
                kept.body.as_deref().map(RawValue::get),
                kept.location.as_deref()
            ),
            (status, body, location),
            "byte for byte"
        );
    }
    // Another person's is another key, and meets the command of the first.
    assert!(matches!(
        accept(&pool, &keyed(3, Action::Start, "two")).await,
        Acceptance::Busy(_)
    ));
    assert!(
        commands::find_repeat(&pool, "two", "key")
            .await
            .unwrap()
            .is_none()
    );
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_the_pollers_were_not_told_is_found_and_can_be_taken_back(pool: PgPool) {
    let (_, server) = one_server(&pool).await;
    accept(&pool, &new(1, &server, Action::Stop)).await;
    let mut transaction = pool.begin().await.unwrap();
    assert_eq!(
        commands::undispatched(&mut transaction, at(1), 10).await.unwrap(),
        vec![]
    );
    let found = commands::undispatched(&mut transaction, at(3), 10).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(
        (
            found[0].name.as_str(),
            found[0].action,
            found[0].traceparent.as_deref()
        ),
        (server.name.as_str(), Action::Stop, Some("00-trace"))
    );
    let mut other = pool.begin().await.unwrap();
    assert_eq!(
        commands::undispatched(&mut other, at(3), 10).await.unwrap(),
        vec![],
        "another replica has it"
    );
    drop((transaction, other));

    let first = CommandId(id(0xc001));
    assert!(
        commands::withdraw(&pool, first, at(4), "nobody is there")
            .await
            .unwrap()
    );
    assert!(!commands::withdraw(&pool, first, at(5), "again").await.unwrap());
    assert_eq!(command_of(&pool, &server).await, None);

    accept(&pool, &new(6, &server, Action::Stop)).await;
    let second = CommandId(id(0xc006));
    commands::mark_dispatched(&pool, second, at(7)).await.unwrap();
    assert!(
        !commands::withdraw(&pool, second, at(8), "too late")
            .await
            .unwrap()
    );
    let mut transaction = pool.begin().await.unwrap();
    assert_eq!(
        commands::undispatched(&mut transaction, at(50), 10)
            .await
            .unwrap(),
        vec![]
    );
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn with_the_row_its_command_ends(pool: PgPool) {
    let (toolbox, server) = one_server(&pool).await;
    accept(&pool, &new(1, &server, Action::Delete)).await;
    // The sweep labels it; then the container is absent from a whole list.
    let mut transaction = pool.begin().await.unwrap();
    let found = store::sweep::candidates(&mut transaction, at(2), &Thresholds::default(), false, 10)
        .await
        .unwrap();
    let (after, change) = found[0]
        .server
        .sweep(found[0].circumstances(false), at(2), &Thresholds::default())
        .unwrap();
    let writes = Writes {
        servers: vec![after],
        changes: change.iter().map(change_row).collect(),
        ..Writes::default()
    };
    batch::write(&mut transaction, &writes).await.unwrap();
    transaction.commit().await.unwrap();
    take_reports(
        &pool,
        &[whole_report(toolbox.id, order(6, 2), &[], "running")],
        at(6),
    )
    .await;
    let record = commands::get(&pool, CommandId(id(0xc001)))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (record.outcome.as_deref(), record.finished_at),
        (Some("succeeded"), Some(at(6)))
    );

    // A row that its owner took away ends what was under way on it.
    let second = add_server(&pool, &toolbox, 11).await;
    accept(&pool, &new(7, &second, Action::Start)).await;
    assert_eq!(commands::end_orphans(&pool, at(8)).await.unwrap(), 0);
    sqlx::query("DELETE FROM account_tool_instances WHERE id = $1")
        .bind(second.id.0)
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(commands::end_orphans(&pool, at(9)).await.unwrap(), 1);
    let record = commands::get(&pool, CommandId(id(0xc007)))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (record.outcome.as_deref(), record.message.as_deref()),
        (Some("failed"), Some("the server was deleted"))
    );
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_record_is_listed_newest_first_and_dropped_when_it_is_old(pool: PgPool) {
    let (_, server) = one_server(&pool).await;
    for n in 1..=5 {
        let refresh = NewCommand {
            kind: "refresh",
            deadline: None,
            done: true,
            account: Some(if n == 3 { account(2) } else { account(1) }),
            ..new(n, &server, Action::Start)
        };
        assert!(matches!(accept(&pool, &refresh).await, Acceptance::Accepted));
    }
    let listed = |filter: Filter| {
        let pool = pool.clone();
        async move {
            let page = commands::list(&pool, filter, 3).await.unwrap();
            page.iter()
                .map(|record| record.id.0.as_u128() - 0xc000)
                .collect::<Vec<_>>()
        }
    };
    assert_eq!(listed(Filter::default()).await, [5, 4, 3]);
    let own = Filter {
        account: Some(account(1)),
        ..Filter::default()
    };
    assert_eq!(listed(own).await, [5, 4, 2]);
    let older = Filter {
        before: Some(CommandId(id(0xc002))),
        ..own
    };
    assert_eq!(listed(older).await, [1]);
    let nobody = Filter {
        account: Some(AccountId(id(99))),
        server: Some(ServerId(id(10))),
        ..Filter::default()
    };
    assert_eq!(listed(nobody).await, [] as [u128; 0]);
    assert_eq!(commands::drop_older_than(&pool, at(4), 2).await.unwrap(), 2);
    assert_eq!(commands::drop_older_than(&pool, at(4), 2).await.unwrap(), 1);
    assert_eq!(listed(Filter::default()).await, [5, 4]);
}
