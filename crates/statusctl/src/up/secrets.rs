//! The one secret that the services of this host share.

use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use bus::SealingKey;
use secrecy::{ExposeSecret as _, SecretString};

const FILE: &str = "sealing-key";

/// The key that seals agents' tokens, made at the first start and kept in a file that only its owner can read.
pub(crate) fn sealing_key(data_dir: &Path) -> anyhow::Result<SecretString> {
    let path = data_dir.join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(key) => return Ok(SecretString::from(key.trim().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("failed to read {}", path.display())),
    }
    let (_, key) = SealingKey::generate();
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("failed to create {}", path.display()))?;
    writeln!(file, "{}", key.expose_secret())
        .with_context(|| format!("failed to write {}", path.display()))?;
    Ok(key)
}
