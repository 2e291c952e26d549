//! The user PostgreSQL runs as when we are root, which it refuses to be.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Preferred first: a machine with PostgreSQL packages has its own user; every machine has `nobody`.
const NAMES: [&str; 2] = ["postgres", "nobody"];

/// An unprivileged user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerUser {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl ServerUser {
    /// The user to run PostgreSQL as; `None` when we are not root and so run it as ourselves.
    ///
    /// # Errors
    /// When we are root and the machine has no such user.
    pub(crate) fn needed() -> anyhow::Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let accounts = std::fs::read_to_string("/etc/passwd").context("failed to read /etc/passwd")?;
        let user = Self::choose(&accounts).with_context(|| {
            format!("PostgreSQL does not run as root, and this machine has none of the users {NAMES:?}")
        })?;
        Ok(Some(user))
    }

    fn choose(accounts: &str) -> Option<Self> {
        NAMES.iter().find_map(|name| {
            let line = accounts
                .lines()
                .find(|line| line.split(':').next() == Some(name))?;
            let mut fields = line.split(':').skip(2);
            let uid = fields.next()?.parse().ok().filter(|uid| *uid != 0)?;
            Some(Self {
                name: (*name).to_owned(),
                uid,
                gid: fields.next()?.parse().ok()?,
            })
        })
    }

    /// The first folder on the way to and including `dir` that this user may not pass through; `None` when the way
    /// is free.
    ///
    /// # Errors
    /// When a folder cannot be looked at.
    pub(crate) fn blocked_by(&self, dir: &Path) -> anyhow::Result<Option<PathBuf>> {
        let real =
            std::fs::canonicalize(dir).with_context(|| format!("failed to resolve {}", dir.display()))?;
        let mut way: Vec<&Path> = real.ancestors().collect();
        way.reverse();
        for folder in way {
            let metadata = folder
                .metadata()
                .with_context(|| format!("failed to look at {}", folder.display()))?;
            // One class applies, as in the kernel: an owner without the right is not helped by the others' one.
            let class = if metadata.uid() == self.uid {
                0o100
            } else if metadata.gid() == self.gid {
                0o010
            } else {
                0o001
            };
            if metadata.permissions().mode() & class == 0 {
                return Ok(Some(folder.to_owned()));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    const ACCOUNTS: &str =
        "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65533:nobody:/nonexistent:/bin/false\n";

    #[test]
    fn the_packages_user_is_preferred_to_nobody() {
        let nobody = ServerUser::choose(ACCOUNTS).unwrap();
        assert_eq!(
            nobody,
            ServerUser {
                name: "nobody".into(),
                uid: 65534,
                gid: 65533
            }
        );
        let accounts = format!(
            "{ACCOUNTS}postgres-old:x:7:7::/:\npostgres:x:101:104:,,,:/var/lib/postgresql:/bin/bash\n"
        );
        let postgres = ServerUser::choose(&accounts).unwrap();
        assert_eq!(
            postgres,
            ServerUser {
                name: "postgres".into(),
                uid: 101,
                gid: 104
            }
        );
    }

    #[test]
    fn a_user_that_is_root_by_another_name_or_unreadable_is_not_taken() {
        assert_eq!(ServerUser::choose("postgres:x:0:0:::\n"), None);
        assert_eq!(ServerUser::choose("postgres:x:many:0:::\nnobody\n"), None);
    }

    #[test]
    fn the_way_is_free_only_when_every_folder_lets_that_user_pass() {
        let dir = tempfile::tempdir().unwrap();
        let (outer, inner) = (dir.path().join("outer"), dir.path().join("outer/inner"));
        fs::create_dir_all(&inner).unwrap();
        let set = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        let owner = fs::metadata(&inner).unwrap();
        let own = ServerUser {
            name: "own".into(),
            uid: owner.uid(),
            gid: owner.gid(),
        };
        let stranger = ServerUser {
            name: "stranger".into(),
            uid: owner.uid() + 1,
            gid: owner.gid() + 1,
        };
        for path in [dir.path(), &outer, &inner] {
            set(path, 0o711);
        }
        assert_eq!(stranger.blocked_by(&inner).unwrap(), None);
        set(&outer, 0o770);
        let real = fs::canonicalize(&outer).unwrap();
        assert_eq!(stranger.blocked_by(&inner).unwrap(), Some(real.clone()));
        assert_eq!(own.blocked_by(&inner).unwrap(), None);
        // The owner's own class decides, not the more generous one of the others.
        set(&outer, 0o071);
        assert_eq!(own.blocked_by(&outer).unwrap(), Some(real));
        set(&outer, 0o700);
    }
}
