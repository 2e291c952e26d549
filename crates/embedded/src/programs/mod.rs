//! Finding the two programs, new enough.
//!
//! In this order: the override in the environment, the project's cache folder (where `scripts/setup` puts what the
//! machine lacks; its rule for the folder is repeated in `scripts/lib.sh`), `PATH`, and for PostgreSQL the folders
//! under `/usr/lib/postgresql`, newest first.

mod version;

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

pub use self::version::Version;
use crate::postgres::ServerUser;

/// Environment variable that names the nats-server program.
const NATS_OVERRIDE: &str = "MCP_STATUS_NATS_SERVER";
/// Environment variable that names the folder with `postgres` and `initdb`.
const POSTGRES_OVERRIDE: &str = "MCP_STATUS_POSTGRES_BIN";
/// The project's folder inside a cache folder.
const CACHE: &str = "mcp-status-sync";
/// Where root's cache stands, besides its own: PostgreSQL runs as another user, who cannot look into root's home.
const ROOT_CACHE: &str = "/var/cache";

/// `@every` message schedules came with 2.14; an older server would silently ignore them.
const NATS_NEEDED: Version = Version {
    major: 2,
    minor: 14,
    patch: None,
};
/// What the migrations are written for.
const POSTGRES_NEEDED: Version = Version {
    major: 15,
    minor: 0,
    patch: None,
};

/// A nats-server that is new enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsProgram {
    /// The program.
    pub path: PathBuf,
    /// What it says of itself.
    pub version: Version,
}

/// A PostgreSQL that is new enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresPrograms {
    /// The folder that holds `postgres` and `initdb`.
    pub bin_dir: PathBuf,
    /// What `postgres` says of itself.
    pub version: Version,
}

/// Both programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    /// The message server.
    pub nats_server: NatsProgram,
    /// The database server.
    pub postgres: PostgresPrograms,
}

impl Programs {
    /// Finds both programs by the rules of the environment.
    ///
    /// # Errors
    /// When one is missing or too old: the message says what was found, what is needed and what to run.
    pub fn locate() -> anyhow::Result<Self> {
        let search = Search::from_env();
        Ok(Self {
            nats_server: search.nats_server()?,
            postgres: search.postgres()?,
        })
    }
}

/// Where to look. [`Search::from_env`] is the rule; tests build their own.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// The only nats-server to consider.
    pub nats_override: Option<PathBuf>,
    /// The only folder with PostgreSQL's programs to consider.
    pub postgres_override: Option<PathBuf>,
    /// The project's cache folders; programs stand in `nats-server/VERSION/` and `postgresql/VERSION/bin/`.
    pub caches: Vec<PathBuf>,
    /// The folders of `PATH`.
    pub path: Vec<PathBuf>,
    /// The folder that holds `VERSION/bin`, `/usr/lib/postgresql` on Debian.
    pub postgres_root: Option<PathBuf>,
}

/// Why candidates were passed over, for the error message.
type PassedOver = Vec<String>;

