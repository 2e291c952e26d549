//! The one thread that spawns every child.
//!
//! The kernel sends the parent-death signal when the *thread* that forked the child ends, not the process. Runtime
//! threads come and go (a blocking-pool thread after ten idle seconds, a `current_thread` runtime with its test, a
//! worker that ran `block_in_place` becomes a pool thread), so a child spawned there could be killed under a host
//! that is well. This thread ends with the process only.

use std::io;
use std::process::{Child, Command};
use std::sync::{Mutex, PoisonError, mpsc};

use tokio::sync::oneshot;

/// A command to spawn and where its outcome goes.
type Job = (Command, oneshot::Sender<io::Result<Child>>);

/// The spawner's inbox; `None` until the first use. Never dropped, which is what keeps the thread alive.
static INBOX: Mutex<Option<mpsc::Sender<Job>>> = Mutex::new(None);

/// Spawns `command` from the long-lived thread.
///
/// # Errors
/// What [`Command::spawn`] answers, or that the thread itself could not be started.
pub(crate) async fn spawn(command: Command) -> io::Result<Child> {
    let (reply, outcome) = oneshot::channel();
    inbox()?.send((command, reply)).map_err(|_| ended())?;
    outcome.await.map_err(|_| ended())?
}

fn inbox() -> io::Result<mpsc::Sender<Job>> {
    let mut inbox = INBOX.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(sender) = &*inbox {
        return Ok(sender.clone());
    }
    let (sender, jobs) = mpsc::channel::<Job>();
    std::thread::Builder::new()
        .name("embedded-spawner".into())
        .spawn(move || {
            for (mut command, reply) in jobs {
                if let Err(Ok(mut unwanted)) = reply.send(command.spawn()) {
                    // The caller was cancelled while it waited: nobody else would ever end or reap this child.
                    let _ = unwanted.kill();
                    let _ = unwanted.wait();
                }
            }
        })?;
    *inbox = Some(sender.clone());
    Ok(sender)
}

fn ended() -> io::Error {
    io::Error::other("the thread that spawns servers has ended")
}
