//! A server's output: into a bounded file, with its tail at hand for errors.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, PipeReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// A file this large (bytes) is renamed to `….1`, replacing the one before: at most twice this on disk.
const ROTATE_AT: u64 = 8 << 20;
/// Bytes of output kept in memory: some twenty lines, enough to tell why a server would not start.
const TAIL: usize = 4096;
/// How long a dead server's last words are waited for; a grandchild may hold the pipe open for longer.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The newest output of one server process.
#[derive(Debug)]
pub(crate) struct LogTail {
    path: PathBuf,
    bytes: Arc<Mutex<VecDeque<u8>>>,
    closed: watch::Receiver<bool>,
}

impl LogTail {
    /// Starts the thread that copies `source` to the file at `path` until the last writer closes the pipe.
    ///
    /// # Errors
    /// When the file cannot be opened or the thread not be started.
    pub(crate) fn follow(source: PipeReader, path: PathBuf) -> io::Result<Self> {
        let file = RotatingFile::open(&path)?;
        let bytes = Arc::new(Mutex::new(VecDeque::with_capacity(TAIL)));
        let (done, closed) = watch::channel(false);
        let kept = Arc::clone(&bytes);
        std::thread::Builder::new()
            .name("embedded-log".into())
            .spawn(move || {
                copy(source, file, &kept);
                // Nobody may be waiting any more.
                let _ = done.send(true);
            })?;
        Ok(Self { path, bytes, closed })
    }

    /// Waits until all that a server which has ended said is in the log.
    pub(crate) async fn drained(&self) {
        let mut closed = self.closed.clone();
        // A time-out only means that something else holds the pipe: what there is will do.
        let _ = tokio::time::timeout(LAST_WORDS, closed.wait_for(|closed| *closed)).await;
    }

    /// What the server last said, and where the rest stands.
    pub(crate) fn last_words(&self) -> String {
        let tail = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = tail.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let whole = if bytes.len() < TAIL {
            &*text
        } else {
            text.split_once('\n').map_or(&*text, |cut| cut.1)
        };
        match whole.trim_end() {
            "" => format!("it said nothing (log: {})", self.path.display()),
            text => format!("its log ({}) ends with:\n{text}", self.path.display()),
        }
    }
}

/// Never stops reading before the end: a server whose pipe is full would hang. A log that cannot be written is
/// therefore given up, not the reading.
fn copy(mut source: PipeReader, file: RotatingFile, tail: &Mutex<VecDeque<u8>>) {
    let mut file = Some(file);
    let mut chunk = [0; 8192];
    loop {
        let read = match source.read(&mut chunk) {
            Ok(0) => return,
            Ok(read) => &chunk[..read],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        if let Some(open) = &mut file
            && let Err(error) = open.write(read)
        {
            tracing::warn!(path = %open.path.display(), %error, "failed to write a server's log; it is given up");
            file = None;
        }
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend(read);
        let excess = tail.len().saturating_sub(TAIL);
        tail.drain(..excess);
    }
}

struct RotatingFile {
    path: PathBuf,
    file: File,
    size: u64,
}

impl RotatingFile {
    fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)?;
        let size = file.metadata()?.len();
        Ok(Self {
            path: path.to_owned(),
            file,
            size,
        })
    }

    fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        if self.size >= ROTATE_AT {
            let mut older = self.path.clone().into_os_string();
            older.push(".1");
            std::fs::rename(&self.path, older)?;
            *self = Self::open(&self.path)?;
        }
        self.file.write_all(chunk)?;
        self.size += chunk.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_file_gets_everything_and_the_tail_the_newest_whole_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.log");
        let (reader, mut writer) = std::io::pipe().unwrap();
        let tail = LogTail::follow(reader, path.clone()).unwrap();
        for line in 0..1000 {
            writeln!(writer, "line {line:05}").unwrap();
        }
        drop(writer);
        tail.drained().await;
        let words = tail.last_words();
        assert!(words.ends_with("line 00999"), "{words}");
        let first = words.lines().nth(1).unwrap();
        assert!(
            first.starts_with("line ") && first.len() == "line 00000".len(),
            "not a whole line: {first:?}"
        );
        assert!(words.len() < TAIL + 200);
        assert_eq!(std::fs::read_to_string(path).unwrap().lines().count(), 1000);
    }

    #[tokio::test]
    async fn silence_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        let tail = LogTail::follow(reader, dir.path().join("server.log")).unwrap();
        drop(writer);
        tail.drained().await;
        assert!(tail.last_words().starts_with("it said nothing"));
    }

    #[test]
    fn a_full_file_is_set_aside_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.log");
        let mut file = RotatingFile::open(&path).unwrap();
        for _ in 0..5 {
            file.write(&vec![b'x'; usize::try_from(ROTATE_AT / 2).unwrap()])
                .unwrap();
        }
        assert_eq!(std::fs::metadata(&path).unwrap().len(), ROTATE_AT / 2);
        assert_eq!(
            std::fs::metadata(dir.path().join("server.log.1")).unwrap().len(),
            ROTATE_AT
        );
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
