//! The registry, mirrored for the pollers.

use std::time::Duration;

use domain::{AccountId, ServerId, ToolboxId};
use secrecy::ExposeSecret as _;
use uuid::Uuid;
use wire::ToolboxEntry;

use crate::ground::{ACCOUNT, Ground};
use crate::waiting::{eventually, list, now, within};

/// Within which pollers are to know.
const SOON: Duration = Duration::from_secs(5);
const TOKEN: &str = "d1f0c2a89b7e4d5f6a7b8c9d0e1f2a3b4c5d6e7f8091a2b3c4d5e6f708192a3b";
const OTHER: AccountId = AccountId(Uuid::from_u128(0xbcc));

async fn entry(ground: &Ground, toolbox: ToolboxId) -> Option<ToolboxEntry> {
    let all = ground.bus.bucket::<ToolboxEntry>().await.ok()?.all().await.ok()?;
    all.into_iter().find(|entry| entry.toolbox_id == toolbox.0)
}

/// Waits no longer than is promised.
async fn soon(ground: &Ground, toolbox: ToolboxId, what: &str, is: impl Fn(Option<&ToolboxEntry>) -> bool) {
    let mut last = None;
    let found = within(SOON, async || {
        last = entry(ground, toolbox).await;
        is(last.as_ref()).then_some(())
    })
    .await;
    assert!(found.is_some(), "pollers do not know that {what}: {last:?}");
}

async fn run(ground: &Ground, statement: &'static str, id: Uuid) {
    sqlx::query(statement)
        .bind(id)
        .execute(&ground.pool)
        .await
        .unwrap();
}

