//! The private PostgreSQL.

mod admin;
mod cluster;
mod options;
mod place;
mod user;

use std::fmt;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::process::Signal;

pub use self::options::PostgresOptions;
pub(crate) use self::user::ServerUser;

use self::admin::{Admin, AdminError, is_plain_name};
use self::cluster::Password;
use self::place::Place;
use crate::child::{NotReady, ServerProcess};
use crate::lock::DirLock;
use crate::programs::{PostgresPrograms, Search, Version};
use crate::spec::{DeathSignal, Spec};
use crate::{files, port, stale};

/// For messages.
const NAME: &str = "PostgreSQL";
/// The one role of a new cluster.
const SUPERUSER: &str = "postgres";
/// The database every cluster has.
const FIRST_DATABASE: &str = "postgres";
/// The only address it listens on.
const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// How often a new port is picked when somebody takes the one just found free.
const PORT_TRIES: usize = 5;
/// Time for an immediate shutdown: the server itself kills its backends after five seconds.
const IMMEDIATE: Duration = Duration::from_secs(6);
/// Output of the server and of initdb, inside the data folder.
const LOG: &str = "postgres.log";

/// A private PostgreSQL. Dropping it shuts it down immediately, as a crash would; [`Postgres::stop`] is the orderly
/// way.
///
/// # As root
/// PostgreSQL refuses to run as root, so it then runs as `postgres`, or as `nobody` where there is no such user, and
/// the cluster belongs to that user. A data folder that is created here lets that user pass; where it is closed to
/// it all the same (under root's home, in a folder from `mktemp -d`), the cluster is made under
/// `/var/lib/mcp-status-sync` and the data folder holds a symbolic link to it.
pub struct Postgres {
    /// Before the locks: the process must be gone when the folder is free for others.
    process: Option<ServerProcess>,
    options: PostgresOptions,
    programs: PostgresPrograms,
    user: Option<ServerUser>,
    dir: PathBuf,
    place: Place,
    password: String,
    port: u16,
    _locks: Vec<DirLock>,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            process,
            programs,
            place,
            port,
            ..
        } = self;
        f.debug_struct("Postgres")
            .field("process", process)
            .field("programs", programs)
            .field("cluster", &place.cluster)
            .field("port", port)
            .finish_non_exhaustive()
    }
}

impl Postgres {
    /// Starts a server on the data folder, making the cluster when there is none, and waits until it answers. A
    /// server that an earlier run left behind there is stopped first.
    ///
    /// # Errors
    /// When the programs are missing or too old, the folder is in use by a live instance, its cluster cannot be
    /// used, or the server does not become ready in time; the message ends with the server's own last words.
    pub async fn start(options: PostgresOptions) -> anyhow::Result<Self> {
        let user = ServerUser::needed()?;
        // 0711: the other user may pass through to its cluster, and see nothing else.
        let (dir, _) = files::ensure_dir(&options.dir, if user.is_some() { 0o711 } else { 0o700 })?;
        let mut locks = vec![DirLock::acquire(&dir)?];
        let place = Place::of(&dir, user.as_ref(), Path::new(place::OUTSIDE), !options.durable)?;
        if place.is_outside() {
            // A copy of the data folder leads to the same cluster.
            locks.push(DirLock::acquire(&place.home)?);
            // As good a moment as any, and the only one that a test runner never misses.
            if let Err(error) = collect_abandoned_clusters() {
                tracing::warn!(%error, "failed to tidy up");
            }
        }
        let programs = match &options.programs {
            Some(programs) => programs.clone(),
            None => Search::from_env()
                .postgres_for(place.major()?, user.as_ref())
                .with_context(|| format!("failed to start a PostgreSQL on {}", dir.display()))?,
        };
        end_earlier(&place, options.stop_timeout).await?;
        let password = Password::of(&dir)?;
        let was_made = place.is_made();
        if !was_made {
            let log = dir.join(LOG);
            cluster::make(
                &place,
                &programs.bin_dir,
                user.as_ref(),
                &password,
                options.durable,
                &log,
            )
            .await?;
        }
        let mut server = Self {
            process: None,
            port: options.port.unwrap_or(0),
            options,
            programs,
            user,
            dir,
            place,
            password: password.text,
            _locks: locks,
        };
        server.launch_on_free_port().await?;
        if was_made && password.is_new {
            tracing::warn!(dir = %server.dir.display(), "the password file was lost; setting a new password");
            let statement = format!("ALTER ROLE {SUPERUSER} PASSWORD '{}'", server.password);
            server
                .admin(FIRST_DATABASE)
                .await?
                .query(&statement)
                .await
                .context("failed to set a new password")?;
        }
        Ok(server)
    }