impl Search {
    /// The rules of the environment: `MCP_STATUS_NATS_SERVER`, `MCP_STATUS_POSTGRES_BIN`,
    /// `${XDG_CACHE_HOME:-$HOME/.cache}/mcp-status-sync` (and `/var/cache/mcp-status-sync` for root), `PATH`.
    pub fn from_env() -> Self {
        let caches = variable("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| variable("HOME").map(|home| Path::new(&home).join(".cache")))
            .into_iter()
            .chain(
                rustix::process::geteuid()
                    .is_root()
                    .then(|| PathBuf::from(ROOT_CACHE)),
            )
            .map(|cache| cache.join(CACHE))
            .collect();
        Self {
            nats_override: variable(NATS_OVERRIDE).map(PathBuf::from),
            postgres_override: variable(POSTGRES_OVERRIDE).map(PathBuf::from),
            caches,
            path: variable("PATH").iter().flat_map(std::env::split_paths).collect(),
            postgres_root: Some(PathBuf::from("/usr/lib/postgresql")),
        }
    }

    /// Finds a nats-server.
    ///
    /// # Errors
    /// When there is none, or none new enough.
    pub fn nats_server(&self) -> anyhow::Result<NatsProgram> {
        let candidates = match &self.nats_override {
            Some(program) => vec![program.clone()],
            None => {
                let cached = self
                    .cached("nats-server")
                    .into_iter()
                    .map(|folder| folder.join("nats-server"));
                cached
                    .chain(self.path.iter().map(|folder| folder.join("nats-server")))
                    .collect()
            }
        };
        let mut passed_over = PassedOver::new();
        for path in candidates
            .into_iter()
            .filter(|path| self.nats_override.is_some() || path.is_file())
        {
            match version_of(&path) {
                Ok(version) if version >= NATS_NEEDED => return Ok(NatsProgram { path, version }),
                Ok(version) => passed_over.push(format!("{} is {version}", path.display())),
                Err(error) => passed_over.push(format!("{error:#}")),
            }
        }
        bail!(missing("nats-server", NATS_NEEDED, NATS_OVERRIDE, &passed_over))
    }

    /// Finds a PostgreSQL.
    ///
    /// # Errors
    /// When there is none, none new enough, or (for root) none that the user it would run as can reach.
    pub fn postgres(&self) -> anyhow::Result<PostgresPrograms> {
        self.postgres_for(None, ServerUser::needed()?.as_ref())
    }

    /// Finds a PostgreSQL of the given major version (a cluster belongs to the one that made it), to run as `user`.
    pub(crate) fn postgres_for(
        &self,
        major: Option<u32>,
        user: Option<&ServerUser>,
    ) -> anyhow::Result<PostgresPrograms> {
        let mut passed_over = PassedOver::new();
        for bin_dir in self.postgres_candidates() {
            match check_postgres(&bin_dir, user) {
                Ok(found)
                    if found.version < POSTGRES_NEEDED
                        || major.is_some_and(|it| it != found.version.major) =>
                {
                    passed_over.push(format!("{} is {}", bin_dir.display(), found.version));
                }
                Ok(found) => return Ok(found),
                Err(error) => passed_over.push(format!("{error:#}")),
            }
        }
        if let Some(major) = major.filter(|major| *major >= POSTGRES_NEEDED.major) {
            bail!(
                "this cluster was made by PostgreSQL {major}, which was not found{}; install that version, or dump \
                 the cluster with it and start with an empty data folder",
                listed(&passed_over)
            );
        }
        bail!(missing(
            "PostgreSQL",
            POSTGRES_NEEDED,
            POSTGRES_OVERRIDE,
            &passed_over
        ))
    }

    fn postgres_candidates(&self) -> Vec<PathBuf> {
        if let Some(folder) = &self.postgres_override {
            return vec![folder.clone()];
        }
        let cached = self
            .cached("postgresql")
            .into_iter()
            .map(|folder| folder.join("bin"));
        // What is on PATH may be a link to the program alone; its neighbours stand where it leads.
        let path = self.path.iter().filter_map(|folder| {
            Some(
                std::fs::canonicalize(folder.join("postgres"))
                    .ok()?
                    .parent()?
                    .to_owned(),
            )
        });
        let system = self
            .postgres_root
            .iter()
            .flat_map(|root| newest_first(root))
            .map(|folder| folder.join("bin"));
        cached
            .chain(path)
            .chain(system)
            .filter(|folder| folder.join("postgres").is_file())
            .collect()
    }

    /// The version folders of a program in the cache folders, newest first within each.
    fn cached(&self, program: &str) -> Vec<PathBuf> {
        self.caches
            .iter()
            .flat_map(|cache| newest_first(&cache.join(program)))
            .collect()
    }
}

/// The folders in `parent` that are named after a version, newest first.
fn newest_first(parent: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(parent).into_iter().flatten();
    let mut found: Vec<(Version, PathBuf)> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((Version::find(entry.file_name().to_str()?)?, entry.path()))
        })
        .collect();
    found.sort_by(|one, other| other.cmp(one));
    found.into_iter().map(|(_, path)| path).collect()
}

fn check_postgres(bin_dir: &Path, user: Option<&ServerUser>) -> anyhow::Result<PostgresPrograms> {
    for program in ["postgres", "initdb"] {
        let path = bin_dir.join(program);
        // Said here and not left to the program: "not found" would be said of a file that anyone can see is there.
        let metadata = path
            .metadata()
            .with_context(|| format!("{} is not there", path.display()))?;
        let Some(user) = user else { continue };
        if let Some(closed) = user.blocked_by(bin_dir)? {
            bail!(
                "{} cannot be reached by the user {}: {} is closed to it",
                path.display(),
                user.name,
                closed.display()
            );
        }
        if metadata.permissions().mode() & 0o001 == 0 {
            bail!("{} may not be run by the user {}", path.display(), user.name);
        }
    }
    Ok(PostgresPrograms {
        bin_dir: bin_dir.to_owned(),
        version: version_of(&bin_dir.join("postgres"))?,
    })
}

fn version_of(program: &Path) -> anyhow::Result<Version> {
    let output = Command::new(program)
        .arg("--version")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("failed to run {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Version::find(&text).with_context(|| format!("{} does not tell its version", program.display()))
}

fn missing(what: &str, needed: Version, variable: &str, passed_over: &PassedOver) -> String {
    format!(
        "no {what} {}.{} or newer was found{}; run scripts/setup, or name one in {variable}",
        needed.major,
        needed.minor,
        listed(passed_over)
    )
}

fn listed(passed_over: &PassedOver) -> String {
    if passed_over.is_empty() {
        String::new()
    } else {
        format!(" ({})", passed_over.join("; "))
    }
}

/// An environment variable; set but empty counts as unset, as in the shell's `${NAME:-…}`.
#[expect(
    clippy::disallowed_methods,
    reason = "this module is where the crate reads its environment"
)]
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests;
