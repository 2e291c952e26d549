//! What can go wrong, and whether trying again helps.

use std::fmt;

/// Result of everything that asks the database.
pub(crate) type Result<T> = std::result::Result<T, StoreError>;

/// A failure to read or write the database.
///
/// No variant holds a statement's values: PostgreSQL's details quote whole rows, tokens included, so they are dropped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The URL is none. It is not shown, because it holds the password.
    #[error("failed to read the database URL: expected postgres://user:password@host:port/database")]
    Url,
    /// The database did not answer, or refused.
    #[error("failed to use the database: {0}")]
    Database(Cause),
    /// The schema could not be brought up to date.
    #[error("failed to migrate the database: {0}")]
    Migrate(Cause),
    /// A row holds a label that only a newer version writes, so this one must not write over it.
    #[error("failed to read {column} of {subject}: {found:?} is not known to this version")]
    UnknownLabel {
        /// Which column.
        column: &'static str,
        /// Which server or toolbox.
        subject: uuid::Uuid,
        /// What stands there.
        found: String,
    },
    /// Rows to be written are gone, or newer than what was to be written: they were not locked since they were read.
    /// Nothing was announced; the transaction must be rolled back.
    #[error("failed to write {given} rows of {table}: {missed} of them are gone or newer by now")]
    Overtaken {
        /// The table.
        table: &'static str,
        /// How many rows were to be written.
        given: usize,
        /// How many of them were not.
        missed: usize,
    },
}

/// What a [`StoreError`] asks of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The same may succeed a moment later: the connection broke, a lock or a time-out was hit, the server restarts.
    Transient,
    /// The values are at fault: it will fail again with them, and may succeed with others.
    Data,
    /// The set-up is at fault: wrong password, missing table, no permission. It is nobody's message's fault.
    Setup,
}

impl StoreError {
    /// What the caller should do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Url => ErrorKind::Setup,
            Self::Database(cause) | Self::Migrate(cause) => cause.kind,
            // A version that knows the label is being rolled out; until then this row is not ours to touch.
            Self::UnknownLabel { .. } => ErrorKind::Setup,
            Self::Overtaken { .. } => ErrorKind::Transient,
        }
    }

    /// Whether something of this name or id is there already.
    pub fn is_taken(&self) -> bool {
        matches!(self, Self::Database(cause) if cause.code() == Some(UNIQUE_VIOLATION))
    }

    /// Whether the whole transaction may succeed when it is tried again, from its first read on.
    pub fn is_transient(&self) -> bool {
        self.kind() == ErrorKind::Transient
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(Cause::of(&error))
    }
}

impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        use sqlx::migrate::MigrateError;
        let cause = match &error {
            MigrateError::Execute(inner) => Cause::of(inner),
            MigrateError::ExecuteMigration(inner, version) => {
                let cause = Cause::of(inner);
                Cause {
                    text: format!("migration {version}: {}", cause.text),
                    ..cause
                }
            }
            other => Cause {
                text: other.to_string(),
                code: None,
                kind: ErrorKind::Setup,
            },
        };
        Self::Migrate(cause)
    }
}

/// What the database or the connection said, as far as it may be shown.
#[derive(Debug, Clone)]
pub struct Cause {
    text: String,
    code: Option<String>,
    kind: ErrorKind,
}

impl Cause {
    /// PostgreSQL's five-character code, where it was PostgreSQL that refused.
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    fn of(error: &sqlx::Error) -> Self {
        let code = error
            .as_database_error()
            .and_then(|refused| refused.code())
            .map(|code| code.into_owned());
        let kind = match (error, code.as_deref()) {
            // A partition's own bound, which has no name as a constraint: the row was on its way to the default partition
            // when its week was made. On the next try it finds its week.
            (sqlx::Error::Database(refused), Some(CHECK_VIOLATION)) if refused.constraint().is_none() => {
                ErrorKind::Transient
            }
            (sqlx::Error::Database(_), Some(code)) => kind_of_code(code),
            (sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed, _) => {
                ErrorKind::Transient
            }
            // What a connection says that was cut in the middle of an answer.
            (sqlx::Error::Protocol(_), _) => ErrorKind::Transient,
            (
                sqlx::Error::Encode(_)
                | sqlx::Error::Decode(_)
                | sqlx::Error::ColumnDecode { .. }
                | sqlx::Error::InvalidArgument(_)
                | sqlx::Error::RowNotFound,
                _,
            ) => ErrorKind::Data,
            _ => ErrorKind::Setup,
        };
        // The message alone: the detail beside it may quote a row.
        let text = match error.as_database_error() {
            Some(refused) => refused.message().to_owned(),
            None => error.to_string(),
        };
        Self { text, code, kind }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.code {
            Some(code) => write!(f, "{} ({code})", self.text),
            None => f.write_str(&self.text),
        }
    }
}

/// PostgreSQL's code for a row whose key another one has.
const UNIQUE_VIOLATION: &str = "23505";
/// PostgreSQL's code for a row that a check constraint, or the bound of its partition, does not admit.
const CHECK_VIOLATION: &str = "23514";

/// PostgreSQL's codes, by class (the first two characters) where a whole class is of one kind.
fn kind_of_code(code: &str) -> ErrorKind {
    match code {
        // idle_in_transaction_session_timeout: our own doing, when the process was held up.
        "25P03" => ErrorKind::Transient,
        // read_only_sql_transaction: a standby that is about to be promoted, or the old primary.
        "25006" => ErrorKind::Transient,
        // serialization_failure, deadlock_detected, and the rest of class 40.
        _ if code.starts_with("40") => ErrorKind::Transient,
        // 53: out of memory, disk or connections. 55: lock_not_available, object_in_use. 57: shutdown, starting up,
        // cancelled by a time-out. 58: the server's own disk. 08: the connection.
        _ if ["08", "53", "55", "57", "58"].contains(&&code[..2.min(code.len())]) => ErrorKind::Transient,
        // 21: cardinality. 22: a value out of range or malformed. 23: a constraint.
        _ if ["21", "22", "23"].contains(&&code[..2.min(code.len())]) => ErrorKind::Data,
        _ => ErrorKind::Setup,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_by_what_they_ask_of_the_caller() {
        for (code, kind) in [
            ("40001", ErrorKind::Transient),
            ("40P01", ErrorKind::Transient),
            ("53300", ErrorKind::Transient),
            ("55P03", ErrorKind::Transient),
            ("57014", ErrorKind::Transient),
            ("57P01", ErrorKind::Transient),
            ("57P03", ErrorKind::Transient),
            ("25006", ErrorKind::Transient),
            ("08006", ErrorKind::Transient),
            ("22008", ErrorKind::Data),
            ("23505", ErrorKind::Data),
            ("28P01", ErrorKind::Setup),
            ("42P01", ErrorKind::Setup),
            ("42501", ErrorKind::Setup),
            ("3D000", ErrorKind::Setup),
            ("", ErrorKind::Setup),
        ] {
            assert_eq!(kind_of_code(code), kind, "{code}");
        }
    }

    #[test]
    fn a_broken_connection_is_worth_another_try() {
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert!(StoreError::from(sqlx::Error::Io(broken)).is_transient());
        assert!(StoreError::from(sqlx::Error::PoolTimedOut).is_transient());
        assert!(!StoreError::from(sqlx::Error::PoolClosed).is_transient());
    }
}
