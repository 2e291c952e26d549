//! Where the token comes from. Never from an argument: everybody on the machine could read it there.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use access::NewToken;
use domain::AccountId;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use tokio::io::AsyncReadExt as _;

use crate::exit::{Exit, Failure};
use crate::files;

/// Larger than any token that an API takes in a header.
const LARGEST: u64 = 16 << 10;
/// A command that asks a person for a password needs some time; one that hangs must end.
const COMMAND_WITHIN: Duration = Duration::from_secs(60);
/// Tokens for one's own `statusctl up`: longer than any command runs, save for `watch`, which asks for new ones.
const OWN_TOKEN_FOR: SignedDuration = SignedDuration::from_hours(1);
/// What status-api's verifier expects unless configured otherwise.
pub(crate) const AUDIENCE: &str = "authenticated";

/// Where a token comes from.
#[derive(Debug, Clone)]
pub enum TokenSource {
    /// It is here.
    Value(SecretString),
    /// The first line of a file.
    File(PathBuf),
    /// The first line of standard input.
    Stdin,
    /// What a command prints.
    Command(String),
    /// Made from the secret of a `statusctl up`.
    Secret(PathBuf),
    /// There is none.
    None,
}

impl TokenSource {
    /// From `--token-file`: `-` is standard input.
    pub fn of_file(path: &Path) -> Self {
        if path.as_os_str() == "-" {
            Self::Stdin
        } else {
            Self::File(path.to_owned())
        }
    }

    /// Fetches the token.
    ///
    /// # Errors
    /// When it is not where it should be; never with a part of it.
    pub async fn fetch(&self, now: Timestamp) -> Result<Option<SecretString>, Failure> {
        match self {
            Self::None => Ok(None),
            Self::Value(token) => Ok(Some(token.clone())),
            Self::File(path) => {
                let text = files::read_bounded(path, LARGEST)?;
                let missing = || Failure::usage(format!("the token file {} is not there", path.display()));
                usable(&text.ok_or_else(missing)?, &path.display().to_string()).map(Some)
            }
            Self::Stdin => usable(&read_stdin().await?, "standard input").map(Some),
            Self::Command(command) => run(command).await.map(Some),
            Self::Secret(path) => {
                let secret = read_secret(path)?;
                Ok(Some(mint_for_services(&secret, now, OWN_TOKEN_FOR)?))
            }
        }
    }
}

/// Reads standard input, as far as a secret may be long.
///
/// # Errors
/// When it cannot be read.
pub(crate) async fn read_stdin() -> Result<String, Failure> {
    // A thread of its own, which ends with the process: a read that waits for a person must not hold up Ctrl-C.
    let (told, read) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        use std::io::Read as _;
        let mut text = String::new();
        let read = std::io::stdin().take(LARGEST).read_to_string(&mut text);
        let _ = told.send(read.map(|_| text));
    });
    let failed = |why: String| Failure::usage(format!("failed to read standard input: {why}"));
    read.await
        .map_err(|error| failed(error.to_string()))?
        .map_err(|error| failed(error.to_string()))
}

/// A secret in a file of its own, or on standard input (`-`).
///
/// # Errors
/// When there is none.
pub(crate) async fn read_file_or_stdin(path: &Path) -> Result<SecretString, Failure> {
    match TokenSource::of_file(path).fetch(Timestamp::UNIX_EPOCH).await? {
        Some(secret) => Ok(secret),
        None => Err(Failure::usage("there is nothing to read")),
    }
}

/// The secret that tokens of a `statusctl up` are signed with.
pub(crate) fn read_secret(path: &Path) -> Result<SecretString, Failure> {
    let text = files::read_bounded(path, LARGEST)?.ok_or_else(|| {
        Failure::new(
            Exit::NotPermitted,
            format!(
                "there is no secret for tokens in {}: give a token with --token-file",
                path.display()
            ),
        )
    })?;
    usable(&text, &path.display().to_string())
}

fn usable(text: &str, of: &str) -> Result<SecretString, Failure> {
    let line = text.lines().next().unwrap_or("").trim();
    if line.is_empty() || !line.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::usage(format!("there is no token in {of}")));
    }
    Ok(SecretString::from(line.to_owned()))
}