    /// `postgres://…` for that database, **with the password**: for connecting and for the environment of a child,
    /// never for a log.
    pub fn url(&self, database: &str) -> String {
        let Self { password, port, .. } = self;
        // Connections never leave the machine, and the server has no certificate to offer.
        format!("postgres://{SUPERUSER}:{password}@{HOST}:{port}/{database}?sslmode=disable")
    }

    /// The port on the loopback address, the same through all restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The version of the programs.
    pub fn version(&self) -> Version {
        self.programs.version
    }

    /// The data folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The cluster: inside the data folder, or as root perhaps elsewhere.
    pub fn cluster(&self) -> &Path {
        &self.place.cluster
    }

    /// The process id of the server (its postmaster); `None` while it does not run.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().and_then(ServerProcess::pid)
    }

    /// Resolves when the present server has ended, whoever ended it; at once when there is none. A host waits for
    /// this beside its own work, so that a server that dies early does not go unnoticed.
    pub fn exited(&self) -> impl Future<Output = ()> + Send + use<> {
        let exited = self.process.as_ref().map(ServerProcess::exited);
        async move {
            if let Some(exited) = exited {
                exited.await;
            }
        }
    }

    /// Creates the database unless it is there. Names are lower-case letters, digits and `_`, at most 63 bytes, and
    /// do not begin with a digit.
    ///
    /// # Errors
    /// When the name is another, the server does not run or refuses.
    pub async fn ensure_database(&self, name: &str) -> anyhow::Result<()> {
        ensure!(
            is_plain_name(name),
            "{name:?} is no name for a database here: a-z, 0-9 and _, at most 63"
        );
        let failed = || format!("failed to create the database {name}");
        let mut admin = self.admin(FIRST_DATABASE).await.with_context(failed)?;
        let query = format!("SELECT datname FROM pg_database WHERE datname = '{name}'");
        if !admin.query(&query).await.with_context(failed)?.is_empty() {
            return Ok(());
        }
        // template0: nobody can be connected to it, which would make this fail.
        match admin
            .query(&format!("CREATE DATABASE \"{name}\" TEMPLATE template0"))
            .await
        {
            // Somebody else was faster: it was there (duplicate_database), or came while we worked (unique_violation).
            Err(error) if error.is("42P04") || error.is("23505") => Ok(()),
            created => created.map(|_| ()).with_context(failed),
        }
    }

    /// Runs a script (one or more statements, in one transaction) as the superuser, and forgets what it answers. For
    /// preparing a database where no client is at hand; whoever has one uses [`Postgres::url`].
    ///
    /// # Errors
    /// When the server does not run, or refuses a statement: then none of them took effect.
    pub async fn run_script(&self, database: &str, script: &str) -> anyhow::Result<()> {
        ensure!(
            is_plain_name(database),
            "{database:?} is no name of a database here"
        );
        self.admin(database).await?.query(script).await?;
        Ok(())
    }

    /// Stops the server in an orderly way ("fast": sessions are ended, everything is written), and immediately when
    /// that takes longer than [`PostgresOptions::stop_timeout`]. The data folder stays this instance's;
    /// [`Postgres::restart`] starts again.
    ///
    /// # Errors
    /// When the process survives even SIGKILL.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.end(&[
            (Signal::INT, self.options.stop_timeout),
            (Signal::QUIT, IMMEDIATE),
        ])
        .await
    }

    /// Kills the server and its backends (SIGKILL), as a crash of the machine would.
    ///
    /// # Errors
    /// When a process survives it.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.end(&[]).await
    }

    /// Starts the server again on the same port and data, after stopping it if it runs.
    ///
    /// # Errors
    /// As [`Postgres::start`]; the server is then stopped, and this may be tried again.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.stop().await?;
        // It may have died by itself and left backends behind, which would keep a new one from starting.
        end_earlier(&self.place, self.options.stop_timeout).await?;
        match self.launch().await {
            Ok(()) => Ok(()),
            Err(NotReady::PortTaken(error) | NotReady::Failed(error)) => Err(error),
        }
    }

    /// Stops the server immediately and deletes its cluster, password and log; the data folder itself too when
    /// nothing else is in it.
    ///
    /// # Errors
    /// When a process survives, or something cannot be deleted.
    pub async fn remove(mut self) -> anyhow::Result<()> {
        self.kill().await?;
        let Self { place, dir, .. } = &self;
        place.remove(dir).context("failed to remove the cluster")?;
        Password::remove(dir).context("failed to remove the password")?;
        for file in [LOG, "postgres.log.1", "lock"] {
            files::remove_if_there(&dir.join(file)).with_context(|| format!("failed to remove {file}"))?;
        }
        // Fails when somebody keeps other things there, which is theirs to decide.
        let _ = std::fs::remove_dir(dir);
        Ok(())
    }

    async fn end(&mut self, steps: &[(Signal, Duration)]) -> anyhow::Result<()> {
        if let Some(process) = &self.process {
            process.end(steps).await?;
            // Those of a server that was killed; any other has ended its own.
            stale::kill_workers("postgres", &self.place.cluster).await?;
            process.drained().await;
        }
        self.process = None;
        Ok(())
    }

    async fn admin(&self, database: &str) -> anyhow::Result<Admin> {
        ensure!(self.pid().is_some(), "PostgreSQL does not run");
        Ok(Admin::connect(&self.place.cluster, self.port, database).await?)
    }

    /// Launches on the port asked for, or on free ones until nobody else has taken it.
    async fn launch_on_free_port(&mut self) -> anyhow::Result<()> {
        let fixed = self.port != 0;
        let mut tries = 0;
        loop {
            tries += 1;
            if !fixed {
                self.port = port::free_port(HOST).context("failed to find a free port")?;
            }
            match self.launch().await {
                Ok(()) => return Ok(()),
                Err(NotReady::PortTaken(error)) if !fixed && tries < PORT_TRIES => {
                    tracing::debug!(port = self.port, %error, "the port was taken meanwhile; trying another");
                }
                Err(NotReady::PortTaken(error) | NotReady::Failed(error)) => return Err(error),
            }
        }
    }

    /// Starts the program and waits until it answers a query.
    async fn launch(&mut self) -> Result<(), NotReady> {
        let spec = Spec {
            name: NAME,
            program: self.programs.bin_dir.join("postgres"),
            args: self.options.arguments(&self.place.cluster, self.port),
            user: self.user.as_ref(),
            death_signal: DeathSignal::Quit,
            log: self.dir.join(LOG),
        };
        let process = ServerProcess::spawn(spec).await.map_err(NotReady::Failed)?;
        let (cluster, port) = (&self.place.cluster, self.port);
        let probe = || async move {
            match Admin::connect(cluster, port, FIRST_DATABASE).await {
                Ok(_) => Ok(Some(())),
                // No socket yet, or starting up (cannot_connect_now): not yet.
                Err(AdminError::Io(_)) => Ok(None),
                Err(error) if error.is("57P03") => Ok(None),
                Err(error) => Err(error.into()),
            }
        };
        process.wait_ready(self.options.start_timeout, probe).await?;
        tracing::info!(port, version = %self.programs.version, pid = process.pid(), "PostgreSQL is ready");
        self.process = Some(process);
        Ok(())
    }
}

