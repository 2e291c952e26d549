//! The options of whoever verifies tokens. Every one is also an environment variable.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};
use url::Url;

/// Shortest secret taken, in bytes: what HS256 is worth (RFC 7518, 3.2). A shorter one can be guessed from a token.
pub(crate) const SECRET_MIN: usize = 32;
/// Longest leeway: clocks that are further apart are broken, and an expired token must not live on for long.
const LEEWAY_MAX: Duration = Duration::from_secs(600);
/// Between fetches of keys: a withdrawn key is taken for at most a day, and a key server is not asked all the time.
const REFRESH: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);
/// Claims that Supabase lets every user write about himself.
const WRITTEN_BY_USERS: [&str; 2] = ["user_metadata", "raw_user_meta_data"];

/// Whose tokens are taken, and for what. An option that is given empty counts as not given.
#[derive(Clone, Args)]
#[command(next_help_heading = "Authorisation")]
pub struct AccessOptions {
    /// Secret that tokens are signed with by HS256, at least 32 bytes; this or --jwks-url must be given
    #[arg(long, env = "JWT_SECRET", hide_env_values = true)]
    pub jwt_secret: Option<SecretString>,
    /// Where the public keys are that tokens are signed with: a JSON Web Key Set, by https, or by http within a
    /// network that nobody else writes to
    #[arg(long, env = "JWKS_URL", hide_env_values = true, value_name = "URL")]
    pub jwks_url: Option<String>,
    /// Audience that tokens must name; tokens of services may name none
    #[arg(long, env = "JWT_AUDIENCE", default_value = "authenticated")]
    pub jwt_audience: String,
    /// Issuer that every token must name; any is taken when this is not given
    #[arg(long, env = "JWT_ISSUER")]
    pub jwt_issuer: Option<String>,
    /// Claim that makes an admin: path=value, where the claim is the value or a list that has it
    #[arg(long, env = "ADMIN_CLAIM", default_value = "app_metadata.role=admin")]
    pub admin_claim: AdminClaim,
    /// How far clocks may be apart when a token begins or ends
    #[arg(long, env = "JWT_LEEWAY", default_value = "30s", value_parser = duration)]
    pub jwt_leeway: Duration,
    /// Between fetches of the public keys
    #[arg(long, env = "JWKS_REFRESH", default_value = "10m", value_parser = duration)]
    pub jwks_refresh: Duration,
}

impl AccessOptions {
    /// These keys, and everything else as the options' defaults are.
    pub fn new(jwt_secret: Option<SecretString>, jwks_url: Option<String>) -> Self {
        Self {
            jwt_secret,
            jwks_url,
            jwt_audience: "authenticated".to_owned(),
            jwt_issuer: None,
            admin_claim: AdminClaim {
                path: "app_metadata.role".to_owned(),
                value: "admin".to_owned(),
            },
            jwt_leeway: Duration::from_secs(30),
            jwks_refresh: Duration::from_secs(600),
        }
    }

    /// # Errors
    /// Names the first option whose value cannot be. Never repeats a secret or a URL.
    pub fn check(&self) -> anyhow::Result<()> {
        let url = self.url()?;
        match self.secret() {
            Some(secret) => ensure!(
                secret.expose_secret().len() >= SECRET_MIN,
                "--jwt-secret (JWT_SECRET) must be at least {SECRET_MIN} bytes long"
            ),
            None if url.is_none() => {
                bail!("--jwt-secret (JWT_SECRET) or --jwks-url (JWKS_URL) must be given")
            }
            None => {}
        }
        ensure!(
            !self.jwt_audience.is_empty(),
            "--jwt-audience (JWT_AUDIENCE) must not be empty"
        );
        ensure!(
            !WRITTEN_BY_USERS.contains(&self.admin_claim.root()),
            "--admin-claim (ADMIN_CLAIM) must not be one that users write about themselves"
        );
        ensure!(
            self.jwt_leeway <= LEEWAY_MAX,
            "--jwt-leeway (JWT_LEEWAY) must be at most 10m"
        );
        ensure!(
            REFRESH.contains(&self.jwks_refresh),
            "--jwks-refresh (JWKS_REFRESH) must be between 1s and 24h"
        );
        Ok(())
    }

    pub(crate) fn secret(&self) -> Option<&SecretString> {
        self.jwt_secret
            .as_ref()
            .filter(|secret| !secret.expose_secret().is_empty())
    }

    pub(crate) fn issuer(&self) -> Option<&str> {
        self.jwt_issuer.as_deref().filter(|issuer| !issuer.is_empty())
    }

