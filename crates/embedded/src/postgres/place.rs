//! Where a cluster lives: in its data folder, or for root perhaps elsewhere.
//!
//! ```text
//! DIR/cluster                                   the usual place
//! DIR/cluster ─symlink─► /var/lib/mcp-status-sync/ID/cluster     root, and DIR is closed to the server's user
//! DIR/cluster-id                                holds ID         (a folder of root's home, a `mktemp -d`)
//! /var/lib/mcp-status-sync/ID/owner             holds DIR, and whether the cluster may be thrown away
//! ```

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use super::user::ServerUser;
use crate::{files, stale};

/// Where clusters go whose data folder is closed to the server's user.
pub(super) const OUTSIDE: &str = "/var/lib/mcp-status-sync";

/// A PostgreSQL data directory, inside a data folder or an outside one.
const CLUSTER: &str = "cluster";
/// The name of the outside folder, inside the data folder.
const CLUSTER_ID: &str = "cluster-id";
/// What an outside folder belongs to, inside that folder.
const OWNER: &str = "owner";

/// The place of one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The folder that holds the cluster; the server's user can pass through it, and only we write in it.
    pub(super) home: PathBuf,
    /// The cluster, absolute and without symbolic links. Not there until initdb has succeeded.
    pub(super) cluster: PathBuf,
    /// The symbolic link that the data folder gets once the cluster is there.
    link: Option<PathBuf>,
}

/// The contents of [`OWNER`].
#[derive(Debug, Serialize, Deserialize)]
struct Owner {
    data_dir: PathBuf,
    /// Whether it may go when its data folder has gone.
    disposable: bool,
}

impl Place {
    /// Decides where the cluster of the (absolute) data folder `dir` lives, and prepares the folder for it.
    ///
    /// # Errors
    /// When a cluster is there that the user cannot reach, when one was there and is gone, or a folder cannot be
    /// made.
    pub(super) fn of(
        dir: &Path,
        user: Option<&ServerUser>,
        outside: &Path,
        disposable: bool,
    ) -> anyhow::Result<Self> {
        let inside = dir.join(CLUSTER);
        let is_link = fs::symlink_metadata(&inside).is_ok_and(|metadata| metadata.is_symlink());
        let id = files::read_trimmed(&dir.join(CLUSTER_ID)).context("failed to read the cluster's id")?;
        let blocked = match user {
            Some(user) => user.blocked_by(dir)?.map(|folder| (user, folder)),
            None => None,
        };
        if id.is_none() && !is_link {
            match blocked {
                None => {
                    return Ok(Self {
                        home: dir.to_owned(),
                        cluster: inside,
                        link: None,
                    });
                }
                Some((user, folder)) if inside.exists() => bail!(
                    "the cluster {} cannot be reached by the user {}, as whom PostgreSQL runs here: {} is closed to it",
                    inside.display(),
                    user.name,
                    folder.display()
                ),
                Some(_) => {}
            }
        }
        let id = match id {
            Some(id) => checked_id(id)?,
            None if is_link => bail!("{} has lost its file {CLUSTER_ID}", dir.display()),
            None => {
                let id = files::random_hex::<8>()?;
                files::write_private(&dir.join(CLUSTER_ID), &id)
                    .context("failed to keep the cluster's id")?;
                id
            }
        };
        let home = outside.join(&id);
        let cluster = home.join(CLUSTER);
        if is_link && !cluster.is_dir() {
            // Starting on an empty one would look like a working system that has lost everything.
            bail!(
                "the cluster of {} stood in {} and is not there; bring it back, or remove the files {CLUSTER} and \
                 {CLUSTER_ID} from the data folder to start empty",
                dir.display(),
                cluster.display()
            );
        }
        for (folder, mode) in [(outside, 0o755), (&home, 0o711)] {
            files::ensure_dir(folder, mode)?;
        }
        let owner = serde_json::to_string(&Owner {
            data_dir: dir.to_owned(),
            disposable,
        })?;
        files::write_private(&home.join(OWNER), &owner)
            .with_context(|| format!("failed to write in {}", home.display()))?;
        tracing::debug!(cluster = %cluster.display(), "the data folder is closed to PostgreSQL's user");
        let place = Self {
            home,
            cluster,
            link: Some(inside),
        };
        if place.is_made() && !is_link {
            // An earlier run ended between the two steps of `finish`.
            place.point_there().context("failed to link the cluster")?;
        }
        Ok(place)
    }

    /// Whether the cluster has been made.
    pub(super) fn is_made(&self) -> bool {
        self.cluster.join("PG_VERSION").is_file()
    }