/// Removes the clusters of tests whose data folders are gone: those made as root under `/var/lib/mcp-status-sync`
/// (see [`Postgres`]) and not [durable](PostgresOptions::durable). Answers how many.
///
/// # Errors
/// When that folder cannot be read or one of them not be removed.
pub fn collect_abandoned_clusters() -> anyhow::Result<usize> {
    place::collect_abandoned(Path::new(place::OUTSIDE)).context("failed to remove abandoned clusters")
}

/// Ends what an earlier run left behind on the cluster: a server, or the backends of one that was killed. Also
/// removes the sockets of killed servers, which nobody else would once the port is another.
async fn end_earlier(place: &Place, patience: Duration) -> anyhow::Result<()> {
    let cluster = &place.cluster;
    if !place.is_made() {
        return Ok(());
    }
    stale::stop_stale(
        NAME,
        &cluster.join("postmaster.pid"),
        cluster,
        Signal::INT,
        patience,
    )
    .await?;
    stale::kill_workers("postgres", cluster).await?;
    let entries =
        std::fs::read_dir(cluster).with_context(|| format!("failed to read {}", cluster.display()))?;
    for entry in entries.filter_map(Result::ok) {
        if entry.file_name().as_encoded_bytes().starts_with(b".s.PGSQL.") {
            files::remove_if_there(&entry.path()).context("failed to remove a left-over socket")?;
        }
    }
    Ok(())
}