async fn run(command: &str) -> Result<SecretString, Failure> {
    let failed = |why: String| Failure::new(Exit::NotPermitted, format!("the profile's token command {why}"));
    let child = tokio::process::Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::inherit())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn();
    let mut child = child.map_err(|error| failed(format!("could not be run: {error}")))?;
    let output = async {
        let mut text = String::new();
        if let Some(out) = child.stdout.take() {
            out.take(LARGEST).read_to_string(&mut text).await?;
        }
        std::io::Result::Ok((text, child.wait().await?))
    };
    let (text, status) = tokio::time::timeout(COMMAND_WITHIN, output)
        .await
        .map_err(|_| failed(format!("did not end within {COMMAND_WITHIN:?}")))?
        .map_err(|error| failed(format!("could not be read: {error}")))?;
    if !status.success() {
        return Err(failed(format!("failed ({status})")));
    }
    usable(&text, "what the profile's token command printed")
}

/// What is to be minted.
#[derive(Debug, Clone, Copy)]
pub struct Minting<'a> {
    /// Whose it is; `None` for services.
    pub account: Option<AccountId>,
    /// `authenticated` or `service_role`.
    pub role: &'a str,
    /// Whom it is for.
    pub audience: &'a str,
    /// Who says so.
    pub issuer: Option<&'a str>,
    /// For how long.
    pub lasts: SignedDuration,
}

impl Minting<'_> {
    /// Makes the token.
    ///
    /// # Errors
    /// When the secret is too short, or the end is beyond all time.
    pub fn mint(&self, secret: &SecretString, now: Timestamp) -> Result<SecretString, Failure> {
        let expires_at = now
            .checked_add(self.lasts)
            .map_err(|_| Failure::usage("a token cannot last that long"))?;
        let token = NewToken {
            subject: self.account,
            role: self.role,
            audience: Some(self.audience),
            issuer: self.issuer,
            issued_at: now,
            expires_at,
        };
        Ok(access::mint(secret, &token)?)
    }
}

/// A token that sees and may do everything: for who owns the secret.
///
/// # Errors
/// As [`Minting::mint`].
pub fn mint_for_services(
    secret: &SecretString,
    now: Timestamp,
    lasts: SignedDuration,
) -> Result<SecretString, Failure> {
    Minting {
        account: None,
        role: "service_role",
        audience: AUDIENCE,
        issuer: None,
        lasts,
    }
    .mint(secret, now)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    async fn fetched(source: TokenSource) -> Result<String, Failure> {
        let token = source.fetch("2026-11-22T12:00:00Z".parse().unwrap()).await?;
        Ok(token.map_or_else(String::new, |token| token.expose_secret().to_owned()))
    }

    #[tokio::test]
    async fn from_files_and_commands() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let file = || TokenSource::of_file(&path);
        assert!(fetched(file()).await.unwrap_err().text.contains("is not there"));
        std::fs::write(&path, "  abc.def\nmore\n").unwrap();
        assert_eq!(fetched(file()).await.unwrap(), "abc.def");
        std::fs::write(&path, "two words").unwrap();
        let failure = fetched(file()).await.unwrap_err();
        assert!(!failure.text.contains("words"), "{failure}");

        assert_eq!(
            fetched(TokenSource::Command("echo abc".into())).await.unwrap(),
            "abc"
        );
        let failure = fetched(TokenSource::Command("echo abc; exit 3".into()))
            .await
            .unwrap_err();
        assert_eq!(failure.exit, Exit::NotPermitted);
        assert!(!failure.text.contains("abc"), "{failure}");
    }

    #[tokio::test]
    async fn from_the_secret_of_an_installation_of_ones_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("jwt-secret");
        assert_eq!(
            fetched(TokenSource::Secret(path.clone())).await.unwrap_err().exit,
            Exit::NotPermitted
        );
        std::fs::write(&path, "0123456789abcdef0123456789abcdef\n").unwrap();
        let token = fetched(TokenSource::Secret(path)).await.unwrap();
        assert_eq!(token.split('.').count(), 3);
    }
}
