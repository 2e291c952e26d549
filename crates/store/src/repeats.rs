//! The same request twice: what was asked and answered under a client's own key.

use domain::CommandId;
use jiff::Timestamp;
use serde_json::value::RawValue;
use sqlx::PgExecutor;

use crate::error::Result;

/// A client's own key for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The key.
    pub key: String,
    /// What was asked under it, so that the same key for something else can be told.
    pub fingerprint: String,
}

/// What was asked under a key before.
#[derive(Debug, Clone)]
pub struct Repeat {
    /// Which command it was.
    pub id: CommandId,
    /// What was asked.
    pub fingerprint: String,
    /// When.
    pub requested_at: Timestamp,
    /// What was answered; `None`: it is still being accepted, or that was cut short.
    pub answer: Option<Answer>,
}

/// An answer as it was given.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its HTTP status.
    pub status: u16,
    /// Its body; `None`: it had none.
    pub body: Option<Box<RawValue>>,
    /// Where it said to look next.
    pub location: Option<String>,
}

/// What was asked before by the same person under the same key.
///
/// # Errors
/// Whatever the database refuses.
pub async fn find_repeat(
    executor: impl PgExecutor<'_>,
    requested_by: &str,
    key: &str,
) -> Result<Option<Repeat>> {
    let row = sqlx::query!(
        r#"SELECT id, fingerprint AS "fingerprint!", requested_at, answer_status, answer::text AS answer, answer_location
        FROM status_commands
        WHERE requested_by = $1 AND idempotency_key = $2"#,
        requested_by,
        key
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.map(|row| Repeat {
        id: CommandId(row.id),
        fingerprint: row.fingerprint,
        requested_at: row.requested_at.to_jiff(),
        answer: row.answer_status.map(|status| Answer {
            status: u16::try_from(status).unwrap_or_default(),
            body: row.answer.and_then(|answer| RawValue::from_string(answer).ok()),
            location: row.answer_location,
        }),
    }))
}

/// Keeps what was answered, to be repeated; the last of several counts.
///
/// # Errors
/// Whatever the database refuses.
pub async fn keep_answer(executor: impl PgExecutor<'_>, id: CommandId, answer: &Answer) -> Result<()> {
    sqlx::query!(
        "UPDATE status_commands SET answer_status = $2, answer = $3::text::json, answer_location = $4 WHERE id = $1",
        id.0,
        i16::try_from(answer.status).unwrap_or_default(),
        answer.body.as_deref().map(RawValue::get),
        answer.location,
    )
    .execute(executor)
    .await?;
    Ok(())
}
