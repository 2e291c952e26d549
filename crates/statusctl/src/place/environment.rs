//! What the process's environment says, read once.

use std::path::PathBuf;

use secrecy::SecretString;

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
    /// Reads the process's environment.
    #[expect(
        clippy::disallowed_methods,
        reason = "the shell of the command line: the one place that reads its environment"
    )]
    pub fn read() -> Self {
        let path = |name: &str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let home = |below: &str| path("HOME").map(|home| home.join(below));
        let config = path("XDG_CONFIG_HOME").or_else(|| home(".config"));
        Self {
            api_url: text("STATUS_API_URL"),
            api_token: text("STATUS_API_TOKEN").map(SecretString::from),
            profile: text("STATUS_PROFILE"),
            nats_url: text("NATS_URL"),
            nats_token: text("NATS_TOKEN").map(SecretString::from),
            nats_credentials: path("NATS_CREDENTIALS"),
            database_url: text("DATABASE_URL").map(SecretString::from),
            no_color: text("NO_COLOR").is_some(),
            profiles: config
                .unwrap_or_else(|| PathBuf::from("."))
                .join("mcp-status-sync")
                .join("profiles.json"),
            data_dir: crate::endpoints::default_data_dir(),
        }
    }
}
