//! From flags, environment, profiles and what runs here to one installation. Pure: what is read is read before.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use domain::AccountId;
use secrecy::SecretString;
use url::Url;

use crate::endpoints::Endpoints;
use crate::exit::{Exit, Failure};
use crate::place::environment::Environment;
use crate::place::profiles::{Profile, Profiles};
use crate::place::token::TokenSource;
use crate::up::secrets::JWT_SECRET_FILE;

/// What the flags say.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// `--profile`
    pub profile: Option<String>,
    /// `--api-url`
    pub api_url: Option<String>,
    /// `--token-file`
    pub token_file: Option<PathBuf>,
    /// `--data-dir`
    pub data_dir: Option<PathBuf>,
    /// `--nats-url`
    pub nats_url: Option<String>,
    /// `--nats-credentials`
    pub nats_credentials: Option<PathBuf>,
}

/// One installation, as far as it is known how to reach it.
#[derive(Debug, Clone)]
pub struct Installation {
    /// What it is called in messages.
    pub name: String,
    /// Where status-api is; `Err` says why that is not known.
    pub api: Result<Url, Failure>,
    /// Where its token comes from.
    pub token: TokenSource,
    /// NATS, where it is known.
    pub nats: Option<NatsAccess>,
    /// PostgreSQL, where it is known.
    pub database: Option<SecretString>,
    /// Where people see the board.
    pub board: Option<String>,
    /// Whose the simulated toolboxes are that the demonstration is of.
    pub demo_account: Option<AccountId>,
    /// The services whose own addresses are known.
    pub services: BTreeMap<String, String>,
}

/// How to reach NATS.
#[derive(Clone)]
pub struct NatsAccess {
    /// Where; may hold a password.
    pub url: String,
    /// A token.
    pub token: Option<SecretString>,
    /// A credentials file.
    pub credentials: Option<PathBuf>,
}

impl std::fmt::Debug for NatsAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsAccess")
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

