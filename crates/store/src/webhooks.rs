//! Who is told of changes by webhook, and how.
//!
//! Secrets come in and go out only for whoever signs ([`all`]); what is shown to people ([`get`], [`list`]) has none.

use domain::AccountId;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::error::Result;
use crate::instant::{Stored, stored};

/// What people say of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wishes {
    /// Where it is posted to.
    pub url: String,
    /// Whether it is told anything.
    pub enabled: bool,
    /// Only of these servers; empty: of any.
    pub servers: Vec<Uuid>,
    /// Only of servers on these toolboxes; empty: on any.
    pub toolboxes: Vec<Uuid>,
    /// Only of these kinds of change; empty: of any.
    pub kinds: Vec<String>,
    /// What is posted.
    pub template: String,
    /// Only what still holds after so many seconds.
    pub after_seconds: u32,
    /// Not what commands bring about.
    pub not_during_own_commands: bool,
    /// Of one server at most once in so many seconds.
    pub at_most_every_seconds: u32,
    /// So many changes at once are one message.
    pub summary_from: u32,
    /// For how many seconds they are gathered.
    pub summary_window: u32,
}

/// An endpoint, as far as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Which one.
    pub id: Uuid,
    /// Whose it is.
    pub account: AccountId,
    /// What people say of it.
    pub wishes: Wishes,
    /// Until when the secret before the present one signs as well.
    pub previous_until: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// An endpoint with what deliveries to it are signed with.
#[derive(Debug, Clone)]
pub struct Signing {
    /// The endpoint.
    pub webhook: Webhook,
    /// The present secret.
    pub secret: SecretString,
    /// The one before it, until [`Webhook::previous_until`].
    pub previous: Option<SecretString>,
}

struct Row {
    id: Uuid,
    account_id: Uuid,
    url: String,
    enabled: bool,
    servers: Vec<Uuid>,
    toolboxes: Vec<Uuid>,
    kinds: Vec<String>,
    template: String,
    after_seconds: i32,
    not_during_own_commands: bool,
    at_most_every_seconds: i32,
    summary_from: i32,
    summary_window: i32,
    previous_secret_until: Option<Stored>,
    created_at: Stored,
}

impl Row {
    fn read(self) -> Webhook {
        Webhook {
            id: self.id,
            account: AccountId(self.account_id),
            wishes: Wishes {
                url: self.url,
                enabled: self.enabled,
                servers: self.servers,
                toolboxes: self.toolboxes,
                kinds: self.kinds,
                template: self.template,
                after_seconds: self.after_seconds.unsigned_abs(),
                not_during_own_commands: self.not_during_own_commands,
                at_most_every_seconds: self.at_most_every_seconds.unsigned_abs(),
                summary_from: self.summary_from.unsigned_abs(),
                summary_window: self.summary_window.unsigned_abs(),
            },
            previous_until: self.previous_secret_until.map(Stored::to_jiff),
            created_at: self.created_at.to_jiff(),
        }
    }
}

