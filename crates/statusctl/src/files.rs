//! Files that only their owner may read, written whole or not at all.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;

/// Replaces a file by one with this text, readable by its owner only.
///
/// # Errors
/// When its folder cannot be written.
pub fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let write = || -> std::io::Result<()> {
        let _ = std::fs::remove_file(&unfinished);
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path)
    };
    write().with_context(|| format!("failed to write {}", path.display()))
}

/// Reads a file of at most `limit` bytes; `None` where it is not there.
///
/// # Errors
/// When it is there and cannot be read, or is larger.
pub fn read_bounded(path: &Path, limit: u64) -> anyhow::Result<Option<String>> {
    use std::io::Read as _;
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("failed to read {}", path.display())),
    };
    let mut text = String::new();
    file.take(limit + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("failed to read {}", path.display()))?;
    anyhow::ensure!(
        text.len() as u64 <= limit,
        "{} is larger than {limit} bytes",
        path.display()
    );
    Ok(Some(text))
}