    /// The major version of the PostgreSQL that made the cluster; `None` before it is made.
    ///
    /// # Errors
    /// When the file that says so is unreadable.
    pub(super) fn major(&self) -> anyhow::Result<Option<u32>> {
        let path = self.cluster.join("PG_VERSION");
        let text =
            files::read_trimmed(&path).with_context(|| format!("failed to read {}", path.display()))?;
        text.map(|text| {
            text.parse()
                .with_context(|| format!("{} says {text:?}", path.display()))
        })
        .transpose()
    }

    /// An empty folder for initdb to fill, owned by `user`; what an interrupted initdb left there is removed.
    pub(super) fn begin(&self, user: Option<&ServerUser>) -> anyhow::Result<PathBuf> {
        let partial = self.home.join("cluster.partial");
        let make = || -> io::Result<()> {
            files::remove_dir_if_there(&partial)?;
            fs::create_dir(&partial)?;
            fs::set_permissions(&partial, Permissions::from_mode(0o700))?;
            give(&partial, user)
        };
        make().with_context(|| format!("failed to make the folder {}", partial.display()))?;
        Ok(partial)
    }

    /// Puts the filled folder in its place, all at once.
    pub(super) fn finish(&self, partial: &Path) -> anyhow::Result<()> {
        let done = || -> io::Result<()> {
            // Whatever is there has no PG_VERSION: rename replaces an empty folder and refuses any other.
            fs::rename(partial, &self.cluster)?;
            self.point_there()
        };
        done().with_context(|| format!("failed to put the new cluster at {}", self.cluster.display()))
    }

    fn point_there(&self) -> io::Result<()> {
        self.link
            .as_ref()
            .map_or(Ok(()), |link| symlink(&self.cluster, link))
    }

    /// Whether the cluster stands outside its data folder, where a copy of that folder would find it too.
    pub(super) fn is_outside(&self) -> bool {
        self.link.is_some()
    }

    /// Deletes the cluster and everything that tells of it.
    pub(super) fn remove(&self, dir: &Path) -> io::Result<()> {
        match &self.link {
            Some(link) => {
                files::remove_if_there(link)?;
                files::remove_if_there(&dir.join(CLUSTER_ID))?;
                files::remove_dir_if_there(&self.home)
            }
            None => files::remove_dir_if_there(&self.cluster),
        }
    }
}

/// Gives a file or folder to `user`, where there is one.
pub(super) fn give(path: &Path, user: Option<&ServerUser>) -> io::Result<()> {
    user.map_or(Ok(()), |user| chown(path, Some(user.uid), Some(user.gid)))
}

/// The id becomes a path component: nothing but what we wrote may pass.
fn checked_id(id: String) -> anyhow::Result<String> {
    anyhow::ensure!(
        id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{CLUSTER_ID} holds {id:?}"
    );
    Ok(id)
}