/// Writes that the bucket ever took.
async fn writes(ground: &Ground) -> u64 {
    let info: serde_json::Value =
        serde_json::from_str(&ground.jetstream("STREAM.INFO.KV_toolboxes", "").await).unwrap();
    info["state"]["last_seq"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_inserted_changed_or_deleted_is_known_soon_and_nothing_else_is_written() {
    let ground = Ground::new().await;
    let mapper = ground.mapper(&[]).await;
    let toolbox = ground.toolbox(1).await;
    soon(&ground, toolbox, "there is a toolbox", |entry| {
        entry.is_some_and(|it| it.base_url.is_none())
    })
    .await;
    let server = ground.server(toolbox, 1).await;
    soon(&ground, toolbox, "there is a server", |entry| {
        entry.is_some_and(|it| it.instances.len() == 1)
    })
    .await;

    run(
        &ground,
        "UPDATE account_tool_environments SET public_ip_address = '10.0.0.7' WHERE id = $1",
        toolbox.0,
    )
    .await;
    let reached = |url: &'static str| {
        move |entry: Option<&ToolboxEntry>| entry.unwrap().base_url.as_deref() == Some(url)
    };
    soon(
        &ground,
        toolbox,
        "it has an address",
        reached("http://10.0.0.7:30000"),
    )
    .await;
    run(
        &ground,
        "UPDATE account_tool_environments SET dtma_base_url = 'https://a/' WHERE id = $1",
        toolbox.0,
    )
    .await;
    soon(&ground, toolbox, "it has a URL", reached("https://a")).await;
    ground.report(&list(toolbox, now(), &[(1, "running")])).await;
    soon(&ground, toolbox, "it was seen", |entry| {
        entry.unwrap().instances[0].seen
    })
    .await;

    // Nothing changes: nothing is written, by this mapper or the next.
    let before = writes(&ground).await;
    ground.report(&list(toolbox, now(), &[(1, "exited")])).await;
    ground
        .row_becomes(server, "stopped", |row| row.state == "stopped")
        .await;
    mapper.stop().await;
    let mapper = ground.mapper(&[]).await;
    let second = ground.toolbox(2).await;
    soon(&ground, second, "there is a second", |entry| entry.is_some()).await;
    assert_eq!(writes(&ground).await, before + 1);

    run(
        &ground,
        "DELETE FROM account_tool_environments WHERE id = $1",
        second.0,
    )
    .await;
    soon(&ground, second, "it is gone", |entry| entry.is_none()).await;
    mapper.stop().await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_sealed_and_written_anew_only_when_they_change() {
    let ground = Ground::new().await;
    let (own, shared) = (ground.toolbox(1).await, ground.toolbox(2).await);
    sqlx::query("UPDATE account_tool_environments SET dtma_bearer_token = $2 WHERE id = $1")
        .bind(own.0)
        .bind(TOKEN)
        .execute(&ground.pool)
        .await
        .unwrap();
    let mapper = ground.mapper(&["--agent-token", "the-shared-one"]).await;
    let opened = |entry: &ToolboxEntry| {
        let sealed = entry.sealed_token.as_deref().unwrap();
        ground
            .key
            .open(ToolboxId(entry.toolbox_id), sealed)
            .unwrap()
            .expose_secret()
            .to_owned()
    };
    soon(&ground, own, "it has a token", |entry| {
        entry.is_some_and(|it| opened(it) == TOKEN)
    })
    .await;
    soon(&ground, shared, "it uses the shared one", |entry| {
        entry.is_some_and(|it| opened(it) == "the-shared-one")
    })
    .await;
    let first = entry(&ground, own).await.unwrap();
    assert_eq!(first.token_hash, Some(bus::TokenHash::of(TOKEN).to_hex()));
    assert_eq!(entry(&ground, shared).await.unwrap().token_hash, None);

    // Another replica opens what is there instead of sealing anew.
    mapper.stop().await;
    let mapper = ground.mapper(&["--agent-token", "the-shared-one"]).await;
    run(
        &ground,
        "UPDATE account_tool_environments SET public_ip_address = '10.0.0.7' WHERE id = $1",
        own.0,
    )
    .await;
    soon(&ground, own, "it has an address", |entry| {
        entry.unwrap().base_url.is_some()
    })
    .await;
    assert_eq!(
        entry(&ground, own).await.unwrap().sealed_token,
        first.sealed_token
    );
    mapper.stop().await;

    for file in files_below(ground.nats.dir()) {
        let bytes = std::fs::read(&file).unwrap();
        for secret in [TOKEN.as_bytes(), b"the-shared-one"] {
            assert!(
                !bytes.windows(secret.len()).any(|window| window == secret),
                "in the clear in {}",
                file.display()
            );
        }
    }
    ground.close().await;
}

fn files_below(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path))
        } else {
            found.push(path)
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_was_deleted_is_filled_again() {
    let ground = Ground::new().await;
    let toolboxes = [ground.toolbox(1).await, ground.toolbox(2).await];
    let mapper = ground.mapper(&[]).await;
    for toolbox in toolboxes {
        soon(&ground, toolbox, "it is there", |entry| entry.is_some()).await;
    }
    ground.delete_stream("KV_toolboxes").await;
    for toolbox in toolboxes {
        eventually("it is there again", async || entry(&ground, toolbox).await).await;
    }
    mapper.stop().await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_application_deletes_leaves_a_tombstone() {
    let ground = Ground::new().await;
    let events = ground.events();
    let (toolbox, doomed) = (ground.toolbox(1).await, ground.toolbox(2).await);
    let (server, with_its_toolbox) = (ground.server(toolbox, 1).await, ground.server(doomed, 2).await);
    let mapper = ground.mapper(&[]).await;
    for (toolbox, number) in [(toolbox, 1), (doomed, 2)] {
        ground.report(&list(toolbox, now(), &[(number, "running")])).await;
    }
    for server in [server, with_its_toolbox] {
        events
            .wait(server, "that it runs", |event| event.view() == "running/healthy/")
            .await;
    }
    for known in [toolbox, doomed] {
        soon(&ground, known, "it was seen", |entry| {
            entry.is_some_and(|it| it.instances.iter().all(|instance| instance.seen))
        })
        .await;
    }
    run(
        &ground,
        "DELETE FROM account_tool_instances WHERE id = $1",
        server.0,
    )
    .await;
    run(
        &ground,
        "DELETE FROM account_tool_environments WHERE id = $1",
        doomed.0,
    )
    .await;
    for server in [server, with_its_toolbox] {
        let tombstone = events
            .wait(server, "of its end", |event| event.view() == "deleted")
            .await;
        assert_eq!(
            (tombstone.ttl.as_deref(), tombstone.rollup.as_deref()),
            (Some("604800"), Some("sub"))
        );
        events.assert_gapless(server);
        let history = ground.history(server.0).await;
        assert_eq!(history.last().unwrap().1, "deleted", "{history:?}");
        let stream: serde_json::Value = serde_json::from_str(
            &ground
                .jetstream(
                    "STREAM.INFO.MCP_STATUS",
                    &format!(r#"{{"subjects_filter":"{}"}}"#, tombstone.subject),
                )
                .await,
        )
        .unwrap();
        assert_eq!(
            stream["state"]["subjects"][&tombstone.subject], 1,
            "a tombstone replaces what was before it"
        );
    }
    // Of the toolbox that went, too, nobody is told any more that it answers.
    let subject = wire::subjects::toolbox_status(ACCOUNT, doomed);
    eventually("the toolbox is told to be gone", async || {
        let last = ground
            .bus
            .last(&wire::streams::MCP_STATUS, &subject)
            .await
            .ok()??;
        let event = wire::ToolboxEvent::decode(&last.body).unwrap();
        (event.status == "unseen" && last.header("Nats-TTL") == Some("604800")).then_some(())
    })
    .await;
    mapper.stop().await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_toolbox_that_changes_hands_is_gone_for_one_account_and_new_for_the_other() {
    let ground = Ground::new().await;
    let events = ground.events();
    let toolbox = ground.toolbox(1).await;
    let server: ServerId = ground.server(toolbox, 1).await;
    let mapper = ground.mapper(&[]).await;
    ground.report(&list(toolbox, now(), &[(1, "running")])).await;
    events
        .wait(server, "that it runs", |event| event.view() == "running/healthy/")
        .await;
    soon(&ground, toolbox, "it was seen", |entry| {
        entry.is_some_and(|it| it.instances[0].seen)
    })
    .await;

    sqlx::query("UPDATE account_tool_environments SET user_id = $2 WHERE id = $1")
        .bind(toolbox.0)
        .bind(OTHER.0)
        .execute(&ground.pool)
        .await
        .unwrap();
    soon(&ground, toolbox, "it is another's", |entry| {
        entry.is_some_and(|it| it.account_id == OTHER.0)
    })
    .await;
    let tombstone = events
        .wait(server, "of its end", |event| event.view() == "deleted")
        .await;
    assert_eq!(tombstone.subject, wire::subjects::server_status(ACCOUNT, server));
    let here = wire::subjects::server_status(OTHER, server);
    let beginning = events
        .wait(server, "of its beginning", |event| {
            event.subject == here && event.version() == tombstone.version() + 1
        })
        .await;
    assert_eq!(beginning.view(), "running/healthy/");
    let there = events
        .of(server)
        .into_iter()
        .filter(|event| event.subject != here);
    let versions: Vec<u64> = there.map(|event| event.version()).collect();
    assert_eq!(versions, (1..=tombstone.version()).collect::<Vec<_>>());
    eventually("the toolbox is told there", async || {
        let subject = wire::subjects::toolbox_status(OTHER, toolbox);
        ground.bus.last(&wire::streams::MCP_STATUS, &subject).await.ok()?
    })
    .await;
    ground.settled().await;
    assert_eq!(
        ground.row(server).await.unwrap().version,
        i64::try_from(beginning.version()).unwrap()
    );
    mapper.stop().await;
    ground.close().await;
}
