//! Profiles: how to reach several installations, by name. One file, readable by its owner only.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize, Serializer};

use crate::exit::{Exit, Failure};
use crate::files;

/// Far more than anybody's profiles.
const LARGEST: u64 = 1 << 20;

/// The file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profiles {
    /// The one that is used when none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// All, by name.
    #[serde(default)]
    pub profiles: BTreeMap<String, Profile>,
}

/// How one installation is reached. A token is there in at most one form.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Profile {
    /// Where status-api is.
    pub api_url: String,
    /// The token itself.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "written")]
    pub token: Option<SecretString>,
    /// A file that holds it; read each time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// A command that prints it; run each time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_command: Option<String>,
    /// Where people see the board, for `board`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub board_url: Option<String>,
    /// NATS, for `watch` and `doctor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nats_url: Option<String>,
    /// The credentials file for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nats_credentials: Option<PathBuf>,
    /// PostgreSQL, for `doctor`. The URL holds a password.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "written")]
    pub database_url: Option<SecretString>,
}

fn written<S: Serializer>(secret: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    secret
        .as_ref()
        .map(|secret| secret.expose_secret())
        .serialize(serializer)
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile")
            .field("api_url", &self.api_url)
            .field("token", &self.token_kind())
            .finish_non_exhaustive()
    }
}

impl Profile {
    /// Where its token comes from, in words; the token itself is never shown.
    pub fn token_kind(&self) -> String {
        match (&self.token, &self.token_file, &self.token_command) {
            (Some(_), ..) => "kept in the profile".to_owned(),
            (_, Some(file), _) => format!("from the file {}", file.display()),
            (_, _, Some(command)) => format!("from the command `{command}`"),
            _ => "none".to_owned(),
        }
    }
}

impl Profiles {
    /// Reads the file; where there is none, there are no profiles.
    ///
    /// # Errors
    /// When it is there and cannot be read or understood. What is wrong is told by its place: a value may be a secret.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let Some(text) = files::read_bounded(path, LARGEST)? else {
            return Ok(Self::default());
        };
        serde_json::from_str(&text).map_err(|error| {
            Failure::new(
                Exit::Failed,
                format!(
                    "failed to understand {}: see line {}, column {}",
                    path.display(),
                    error.line(),
                    error.column()
                ),
            )
        })
    }

    /// Writes the file, readable by its owner only.
    ///
    /// # Errors
    /// When its folder cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("failed to create {}", folder.display()))?;
        }
        let text = serde_json::to_string_pretty(self).context("failed to encode the profiles")?;
        Ok(files::write_private(path, &text)?)
    }

    /// One by its name.
    ///
    /// # Errors
    /// [`Exit::NotFound`], with the names there are.
    pub fn get(&self, name: &str) -> Result<&Profile, Failure> {
        self.profiles.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.profiles.keys().map(String::as_str).collect();
            let known = if names.is_empty() {
                "there are none: `statusctl profile add` makes one".to_owned()
            } else {
                format!("there are {}", names.join(", "))
            };
            Failure::not_found(format!("no profile is named {name}; {known}"))
        })
    }
}

/// Whether a profile may be named so.
///
/// # Errors
/// Says what was expected, for command lines.
pub fn name(text: &str) -> Result<String, String> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    if (1..=64).contains(&text.len()) && text.chars().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err("expected 1 to 64 letters, digits, dashes, underscores and dots".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/profiles.json");
        let mut profiles = Profiles::read(&path).unwrap();
        assert!(profiles.profiles.is_empty());
        profiles.profiles.insert(
            "prod".to_owned(),
            Profile {
                api_url: "https://status.example".to_owned(),
                token: Some("hush".into()),
                token_file: None,
                token_command: None,
                board_url: None,
                nats_url: None,
                nats_credentials: None,
                database_url: Some("postgres://u:hush@h/d".into()),
            },
        );
        profiles.current = Some("prod".to_owned());
        profiles.write(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let read = Profiles::read(&path).unwrap();
        assert_eq!(
            read.get("prod").unwrap().token.as_ref().unwrap().expose_secret(),
            "hush"
        );
        assert!(!format!("{read:?}").contains("hush"));
        let failure = read.get("test").unwrap_err();
        assert_eq!(failure.exit, Exit::NotFound);
        assert_eq!(failure.text, "no profile is named test; there are prod");
    }

    #[test]
    fn a_broken_file_is_told_without_what_stands_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("profiles.json");
        std::fs::write(&path, r#"{"profiles": {"p": {"apiUrl": "u", "tokn": "hush"}}}"#).unwrap();
        let failure = Profiles::read(&path).unwrap_err();
        assert!(failure.text.contains("line 1"), "{failure}");
        assert!(!failure.text.contains("hush"));
    }
}
