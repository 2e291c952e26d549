//! Readiness: the `INFO` line with which a nats-server greets every connection.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpStream;

use crate::programs::Version;

/// Longest greeting read, bytes; a real one has about 500.
const LONGEST: u64 = 64 << 10;
/// Longest time for one connection and its greeting: both are local.
const PATIENCE: Duration = Duration::from_secs(2);

/// The parts of the greeting that say whether this is our server and what it can do.
#[derive(Debug, Deserialize)]
struct Info {
    server_name: String,
    version: String,
    #[serde(default)]
    jetstream: bool,
}

/// Asks whether the server of that name is ready: `None` means not yet.
///
/// # Errors
/// When it is up and will never do: without JetStream or with an unreadable greeting.
pub(super) async fn probe(address: SocketAddr, server_name: &str) -> anyhow::Result<Option<Version>> {
    let greeting = tokio::time::timeout(PATIENCE, async {
        let stream = TcpStream::connect(address).await?;
        let mut line = String::new();
        BufReader::new(stream.take(LONGEST)).read_line(&mut line).await?;
        std::io::Result::Ok(line)
    });
    // Refused, reset or silent all mean "not yet"; whether it is too late is the caller's to say.
    let Ok(Ok(line)) = greeting.await else {
        return Ok(None);
    };
    read(&line, server_name)
}

fn read(line: &str, server_name: &str) -> anyhow::Result<Option<Version>> {
    // Anything else that listens there keeps our server from doing so, which then ends and says why.
    let Some(json) = line.strip_prefix("INFO ") else {
        return Ok(None);
    };
    let Ok(info) = serde_json::from_str::<Info>(json) else {
        return Ok(None);
    };
    if info.server_name != server_name {
        return Ok(None);
    }
    if !info.jetstream {
        bail!("nats-server runs without JetStream");
    }
    let version = Version::find(&info.version);
    Ok(Some(version.with_context(|| {
        format!("nats-server tells the version {:?}", info.version)
    })?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREETING: &str =
        r#"INFO {"server_id":"N","server_name":"ours","version":"2.15.1","proto":1,"jetstream":true}"#;

    #[test]
    fn our_server_with_jetstream_is_ready() {
        assert_eq!(read(GREETING, "ours").unwrap().unwrap().to_string(), "2.15.1");
    }

    #[test]
    fn another_server_or_another_protocol_is_not_ours() {
        assert_eq!(read(GREETING, "theirs").unwrap(), None);
        assert_eq!(read("SSH-2.0-OpenSSH_9.2\r\n", "ours").unwrap(), None);
        assert_eq!(read("INFO {\"version\":", "ours").unwrap(), None);
        assert_eq!(read("", "ours").unwrap(), None);
    }

    #[test]
    fn ours_without_jetstream_will_never_do() {
        let greeting = GREETING.replace(",\"jetstream\":true", "");
        assert!(
            read(&greeting, "ours")
                .unwrap_err()
                .to_string()
                .contains("without JetStream")
        );
    }
}
