//! The present state of everything, page by page: with it the status stream is compared, and rebuilt when it is lost.
//! Without the servers' commands, which the rows do not hold.

use domain::{Server, ServerId, Toolbox, ToolboxId};
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::error::Result;
use crate::rows::{ServerRow, select_servers, select_toolboxes};

/// One page of rows, in the order of their ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, Id> {
    /// The rows. May be fewer than asked for, even none, on a page that is not the last.
    pub items: Vec<T>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<Id>,
}

/// The servers after `after` (from the first, if `None`), at most `limit`.
///
/// # Errors
/// [`crate::StoreError::UnknownLabel`], and whatever the database refuses.
pub async fn servers(
    executor: impl PgExecutor<'_>,
    after: Option<ServerId>,
    limit: u32,
) -> Result<Page<Server, ServerId>> {
    let rows = select_servers!(
        "WHERE $1::uuid IS NULL OR i.id > $1 ORDER BY i.id LIMIT $2",
        after.map(|id| id.0) as Option<Uuid>,
        i64::from(limit),
    )
    .fetch_all(executor)
    .await?;
    let next = next_page(&rows, limit, |row| ServerId(row.id));
    let items = rows
        .into_iter()
        .filter_map(|row| row.into_server().transpose())
        .collect::<Result<_>>()?;
    Ok(Page { items, next })
}

/// The toolboxes after `after` (from the first, if `None`), at most `limit`.
///
/// # Errors
/// [`crate::StoreError::UnknownLabel`], and whatever the database refuses.
pub async fn toolboxes(
    executor: impl PgExecutor<'_>,
    after: Option<ToolboxId>,
    limit: u32,
) -> Result<Page<Toolbox, ToolboxId>> {
    let rows = select_toolboxes!(
        "AND ($1::uuid IS NULL OR t.id > $1) ORDER BY t.id LIMIT $2",
        after.map(|id| id.0) as Option<Uuid>,
        i64::from(limit),
    )
    .fetch_all(executor)
    .await?;
    let next = next_page(&rows, limit, |row| ToolboxId(row.id));
    let items = rows
        .into_iter()
        .map(|row| row.into_toolbox())
        .collect::<Result<_>>()?;
    Ok(Page { items, next })
}

/// One server; `None` where there is none of this id, or its name can be no container's.
///
/// # Errors
/// [`crate::StoreError::UnknownLabel`], and whatever the database refuses.
pub async fn server(executor: impl PgExecutor<'_>, id: ServerId) -> Result<Option<Server>> {
    let row = select_servers!("WHERE i.id = $1", id.0)
        .fetch_optional(executor)
        .await?;
    row.map_or(Ok(None), ServerRow::into_server)
}

/// The last row of a full page: there may be more behind it.
fn next_page<Row, Id>(rows: &[Row], limit: u32, id: impl Fn(&Row) -> Id) -> Option<Id> {
    let full = rows.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    rows.last().filter(|_| full).map(id)
}
