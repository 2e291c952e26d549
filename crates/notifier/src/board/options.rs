//! What the board is told.

use anyhow::{Context as _, ensure};
use clap::{ArgAction, Args};
use url::Url;

/// How the board is served. The defaults of the fields are those of the options.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Board")]
pub struct BoardOptions {
    /// Serve the board at /
    #[arg(long, env = "NOTIFIER_BOARD", default_value_t = true, action = ArgAction::Set, num_args = 0..=1,
          default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    pub board: bool,
    /// Where people's browsers reach status-api; without it the board asks where it comes from, as behind one ingress.
    /// status-api must allow the board's origin (API_CORS_ORIGINS)
    #[arg(long, env = "NOTIFIER_BOARD_API_URL", value_name = "URL")]
    pub board_api_url: Option<String>,
}

impl Default for BoardOptions {
    fn default() -> Self {
        Self {
            board: true,
            board_api_url: None,
        }
    }
}

impl BoardOptions {
    /// Where status-api is for the page; `None`: where the page is.
    ///
    /// # Errors
    /// Names the option and what was expected.
    pub(crate) fn api_url(&self) -> anyhow::Result<Option<Url>> {
        // An option that is given empty counts as not given.
        let Some(text) = self.board_api_url.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let url: Url = text
            .parse()
            .context("--board-api-url (NOTIFIER_BOARD_API_URL) is not a URL")?;
        ensure!(
            matches!(url.scheme(), "https" | "http")
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none(),
            "--board-api-url (NOTIFIER_BOARD_API_URL) must be an https or http URL such as https://api.example, without user, \
             query and fragment"
        );
        Ok(Some(url))
    }
}
