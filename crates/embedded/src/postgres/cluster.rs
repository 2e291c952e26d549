//! Making a cluster, and the password of its superuser.

use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::SUPERUSER;
use super::place::{Place, give};
use super::user::ServerUser;
use crate::child::ServerProcess;
use crate::files;
use crate::spec::{DeathSignal, Spec};

/// The superuser's password, inside the data folder.
const PASSWORD: &str = "password";
/// Longest time for initdb: half a second on an idle machine, far more on a busy disk.
const PATIENCE: Duration = Duration::from_secs(180);

/// The password of a cluster.
pub(super) struct Password {
    pub(super) text: String,
    /// Made just now, so an existing cluster does not know it yet.
    pub(super) is_new: bool,
}

impl Password {
    /// Reads the data folder's password, or makes one.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub(super) fn of(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join(PASSWORD);
        let kept =
            files::read_trimmed(&path).with_context(|| format!("failed to read {}", path.display()))?;
        if let Some(text) = kept.filter(|text| !text.is_empty()) {
            return Ok(Self { text, is_new: false });
        }
        let text = files::random_hex::<16>()?;
        files::write_private(&path, &text).with_context(|| format!("failed to write {}", path.display()))?;
        Ok(Self { text, is_new: true })
    }

    /// Deletes the password's file.
    pub(super) fn remove(dir: &Path) -> std::io::Result<()> {
        files::remove_if_there(&dir.join(PASSWORD))
    }
}

/// Makes the cluster with initdb: UTF-8, sorted by code point (the same on every machine), passwords over TCP.
///
/// # Errors
/// When initdb fails or takes too long; the end of its output is in the message.
pub(super) async fn make(
    place: &Place,
    bin_dir: &Path,
    user: Option<&ServerUser>,
    password: &Password,
    durable: bool,
    log: &Path,
) -> anyhow::Result<()> {
    let began = Instant::now();
    tracing::info!(cluster = %place.cluster.display(), "making a PostgreSQL cluster; this takes some seconds");
    let partial = place.begin(user)?;
    // initdb reads the password as the server's user, who may not look into the data folder.
    let handed_over = place.home.join("initdb-password");
    files::write_private(&handed_over, &password.text)
        .and_then(|()| give(&handed_over, user))
        .context("failed to hand the password to initdb")?;
    let mut args: Vec<OsString> = vec!["-D".into(), partial.clone().into()];
    args.extend(["--username", SUPERUSER, "--pwfile"].map(OsString::from));
    args.push(handed_over.clone().into());
    args.extend(
        [
            "--auth-host=scram-sha-256",
            "--auth-local=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-instructions",
        ]
        .map(OsString::from),
    );
    if !durable {
        args.push("--no-sync".into());
    }
    let initdb = ServerProcess::spawn(Spec {
        name: "initdb",
        program: bin_dir.join("initdb"),
        args,
        user,
        death_signal: DeathSignal::Kill,
        log: log.to_owned(),
    });
    let outcome = match initdb.await {
        Ok(initdb) => initdb.succeed(PATIENCE).await,
        Err(error) => Err(error),
    };
    files::remove_if_there(&handed_over).context("failed to remove initdb's copy of the password")?;
    outcome?;
    place.finish(&partial)?;
    tracing::info!(cluster = %place.cluster.display(), took = ?began.elapsed(), "made a PostgreSQL cluster");
    Ok(())
}