/// Seconds and numbers as the table keeps them.
fn number(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// Enters an endpoint.
///
/// # Errors
/// Whatever the database refuses; [`crate::StoreError::is_taken`] where there is one of this id.
pub async fn add(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    account: AccountId,
    wishes: &Wishes,
    secret: &SecretString,
    now: Timestamp,
) -> Result<()> {
    sqlx::query!(
        "INSERT INTO status_webhooks (id, account_id, url, enabled, servers, toolboxes, kinds, template, after_seconds,
             not_during_own_commands, at_most_every_seconds, summary_from, summary_window, secret, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        id,
        account.0,
        wishes.url,
        wishes.enabled,
        &wishes.servers,
        &wishes.toolboxes,
        &wishes.kinds,
        wishes.template,
        number(wishes.after_seconds),
        wishes.not_during_own_commands,
        number(wishes.at_most_every_seconds),
        number(wishes.summary_from),
        number(wishes.summary_window),
        secret.expose_secret(),
        stored(now) as _,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Changes what people say of an endpoint. `false`: there is none.
///
/// # Errors
/// Whatever the database refuses.
pub async fn change(executor: impl PgExecutor<'_>, id: Uuid, wishes: &Wishes) -> Result<bool> {
    let changed = sqlx::query!(
        "UPDATE status_webhooks SET url = $2, enabled = $3, servers = $4, toolboxes = $5, kinds = $6, template = $7,
             after_seconds = $8, not_during_own_commands = $9, at_most_every_seconds = $10, summary_from = $11,
             summary_window = $12
         WHERE id = $1",
        id,
        wishes.url,
        wishes.enabled,
        &wishes.servers,
        &wishes.toolboxes,
        &wishes.kinds,
        wishes.template,
        number(wishes.after_seconds),
        wishes.not_during_own_commands,
        number(wishes.at_most_every_seconds),
        number(wishes.summary_from),
        number(wishes.summary_window),
    )
    .execute(executor)
    .await?;
    Ok(changed.rows_affected() == 1)
}

/// Gives an endpoint another secret; the present one signs as well until `until`. `false`: there is none.
///
/// # Errors
/// Whatever the database refuses.
pub async fn rotate(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    secret: &SecretString,
    until: Timestamp,
) -> Result<bool> {
    let changed = sqlx::query!(
        "UPDATE status_webhooks SET previous_secret = secret, previous_secret_until = $3, secret = $2 WHERE id = $1",
        id,
        secret.expose_secret(),
        stored(until) as _,
    )
    .execute(executor)
    .await?;
    Ok(changed.rows_affected() == 1)
}

/// Takes an endpoint out. `false`: there is none.
///
/// # Errors
/// Whatever the database refuses.
pub async fn remove(executor: impl PgExecutor<'_>, id: Uuid) -> Result<bool> {
    let removed = sqlx::query!("DELETE FROM status_webhooks WHERE id = $1", id)
        .execute(executor)
        .await?;
    Ok(removed.rows_affected() == 1)
}

/// How many endpoints an account has.
///
/// # Errors
/// Whatever the database refuses.
pub async fn count(executor: impl PgExecutor<'_>, account: AccountId) -> Result<u64> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM status_webhooks WHERE account_id = $1"#,
        account.0
    )
    .fetch_one(executor)
    .await?;
    Ok(count.unsigned_abs())
}

/// An endpoint, whoever's.
///
/// # Errors
/// Whatever the database refuses.
pub async fn get(executor: impl PgExecutor<'_>, id: Uuid) -> Result<Option<Webhook>> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT id, account_id, url, enabled, servers, toolboxes, kinds, template, after_seconds,
               not_during_own_commands, at_most_every_seconds, summary_from, summary_window,
               previous_secret_until AS "previous_secret_until: Stored", created_at AS "created_at: Stored"
           FROM status_webhooks WHERE id = $1"#,
        id
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.map(Row::read))
}

/// Endpoints after `after`, of one account or of all, in the order of their ids, at most `limit`.
///
/// # Errors
/// Whatever the database refuses.
pub async fn list(
    executor: impl PgExecutor<'_>,
    account: Option<AccountId>,
    after: Option<Uuid>,
    limit: u32,
) -> Result<Vec<Webhook>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT id, account_id, url, enabled, servers, toolboxes, kinds, template, after_seconds,
               not_during_own_commands, at_most_every_seconds, summary_from, summary_window,
               previous_secret_until AS "previous_secret_until: Stored", created_at AS "created_at: Stored"
           FROM status_webhooks
           WHERE ($1::uuid IS NULL OR account_id = $1) AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3"#,
        account.map(|account| account.0) as Option<Uuid>,
        after as Option<Uuid>,
        i64::from(limit),
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(Row::read).collect())
}

/// All endpoints with their secrets, for the mirror.
///
/// # Errors
/// Whatever the database refuses.
pub async fn all(executor: impl PgExecutor<'_>) -> Result<Vec<Signing>> {
    let rows = sqlx::query!(
        r#"SELECT id, account_id, url, enabled, servers, toolboxes, kinds, template, after_seconds,
               not_during_own_commands, at_most_every_seconds, summary_from, summary_window,
               previous_secret_until AS "previous_secret_until: Stored", created_at AS "created_at: Stored",
               secret, previous_secret
           FROM status_webhooks"#
    )
    .fetch_all(executor)
    .await?;
    let signing = rows.into_iter().map(|row| Signing {
        secret: row.secret.into(),
        previous: row.previous_secret.map(SecretString::from),
        webhook: Row {
            id: row.id,
            account_id: row.account_id,
            url: row.url,
            enabled: row.enabled,
            servers: row.servers,
            toolboxes: row.toolboxes,
            kinds: row.kinds,
            template: row.template,
            after_seconds: row.after_seconds,
            not_during_own_commands: row.not_during_own_commands,
            at_most_every_seconds: row.at_most_every_seconds,
            summary_from: row.summary_from,
            summary_window: row.summary_window,
            previous_secret_until: row.previous_secret_until,
            created_at: row.created_at,
        }
        .read(),
    });
    Ok(signing.collect())
}