    pub(crate) fn url(&self) -> anyhow::Result<Option<Url>> {
        let Some(text) = self
            .jwks_url
            .as_deref()
            .map(str::trim)
            .filter(|url| !url.is_empty())
        else {
            return Ok(None);
        };
        let url: Url = text.parse().context("--jwks-url (JWKS_URL) is not a URL")?;
        ensure!(
            matches!(url.scheme(), "https" | "http") && url.host_str().is_some_and(|host| !host.is_empty()),
            "--jwks-url (JWKS_URL) must be an https or http URL"
        );
        ensure!(
            url.username().is_empty() && url.password().is_none(),
            "--jwks-url (JWKS_URL) must not hold a user name or password: keys are public"
        );
        Ok(Some(url))
    }
}

impl fmt::Debug for AccessOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Of the URL only the host: a query may hold a key.
        let host = |url: Option<Url>| url.and_then(|url| url.host_str().map(str::to_owned));
        f.debug_struct("AccessOptions")
            .field("jwt_secret", &self.secret().map(|_| "given"))
            .field(
                "jwks_host",
                &self.url().map_or_else(|_| Some("unusable".to_owned()), host),
            )
            .field("jwt_audience", &self.jwt_audience)
            .field("jwt_issuer", &self.jwt_issuer)
            .field("admin_claim", &self.admin_claim)
            .field("jwt_leeway", &self.jwt_leeway)
            .field("jwks_refresh", &self.jwks_refresh)
            .finish()
    }
}

/// A claim that makes an admin, `app_metadata.role=admin`: where it is, and what it must say or list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminClaim {
    path: String,
    value: String,
}

impl AdminClaim {
    fn root(&self) -> &str {
        self.path.split('.').next().unwrap_or_default()
    }

    /// Whether a token with these claims is an admin's.
    pub(crate) fn matches(&self, claims: &Map<String, Value>) -> bool {
        // Some issuers name claims by a URL, whose dots part nothing.
        let found = claims.get(&self.path).or_else(|| {
            let mut names = self.path.split('.');
            let first = claims.get(names.next()?)?;
            names.try_fold(first, |value, name| value.as_object()?.get(name))
        });
        match found {
            Some(Value::String(text)) => *text == self.value,
            Some(Value::Array(list)) => list.iter().any(|item| item.as_str() == Some(&self.value)),
            _ => false,
        }
    }
}

impl FromStr for AdminClaim {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (path, value) = text
            .split_once('=')
            .ok_or("expected path=value, such as app_metadata.role=admin")?;
        if path.split('.').any(str::is_empty) || value.is_empty() {
            return Err("expected a path of names with dots between, and a value");
        }
        Ok(Self {
            path: path.to_owned(),
            value: value.to_owned(),
        })
    }
}