/// What names the installation; the first that says something.
enum Named<'a> {
    Url(&'a str),
    Profile(&'a str),
    Folder(PathBuf),
}

/// Finds out which installation is meant. `endpoints` reads what runs on a data folder.
///
/// # Errors
/// When a profile does not exist, or something cannot be read. That nothing is there to be asked is told only when it is
/// asked: `watch` and `doctor` can do without the API.
pub fn resolve(
    selection: &Selection,
    environment: &Environment,
    profiles: &Profiles,
    endpoints: impl Fn(&Path) -> anyhow::Result<Option<Endpoints>>,
) -> Result<Installation, Failure> {
    let (named, by_flag) = match selection {
        Selection {
            api_url: Some(url), ..
        } => (Named::Url(url), true),
        Selection {
            profile: Some(name), ..
        } => (Named::Profile(name), true),
        Selection {
            data_dir: Some(dir), ..
        } => (Named::Folder(dir.clone()), true),
        _ => match (&environment.api_url, &environment.profile, &profiles.current) {
            (Some(url), ..) => (Named::Url(url), false),
            (_, Some(name), _) | (_, _, Some(name)) => (Named::Profile(name), false),
            _ => (Named::Folder(environment.data_dir.clone()), false),
        },
    };
    let mut found = match named {
        Named::Url(url) => Installation::new(url.to_owned(), parse(url)),
        Named::Profile(name) => of_profile(name, profiles.get(name)?),
        Named::Folder(dir) => of_folder(&dir, endpoints(&dir)?),
    };
    // What a flag names keeps its own token; else one from the environment comes before it.
    let own = by_flag && !matches!(found.token, TokenSource::None);
    if let Some(path) = &selection.token_file {
        found.token = TokenSource::of_file(path);
    } else if let (false, Some(token)) = (own, &environment.api_token) {
        found.token = TokenSource::Value(token.clone());
    }
    let by_flag_alone = by_flag && selection.api_url.is_none();
    if let Some(url) = &selection.nats_url {
        found.nats = Some(NatsAccess {
            url: url.clone(),
            token: environment.nats_token.clone(),
            credentials: selection
                .nats_credentials
                .clone()
                .or_else(|| environment.nats_credentials.clone()),
        });
    } else if let (false, Some(url)) = (by_flag_alone, &environment.nats_url) {
        found.nats = Some(NatsAccess {
            url: url.clone(),
            token: environment.nats_token.clone(),
            credentials: environment.nats_credentials.clone(),
        });
    }
    if let (Some(nats), Some(path)) = (&mut found.nats, &selection.nats_credentials) {
        nats.credentials = Some(path.clone());
    }
    if let (false, Some(url)) = (by_flag_alone, &environment.database_url) {
        found.database = Some(url.clone());
    }
    Ok(found)
}

impl Installation {
    fn new(name: String, api: Result<Url, Failure>) -> Self {
        Self {
            name,
            api,
            token: TokenSource::None,
            nats: None,
            database: None,
            board: None,
            demo_account: None,
            services: BTreeMap::new(),
        }
    }
}

fn parse(url: &str) -> Result<Url, Failure> {
    // Not repeated: it may hold a password that does not belong there.
    url.parse().map_err(|_| {
        Failure::usage("the API's URL cannot be read: expected http://host:port or https://host")
    })
}

fn of_profile(name: &str, profile: &Profile) -> Installation {
    let token = match (&profile.token, &profile.token_file, &profile.token_command) {
        (Some(token), ..) => TokenSource::Value(token.clone()),
        (_, Some(path), _) => TokenSource::File(path.clone()),
        (_, _, Some(command)) => TokenSource::Command(command.clone()),
        _ => TokenSource::None,
    };
    Installation {
        token,
        nats: profile.nats_url.as_ref().map(|url| NatsAccess {
            url: url.clone(),
            token: None,
            credentials: profile.nats_credentials.clone(),
        }),
        database: profile.database_url.clone(),
        board: profile.board_url.clone(),
        ..Installation::new(format!("the profile {name}"), parse(&profile.api_url))
    }
}

fn of_folder(dir: &Path, running: Option<Endpoints>) -> Installation {
    let name = format!("statusctl up on {}", dir.display());
    let Some(running) = running else {
        let nothing = Failure::unreachable(format!(
            "nothing runs on {}: start `statusctl up`, or name an installation with --profile or --api-url",
            dir.display()
        ));
        return Installation::new(name, Err(nothing));
    };
    let api = match running.services.get("status-api") {
        Some(api) => parse(&api.url),
        None => Err(Failure::new(
            Exit::Unreachable,
            format!("{name} has no status-api"),
        )),
    };
    Installation {
        token: TokenSource::Secret(dir.join(JWT_SECRET_FILE)),
        nats: Some(NatsAccess {
            url: running.nats.url,
            token: None,
            credentials: None,
        }),
        database: Some(SecretString::from(running.database.url)),
        board: running
            .services
            .get("notifier")
            .map(|notifier| notifier.url.clone()),
        demo_account: running.demo_account.map(AccountId),
        services: running
            .services
            .into_iter()
            .map(|(service, endpoint)| (service, endpoint.url))
            .collect(),
        ..Installation::new(name, api)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profiles() -> Profiles {
        serde_json::from_value(serde_json::json!({
            "current": "test",
            "profiles": {
                "test": {"apiUrl": "https://test.example", "token": "of-test"},
                "prod": {"apiUrl": "https://prod.example", "tokenFile": "/prod", "natsUrl": "nats://prod",
                         "databaseUrl": "postgres://prod"},
                "bare": {"apiUrl": "https://bare.example"},
            }
        }))
        .unwrap()
    }

    fn running(dir: &Path) -> anyhow::Result<Option<Endpoints>> {
        if !dir.ends_with("running") {
            return Ok(None);
        }
        let endpoints = serde_json::json!({
            "pid": 1, "nats": {"url": "nats://here"}, "database": {"url": "postgres://here"}, "sim": {"url": "http://s"},
            "services": {"status-api": {"url": "http://127.0.0.1:7"}, "dtma-poller": {"url": "http://127.0.0.1:8"}},
        });
        Ok(Some(serde_json::from_value(endpoints).unwrap()))
    }

    /// `url · token · nats · database`, or why not.
    fn shown(selection: &Selection, environment: &Environment, profiles: &Profiles) -> String {
        use secrecy::ExposeSecret as _;
        let found = match resolve(selection, environment, profiles, running) {
            Ok(found) => found,
            Err(failure) => return format!("{} {failure}", failure.exit.code()),
        };
        let token = match &found.token {
            TokenSource::Value(token) => token.expose_secret().to_owned(),
            TokenSource::None => "none".to_owned(),
            other => format!("{other:?}"),
        };
        let url = match &found.api {
            Ok(url) => url.to_string(),
            Err(failure) => format!("{} {failure}", failure.exit.code()),
        };
        let nats = found.nats.map_or("-".to_owned(), |nats| nats.url);
        let database = found
            .database
            .map_or("-".to_owned(), |url| url.expose_secret().to_owned());
        format!("{url} · {token} · {nats} · {database}")
    }

    #[test]
    fn flags_come_before_the_environment_and_that_before_profiles_and_what_runs() {
        let none = Selection::default;
        let flag = |set: fn(&mut Selection)| {
            let mut selection = none();
            set(&mut selection);
            selection
        };
        let empty = || Environment {
            data_dir: "/running".into(),
            ..Environment::default()
        };
        let full = || Environment {
            api_url: Some("https://env.example".to_owned()),
            api_token: Some("of-env".into()),
            nats_url: Some("nats://env".to_owned()),
            ..empty()
        };
        let with_token = || Environment {
            api_url: None,
            nats_url: None,
            ..full()
        };
        let stopped = || Environment {
            data_dir: "/stopped".into(),
            ..Environment::default()
        };
        let by_name = |name: &str| Environment {
            profile: Some(name.to_owned()),
            ..empty()
        };
        let no_profiles = Profiles::default;
        let cases = [
            ("nothing is said", none(), empty(), no_profiles()),
            ("nothing runs", none(), stopped(), no_profiles()),
            ("the current profile", none(), empty(), profiles()),
            ("STATUS_PROFILE", none(), by_name("prod"), profiles()),
            (
                "STATUS_API_TOKEN with the current profile",
                none(),
                with_token(),
                profiles(),
            ),
            ("STATUS_API_URL and all", none(), full(), profiles()),
            (
                "--profile",
                flag(|s| s.profile = Some("prod".into())),
                full(),
                profiles(),
            ),
            (
                "--profile without a token",
                flag(|s| s.profile = Some("bare".into())),
                full(),
                profiles(),
            ),
            (
                "--profile that is none",
                flag(|s| s.profile = Some("x".into())),
                full(),
                profiles(),
            ),
            (
                "--data-dir",
                flag(|s| s.data_dir = Some("/other/running".into())),
                full(),
                profiles(),
            ),
            (
                "--api-url",
                flag(|s| s.api_url = Some("http://flag".into())),
                empty(),
                profiles(),
            ),
            (
                "--api-url and the environment",
                flag(|s| s.api_url = Some("http://flag".into())),
                full(),
                profiles(),
            ),
            (
                "--api-url that is none",
                flag(|s| s.api_url = Some("flag".into())),
                empty(),
                profiles(),
            ),
            (
                "--token-file",
                flag(|s| s.token_file = Some("-".into())),
                full(),
                profiles(),
            ),
            (
                "--nats-url",
                flag(|s| s.nats_url = Some("nats://flag".into())),
                full(),
                profiles(),
            ),
        ];
        let lines: String = cases
            .iter()
            .map(|(case, selection, environment, profiles)| {
                format!("{case}: {}\n", shown(selection, environment, profiles))
            })
            .collect();
        insta::assert_snapshot!(lines);
    }
}
