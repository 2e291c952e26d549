//! Servers of an earlier run that are still there: found without trusting a process id, then ended.
//!
//! A process id in a file may by now belong to anybody. It is believed only when the command line of that process
//! names our own data folder.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

/// Between two looks at a process that is not our child and so cannot be waited for.
const PAUSE: Duration = Duration::from_millis(20);
/// Time a process has to vanish after SIGKILL.
const AFTER_KILL: Duration = Duration::from_secs(5);

/// Ends the process that `pid_file` (first line) names, if it runs and one of its arguments is exactly `marker`.
/// `gently` is sent first and has `patience` to work, then SIGKILL. Answers whether there was one.
///
/// # Errors
/// When the process cannot be signalled or survives.
pub(crate) async fn stop_stale(
    name: &str,
    pid_file: &Path,
    marker: &Path,
    gently: Signal,
    patience: Duration,
) -> anyhow::Result<bool> {
    let text = fs::read_to_string(pid_file).unwrap_or_default();
    let Some(pid) =
        parse_pid(text.lines().next().unwrap_or_default()).filter(|pid| has_argument(*pid, marker))
    else {
        return Ok(false);
    };
    tracing::warn!(server = name, %pid, "stopping a server that an earlier run left behind");
    send(name, pid, gently)?;
    send(name, pid, Signal::CONT)?;
    if !gone_within(pid, patience).await {
        send(name, pid, Signal::KILL)?;
        if !gone_within(pid, AFTER_KILL).await {
            bail!("{name} of an earlier run (process {pid}) cannot be ended");
        }
    }
    Ok(true)
}

/// Kills every process of that short name (`comm`) whose working directory is `dir`, and waits until they are gone.
/// That is how the backends of a killed PostgreSQL are found: their parent is gone, and they work in its cluster.
///
/// # Errors
/// When one cannot be signalled or survives.
pub(crate) async fn kill_workers(comm: &str, dir: &Path) -> anyhow::Result<()> {
    let deadline = Instant::now() + AFTER_KILL;
    loop {
        let workers = workers(comm, dir)?;
        if workers.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("processes {workers:?} go on working in {}", dir.display());
        }
        for pid in workers {
            send(comm, pid, Signal::KILL)?;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The processes of that short name whose working directory is `dir`.
pub(crate) fn workers(comm: &str, dir: &Path) -> anyhow::Result<Vec<Pid>> {
    let processes = fs::read_dir("/proc").context("failed to list the processes")?;
    Ok(processes
        .filter_map(|entry| parse_pid(entry.ok()?.file_name().to_str()?))
        .filter(|pid| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == dir))
        .filter(|pid| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim_end() == comm)
        })
        .filter(|pid| is_alive(*pid))
        .collect())
}

fn parse_pid(text: &str) -> Option<Pid> {
    // Zero and negative numbers mean process groups to kill(2), and 1 is init.
    text.trim()
        .parse()
        .ok()
        .filter(|pid| *pid > 1)
        .and_then(Pid::from_raw)
}

fn has_argument(pid: Pid, marker: &Path) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| {
        line.split(|byte| *byte == 0)
            .any(|argument| OsStr::from_bytes(argument) == marker.as_os_str())
    })
}

/// A zombie counts as gone: it holds no file, port or memory, only its parent's attention.
fn is_alive(pid: Pid) -> bool {
    // "PID (comm) STATE …", where comm may itself hold parentheses.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        stat.rsplit_once(") ")
            .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    })
}

fn send(name: &str, pid: Pid, signal: Signal) -> anyhow::Result<()> {
    match kill_process(pid, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => {
            Err(error).with_context(|| format!("failed to signal {name} of an earlier run (process {pid})"))
        }
    }
}

async fn gone_within(pid: Pid, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    while is_alive(pid) {
        if Instant::now() > deadline {
            return false;
        }
        tokio::time::sleep(PAUSE).await;
    }
    true
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::path::PathBuf;
    use std::process::{Child, Command, Stdio};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A process that sleeps in `cwd` with `marker` among its arguments, until the test ends.
    struct Sleeper(Child);

    impl Sleeper {
        fn start(cwd: &Path, marker: &Path) -> Self {
            let mut command = Command::new("sh");
            command
                .args(["-c", "read line", "sh"])
                .arg(marker)
                .current_dir(cwd);
            let child = command.process_group(0).stdin(Stdio::piped()).spawn().unwrap();
            let sleeper = Self(child);
            // The spawn returns while the kernel is still about to replace the child's name and arguments.
            while !has_argument(sleeper.pid(), marker) || workers("sh", cwd).unwrap().is_empty() {
                std::thread::yield_now();
            }
            sleeper
        }

        fn pid(&self) -> Pid {
            Pid::from_child(&self.0)
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let tmp = tempfile::tempdir().unwrap();
        let path = fs::canonicalize(tmp.path()).unwrap();
        (tmp, path)
    }

    #[tokio::test]
    async fn a_process_that_names_the_folder_is_ended() {
        let (_tmp, dir) = folder();
        let sleeper = Sleeper::start(&dir, &dir);
        let pid_file = dir.join("pid");
        fs::write(&pid_file, format!("{}\nmore\n", sleeper.pid())).unwrap();
        assert!(
            stop_stale("sleeper", &pid_file, &dir, Signal::TERM, PATIENCE)
                .await
                .unwrap()
        );
        assert!(!is_alive(sleeper.pid()));
    }

    #[tokio::test]
    async fn somebody_elses_process_of_that_id_is_left_alone() {
        let (_tmp, dir) = folder();
        // Names a folder that ours is only a prefix of.
        let sleeper = Sleeper::start(&dir, &dir.join("other"));
        let pid_file = dir.join("pid");
        fs::write(&pid_file, sleeper.pid().to_string()).unwrap();
        assert!(
            !stop_stale("sleeper", &pid_file, &dir, Signal::TERM, PATIENCE)
                .await
                .unwrap()
        );
        assert!(is_alive(sleeper.pid()));
    }

    #[tokio::test]
    async fn no_file_and_no_number_are_no_process() {
        let (_tmp, dir) = folder();
        let pid_file = dir.join("pid");
        for text in [
            None,
            Some(""),
            Some("0"),
            Some("-1"),
            Some("1"),
            Some("x"),
            Some("99999999999"),
        ] {
            if let Some(text) = text {
                fs::write(&pid_file, text).unwrap();
            }
            let found = stop_stale("sleeper", &pid_file, &dir, Signal::TERM, PATIENCE)
                .await
                .unwrap();
            assert!(!found, "{text:?}");
        }
    }

    #[tokio::test]
    async fn workers_are_found_by_name_and_folder() {
        let (_tmp, dir) = folder();
        let sleeper = Sleeper::start(&dir, &dir);
        assert_eq!(workers("sh", &dir).unwrap(), [sleeper.pid()]);
        assert_eq!(workers("postgres", &dir).unwrap(), []);
        assert_eq!(workers("sh", Path::new("/proc")).unwrap(), []);
        kill_workers("sh", &dir).await.unwrap();
        assert!(!is_alive(sleeper.pid()));
    }
}
