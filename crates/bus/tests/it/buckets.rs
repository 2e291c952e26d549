//! Buckets that mirror a table.

use bus::{Bucket, BucketChange};
use futures_util::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wire::{ConnectionEntry, Entry, ToolboxEntry, streams};

use crate::ground::{Ground, entry, eventually, next, soon, toolbox};

async fn bucket(ground: &Ground) -> Bucket<ToolboxEntry> {
    ground.bus.bucket().await.unwrap()
}

fn watch<E: Entry>(bucket: &Bucket<E>) -> impl Stream<Item = BucketChange<E>> + Unpin + use<E> {
    bucket.watch(CancellationToken::new())
}

/// Waits for the snapshot that holds just these; earlier news is passed over.
async fn snapshot_of<E: Entry>(stream: &mut (impl Stream<Item = BucketChange<E>> + Unpin), expected: &[E]) {
    while next("the snapshot", stream).await != BucketChange::Snapshot(expected.to_vec()) {}
}

#[tokio::test]
async fn first_everything_then_what_changes() {
    let ground = Ground::bare().await;
    let toolboxes = bucket(&ground).await;
    let mut empty = watch(&toolboxes);
    assert_eq!(
        next("the snapshot", &mut empty).await,
        BucketChange::Snapshot(vec![])
    );
    for number in [2, 1, 3] {
        toolboxes.put(&entry(number, "old")).await.unwrap();
    }
    toolboxes.put(&entry(2, "new")).await.unwrap();
    toolboxes.delete(toolbox(3).0).await.unwrap();
    let present = [entry(1, "old"), entry(2, "new")];
    assert_eq!(toolboxes.all().await.unwrap(), present);

    let mut full = watch(&toolboxes);
    assert_eq!(
        next("the snapshot", &mut full).await,
        BucketChange::Snapshot(present.to_vec())
    );
    toolboxes.put(&entry(4, "late")).await.unwrap();
    toolboxes.delete(toolbox(1).0).await.unwrap();
    assert_eq!(
        next("the put", &mut full).await,
        BucketChange::Put(entry(4, "late"))
    );
    assert_eq!(
        next("the deletion", &mut full).await,
        BucketChange::Deleted(toolbox(1).0)
    );
    assert_eq!(
        toolboxes.all().await.unwrap(),
        [entry(2, "new"), entry(4, "late")]
    );

    // The first watcher slept through it, and learns what is.
    let mut known = std::collections::BTreeMap::new();
    while !known.contains_key(&entry(4, "").toolbox_id) || known.len() > 2 {
        match next("a change", &mut empty).await {
            BucketChange::Put(entry) => known.insert(entry.toolbox_id, entry),
            BucketChange::Deleted(key) => known.remove(&key),
            BucketChange::Snapshot(entries) => panic!("a second snapshot: {entries:?}"),
        };
    }
    assert_eq!(
        known.into_values().collect::<Vec<_>>(),
        [entry(2, "new"), entry(4, "late")]
    );
}

fn connection(number: u128, active: bool) -> ConnectionEntry {
    ConnectionEntry {
        connection_id: Uuid::from_u128(number),
        agent_id: Uuid::from_u128(number + 10),
        account_id: Some(Uuid::from_u128(1)),
        server_id: Uuid::from_u128(number + 1000),
        active,
    }
}

#[tokio::test]
async fn each_kind_of_entry_has_a_bucket_of_its_own() {
    let ground = Ground::bare().await;
    let toolboxes = bucket(&ground).await;
    let connections = ground.bus.bucket::<ConnectionEntry>().await.unwrap();
    // The same id in both, as somebody's tables may have it.
    toolboxes.put(&entry(1, "a toolbox")).await.unwrap();
    connections.put(&connection(1, true)).await.unwrap();
    connections.put(&connection(2, true)).await.unwrap();
    let mut changes = watch(&connections);
    let present = vec![connection(1, true), connection(2, true)];
    assert_eq!(
        next("the snapshot", &mut changes).await,
        BucketChange::Snapshot(present)
    );
    connections.put(&connection(2, false)).await.unwrap();
    assert_eq!(
        next("the put", &mut changes).await,
        BucketChange::Put(connection(2, false))
    );
    connections.delete(connection(1, true).key()).await.unwrap();
    assert_eq!(
        next("the deletion", &mut changes).await,
        BucketChange::Deleted(Uuid::from_u128(1))
    );
    assert_eq!(toolboxes.all().await.unwrap(), [entry(1, "a toolbox")]);
    assert_eq!(connections.all().await.unwrap(), [connection(2, false)]);
}

#[tokio::test]
async fn other_clients_of_the_bucket_are_understood() {
    let ground = Ground::new().await;
    let toolboxes = bucket(&ground).await;
    let plain = ground.plain.get_key_value(streams::TOOLBOXES.name).await.unwrap();
    let mut changes = watch(&toolboxes);
    next("the snapshot", &mut changes).await;
    let body = serde_json::to_vec(&entry(1, "theirs")).unwrap();
    let key = toolbox(1).to_string();
    plain.put(&key, body.clone().into()).await.unwrap();
    assert_eq!(
        next("the put", &mut changes).await,
        BucketChange::Put(entry(1, "theirs"))
    );
    plain.delete(&key).await.unwrap();
    assert_eq!(
        next("the deletion", &mut changes).await,
        BucketChange::Deleted(toolbox(1).0)
    );
    plain.put(&key, body.into()).await.unwrap();
    plain.purge(&key).await.unwrap();
    next("the put", &mut changes).await;
    assert_eq!(
        next("the purge", &mut changes).await,
        BucketChange::Deleted(toolbox(1).0)
    );
    // And they understand us.
    toolboxes.put(&entry(2, "ours")).await.unwrap();
    assert_eq!(
        plain
            .keys()
            .await
            .unwrap()
            .map(Result::unwrap)
            .collect::<Vec<_>>()
            .await,
        [toolbox(2).to_string()]
    );
    toolboxes.delete(toolbox(2).0).await.unwrap();
    assert_eq!(plain.get(toolbox(2).to_string()).await.unwrap(), None);
}

