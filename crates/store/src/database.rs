//! The pool of connections, and the schema.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgConnection, PgPool, Postgres};

use crate::error::{Result, StoreError};

/// A transaction; rolled back when dropped.
pub type Transaction = sqlx::Transaction<'static, Postgres>;

/// The schema this version needs. It only ever adds, so an older version goes on working on a newer schema: that is why
/// migrations it does not know do not stop it.
pub static MIGRATOR: Migrator = Migrator {
    ignore_missing: true,
    ..sqlx::migrate!("../../migrations")
};

/// How to reach the database, and how much of it to use.
#[derive(Debug, Clone)]
pub struct DatabaseOptions {
    /// `postgres://user:password@host:port/database?sslmode=…`. A pooler that cannot carry prepared statements in
    /// transaction mode (`PgBouncer` before 1.21) needs `statement-cache-capacity=0` in it, and migrations and
    /// [`crate::registry::try_mirror_lock`] need a URL that goes round it.
    pub url: SecretString,
    /// Most connections held at once, at least 1. Default 10.
    pub max_connections: u32,
    /// Longest wait for a connection, connecting included. Default 5 s.
    pub acquire_timeout: Duration,
    /// Longest run of one statement, whole milliseconds; zero means no limit. Default 10 s.
    pub statement_timeout: Duration,
    /// What `pg_stat_activity` shows.
    pub application_name: String,
}

impl DatabaseOptions {
    /// The defaults.
    pub fn new(url: SecretString) -> Self {
        Self {
            url,
            max_connections: 10,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(10),
            application_name: "mcp-status-sync".to_owned(),
        }
    }
}

/// A bounded pool of connections. Cheap to clone; clones share the pool.
#[derive(Clone)]
pub struct Database {
    pool: PgPool,
}

/// A process that was stopped, or cut off, in the middle of a transaction holds its rows no longer than this.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(60);
/// How long the silence of a connection's peer may last before the server asks whether it lives; three questions five
/// seconds apart then end the session and with it every lock it holds.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);

impl Database {
    /// Prepares a pool and connects when first asked: it is usable while the database is away, and each use then fails
    /// after the acquire time-out with an error that [is transient](StoreError::is_transient).
    ///
    /// # Errors
    /// [`StoreError::Url`]. Must be called within a Tokio runtime.
    pub fn connect_lazy(options: &DatabaseOptions) -> Result<Self> {
        let connect = PgConnectOptions::from_str(options.url.expose_secret())
            .map_err(|_| StoreError::Url)?
            .application_name(&options.application_name);
        let statement_timeout = options.statement_timeout;
        let pool = PgPoolOptions::new()
            .max_connections(options.max_connections.max(1))
            .acquire_timeout(options.acquire_timeout)
            .after_connect(move |connection, _| Box::pin(set_limits(connection, statement_timeout)))
            .connect_lazy_with(connect);
        Ok(Self { pool })
    }

    /// Connects, and fails where the database does not answer within the acquire time-out.
    pub async fn connect(options: &DatabaseOptions) -> Result<Self> {
        let database = Self::connect_lazy(options)?;
        database.ping().await?;
        Ok(database)
    }

    /// Takes a pool that is there, with whatever limits its connections have: what tests start from.
    pub fn from_pool(pool: PgPool) -> Self {
        Self { pool }
    }

    /// The pool, as executor of single queries.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Begins a transaction (read committed).
    pub async fn begin(&self) -> Result<Transaction> {
        Ok(self.pool.begin().await?)
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<()> {
        sqlx::query_scalar!(r#"SELECT 1 AS "one!""#)
            .fetch_one(&self.pool)
            .await?;
        Ok(())
    }

    /// Brings the schema up to date; see [`migrate`].
    pub async fn migrate(&self) -> Result<()> {
        migrate(&self.pool).await
    }

    /// Closes all connections, waiting for those in use.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Without the URL: it holds the password.
impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("size", &self.pool.size())
            .field("idle", &self.pool.num_idle())
            .finish()
    }
}

/// Brings the schema up to date. Any number of replicas may call it at once: one works, the others wait for it.
///
/// Waits at most 10 s for each lock it needs on a table that is in use, so that the owner's application does not queue
/// up behind it; the error is then [transient](StoreError::is_transient) and nothing was changed.
pub async fn migrate(pool: &PgPool) -> Result<()> {
    // A connection of its own, because its time-outs are other ones.
    let own = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(pool.options().get_acquire_timeout())
        .after_connect(|connection, _| Box::pin(set_limits_of_migration(connection)))
        .connect_lazy_with((*pool.connect_options()).clone());
    let migrated = MIGRATOR.run(&own).await;
    own.close().await;
    Ok(migrated?)
}

/// A statement may take its time, but not while it waits for a lock.
async fn set_limits_of_migration(connection: &mut PgConnection) -> std::result::Result<(), sqlx::Error> {
    sqlx::query!(
        r#"SELECT set_config('statement_timeout', '0', false) AS "a!", set_config('lock_timeout', '10s', false) AS "b!""#
    )
    .fetch_one(connection)
    .await?;
    Ok(())
}

/// Sets up a fresh connection. By statements and not as start-up options, which poolers refuse.
async fn set_limits(
    connection: &mut PgConnection,
    statement_timeout: Duration,
) -> std::result::Result<(), sqlx::Error> {
    sqlx::query!(
        r#"SELECT
            set_config('statement_timeout', $1, false) AS "a!",
            set_config('idle_in_transaction_session_timeout', $2, false) AS "b!",
            set_config('tcp_keepalives_idle', $3, false) AS "c!",
            set_config('tcp_keepalives_interval', '5', false) AS "d!",
            set_config('tcp_keepalives_count', '3', false) AS "e!",
            -- A waiter must see what the lock's former holder wrote, whatever the database's default is.
            set_config('default_transaction_isolation', 'read committed', false) AS "f!",
            -- A role that may not see all rows gets an error. A registry that is silently empty would read as
            -- "everything was deleted".
            set_config('row_security', 'off', false) AS "g!",
            -- All statements here are short; compiling the sweep's takes ten times as long as running it.
            set_config('jit', 'off', false) AS "h!""#,
        milliseconds(statement_timeout),
        milliseconds(IDLE_IN_TRANSACTION),
        KEEPALIVE_IDLE.as_secs().to_string(),
    )
    .fetch_one(connection)
    .await?;
    Ok(())
}

/// As PostgreSQL's settings take it: an `int` of milliseconds. A time-out shorter than one is one, since zero is none.
fn milliseconds(span: Duration) -> String {
    let whole = i32::try_from(span.as_millis()).unwrap_or(i32::MAX);
    if span.is_zero() { 0 } else { whole.max(1) }.to_string()
}
