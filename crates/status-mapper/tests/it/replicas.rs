//! Several mappers side by side.

use wire::ToolboxEntry;

use crate::ground::{ACCOUNT, Ground};
use crate::waiting::{eventually, list, now};

const TOOLBOXES: u128 = 8;
const ROUNDS: usize = 25;

#[tokio::test(flavor = "multi_thread")]
async fn two_share_the_work_without_gaps_or_contradictions() {
    let ground = Ground::new().await;
    let events = ground.events();
    let mut servers = Vec::new();
    for number in 1..=TOOLBOXES {
        let toolbox = ground.toolbox(number).await;
        servers.push((toolbox, ground.server(toolbox, number).await, number));
    }
    // Small batches, so that both get some of every toolbox.
    let options = ["--batch-max", "7", "--batch-linger", "1ms"];
    let (one, two) = (ground.mapper(&options).await, ground.mapper(&options).await);
    for round in 0..ROUNDS {
        let word = ["running", "exited", "starting", "error", "stopping"][round % 5];
        for (toolbox, _, number) in &servers {
            ground.report(&list(*toolbox, now(), &[(*number, word)])).await;
        }
    }
    // The end that all must agree on.
    for (toolbox, _, number) in &servers {
        ground
            .report(&list(*toolbox, now(), &[(*number, "running")]))
            .await;
    }
    ground.settled().await;
    for (_, server, _) in &servers {
        let row = ground
            .row_becomes(*server, "running", |row| row.is("running", "healthy"))
            .await;
        let version = u64::try_from(row.version).unwrap();
        let last = events
            .wait(*server, "of its newest version", |event| {
                event.version() == version
            })
            .await;
        assert_eq!(last.view(), "running/healthy/");
        events.assert_gapless(*server);
        let told = ground.last_event(ACCOUNT, *server).await.unwrap();
        assert_eq!(
            told["version"].as_u64(),
            Some(version),
            "the last per subject is the newest"
        );
        let versions: Vec<i64> = ground
            .history(server.0)
            .await
            .into_iter()
            .map(|(version, _)| version)
            .collect();
        assert_eq!(versions, (1..=row.version).collect::<Vec<_>>());
    }
    assert!(ground.dead_letters().await.is_empty());
    one.stop().await;
    two.stop().await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_one_on_duty_goes_the_other_takes_over() {
    let ground = Ground::new().await;
    let one = ground.mapper(&[]).await;
    let two = ground.mapper(&[]).await;
    let toolboxes = ground.bus.bucket::<ToolboxEntry>().await.unwrap();
    let known = async |how_many: usize| {
        eventually("pollers know", async || {
            (toolboxes.all().await.ok()?.len() == how_many).then_some(())
        })
        .await;
    };
    ground.toolbox(1).await;
    known(1).await;
    one.stop().await;
    ground.toolbox(2).await;
    known(2).await;
    two.stop().await;
    ground.close().await;
}