#[tokio::test]
async fn what_cannot_be_read_is_passed_over() {
    let ground = Ground::new().await;
    let toolboxes = bucket(&ground).await;
    let plain = ground.plain.get_key_value(streams::TOOLBOXES.name).await.unwrap();
    let other = serde_json::to_vec(&entry(7, "x")).unwrap();
    plain.put("nonsense", "{}".into()).await.unwrap();
    plain
        .put(toolbox(1).to_string(), "not json".into())
        .await
        .unwrap();
    plain.put(toolbox(2).to_string(), other.into()).await.unwrap();
    toolboxes.put(&entry(3, "good")).await.unwrap();
    assert_eq!(toolboxes.all().await.unwrap(), [entry(3, "good")]);
    let mut changes = watch(&toolboxes);
    assert_eq!(
        next("the snapshot", &mut changes).await,
        BucketChange::Snapshot(vec![entry(3, "good")])
    );
    plain
        .put(toolbox(4).to_string(), "still not".into())
        .await
        .unwrap();
    toolboxes.put(&entry(5, "good")).await.unwrap();
    assert_eq!(
        next("the readable one", &mut changes).await,
        BucketChange::Put(entry(5, "good"))
    );
}

#[tokio::test]
async fn what_was_missed_while_away_is_in_the_next_snapshot() {
    let mut ground = Ground::new().await;
    let toolboxes = bucket(&ground).await;
    for number in 1..=3 {
        toolboxes.put(&entry(number, "kept")).await.unwrap();
    }
    let mut changes = watch(&toolboxes);
    snapshot_of(
        &mut changes,
        &[entry(1, "kept"), entry(2, "kept"), entry(3, "kept")],
    )
    .await;
    ground.server.kill().await.unwrap();
    ground.server.restart().await.unwrap();
    snapshot_of(
        &mut changes,
        &[entry(1, "kept"), entry(2, "kept"), entry(3, "kept")],
    )
    .await;
    toolboxes.delete(toolbox(2).0).await.unwrap();
    assert_eq!(
        next("the deletion", &mut changes).await,
        BucketChange::Deleted(toolbox(2).0)
    );
}

#[tokio::test]
async fn a_bucket_that_was_deleted_is_made_again_and_told_as_empty() {
    let ground = Ground::new().await;
    let toolboxes = bucket(&ground).await;
    toolboxes.put(&entry(1, "gone")).await.unwrap();
    let mut changes = watch(&toolboxes);
    snapshot_of(&mut changes, &[entry(1, "gone")]).await;
    ground
        .plain
        .delete_key_value(streams::TOOLBOXES.name)
        .await
        .unwrap();
    snapshot_of(&mut changes, &[]).await;
    toolboxes.put(&entry(2, "again")).await.unwrap();
    assert_eq!(
        next("the put", &mut changes).await,
        BucketChange::Put(entry(2, "again"))
    );
}

#[tokio::test]
async fn a_purged_bucket_is_told_as_empty_without_a_marker() {
    let ground = Ground::new().await;
    let toolboxes = bucket(&ground).await;
    toolboxes.put(&entry(1, "gone")).await.unwrap();
    let stream = ground.plain.get_stream("KV_toolboxes").await.unwrap();
    stream.purge().await.unwrap();
    assert_eq!(toolboxes.all().await.unwrap(), []);
}

#[tokio::test]
async fn a_large_bucket_is_one_snapshot_even_while_it_changes() {
    let ground = Ground::new().await;
    let toolboxes = bucket(&ground).await;
    for number in 1..=600 {
        toolboxes.put(&entry(number, "first")).await.unwrap();
    }
    let writer = {
        let toolboxes = toolboxes.clone();
        tokio::spawn(async move {
            for number in 1..=600 {
                toolboxes.put(&entry(number, "second")).await.unwrap();
            }
        })
    };
    // However far the writer has come: nobody is missing.
    while !writer.is_finished() {
        assert_eq!(toolboxes.all().await.unwrap().len(), 600);
    }
    writer.await.unwrap();
    let all = toolboxes.all().await.unwrap();
    assert!(all.iter().all(|it| it.instances[0].name == "second"));
}

#[tokio::test]
async fn watching_ends_with_shutdown_and_reading_fails_without_a_server() {
    let mut ground = Ground::new().await;
    let toolboxes = bucket(&ground).await;
    let shutdown = CancellationToken::new();
    let mut changes = toolboxes.watch(shutdown.clone());
    next("the snapshot", &mut changes).await;
    shutdown.cancel();
    assert!(soon("the end", changes.next()).await.is_none());
    ground.server.kill().await.unwrap();
    eventually("the loss is noticed", async || !ground.bus.is_connected()).await;
    let error = toolboxes.all().await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(toolboxes.put(&entry(1, "x")).await.unwrap_err().is_transient());
}
