//! The JetStream API spoken by hand: the bus has no way to delete a stream, and must not.

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use wire::streams;

use crate::ground::Ground;

impl Ground {
    /// One request of the JetStream API, spoken by hand: the bus has no way to delete a stream, and must not.
    pub(crate) async fn jetstream(&self, request: &str, body: &str) -> String {
        let mut stream = BufReader::new(TcpStream::connect(self.nats.address()).await.unwrap());
        let length = body.len();
        let text = format!(
            "CONNECT {{\"verbose\":false,\"headers\":false}}\r\nSUB answer 1\r\nPUB $JS.API.{request} answer {length}\r\n{body}\r\n"
        );
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(
                stream.read_line(&mut line).await.unwrap(),
                0,
                "no answer to {request}"
            );
            if line.starts_with("MSG ") {
                let length: usize = line.trim().rsplit(' ').next().unwrap().parse().unwrap();
                let mut body = vec![0; length];
                stream.read_exact(&mut body).await.unwrap();
                return String::from_utf8(body).unwrap();
            }
        }
    }

    /// Deletes a stream.
    pub(crate) async fn delete_stream(&self, name: &str) {
        let answer = self.jetstream(&format!("STREAM.DELETE.{name}"), "").await;
        assert!(answer.contains("\"success\":true"), "{answer}");
    }

    /// The dead letters: reason and body.
    pub(crate) async fn dead_letters(&self) -> Vec<(String, Vec<u8>)> {
        let state = self.bus.stream_state(&streams::DTMA_DLQ).await.unwrap();
        let mut found = Vec::new();
        if state.messages == 0 {
            return found;
        }
        // "Last per subject" is one of them: they are read from the server one by one.
        for sequence in state.first_sequence..=state.last_sequence {
            let request = format!(r#"{{"seq":{sequence}}}"#);
            let answer = self.jetstream("STREAM.MSG.GET.DTMA_DLQ", &request).await;
            let message: Value = serde_json::from_str(&answer).unwrap();
            let decode = |field: &str| base64(message["message"][field].as_str().unwrap_or_default());
            let headers = String::from_utf8(decode("hdrs")).unwrap();
            let reason = headers
                .lines()
                .find_map(|line| line.strip_prefix("dlq-reason: "))
                .unwrap_or_default();
            found.push((reason.to_owned(), decode("data")));
        }
        found
    }
}

/// Decodes base64, which the JetStream API answers in.
fn base64(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for digit in text.bytes().filter_map(value) {
        bits = bits << 6 | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).unwrap());
        }
    }
    bytes
}
