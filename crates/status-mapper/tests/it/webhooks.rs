//! Webhooks, mirrored for the notifiers with their secrets sealed.

use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use uuid::Uuid;
use wire::{WebhookEntry, WebhookKind, WebhookTemplate};

use crate::ground::Ground;
use crate::waiting::{PATIENCE, within};

async fn webhooks(ground: &Ground) -> Option<Vec<WebhookEntry>> {
    let bucket = ground.bus.bucket::<WebhookEntry>().await.ok()?;
    bucket.all().await.ok()
}

/// Waits until there is one that is so; `None`: until there is none at all.
async fn becomes(
    ground: &Ground,
    what: &str,
    is: impl Fn(Option<&WebhookEntry>) -> bool,
) -> Option<WebhookEntry> {
    let mut last = None;
    let found = within(PATIENCE, async || {
        last = webhooks(ground).await;
        let first = last.as_deref()?.first();
        is(first).then(|| first.cloned())
    })
    .await;
    found.unwrap_or_else(|| panic!("{what}: {last:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_mirrored_sealed_and_its_former_secret_with_its_end() {
    let ground = Ground::new().await;
    let mapper = ground.mapper(&[]).await;
    let (id, account) = (Uuid::from_u128(1), Uuid::from_u128(2));
    sqlx::query(
        "INSERT INTO status_webhooks (id, account_id, url, secret, kinds, template, after_seconds, created_at)
         VALUES ($1, $2, 'https://hooks.example', 'whsec_one', '{error}', 'slack', 30, '2026-11-28T09:00:00Z')",
    )
    .bind(id)
    .bind(account)
    .execute(&ground.pool)
    .await
    .unwrap();
    let entry = becomes(&ground, "it is there", |first| first.is_some())
        .await
        .unwrap();
    assert_eq!((entry.webhook_id, entry.account_id), (id, account));
    assert_eq!(entry.filters.kinds, [WebhookKind::Error]);
    assert_eq!(entry.template, WebhookTemplate::Slack);
    assert_eq!((entry.options.after_seconds, entry.enabled), (30, true));
    let opened = |entry: &WebhookEntry, place: usize| {
        let secret = ground.key.open(id, &entry.secrets[place].sealed).unwrap();
        secret.expose_secret().to_owned()
    };
    assert_eq!(
        (entry.secrets.len(), opened(&entry, 0)),
        (1, "whsec_one".to_owned())
    );

    sqlx::query(
        "UPDATE status_webhooks SET previous_secret = secret, secret = 'whsec_two',
            previous_secret_until = '2026-12-01T00:00:00Z'",
    )
    .execute(&ground.pool)
    .await
    .unwrap();
    let rotated = becomes(&ground, "it is rotated", |first| {
        first.is_some_and(|entry| entry.secrets.len() == 2)
    })
    .await
    .unwrap();
    assert_eq!(opened(&rotated, 0), "whsec_two");
    assert_eq!(opened(&rotated, 1), "whsec_one");
    let ends: Timestamp = "2026-12-01T00:00:00Z".parse().unwrap();
    assert_eq!(rotated.secrets[1].until, Some(ends));

    // What somebody does to the bucket is put right, and what did not change is not written again.
    let bucket = ground.bus.bucket::<WebhookEntry>().await.unwrap();
    bucket.delete(id).await.unwrap();
    becomes(&ground, "it is back", |first| {
        first.is_some_and(|entry| entry.secrets.len() == 2)
    })
    .await;
    sqlx::query("DELETE FROM status_webhooks")
        .execute(&ground.pool)
        .await
        .unwrap();
    becomes(&ground, "it is gone", |first| first.is_none()).await;
    mapper.stop().await;
    ground.close().await;
}
