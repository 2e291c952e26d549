//! How a server is to be run, and the command line that ties its life to ours.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::postgres::ServerUser;

/// What the kernel sends a server when this process dies, and what dropping it unstopped does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeathSignal {
    /// SIGKILL: for a single process.
    Kill,
    /// SIGQUIT: PostgreSQL's immediate shutdown, which also ends its backends and frees its shared memory.
    Quit,
}

impl DeathSignal {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kill => "KILL",
            Self::Quit => "QUIT",
        }
    }

    pub(crate) fn signal(self) -> Signal {
        match self {
            Self::Kill => Signal::KILL,
            Self::Quit => Signal::QUIT,
        }
    }
}

/// What to run, as whom, and where its output goes.
#[derive(Debug)]
pub(crate) struct Spec<'a> {
    /// For messages: "nats-server", "PostgreSQL".
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    /// Another user to run as; only root may say so.
    pub(crate) user: Option<&'a ServerUser>,
    pub(crate) death_signal: DeathSignal,
    /// File for standard output and error.
    pub(crate) log: PathBuf,
}

impl Spec<'_> {
    /// `setpriv … PROGRAM ARGS`: setpriv changes the user first and arms the death signal last, then becomes the
    /// program, so that the process id is the program's own.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new("setpriv");
        if let Some(user) = self.user {
            command.arg("--reuid").arg(user.uid.to_string());
            command
                .arg("--regid")
                .arg(user.gid.to_string())
                .arg("--clear-groups");
        }
        command
            .args(["--pdeathsig", self.death_signal.name(), "--"])
            .arg(&self.program)
            .args(&self.args);
        // A server needs none of our environment, and some of it is secret. LC_ALL and TZ: logs that read alike
        // everywhere, and no locale of ours in a new cluster.
        command.env_clear().env("LC_ALL", "C").env("TZ", "UTC");
        #[expect(
            clippy::disallowed_methods,
            reason = "to find programs the way our own process does"
        )]
        let path = std::env::var_os("PATH");
        command.envs(path.map(|path| ("PATH", path)));
        // A private process group: the terminal's Ctrl-C is not meant for servers. "/": our working directory may
        // be closed to the other user.
        command.process_group(0).current_dir("/").stdin(Stdio::null());
        command
    }
}