/// Removes the disposable clusters under `outside` whose data folder is gone or uses another. Answers how many.
pub(super) fn collect_abandoned(outside: &Path) -> io::Result<usize> {
    let entries = match fs::read_dir(outside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut removed = 0;
    for entry in entries {
        let home = entry?.path();
        if is_abandoned(&home) {
            files::remove_dir_if_there(&home)?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// In doubt it is not: a folder without a readable owner is being made, or is somebody else's.
fn is_abandoned(home: &Path) -> bool {
    let owner = fs::read(home.join(OWNER))
        .ok()
        .and_then(|json| serde_json::from_slice::<Owner>(&json).ok());
    let Some(owner) = owner.filter(|owner| owner.disposable) else {
        return false;
    };
    let claimed = match files::read_trimmed(&owner.data_dir.join(CLUSTER_ID)) {
        Ok(id) => id.as_deref().map(std::ffi::OsStr::new) == home.file_name(),
        Err(_) => return false,
    };
    // A server that is just losing its folder still works here; it will be gone the next time.
    !claimed && stale::workers("postgres", &home.join(CLUSTER)).is_ok_and(|workers| workers.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Not this test's user nor group, so that a 0700 folder is closed to it.
    fn stranger() -> ServerUser {
        ServerUser {
            name: "stranger".into(),
            uid: 54_321,
            gid: 54_321,
        }
    }

    /// A data folder that is closed to strangers, beside an outside one.
    struct Fixture {
        _tmp: tempfile::TempDir,
        dir: PathBuf,
        outside: PathBuf,
    }

    fn fixture() -> Fixture {
        let tmp = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(tmp.path()).unwrap();
        let dir = root.join("data");
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, Permissions::from_mode(0o700)).unwrap();
        Fixture {
            _tmp: tmp,
            dir,
            outside: root.join("outside"),
        }
    }

    impl Fixture {
        fn place(&self, user: Option<&ServerUser>) -> anyhow::Result<Place> {
            Place::of(&self.dir, user, &self.outside, true)
        }

        /// As initdb would, but for the ownership.
        fn make(&self) -> Place {
            let place = self.place(Some(&stranger())).unwrap();
            let partial = place.begin(None).unwrap();
            fs::write(partial.join("PG_VERSION"), "15\n").unwrap();
            place.finish(&partial).unwrap();
            place
        }
    }

    #[test]
    fn our_own_user_keeps_the_cluster_in_the_data_folder() {
        let fixture = fixture();
        let place = fixture.place(None).unwrap();
        assert_eq!(place.cluster, fixture.dir.join("cluster"));
        assert_eq!(place.major().unwrap(), None);
        assert!(!fixture.outside.exists() && !fixture.dir.join(CLUSTER_ID).exists());
    }

    #[test]
    fn a_closed_data_folder_gets_a_cluster_outside_and_a_link_to_it() {
        let fixture = fixture();
        let place = fixture.make();
        assert_eq!(place.home.parent(), Some(&*fixture.outside));
        assert!(place.is_made());
        assert_eq!(place.major().unwrap(), Some(15));
        assert_eq!(fs::read_link(fixture.dir.join("cluster")).unwrap(), place.cluster);
        assert_eq!(fixture.place(Some(&stranger())).unwrap(), place, "found again");
    }

    #[test]
    fn an_interrupted_initdb_starts_over_in_the_same_place() {
        let fixture = fixture();
        let first = fixture.place(Some(&stranger())).unwrap();
        let partial = first.begin(None).unwrap();
        fs::write(partial.join("half"), "done").unwrap();
        let again = fixture.place(Some(&stranger())).unwrap();
        assert_eq!(again, first);
        assert!(!again.is_made());
        assert_eq!(fs::read_dir(again.begin(None).unwrap()).unwrap().count(), 0);
    }

    #[test]
    fn a_lost_link_is_made_again() {
        let fixture = fixture();
        let place = fixture.make();
        fs::remove_file(fixture.dir.join("cluster")).unwrap();
        assert_eq!(fixture.place(Some(&stranger())).unwrap(), place);
        assert_eq!(fs::read_link(fixture.dir.join("cluster")).unwrap(), place.cluster);
    }

    #[test]
    fn a_cluster_that_has_vanished_is_not_replaced_by_an_empty_one() {
        let fixture = fixture();
        let place = fixture.make();
        fs::remove_dir_all(&place.home).unwrap();
        let error = fixture.place(Some(&stranger())).unwrap_err().to_string();
        assert!(
            error.contains("is not there") && error.contains("to start empty"),
            "{error}"
        );
        fs::remove_file(fixture.dir.join(CLUSTER_ID)).unwrap();
        let error = fixture.place(Some(&stranger())).unwrap_err().to_string();
        assert!(error.contains("has lost its file cluster-id"), "{error}");
    }

    #[test]
    fn a_cluster_that_is_there_but_closed_to_the_user_is_told() {
        let fixture = fixture();
        fs::create_dir(fixture.dir.join("cluster")).unwrap();
        let error = fixture.place(Some(&stranger())).unwrap_err().to_string();
        assert!(
            error.contains("cannot be reached by the user stranger"),
            "{error}"
        );
    }

    #[test]
    fn an_id_that_is_not_ours_is_no_path() {
        let fixture = fixture();
        fs::write(fixture.dir.join(CLUSTER_ID), "../../etc").unwrap();
        assert!(fixture.place(Some(&stranger())).is_err());
    }

    #[test]
    fn only_disposable_clusters_without_their_data_folder_are_collected() {
        let fixture = fixture();
        let place = fixture.make();
        assert_eq!(
            collect_abandoned(&fixture.outside).unwrap(),
            0,
            "its data folder is there"
        );
        fs::create_dir(fixture.outside.join("nobody-knows")).unwrap();
        fs::remove_dir_all(&fixture.dir).unwrap();
        assert_eq!(collect_abandoned(&fixture.outside).unwrap(), 1);
        assert!(!place.home.exists() && fixture.outside.join("nobody-knows").exists());

        fs::create_dir(&fixture.dir).unwrap();
        fs::set_permissions(&fixture.dir, Permissions::from_mode(0o700)).unwrap();
        let kept = Place::of(&fixture.dir, Some(&stranger()), &fixture.outside, false).unwrap();
        fs::remove_dir_all(&fixture.dir).unwrap();
        assert_eq!(
            collect_abandoned(&fixture.outside).unwrap(),
            0,
            "it was meant to last"
        );
        assert!(kept.home.exists());
    }

    #[test]
    fn removing_leaves_nothing() {
        let fixture = fixture();
        let place = fixture.make();
        place.remove(&fixture.dir).unwrap();
        assert_eq!(fs::read_dir(&fixture.dir).unwrap().count(), 0);
        assert_eq!(fs::read_dir(&fixture.outside).unwrap().count(), 0);
    }
}
