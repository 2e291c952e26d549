//! `endpoints.json`: where everything is, for scripts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// File name below the data folder.
pub const FILE: &str = "endpoints.json";

/// Where everything is. Exists exactly as long as everything works.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// The process that hosts it all.
    pub pid: u32,
    /// The NATS server.
    pub nats: Endpoint,
    /// The database; the URL holds its password, which is why the file is readable by its owner only.
    pub database: Endpoint,
    /// One entry per service, by its name.
    pub services: BTreeMap<String, Endpoint>,
    /// The simulated agents and their control routes; a fleet of none without `--demo`.
    pub sim: Endpoint,
    /// Whose the first simulated toolbox is; absent without `--demo`.
    #[serde(default, rename = "demoAccount", skip_serializing_if = "Option::is_none")]
    pub demo_account: Option<Uuid>,
}

/// One address.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Where it is reached.
    pub url: String,
}

impl From<String> for Endpoint {
    fn from(url: String) -> Self {
        Self { url }
    }
}

impl Endpoints {
    /// Reads the file of a data folder; `None` where nothing runs on it.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn read(data_dir: &Path) -> anyhow::Result<Option<Self>> {
        let path = data_dir.join(FILE);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("failed to read {}", path.display())),
        };
        serde_json::from_slice(&text)
            .map(Some)
            .with_context(|| format!("failed to understand {}", path.display()))
    }

    /// Writes the file whole or not at all, readable by its owner only. It is removed when the guard is dropped.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn publish(&self, data_dir: &Path) -> anyhow::Result<Published> {
        let path = data_dir.join(FILE);
        let text = serde_json::to_string_pretty(self).context("failed to encode endpoints")?;
        crate::files::write_private(&path, &text)?;
        Ok(Published { path })
    }

    /// Removes what a run that was killed left behind.
    ///
    /// # Errors
    /// When it is there and cannot be removed.
    pub fn remove_stale(data_dir: &Path) -> anyhow::Result<()> {
        let path = data_dir.join(FILE);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("failed to remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }
}

/// Keeps the file; dropping it removes it.
#[derive(Debug)]
pub struct Published {
    path: PathBuf,
}

impl Published {
    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "failed to remove the endpoints file");
        }
    }
}

/// The data folder used when none is named: per user, `$XDG_DATA_HOME/mcp-status-sync`.
#[expect(
    clippy::disallowed_methods,
    reason = "the command line's own defaults come from the environment"
)]
pub fn default_data_dir() -> PathBuf {
    let of = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    of("XDG_DATA_HOME")
        .or_else(|| of("HOME").map(|home| home.join(".local/share")))
        .unwrap_or_else(|| PathBuf::from("."))
        .join("mcp-status-sync")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_lives_as_long_as_its_guard_and_is_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let url = |text: &str| Endpoint::from(text.to_owned());
        let endpoints = Endpoints {
            pid: 7,
            nats: url("nats://127.0.0.1:1"),
            database: url("postgres://u:p@127.0.0.1:2/d"),
            services: BTreeMap::from([("dtma-poller".to_owned(), url("http://127.0.0.1:3"))]),
            sim: url("http://127.0.0.1:4"),
            demo_account: Some(Uuid::from_u128(5)),
        };
        let published = endpoints.publish(dir.path()).unwrap();
        let mode = std::fs::metadata(published.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(Endpoints::read(dir.path()).unwrap().unwrap() == endpoints);
        drop(published);
        assert!(Endpoints::read(dir.path()).unwrap().is_none());
        Endpoints::remove_stale(dir.path()).unwrap();
    }
}
