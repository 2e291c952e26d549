//! Small files with the right permissions, and randomness without a dependency.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Creates `dir` (and its parents) with `mode` unless it is there. Answers its absolute path without symbolic
/// links, and whether it was created now; the permissions of a folder that was there are left alone.
pub(crate) fn ensure_dir(dir: &Path, mode: u32) -> anyhow::Result<(PathBuf, bool)> {
    let create = || -> io::Result<(PathBuf, bool)> {
        if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fs::create_dir_all(parent)?;
        }
        let created = match DirBuilder::new().mode(mode).create(dir) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => false,
            Err(error) => return Err(error),
        };
        if created {
            // The mode given to mkdir is cut by the umask.
            fs::set_permissions(dir, Permissions::from_mode(mode))?;
        }
        Ok((fs::canonicalize(dir)?, created))
    };
    create().with_context(|| format!("failed to create the data folder {}", dir.display()))
}

/// Writes `contents` to `path` for the owner's eyes only, whole or not at all.
pub(crate) fn write_private(path: &Path, contents: &str) -> io::Result<()> {
    let partial = path.with_extension("partial");
    remove_if_there(&partial)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&partial)?;
    file.write_all(contents.as_bytes())?;
    file.sync_all()?;
    fs::rename(&partial, path)
}

/// The trimmed text of a small file; `None` when there is no such file.
pub(crate) fn read_trimmed(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes a file or symbolic link; its absence is fine.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes a folder with all it holds; its absence is fine.
pub(crate) fn remove_dir_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// `N` bytes from the kernel's random generator.
pub(crate) fn random_bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// `N` random bytes as `2 * N` hexadecimal digits.
pub(crate) fn random_hex<const N: usize>() -> io::Result<String> {
    Ok(random_bytes::<N>()?
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_file_is_readable_by_its_owner_only_and_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        write_private(&path, "first\n").unwrap();
        write_private(&path, "second\n").unwrap();
        assert_eq!(read_trimmed(&path).unwrap().as_deref(), Some("second"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            1,
            "no partial file is left"
        );
    }

    #[test]
    fn a_missing_file_reads_as_none_and_removes_as_done() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read_trimmed(&dir.path().join("absent")).unwrap(), None);
        remove_if_there(&dir.path().join("absent")).unwrap();
        remove_dir_if_there(&dir.path().join("absent")).unwrap();
    }

    #[test]
    fn an_existing_folder_keeps_its_permissions() {
        let dir = tempfile::tempdir().unwrap();
        let (path, created) = ensure_dir(&dir.path().join("a/b"), 0o711).unwrap();
        assert!(created);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o711);
        let (_, created) = ensure_dir(&path, 0o700).unwrap();
        assert!(!created);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o711);
    }

    #[test]
    fn random_text_has_the_asked_length_and_differs() {
        let (one, other) = (random_hex::<16>().unwrap(), random_hex::<16>().unwrap());
        assert_eq!(one.len(), 32);
        assert_ne!(one, other);
    }
}
