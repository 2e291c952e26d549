//! What the process's environment says, read once.

use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};

/// The variables that statusctl looks at.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `STATUS_API_URL`
    pub api_url: Option<String>,
    /// `STATUS_API_TOKEN`
    pub api_token: Option<SecretString>,
    /// `STATUS_PROFILE`
    pub profile: Option<String>,
    /// `NATS_URL`
    pub nats_url: Option<String>,
    /// `NATS_TOKEN`
    pub nats_token: Option<SecretString>,
    /// `NATS_CREDENTIALS`
    pub nats_credentials: Option<PathBuf>,
    /// `DATABASE_URL`
    pub database_url: Option<SecretString>,
    /// `NO_COLOR` is set, and not to nothing.
    pub no_color: bool,
    /// The file of profiles: `$XDG_CONFIG_HOME/mcp-status-sync/profiles.json`.
    pub profiles: PathBuf,
    /// The data folder of `statusctl up` when none is named.
    pub data_dir: PathBuf,
}

impl Environment {
    /// Reads the process's environment. Of what is secret, and of `NATS_URL`, which may hold a password, a variable with
    /// `_FILE` behind its name may name a file that holds it.
    ///
    /// # Errors
    /// When such a file cannot be read.
    #[expect(
        clippy::disallowed_methods,
        reason = "the shell of the command line: the one place that reads its environment"
    )]
    pub fn read() -> anyhow::Result<Self> {
        let path = |name: &str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let secret = |name: &str| {
            let of_file = service::secret_files::read(name, |name| std::env::var_os(name))?;
            anyhow::Ok(of_file.or_else(|| text(name).map(SecretString::from)))
        };
        let home = |below: &str| path("HOME").map(|home| home.join(below));
        let config = path("XDG_CONFIG_HOME").or_else(|| home(".config"));
        Ok(Self {
            api_url: text("STATUS_API_URL"),
            api_token: secret("STATUS_API_TOKEN")?,
            profile: text("STATUS_PROFILE"),
            nats_url: secret("NATS_URL")?.map(|url| url.expose_secret().to_owned()),
            nats_token: secret("NATS_TOKEN")?,
            nats_credentials: path("NATS_CREDENTIALS"),
            database_url: secret("DATABASE_URL")?,
            no_color: text("NO_COLOR").is_some(),
            profiles: config
                .unwrap_or_else(|| PathBuf::from("."))
                .join("mcp-status-sync")
                .join("profiles.json"),
            data_dir: crate::endpoints::default_data_dir(),
        })
    }
}
