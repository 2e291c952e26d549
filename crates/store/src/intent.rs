//! What people want of a server: the columns that status-api writes and nobody else of this system. Never a status.

use domain::{Desired, Override, ServerId};
use sqlx::PgExecutor;

use crate::error::Result;
use crate::instant::{Stored, stored};

/// Notes what a server is to be. `false`: there is no such server.
///
/// # Errors
/// Whatever the database refuses.
pub async fn set_desired(executor: impl PgExecutor<'_>, server: ServerId, desired: Desired) -> Result<bool> {
    let written = sqlx::query!(
        "UPDATE account_tool_instances SET desired_state = $2 WHERE id = $1",
        server.0,
        desired.as_str(),
    )
    .execute(executor)
    .await?;
    Ok(written.rows_affected() == 1)
}

/// Takes back what [`set_desired`] noted, unless somebody has noted something else since.
///
/// # Errors
/// Whatever the database refuses.
pub async fn restore_desired(
    executor: impl PgExecutor<'_>,
    server: ServerId,
    noted: Desired,
    before: Option<Desired>,
) -> Result<()> {
    sqlx::query!(
        "UPDATE account_tool_instances SET desired_state = $3 WHERE id = $1 AND desired_state = $2",
        server.0,
        noted.as_str(),
        before.map(|before| before.as_str()),
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Has a server watched, or no longer. `None`: there is no such server; else whether that is new.
///
/// # Errors
/// Whatever the database refuses.
pub async fn set_monitored(
    executor: impl PgExecutor<'_>,
    server: ServerId,
    monitored: bool,
) -> Result<Option<bool>> {
    let before = sqlx::query_scalar!(
        r#"UPDATE account_tool_instances AS i SET monitored = $2
        FROM (SELECT id, monitored FROM account_tool_instances WHERE id = $1 FOR NO KEY UPDATE) AS before
        WHERE i.id = before.id RETURNING before.monitored AS "before!""#,
        server.0,
        monitored,
    )
    .fetch_optional(executor)
    .await?;
    Ok(before.map(|before| before != monitored))
}

/// Puts an operator's word in place of what is observed, or takes it away. `false`: there is no such server.
///
/// # Errors
/// Whatever the database refuses.
pub async fn set_override(
    executor: impl PgExecutor<'_>,
    server: ServerId,
    word: Option<&Override>,
) -> Result<bool> {
    let written = sqlx::query!(
        "UPDATE account_tool_instances SET override_state = $2, override_health = $3, override_message = $4,
            override_until = $5
         WHERE id = $1",
        server.0,
        word.map(|word| word.state.as_str()),
        word.map(|word| word.health.as_str()),
        word.map(|word| word.message.as_str()),
        word.map(|word| stored(word.until)) as Option<Stored>,
    )
    .execute(executor)
    .await?;
    Ok(written.rows_affected() == 1)
}
