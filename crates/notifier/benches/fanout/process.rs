//! A process that ends with this one, and its memory.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

/// A process and what it starts: killed when dropped.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    pub(crate) fn spawn(mut command: Command) -> anyhow::Result<Self> {
        let child = command.process_group(0).kill_on_drop(true).spawn();
        Ok(Self {
            child: child.context("failed to start it")?,
        })
    }

    /// The memory of it and of its children, shared parts in proportion.
    pub(crate) fn memory(&self) -> anyhow::Result<u64> {
        let root = self.child.id().context("it has ended")?;
        let mut bytes = of(root)?;
        for child in children(root)? {
            bytes += of(child)?;
        }
        Ok(bytes)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let group = self
            .child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        if let Some(group) = group {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

fn children(of: u32) -> anyhow::Result<Vec<u32>> {
    let text = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children"))?;
    Ok(text.split_whitespace().filter_map(|id| id.parse().ok()).collect())
}

fn of(id: u32) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{id}/smaps_rollup"))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Pss:"))
        .context("no Pss")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}

/// An address that is free now.
pub(crate) fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
