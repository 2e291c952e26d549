//! A NATS client of a few lines: enough to ask JetStream's API something and read the answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// A connection with one inbox.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    /// The greeting.
    pub(crate) info: Value,
}

impl Client {
    /// Connects and reads the greeting.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(super::PATIENCE)).unwrap();
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        let info = serde_json::from_str(line.strip_prefix("INFO ").unwrap()).unwrap();
        stream
            .get_mut()
            .write_all(b"CONNECT {\"verbose\":false}\r\nSUB inbox 1\r\n")
            .unwrap();
        Self { stream, info }
    }

    /// Publishes and waits for the answer.
    pub(crate) fn request(&mut self, subject: &str, body: &str) -> Value {
        write!(
            self.stream.get_mut(),
            "PUB {subject} inbox {}\r\n{body}\r\n",
            body.len()
        )
        .unwrap();
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).unwrap();
            // MSG inbox 1 LENGTH
            let Some(header) = line.strip_prefix("MSG inbox 1 ") else {
                continue;
            };
            let mut answer = vec![0; header.trim().parse().unwrap()];
            self.stream.read_exact(&mut answer).unwrap();
            return serde_json::from_slice(&answer).unwrap();
        }
    }

    /// Whether the server answers a PING within `limit`.
    pub(crate) fn answers_within(&mut self, limit: Duration) -> bool {
        self.stream.get_ref().set_read_timeout(Some(limit)).unwrap();
        self.stream.get_mut().write_all(b"PING\r\n").unwrap();
        let mut line = String::new();
        while self.stream.read_line(&mut line).is_ok_and(|read| read > 0) {
            if line.starts_with("PONG") {
                return true;
            }
            line.clear();
        }
        false
    }

    /// Makes a file stream `T` that takes the subject `t`.
    pub(crate) fn make_stream(&mut self) {
        let config = r#"{"name":"T","subjects":["t"],"storage":"file"}"#;
        let answer = self.request("$JS.API.STREAM.CREATE.T", config);
        assert!(answer.get("error").is_none(), "{answer}");
    }

    /// How many messages the stream `T` has.
    pub(crate) fn messages(&mut self) -> u64 {
        let answer = self.request("$JS.API.STREAM.INFO.T", "");
        answer["state"]["messages"].as_u64().ok_or(answer).unwrap()
    }
}
