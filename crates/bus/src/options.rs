//! How to reach NATS, and how to say so without giving a password away.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use async_nats::ServerAddr;
use secrecy::{ExposeSecret, SecretString};

use crate::BusError;

/// Longest wait for an answer of JetStream, unless configured otherwise.
const API_TIMEOUT: Duration = Duration::from_secs(5);

/// How to reach NATS and how to behave there. `..BusOptions::new(url, name)` fills in the rest.
#[derive(Clone)]
pub struct BusOptions {
    /// One address or several with commas between: `nats://host:4222`, `tls://host`. A user and password (or a token
    /// alone) in it are taken, never printed; they must be the same in all.
    pub url: String,
    /// Token; wins over one in the URL.
    pub token: Option<SecretString>,
    /// NATS credentials file (JWT and seed), or a file with nothing but the seed of an nkey. Read again at every attempt of the first connection.
    pub credentials: Option<PathBuf>,
    /// Name of the connection and `ce-source` of what is published.
    pub name: &'static str,
    /// Longest wait for an answer of JetStream: publish acknowledgements and API requests alike.
    pub api_timeout: Duration,
    /// Copies of each stream in a cluster: 1, 3 or 5.
    pub replicas: usize,
}

impl BusOptions {
    /// No credentials beside those in the URL, 5 seconds for an answer, one copy.
    pub fn new(url: impl Into<String>, name: &'static str) -> Self {
        Self {
            url: url.into(),
            token: None,
            credentials: None,
            name,
            api_timeout: API_TIMEOUT,
            replicas: 1,
        }
    }
}

impl fmt::Debug for BusOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusOptions")
            .field(
                "url",
                &Servers::parse(&self.url).map_or_else(|_| "unusable".to_owned(), |servers| servers.shown),
            )
            .field("token", &self.token.as_ref().map(|_| "given"))
            .field("credentials", &self.credentials)
            .field("name", &self.name)
            .field("api_timeout", &self.api_timeout)
            .field("replicas", &self.replicas)
            .finish()
    }
}

/// Who we are, as far as the URL tells.
#[derive(Clone)]
pub(crate) enum Login {
    Password { user: String, password: SecretString },
    Token(SecretString),
}

impl Login {
    fn same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Password { user, password },
                Self::Password {
                    user: other_user,
                    password: other_password,
                },
            ) => user == other_user && password.expose_secret() == other_password.expose_secret(),
            (Self::Token(token), Self::Token(other)) => token.expose_secret() == other.expose_secret(),
            _ => false,
        }
    }
}

/// The addresses of a URL list, parted from what is secret in it.
pub(crate) struct Servers {
    /// Without credentials: the client prints addresses at DEBUG, and reads no credentials from them anyway.
    pub(crate) addresses: Vec<ServerAddr>,
    pub(crate) login: Option<Login>,
    /// For logs.
    pub(crate) shown: String,
}

impl Servers {
    pub(crate) fn parse(urls: &str) -> Result<Self, BusError> {
        let mut addresses = Vec::new();
        let mut login: Option<Login> = None;
        for part in urls.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (address, found) = parse_one(part)?;
            match (&login, found) {
                (Some(known), Some(found)) if !known.same_as(&found) => {
                    return Err(BusError::Url("its addresses have different credentials"));
                }
                (_, found) => login = login.or(found),
            }
            addresses.push(address);
        }
        if addresses.is_empty() {
            return Err(BusError::Url("it is empty"));
        }
        let shown: Vec<&str> = addresses.iter().map(ServerAddr::as_url_str).collect();
        Ok(Self {
            login,
            shown: shown.join(","),
            addresses,
        })
    }
}

fn parse_one(text: &str) -> Result<(ServerAddr, Option<Login>), BusError> {
    // The parser's own words may repeat a part of the address.
    let address: ServerAddr = text
        .parse()
        .map_err(|_| BusError::Url("it is not of the form nats://host:port"))?;
    if !matches!(address.scheme(), "nats" | "tls") {
        return Err(BusError::Url("only nats:// and tls:// can be used"));
    }
    if address.host().is_empty() {
        return Err(BusError::Url("it names no host"));
    }
    let login = match (address.username(), address.password()) {
        (Some(user), Some(password)) => Some(Login::Password {
            user: percent_decoded(user)?,
            password: percent_decoded(password)?.into(),
        }),
        (Some(token), None) => Some(Login::Token(percent_decoded(token)?.into())),
        (None, _) => None,
    };
    let mut url = address.into_inner();
    let cleared = url.set_username("").and_then(|()| url.set_password(None));
    cleared.map_err(|()| BusError::Url("it names no host"))?;
    let address =
        ServerAddr::from_url(url).map_err(|_| BusError::Url("only nats:// and tls:// can be used"))?;
    Ok((address, login))
}

/// Decodes `%40` and the like: a password with a reserved character can only be written so in a URL.
fn percent_decoded(text: &str) -> Result<String, BusError> {
    const BROKEN: BusError = BusError::Url("its user or password is not percent-encoded correctly");
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(BROKEN);
        };
        decoded.push(u8::try_from(high * 16 + low).map_err(|_| BROKEN)?);
    }
    String::from_utf8(decoded).map_err(|_| BROKEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Servers {
        Servers::parse(url).unwrap()
    }

    fn problem(url: &str) -> String {
        Servers::parse(url).err().unwrap().to_string()
    }

    #[test]
    fn several_addresses_and_their_one_login() {
        let servers = parsed("nats://bertha:p%40ss%2Cw@one:4222, two:5222,");
        assert_eq!(servers.shown, "nats://one:4222,nats://two:5222");
        let Some(Login::Password { user, password }) = servers.login else {
            panic!("no login")
        };
        assert_eq!((user.as_str(), password.expose_secret()), ("bertha", "p@ss,w"));
        assert_eq!(servers.addresses[1].port(), 5222);
    }

    #[test]
    fn a_user_alone_is_a_token() {
        let Some(Login::Token(token)) = parsed("tls://s3cret@host").login else {
            panic!("no token")
        };
        assert_eq!(token.expose_secret(), "s3cret");
        assert!(parsed("host").login.is_none());
    }

    #[test]
    fn what_cannot_be_used_is_told_without_repeating_it() {
        for url in [
            "",
            " , ",
            "http://bertha:hunter2@host",
            "nats://bertha:hunter2@host:port",
            "nats://bertha:%zz@hunter2",
            "nats://bertha:hunter2@one,nats://bertha:hunter3@two",
            "nats://bertha:%ff@hunter2",
        ] {
            let problem = problem(url);
            assert!(
                problem.starts_with("the NATS URL cannot be used: it"),
                "{problem}"
            );
            assert!(
                !problem.contains("hunter") && !problem.contains("bertha"),
                "{problem}"
            );
        }
        assert_eq!(
            problem("ws://host"),
            "the NATS URL cannot be used: only nats:// and tls:// can be used"
        );
    }

    #[test]
    fn debug_tells_no_secret() {
        let options = BusOptions {
            token: Some("t0ken".into()),
            ..BusOptions::new("nats://bertha:hunter2@one", "test")
        };
        let text = format!(
            "{options:?} {:?}",
            BusOptions::new("nats://bertha:hunter2@one:x", "test")
        );
        assert!(text.contains("nats://one") && text.contains("unusable"), "{text}");
        assert!(
            !text.contains("hunter2") && !text.contains("t0ken") && !text.contains("bertha"),
            "{text}"
        );
    }
}
