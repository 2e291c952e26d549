//! One server process: spawned so that it cannot outlive us, watched, signalled without races, ended in bounded time.

use std::future::Future;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::sync::watch;

use crate::log::LogTail;
use crate::spawner;
use crate::spec::{DeathSignal, Spec};

/// Time a process has to obey a signal it cannot ignore; only one stuck in the kernel needs longer.
const AFTER_KILL: Duration = Duration::from_secs(5);
/// Time a process has to end by its death signal when it is dropped without having been stopped. PostgreSQL gives
/// its backends five seconds in an immediate shutdown before it kills them.
const AFTER_DEATH_SIGNAL: Duration = Duration::from_secs(6);

/// A running (or ended) server process. Dropping one that runs ends it by its death signal and waits for that.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    name: &'static str,
    pid: Pid,
    death_signal: DeathSignal,
    life: Arc<Life>,
    exit: watch::Receiver<Option<ExitStatus>>,
    log: LogTail,
}

/// Whether the process may still be signalled. It turns false before the process is reaped and under the lock that
/// signalling takes, so a signal can never reach another process that was given the same id.
#[derive(Debug)]
struct Life {
    running: Mutex<bool>,
    ended: Condvar,
}

/// Why a server that was started is not ready.
#[derive(Debug)]
pub(crate) enum NotReady {
    /// It ended because somebody else listens on its port.
    PortTaken(anyhow::Error),
    /// Anything else.
    Failed(anyhow::Error),
}

