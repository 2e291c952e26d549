//! The fleet as a file, for programs that set up a registry from it.

use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;
use tokio::io::AsyncWriteExt as _;

use crate::sim::Shared;
use crate::toolbox::{Toolbox, ToolboxInfo};

/// The whole fleet as the control API and the registry file show it.
#[derive(Debug, Serialize)]
pub(crate) struct Listing<'a> {
    pub(crate) url: &'a str,
    pub(crate) seed: u64,
    pub(crate) toolboxes: Vec<ToolboxInfo>,
}

/// The fleet as it is now.
pub(crate) fn listing(shared: &Shared) -> Listing<'_> {
    Listing {
        url: &shared.base_url,
        seed: shared.fleet.seed.0,
        toolboxes: shared.fleet.toolboxes.iter().map(Toolbox::info).collect(),
    }
}

/// Writes the fleet to `file`, whole or not at all. It holds tokens, so only its owner may read it.
pub(crate) async fn write(file: &Path, shared: &Shared) -> anyhow::Result<()> {
    let text = serde_json::to_vec_pretty(&listing(shared)).context("failed to write the fleet as JSON")?;
    let name = file
        .file_name()
        .with_context(|| format!("{} is not a file name", file.display()))?;
    let draft = file.with_file_name(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
    let written = async {
        let mut options = tokio::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        options.mode(0o600);
        let mut draft_file = options.open(&draft).await?;
        draft_file.write_all(&text).await?;
        draft_file.sync_all().await?;
        tokio::fs::rename(&draft, file).await
    };
    written
        .await
        .with_context(|| format!("failed to write the registry file {}", file.display()))
}
