//! What the tests of real servers share: waiting for conditions, and clients small enough to need no library.
#![allow(dead_code, reason = "each test binary uses its part of this module")]

pub(crate) mod nats;
pub(crate) mod pg;

use std::path::Path;
use std::time::{Duration, Instant};

/// Longest time for anything to happen here, on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Polls until `condition` holds.
///
/// # Panics
/// When it does not within [`PATIENCE`].
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a process of that id exists and is not merely waiting to be reaped.
pub(crate) fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        stat.rsplit_once(") ")
            .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    })
}

/// The number in the first line of a file; `None` while it is not there or still empty.
pub(crate) fn pid_in(path: &Path) -> Option<u32> {
    std::fs::read_to_string(path)
        .ok()?
        .lines()
        .next()?
        .trim()
        .parse()
        .ok()
}

/// Whether the tests run as root, which decides where a cluster goes and whom it belongs to.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
