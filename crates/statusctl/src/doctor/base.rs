//! What is seen in the database.

use std::time::Duration;

use domain::{AgentStatus, ToolboxId};
use jiff::Timestamp;
use secrecy::SecretString;
use store::inspect::{self, LateCommands, Migrations};
use store::registry::Registry;
use store::{Database, DatabaseOptions, StoreError, outbox, reading, registry};

use crate::doctor::ahead;

/// A command that nobody was told of, or that nobody ended, for longer than this is a finding.
const PATIENCE: Duration = Duration::from_secs(30);
/// Toolboxes read at once.
const PAGE: u32 = 500;
/// Pages read: 100,000 toolboxes.
const MOST_PAGES: usize = 200;

/// How it went.
#[derive(Debug)]
pub(crate) enum Base {
    /// It is not known where it is.
    Unknown,
    /// It does not answer, or refuses us.
    Away(String),
    /// It answers.
    Seen(Box<Seen>),
}

/// What it holds.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) version: String,
    /// How far its clock is ahead, in milliseconds.
    pub(crate) ahead: i64,
    pub(crate) migrations: Migrations,
    /// The rest; `Err`: the schema is not one that can be read.
    pub(crate) rows: Result<Rows, String>,
}

/// What the tables say.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) oldest_unpublished: Option<Timestamp>,
    pub(crate) late: LateCommands,
    pub(crate) registry: Registry,
    pub(crate) unresponsive: Vec<Unresponsive>,
}

/// A toolbox whose agent does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unresponsive {
    pub(crate) name: String,
    pub(crate) problem: String,
}

/// Looks.
pub(crate) async fn facts(url: Option<&SecretString>, now: impl Fn() -> Timestamp) -> Base {
    let Some(url) = url else {
        return Base::Unknown;
    };
    match look(url, now).await {
        Ok(seen) => Base::Seen(Box::new(seen)),
        Err(error) => Base::Away(error.to_string()),
    }
}

async fn look(url: &SecretString, now: impl Fn() -> Timestamp) -> Result<Seen, StoreError> {
    let database = Database::connect(&DatabaseOptions {
        max_connections: 1,
        application_name: "statusctl doctor".to_owned(),
        ..DatabaseOptions::new(url.clone())
    })
    .await?;
    let version = inspect::version(database.pool()).await?;
    let before = now();
    let theirs = inspect::clock(database.pool()).await?;
    let ahead = ahead(before, theirs, now());
    let mut transaction = database.begin().await?;
    let migrations = inspect::migrations(&mut transaction).await?;
    drop(transaction);
    let rows = rows(&database, now()).await.map_err(|error| error.to_string());
    database.close().await;
    Ok(Seen {
        version,
        ahead,
        migrations,
        rows,
    })
}

async fn rows(database: &Database, now: Timestamp) -> Result<Rows, StoreError> {
    let pool = database.pool();
    let mut unresponsive = Vec::new();
    let mut after: Option<ToolboxId> = None;
    let mut transaction = database.begin().await?;
    for _ in 0..MOST_PAGES {
        let page = reading::toolboxes(&mut transaction, None, after, PAGE).await?;
        after = page.last().map(|reading| reading.toolbox.id);
        let whole = page.len() == PAGE as usize;
        let silent = page
            .into_iter()
            .map(|reading| reading.toolbox)
            .filter(|toolbox| toolbox.status == AgentStatus::Unresponsive);
        unresponsive.extend(silent.map(|toolbox| {
            Unresponsive {
                problem: toolbox
                    .problem
                    .map_or_else(String::new, |problem| problem.reason.message),
                name: toolbox.name,
            }
        }));
        if !whole {
            break;
        }
    }
    drop(transaction);
    Ok(Rows {
        oldest_unpublished: outbox::oldest_unpublished(pool).await?,
        late: inspect::late_commands(pool, now, PATIENCE).await?,
        registry: registry::read(pool).await?,
        unresponsive,
    })
}
