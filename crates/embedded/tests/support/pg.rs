//! A PostgreSQL client of a few lines that logs in over TCP with SCRAM-SHA-256 (RFC 5802, RFC 7677).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

/// What the server said when it refused.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) String);

/// Runs one statement over TCP.
pub(crate) fn query(server: &embedded::Postgres, database: &str, statement: &str) -> Vec<String> {
    Client::connect(&server.url(database))
        .unwrap()
        .query(statement)
        .unwrap()
}

/// A session.
pub(crate) struct Client {
    stream: TcpStream,
}

impl Client {
    /// Logs in as a URL of [`embedded::Postgres::url`] says.
    pub(crate) fn connect(url: &str) -> Result<Self, Refused> {
        let rest = url
            .strip_prefix("postgres://postgres:")
            .unwrap()
            .strip_suffix("?sslmode=disable")
            .unwrap();
        let (password, rest) = rest.split_once('@').unwrap();
        let (address, database) = rest.split_once('/').unwrap();
        let stream = TcpStream::connect(address).map_err(|error| Refused(error.to_string()))?;
        stream.set_read_timeout(Some(super::PATIENCE)).unwrap();
        let mut client = Self { stream };
        let mut startup = (3_u32 << 16).to_be_bytes().to_vec();
        startup.extend(format!("user\0postgres\0database\0{database}\0\0").bytes());
        client.send(None, &startup);
        client.log_in(password)?;
        client.until_ready()?;
        Ok(client)
    }

    /// Runs a statement and answers the first column of its rows.
    pub(crate) fn query(&mut self, statement: &str) -> Result<Vec<String>, Refused> {
        self.send(Some(b'Q'), format!("{statement}\0").as_bytes());
        self.until_ready()
    }

    fn log_in(&mut self, password: &str) -> Result<(), Refused> {
        let (kind, body) = self.read()?;
        assert_eq!(kind, b'R');
        assert_eq!(
            body[..4],
            10_u32.to_be_bytes(),
            "a password must be asked for, by SASL"
        );
        assert!(body[4..].starts_with(b"SCRAM-SHA-256\0"), "{body:?}");

        let first = "n=,r=abcdefghijklmnopqrstuvwx";
        let mut message = b"SCRAM-SHA-256\0".to_vec();
        message.extend(u32::try_from(first.len() + 3).unwrap().to_be_bytes());
        message.extend(format!("n,,{first}").bytes());
        self.send(Some(b'p'), &message);

        let (_, body) = self.read()?;
        let challenge = String::from_utf8(body[4..].to_vec()).unwrap();
        let field = |name: &str| {
            challenge
                .split(',')
                .find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
                .unwrap()
                .to_owned()
        };
        let salt = BASE64.decode(field("s")).unwrap();
        let mut salted = [0; 32];
        let rounds: NonZeroU32 = field("i").parse().unwrap();
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            rounds,
            &salt,
            password.as_bytes(),
            &mut salted,
        );
        let mac = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
        let client_key = mac(&salted, b"Client Key");
        let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
        let last = format!("c=biws,r={}", field("r"));
        let signature = mac(
            stored_key.as_ref(),
            format!("{first},{challenge},{last}").as_bytes(),
        );
        let proof: Vec<u8> = client_key
            .as_ref()
            .iter()
            .zip(signature.as_ref())
            .map(|(key, sign)| key ^ sign)
            .collect();
        self.send(
            Some(b'p'),
            format!("{last},p={}", BASE64.encode(proof)).as_bytes(),
        );
        Ok(())
    }

    fn until_ready(&mut self) -> Result<Vec<String>, Refused> {
        let mut rows = Vec::new();
        let mut refused = None;
        loop {
            match self.read() {
                Ok((b'Z', _)) => return refused.map_or(Ok(rows), Err),
                Ok((b'D', body)) => {
                    let len = u32::from_be_bytes(body[2..6].try_into().unwrap()) as usize;
                    rows.push(String::from_utf8(body[6..6 + len].to_vec()).unwrap());
                }
                Ok(_) => {}
                // A refused statement is followed by ReadyForQuery, a refused login by the end.
                Err(error) => match refused.take() {
                    None => refused = Some(error),
                    Some(first) => return Err(first),
                },
            }
        }
    }

    fn send(&mut self, kind: Option<u8>, body: &[u8]) {
        let mut message: Vec<u8> = kind.into_iter().collect();
        message.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
        message.extend(body);
        self.stream.write_all(&message).unwrap();
    }

    fn read(&mut self) -> Result<(u8, Vec<u8>), Refused> {
        let mut head = [0; 5];
        self.stream
            .read_exact(&mut head)
            .map_err(|error| Refused(error.to_string()))?;
        let len = u32::from_be_bytes(head[1..].try_into().unwrap()) as usize;
        let mut body = vec![0; len - 4];
        self.stream
            .read_exact(&mut body)
            .map_err(|error| Refused(error.to_string()))?;
        if head[0] == b'E' {
            Err(Refused(String::from_utf8_lossy(&body).into_owned()))
        } else {
            Ok((head[0], body))
        }
    }
}
