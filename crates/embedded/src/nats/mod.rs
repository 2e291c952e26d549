//! The private nats-server.

mod config;
mod info;

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use rustix::process::Signal;

use crate::child::{NotReady, ServerProcess};
use crate::lock::DirLock;
use crate::programs::{NatsProgram, Search, Version};
use crate::spec::{DeathSignal, Spec};
use crate::{files, port, stale};

/// For messages.
const NAME: &str = "nats-server";
/// How often a new port is picked when somebody takes the one just found free.
const PORT_TRIES: usize = 5;

/// What kind of nats-server to run. `..NatsOptions::new(dir)` fills in the rest.
#[derive(Debug, Clone)]
pub struct NatsOptions {
    /// Data folder: configuration, log, process id and the JetStream store. Created when missing; one live
    /// instance each.
    pub dir: PathBuf,
    /// Address to listen on. Loopback by default, and the server has no password: think before changing it.
    pub host: IpAddr,
    /// Port to listen on; `None` (or 0) picks a free one, which then stays the server's for its restarts.
    pub port: Option<u16>,
    /// Port of the monitoring pages, on the same address; `None` for none.
    pub monitor_port: Option<u16>,
    /// Most memory that memory streams may use, bytes.
    pub max_memory: u64,
    /// Most disk that file streams may use, bytes.
    pub max_disk: u64,
    /// Sync every write to disk before it is acknowledged. The server's own default is every two minutes, which a
    /// single-copy deployment cannot afford: a power cut would take acknowledged messages.
    pub sync_always: bool,
    /// Longest time to become ready. A large store takes a while to be read.
    pub start_timeout: Duration,
    /// Longest time for an orderly stop before the server is killed.
    pub stop_timeout: Duration,
    /// More configuration, after all that is said here: accounts, users and what they may do.
    pub more: String,
    /// The program; `None` looks for one ([`Search::from_env`]).
    pub program: Option<NatsProgram>,
}

impl NatsOptions {
    /// Loopback, a free port, every write synced, 256 MiB of memory and 4 GiB of disk, a minute to start and ten
    /// seconds to stop.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: None,
            monitor_port: None,
            max_memory: 256 << 20,
            max_disk: 4 << 30,
            sync_always: true,
            start_timeout: Duration::from_secs(60),
            stop_timeout: Duration::from_secs(10),
            more: String::new(),
            program: None,
        }
    }
}

/// A private nats-server with JetStream. Dropping it kills it; [`NatsServer::stop`] is the orderly way.
#[derive(Debug)]
pub struct NatsServer {
    /// Before the lock: the process must be gone when the folder is free for others.
    process: Option<ServerProcess>,
    options: NatsOptions,
    program: NatsProgram,
    dir: PathBuf,
    address: SocketAddr,
    version: Version,
    _lock: DirLock,
}

impl NatsServer {
    /// Starts a server on the data folder and waits until it answers. A server that an earlier run left behind
    /// there is stopped first.
    ///
    /// # Errors
    /// When the program is missing or too old, the folder is in use by a live instance, or the server does not
    /// become ready in time; the message ends with the server's own last words.
    pub async fn start(options: NatsOptions) -> anyhow::Result<Self> {
        let program = match &options.program {
            Some(program) => program.clone(),
            None => Search::from_env().nats_server()?,
        };
        let (dir, _) = files::ensure_dir(&options.dir, 0o700)?;
        let lock = DirLock::acquire(&dir)?;
        let config = dir.join(config::FILE);
        stale::stop_stale(
            NAME,
            &dir.join(config::PID_FILE),
            &config,
            Signal::TERM,
            options.stop_timeout,
        )
        .await?;

        let fixed = options.port.filter(|port| *port != 0);
        let mut tries = 0;
        let (process, address, version) = loop {
            tries += 1;
            let port = match fixed {
                Some(port) => port,
                None => port::free_port(options.host).context("failed to find a free port")?,
            };
            let address = SocketAddr::new(options.host, port);
            match launch(&options, &program, &dir, address).await {
                Ok((process, version)) => break (process, address, version),
                Err(NotReady::PortTaken(error)) if fixed.is_none() && tries < PORT_TRIES => {
                    tracing::debug!(%address, %error, "the port was taken meanwhile; trying another");
                }
                Err(NotReady::PortTaken(error) | NotReady::Failed(error)) => return Err(error),
            }
        };
        Ok(Self {
            process: Some(process),
            options,
            program,
            dir,
            address,
            version,
            _lock: lock,
        })
    }