impl ServerProcess {
    /// Starts the process.
    ///
    /// # Errors
    /// When its log cannot be opened or it cannot be spawned; what happens in the program itself shows later.
    pub(crate) async fn spawn(spec: Spec<'_>) -> anyhow::Result<Self> {
        let name = spec.name;
        let failed = || format!("failed to start {name} ({})", spec.program.display());
        let (output, writer) = std::io::pipe().with_context(failed)?;
        let log = LogTail::follow(output, spec.log.clone())
            .with_context(|| format!("failed to open the log {}", spec.log.display()))?;
        let mut command = spec.command();
        command
            .stdout(writer.try_clone().with_context(failed)?)
            .stderr(writer);
        let child = match spawner::spawn(command).await {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                bail!("failed to start {name}: the program `setpriv` (package util-linux) was not found")
            }
            spawned => spawned.with_context(failed)?,
        };
        let pid = Pid::from_child(&child);
        let life = Arc::new(Life {
            running: Mutex::new(true),
            ended: Condvar::new(),
        });
        let (announce, exit) = watch::channel(None);
        // Built before the thread: should that fail, the drop ends the process.
        let process = Self {
            name,
            pid,
            death_signal: spec.death_signal,
            life: Arc::clone(&life),
            exit,
            log,
        };
        std::thread::Builder::new()
            .name("embedded-reaper".into())
            .spawn(move || reap(child, &life, &announce))
            .with_context(failed)?;
        Ok(process)
    }

    /// The process id, as long as it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        let running = self.life.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.then_some(self.pid.as_raw_nonzero().get().unsigned_abs())
    }

    /// Resolves when the process has ended, whoever ended it.
    pub(crate) fn exited(&self) -> impl Future<Output = Option<ExitStatus>> + Send + use<> {
        let mut exit = self.exit.clone();
        // An error means that the reaper is gone, which it is only after the process.
        async move {
            exit.wait_for(Option::is_some)
                .await
                .map_or(None, |status| *status)
        }
    }

    /// Sends a signal; `false` when the process has ended.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<bool> {
        let running = self.life.running.lock().unwrap_or_else(PoisonError::into_inner);
        if *running {
            kill_process(self.pid, signal)
                .with_context(|| format!("failed to signal {} (process {})", self.name, self.pid))?;
        }
        Ok(*running)
    }

    /// Stops the process (SIGSTOP) and waits until every thread of it stands still, which the signal alone does not
    /// promise: one that runs on another processor goes on for a moment.
    ///
    /// # Errors
    /// When it has ended, or does not stop within some seconds.
    pub(crate) async fn freeze(&self) -> anyhow::Result<()> {
        let stopped = async {
            let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
            while self.signal(Signal::STOP)? {
                if waitid(WaitId::Pid(self.pid), options).is_ok_and(|event| event.is_some()) {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            bail!("{} has ended", self.name)
        };
        tokio::time::timeout(AFTER_KILL, stopped)
            .await
            .with_context(|| format!("{} (process {}) does not stop", self.name, self.pid))?
    }

    /// Ends the process: each signal in turn with its time to work, then SIGKILL. One that is stopped (SIGSTOP) is
    /// continued, or it would never see the signal.
    ///
    /// # Errors
    /// When the process survives even SIGKILL.
    pub(crate) async fn end(&self, steps: &[(Signal, Duration)]) -> anyhow::Result<()> {
        for (signal, patience) in steps {
            if !(self.signal(*signal)? && self.signal(Signal::CONT)?) {
                break;
            }
            if tokio::time::timeout(*patience, self.exited()).await.is_ok() {
                break;
            }
            tracing::warn!(server = self.name, pid = %self.pid, ?patience, "did not stop when asked to");
        }
        self.signal(Signal::KILL)?;
        match tokio::time::timeout(AFTER_KILL, self.exited()).await {
            Ok(_) => Ok(()),
            Err(_) => bail!(
                "{} (process {}) survived SIGKILL for {AFTER_KILL:?}",
                self.name,
                self.pid
            ),
        }
    }

    /// Asks `probe` until it answers, the process ends or `limit` has passed.
    ///
    /// # Errors
    /// [`NotReady`], with the end of the server's log in the message.
    pub(crate) async fn wait_ready<T, F>(
        &self,
        limit: Duration,
        mut probe: impl FnMut() -> F,
    ) -> Result<T, NotReady>
    where
        F: Future<Output = anyhow::Result<Option<T>>>,
    {
        /// Between two probes; a server is up within a few hundred milliseconds.
        const PAUSE: Duration = Duration::from_millis(20);
        let ready = async {
            loop {
                if let Some(found) = probe().await? {
                    return anyhow::Ok(found);
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::select! {
            // In this order: what answers after our process has ended is somebody else.
            biased;
            status = self.exited() => {
                self.log.drained().await;
                let words = self.log.last_words();
                let how = status.map_or_else(|| "in an unknown way".to_owned(), |status| status.to_string());
                let error = anyhow!("{} ended before it was ready ({how}); {words}", self.name);
                Err(if words.to_ascii_lowercase().contains("address already in use") {
                    NotReady::PortTaken(error)
                } else {
                    NotReady::Failed(error)
                })
            }
            outcome = tokio::time::timeout(limit, ready) => match outcome {
                Ok(Ok(found)) => Ok(found),
                Ok(Err(error)) => Err(NotReady::Failed(error)),
                Err(_) => {
                    let words = self.log.last_words();
                    Err(NotReady::Failed(anyhow!("{} was not ready within {limit:?}; {words}", self.name)))
                }
            },
        }
    }

    /// For one-shot programs (initdb): waits for the end and demands success.
    ///
    /// # Errors
    /// When it fails or takes longer than `limit`; the end of its output is in the message.
    pub(crate) async fn succeed(&self, limit: Duration) -> anyhow::Result<()> {
        let Ok(status) = tokio::time::timeout(limit, self.exited()).await else {
            bail!(
                "{} took longer than {limit:?}; {}",
                self.name,
                self.log.last_words()
            );
        };
        self.log.drained().await;
        match status {
            Some(status) if status.success() => Ok(()),
            status => {
                let how = status.map_or_else(|| "unknown".to_owned(), |status| status.to_string());
                bail!("{} failed ({how}); {}", self.name, self.log.last_words())
            }
        }
    }

    /// Waits until all that the process, which has ended, said is in its log.
    pub(crate) async fn drained(&self) {
        self.log.drained().await;
    }

    /// Waits in the calling thread for the end of the process; `false` when `limit` passed first.
    fn ended_within(&self, limit: Duration) -> bool {
        let running = self.life.running.lock().unwrap_or_else(PoisonError::into_inner);
        let (running, _) = self
            .life
            .ended
            .wait_timeout_while(running, limit, |running| *running)
            .unwrap_or_else(PoisonError::into_inner);
        !*running
    }
}

impl Drop for ServerProcess {
    /// Waits so that whoever removes the data folder next does not race a dying server.
    fn drop(&mut self) {
        let asked = self
            .signal(self.death_signal.signal())
            .and_then(|_| self.signal(Signal::CONT));
        if matches!(asked, Ok(false)) || self.ended_within(AFTER_DEATH_SIGNAL) {
            return;
        }
        if self.signal(Signal::KILL).is_err() || !self.ended_within(AFTER_KILL) {
            tracing::error!(server = self.name, pid = %self.pid, "a server that was dropped goes on running");
        }
    }
}

/// Waits for the process without reaping it, withdraws its id from signalling, and only then reaps it.
fn reap(mut child: Child, life: &Life, announce: &watch::Sender<Option<ExitStatus>>) {
    let pid = Pid::from_child(&child);
    while let Err(rustix::io::Errno::INTR) =
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
    {}
    let mut running = life.running.lock().unwrap_or_else(PoisonError::into_inner);
    *running = false;
    let status = child.wait().ok();
    drop(running);
    life.ended.notify_all();
    announce.send_replace(status);
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::path::Path;

    use super::*;

    fn spec(dir: &Path, program: &str, args: &[&str]) -> Spec<'static> {
        Spec {
            name: "the program",
            program: program.into(),
            args: args.iter().map(OsString::from).collect(),
            user: None,
            death_signal: DeathSignal::Kill,
            log: dir.join("program.log"),
        }
    }

    async fn shell(dir: &Path, script: &str) -> ServerProcess {
        ServerProcess::spawn(spec(dir, "/bin/sh", &["-c", script]))
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_program_that_fails_is_told_with_its_last_words() {
        let dir = tempfile::tempdir().unwrap();
        let process = shell(dir.path(), "echo what went wrong >&2; exit 3").await;
        let error = process
            .succeed(Duration::from_secs(20))
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("exit status: 3") && error.contains("what went wrong"),
            "{error}"
        );
        assert_eq!(process.pid(), None);
        assert!(!process.signal(Signal::TERM).unwrap());
    }

    #[tokio::test]
    async fn a_taken_port_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let process = shell(dir.path(), "echo 'bind: Address already in use'; exit 1").await;
        let probe = || async { anyhow::Ok(None::<()>) };
        let outcome = process.wait_ready(Duration::from_secs(20), probe).await;
        assert!(matches!(outcome, Err(NotReady::PortTaken(_))), "{outcome:?}");
    }

    #[tokio::test]
    async fn one_that_never_gets_ready_is_told_after_the_time_limit() {
        let dir = tempfile::tempdir().unwrap();
        let process = shell(dir.path(), "exec sleep 600").await;
        let probe = || async { anyhow::Ok(None::<()>) };
        match process.wait_ready(Duration::from_millis(50), probe).await {
            Err(NotReady::Failed(error)) => {
                assert!(error.to_string().contains("not ready within 50ms"), "{error}")
            }
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn one_that_ignores_the_request_is_killed_even_when_it_is_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let process = shell(dir.path(), "trap '' TERM; echo ready; while :; do sleep 1; done").await;
        process
            .wait_ready(Duration::from_secs(20), || async {
                let log = std::fs::read_to_string(dir.path().join("program.log"))?;
                anyhow::Ok(log.contains("ready").then_some(()))
            })
            .await
            .unwrap();
        process.signal(Signal::STOP).unwrap();
        process
            .end(&[(Signal::TERM, Duration::from_millis(50))])
            .await
            .unwrap();
        assert_eq!(process.pid(), None);
    }

    #[tokio::test]
    async fn dropping_ends_the_process_before_it_returns() {
        let dir = tempfile::tempdir().unwrap();
        let process = shell(dir.path(), "exec sleep 600").await;
        let pid = process.pid().unwrap();
        drop(process);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }

    #[tokio::test]
    async fn nothing_of_our_environment_is_passed_on() {
        let dir = tempfile::tempdir().unwrap();
        let process = shell(dir.path(), "env").await;
        process.succeed(Duration::from_secs(20)).await.unwrap();
        let env = std::fs::read_to_string(dir.path().join("program.log")).unwrap();
        let unexpected: Vec<&str> = env
            .lines()
            .filter(|line| {
                !["LC_ALL=", "TZ=", "PATH=", "PWD=", "_=", "SHLVL="]
                    .iter()
                    .any(|known| line.starts_with(known))
            })
            .collect();
        assert!(unexpected.is_empty(), "{unexpected:?}");
    }
}
