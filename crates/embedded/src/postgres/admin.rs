//! As much of PostgreSQL's protocol as readiness, `CREATE DATABASE` and a script need: neither `psql` nor a client
//! library is at hand wherever the server is.
//!
//! It goes through the Unix socket in the cluster's own folder, which is trusted: the folder is closed to everyone
//! but root and the server's user, and either could rewrite the whole cluster anyway.
//!
//! ```text
//! ► StartupMessage          ◄ AuthenticationOk … ReadyForQuery
//! ► Query "…"               ◄ … DataRow … (ErrorResponse) … ReadyForQuery
//! ```

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::UnixStream;

use super::SUPERUSER;

/// Protocol 3.0, which every server since 7.4 speaks.
const PROTOCOL: u32 = 3 << 16;
/// Longest message taken, bytes; those read here have a few hundred.
const LONGEST: usize = 1 << 20;

/// Why a query was not answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdminError {
    /// The server refused it; `code` is the SQLSTATE.
    #[error("PostgreSQL answered {code}: {message}")]
    Refused { code: String, message: String },
    /// The connection failed, or what came over it was not PostgreSQL's protocol.
    #[error("failed to talk to PostgreSQL: {0}")]
    Io(#[from] io::Error),
}

impl AdminError {
    /// Whether the server refused with this SQLSTATE.
    pub(super) fn is(&self, sqlstate: &str) -> bool {
        matches!(self, Self::Refused { code, .. } if code == sqlstate)
    }
}

/// A superuser's connection.
#[derive(Debug)]
pub(super) struct Admin {
    stream: BufStream<UnixStream>,
}

impl Admin {
    /// Connects to a database of the server on that cluster and port.
    ///
    /// # Errors
    /// [`AdminError`]; a server that is still starting refuses with `57P03`.
    pub(super) async fn connect(cluster: &Path, port: u16, database: &str) -> Result<Self, AdminError> {
        // A socket's address has room for 107 bytes, and data folders may lie deep: go through the open folder.
        let folder = File::open(cluster)?;
        let socket = format!("/proc/self/fd/{}/.s.PGSQL.{port}", folder.as_raw_fd());
        let mut admin = Self {
            stream: BufStream::new(UnixStream::connect(socket).await?),
        };
        let parameters = format!("user\0{SUPERUSER}\0database\0{database}\0\0");
        admin.stream.write_u32(framed_len(parameters.len() + 4)?).await?;
        admin.stream.write_u32(PROTOCOL).await?;
        admin.stream.write_all(parameters.as_bytes()).await?;
        admin.until_ready().await?;
        Ok(admin)
    }

    /// Runs a statement, or several as one transaction, and answers the first column of all rows.
    ///
    /// # Errors
    /// [`AdminError`].
    pub(super) async fn query(&mut self, statement: &str) -> Result<Vec<String>, AdminError> {
        self.stream.write_u8(b'Q').await?;
        self.stream.write_u32(framed_len(statement.len() + 1)?).await?;
        self.stream.write_all(statement.as_bytes()).await?;
        self.stream.write_u8(0).await?;
        self.until_ready().await
    }

    /// Reads messages up to ReadyForQuery; an error among them is the outcome.
    async fn until_ready(&mut self) -> Result<Vec<String>, AdminError> {
        self.stream.flush().await?;
        let mut rows = Vec::new();
        let mut refused = None;
        loop {
            let kind = match self.stream.read_u8().await {
                // After refusing a connection the server closes it without ReadyForQuery.
                Err(error) => return Err(refused.unwrap_or(AdminError::Io(error))),
                Ok(kind) => kind,
            };
            let len = self.stream.read_u32().await?;
            let len = usize::try_from(len)
                .ok()
                .and_then(|len| len.checked_sub(4))
                .filter(|len| *len <= LONGEST);
            let mut body = vec![0; len.ok_or_else(|| garbled("length"))?];
            self.stream.read_exact(&mut body).await?;
            match kind {
                b'Z' => return refused.map_or(Ok(rows), Err),
                b'E' => refused = Some(refusal(&body)),
                b'D' => rows.push(first_column(&body).ok_or_else(|| garbled("row"))?),
                // Anything but AuthenticationOk asks for a password: the socket is not trusted, so not our cluster.
                b'R' if body != [0; 4] => return Err(garbled("authentication")),
                // COPY from or to us: nobody here would feed or read it.
                b'G' | b'H' | b'W' => return Err(garbled("COPY")),
                _ => {}
            }
        }
    }
}

/// The length of a message, which counts itself.
fn framed_len(body: usize) -> io::Result<u32> {
    u32::try_from(body + 4)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "the statement is too long"))
}

fn garbled(what: &str) -> AdminError {
    AdminError::Io(io::Error::new(
        io::ErrorKind::InvalidData,
        format!("unexpected {what}"),
    ))
}

/// Fields of an ErrorResponse: a letter and a NUL-terminated text each.
fn refusal(body: &[u8]) -> AdminError {
    let field = |letter: u8| {
        let field = body
            .split(|byte| *byte == 0)
            .find(|field| field.first() == Some(&letter))?;
        Some(String::from_utf8_lossy(&field[1..]).into_owned())
    };
    AdminError::Refused {
        code: field(b'C').unwrap_or_default(),
        message: field(b'M').unwrap_or_default(),
    }
}

/// A DataRow: the number of columns (16 bits), then each column's length (32 bits, -1 for NULL) and text.
fn first_column(body: &[u8]) -> Option<String> {
    let rest = body.get(2..)?;
    let len = i32::from_be_bytes(rest.get(..4)?.try_into().ok()?);
    let len = usize::try_from(len).unwrap_or(0);
    Some(String::from_utf8_lossy(rest.get(4..4 + len)?).into_owned())
}

/// Whether a name may stand in a statement (and in a URL) as it is.
pub(super) fn is_plain_name(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_response_gives_its_code_and_message() {
        let error = refusal(b"SERROR\0C42P04\0Mdatabase \"x\" already exists\0Fdbcommands.c\0\0");
        assert!(error.is("42P04") && !error.is("57P03"));
        assert_eq!(
            error.to_string(),
            "PostgreSQL answered 42P04: database \"x\" already exists"
        );
        assert!(refusal(b"").is(""));
    }

    #[test]
    fn a_row_gives_its_first_column_or_nothing_when_it_is_cut_short() {
        assert_eq!(
            first_column(b"\0\x02\0\0\0\x03abc\0\0\0\x01d").as_deref(),
            Some("abc")
        );
        assert_eq!(first_column(b"\0\x01\xff\xff\xff\xff").as_deref(), Some(""));
        assert_eq!(first_column(b"\0\x01\0\0\0\x09abc"), None);
        assert_eq!(first_column(b"\0"), None);
    }

    #[test]
    fn only_plain_names_reach_a_statement() {
        for name in ["mcp_status", "_x", "a1", &"a".repeat(63)] {
            assert!(is_plain_name(name), "{name}");
        }
        for name in ["", "1a", "A", "a-b", "a\"b", "a'b", "ä", "a b", &"a".repeat(64)] {
            assert!(!is_plain_name(name), "{name}");
        }
    }
}