    /// `nats://ADDRESS:PORT`.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// The address it listens on, the same through all restarts.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The version the running server told in its greeting.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The data folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The process id; `None` while it does not run.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().and_then(ServerProcess::pid)
    }

    /// Resolves when the present process has ended, whoever ended it; at once when there is none. A host waits for
    /// this beside its own work, so that a server that dies early does not go unnoticed.
    pub fn exited(&self) -> impl Future<Output = ()> + Send + use<> {
        let exited = self.process.as_ref().map(ServerProcess::exited);
        async move {
            if let Some(exited) = exited {
                exited.await;
            }
        }
    }

    /// Stops the server in an orderly way (SIGTERM), kills it when that takes longer than
    /// [`NatsOptions::stop_timeout`]. The data folder stays this instance's; [`NatsServer::restart`] starts again.
    ///
    /// # Errors
    /// When the process survives even SIGKILL.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.end(&[(Signal::TERM, self.options.stop_timeout)]).await
    }

    /// Kills the server (SIGKILL), as a crash would.
    ///
    /// # Errors
    /// When the process survives it.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.end(&[]).await
    }

    /// Starts the server again on the same port and data, after stopping it if it runs.
    ///
    /// # Errors
    /// As [`NatsServer::start`]; the server is then stopped, and this may be tried again.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.stop().await?;
        match launch(&self.options, &self.program, &self.dir, self.address).await {
            Ok((process, version)) => {
                self.process = Some(process);
                self.version = version;
                Ok(())
            }
            Err(NotReady::PortTaken(error) | NotReady::Failed(error)) => Err(error),
        }
    }

    /// Freezes the server (SIGSTOP): connections stay open and nothing answers, as with a machine that hangs.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn pause(&self) -> anyhow::Result<()> {
        self.process
            .as_ref()
            .context("nats-server is stopped")?
            .freeze()
            .await
    }

    /// Ends [`NatsServer::pause`] (SIGCONT).
    ///
    /// # Errors
    /// When it does not run.
    pub fn resume(&self) -> anyhow::Result<()> {
        let process = self.process.as_ref().context("nats-server is stopped")?;
        anyhow::ensure!(process.signal(Signal::CONT)?, "nats-server has ended");
        Ok(())
    }

    async fn end(&mut self, steps: &[(Signal, Duration)]) -> anyhow::Result<()> {
        if let Some(process) = &self.process {
            process.end(steps).await?;
            process.drained().await;
        }
        self.process = None;
        Ok(())
    }
}

/// Writes the configuration, starts the program and waits for its greeting.
async fn launch(
    options: &NatsOptions,
    program: &NatsProgram,
    dir: &Path,
    address: SocketAddr,
) -> Result<(ServerProcess, Version), NotReady> {
    let prepared = async {
        // Its own name tells our server's greeting from that of another one that may hold the port.
        let name = format!("mcp-status-{}", files::random_hex::<4>()?);
        let path = dir.join(config::FILE);
        let text = config::render(options, &name, dir, address)?;
        std::fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))?;
        let spec = Spec {
            name: NAME,
            program: program.path.clone(),
            args: vec!["-c".into(), path.into()],
            user: None,
            death_signal: DeathSignal::Kill,
            log: dir.join("nats-server.log"),
        };
        anyhow::Ok((name, ServerProcess::spawn(spec).await?))
    };
    let (name, process) = prepared.await.map_err(NotReady::Failed)?;
    let version = process
        .wait_ready(options.start_timeout, || info::probe(address, &name))
        .await?;
    tracing::info!(%address, %version, pid = process.pid(), "nats-server is ready");
    Ok((process, version))
}
