//! The secrets of this host: what its services share, made at the first start.

use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bus::SealingKey;
use rand::RngCore as _;
use secrecy::{ExposeSecret as _, SecretString};

const SEALING_KEY_FILE: &str = "sealing-key";
/// File name, below the data folder, of the secret that tokens are signed with.
pub(crate) const JWT_SECRET_FILE: &str = "jwt-secret";
/// Twice what HS256 needs.
const JWT_SECRET_BYTES: usize = 64;

/// The key that seals agents' tokens, kept in a file that only its owner can read.
pub(crate) fn sealing_key(data_dir: &Path) -> anyhow::Result<SecretString> {
    kept(&data_dir.join(SEALING_KEY_FILE), || SealingKey::generate().1)
}

/// The secret that status-api verifies tokens with, and that `statusctl` makes its own tokens from.
pub(crate) fn jwt_secret(data_dir: &Path) -> anyhow::Result<SecretString> {
    kept(&data_dir.join(JWT_SECRET_FILE), || {
        let mut bytes = [0; JWT_SECRET_BYTES];
        rand::rng().fill_bytes(&mut bytes);
        SecretString::from(STANDARD.encode(bytes))
    })
}

fn kept(path: &Path, make: impl FnOnce() -> SecretString) -> anyhow::Result<SecretString> {
    match std::fs::read_to_string(path) {
        Ok(secret) => return Ok(SecretString::from(secret.trim().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("failed to read {}", path.display())),
    }
    let secret = make();
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("failed to create {}", path.display()))?;
    writeln!(file, "{}", secret.expose_secret())
        .with_context(|| format!("failed to write {}", path.display()))?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_made_once_and_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let first = jwt_secret(dir.path()).unwrap();
        assert_eq!(
            jwt_secret(dir.path()).unwrap().expose_secret(),
            first.expose_secret()
        );
        assert_ne!(
            sealing_key(dir.path()).unwrap().expose_secret(),
            first.expose_secret()
        );
        assert!(first.expose_secret().len() >= 32);
        let mode = std::fs::metadata(dir.path().join(JWT_SECRET_FILE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