/// Reads a duration as the services' options do: `250ms`, `30s`, `5m`, `1m30s`.
fn duration(text: &str) -> Result<Duration, &'static str> {
    text.parse::<jiff::SignedDuration>()
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or("expected a duration such as 250ms, 30s, 5m or 1m30s")
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};
    use serde_json::json;

    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    #[derive(Debug, Parser)]
    struct Host {
        #[command(flatten)]
        access: AccessOptions,
    }

    fn parse(arguments: &[&str]) -> Result<AccessOptions, clap::Error> {
        Host::try_parse_from(["host"].iter().chain(arguments)).map(|host| host.access)
    }

    #[test]
    fn every_option_is_a_variable_and_has_help_and_the_defaults_are_those_of_new() {
        let command = Host::command();
        command.clone().debug_assert();
        for option in command.get_arguments().filter(|option| option.get_id() != "help") {
            assert!(option.get_env().is_some(), "{} has no variable", option.get_id());
            assert!(option.get_help().is_some(), "{} has no help", option.get_id());
            assert_eq!(option.get_help_heading(), Some("Authorisation"));
        }
        let parsed = parse(&["--jwt-secret", SECRET]).unwrap();
        let new = AccessOptions::new(Some(SECRET.into()), None);
        assert_eq!(format!("{parsed:?}"), format!("{new:?}"));
        parsed.check().unwrap();
        parse(&["--jwks-url", "http://127.0.0.1/keys?policy=a"])
            .unwrap()
            .check()
            .unwrap();
    }

    #[test]
    fn values_that_cannot_be_are_named_and_secrets_are_not() {
        let with_secret = ["--jwt-secret", SECRET];
        for (arguments, expected) in [
            (
                &[][..],
                "--jwt-secret (JWT_SECRET) or --jwks-url (JWKS_URL) must be given",
            ),
            (
                &["--jwt-secret", "", "--jwks-url", " "],
                "--jwt-secret (JWT_SECRET) or --jwks-url (JWKS_URL) must",
            ),
            (
                &["--jwt-secret", "hush-hush"],
                "--jwt-secret (JWT_SECRET) must be at least 32 bytes",
            ),
            (
                &["--jwt-secret", "hush-hush", "--jwks-url", "https://a"],
                "--jwt-secret (JWT_SECRET) must be at least",
            ),
            (&["--jwks-url", "hush"], "--jwks-url (JWKS_URL) is not a URL"),
            (
                &["--jwks-url", "ftp://hush/keys"],
                "--jwks-url (JWKS_URL) must be an https or http URL",
            ),
            (
                &["--jwks-url", "file:///hush"],
                "--jwks-url (JWKS_URL) must be an https or http URL",
            ),
            (
                &["--jwks-url", "https://user@hush/"],
                "--jwks-url (JWKS_URL) must not hold a user name",
            ),
            (
                &["--jwks-url", "https://:hush@a/"],
                "--jwks-url (JWKS_URL) must not hold a user name",
            ),
            (
                &["--jwt-audience", ""],
                "--jwt-audience (JWT_AUDIENCE) must not be empty",
            ),
            (
                &["--jwt-leeway", "11m"],
                "--jwt-leeway (JWT_LEEWAY) must be at most 10m",
            ),
            (
                &["--jwks-refresh", "0s"],
                "--jwks-refresh (JWKS_REFRESH) must be between",
            ),
            (
                &["--jwks-refresh", "25h"],
                "--jwks-refresh (JWKS_REFRESH) must be between",
            ),
            (
                &["--admin-claim", "user_metadata.role=admin"],
                "--admin-claim (ADMIN_CLAIM) must not be one that users",
            ),
        ] {
            let about_keys =
                arguments.is_empty() || arguments[0] == "--jwt-secret" || arguments[0] == "--jwks-url";
            let keys = if about_keys { &[][..] } else { &with_secret };
            let options = parse(&[arguments, keys].concat()).unwrap();
            let error = format!("{:#}", options.check().unwrap_err());
            assert!(error.starts_with(expected), "{arguments:?}: {error}");
            assert!(!error.contains("hush"), "{error}");
        }
        for (option, value) in [
            ("--jwt-leeway", "-1s"),
            ("--jwt-leeway", "30"),
            ("--admin-claim", "role"),
            ("--admin-claim", "a..b=c"),
            ("--admin-claim", "=admin"),
            ("--admin-claim", "role="),
        ] {
            assert!(parse(&[option, value]).is_err(), "{option} {value}");
        }
    }

    #[test]
    fn neither_the_secret_nor_the_address_of_the_keys_is_shown() {
        let url = "https://keys.example/set?apikey=hush-hush";
        let shown = format!(
            "{:?}",
            AccessOptions::new(Some(SECRET.into()), Some(url.to_owned()))
        );
        assert!(!shown.contains(SECRET) && !shown.contains("hush"), "{shown}");
        assert!(shown.contains("keys.example"), "{shown}");
    }

    #[test]
    fn what_makes_an_admin() {
        for (claim, claims, expected) in [
            (
                "app_metadata.role=admin",
                json!({"app_metadata": {"role": "admin"}}),
                true,
            ),
            (
                "app_metadata.role=admin",
                json!({"app_metadata": {"role": ["a", "admin"]}}),
                true,
            ),
            (
                "app_metadata.role=admin",
                json!({"app_metadata": {"role": ["a", ["admin"]]}}),
                false,
            ),
            (
                "app_metadata.role=admin",
                json!({"app_metadata": {"role": "administrator"}}),
                false,
            ),
            (
                "app_metadata.role=admin",
                json!({"app_metadata": {"role": {"admin": true}}}),
                false,
            ),
            ("app_metadata.role=admin", json!({"app_metadata": "admin"}), false),
            (
                "app_metadata.role=admin",
                json!({"user_metadata": {"role": "admin"}}),
                false,
            ),
            ("app_metadata.role=admin", json!({"role": "admin"}), false),
            ("app_metadata.role=admin", json!({}), false),
            ("groups=ops", json!({"groups": ["dev", "ops"]}), true),
            ("groups=a=b", json!({"groups": "a=b"}), true),
            (
                "https://app.example/roles=ops",
                json!({"https://app.example/roles": ["ops"]}),
                true,
            ),
        ] {
            let admin: AdminClaim = claim.parse().unwrap();
            let claims = claims.as_object().unwrap();
            assert_eq!(admin.matches(claims), expected, "{claim} {claims:?}");
        }
    }
}
