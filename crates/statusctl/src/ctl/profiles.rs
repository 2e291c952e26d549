//! `profile`: how several installations are reached, by name.

use std::path::{Path, PathBuf};

use secrecy::ExposeSecret as _;
use serde::Serialize;

use crate::ctl::Context;
use crate::exit::{Exit, Failure};
use crate::place::profiles::{self, Profile, Profiles};
use crate::place::read_file_or_stdin;
use crate::show::Look;
use crate::show::pairs::Pairs;
use crate::show::table::{Cell, Column, render};

/// What to do with profiles.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Commands {
    /// List the profiles; `*` marks the current one
    List,
    /// Add a profile, or replace the one of this name; the first becomes the current one
    ///
    ///   statusctl profile add prod --api-url https://status.example --token-file ~/.status-token
    ///   statusctl profile add prod --api-url https://status.example --token-command 'pass show status'
    ///   pass show status | statusctl profile add prod --api-url https://status.example --token-file -
    ///
    /// A file is remembered by its name and read each time; what comes from standard
    /// input is kept in the profile. The file of profiles is readable by its owner only.
    #[command(verbatim_doc_comment)]
    Add(Box<Add>),
    /// Use a profile from now on, when none is named
    Use {
        /// Which one
        #[arg(value_name = "PROFILE")]
        name: String,
    },
    /// Forget a profile, and the token in it
    Remove {
        /// Which one
        #[arg(value_name = "PROFILE")]
        name: String,
    },
    /// Show a profile, by default the current one; tokens and passwords are never shown
    Show {
        /// Which one
        #[arg(value_name = "PROFILE")]
        name: Option<String>,
    },
}

/// Options of `profile add`; the address and the token file are the global ones.
#[derive(Debug, Clone, clap::Args)]
pub struct Add {
    /// What to call it: letters, digits, dashes, underscores and dots
    #[arg(value_parser = profiles::name)]
    pub name: String,
    /// A command that prints the token; run by `sh` each time
    #[arg(long, value_name = "COMMAND", conflicts_with = "token_file")]
    pub token_command: Option<String>,
    /// Where people see the board, for `board`
    #[arg(long, value_name = "URL")]
    pub board_url: Option<String>,
    /// NATS server, for `watch` and `doctor`
    #[arg(long, value_name = "URL")]
    pub nats_url: Option<String>,
    /// Credentials file for NATS
    #[arg(long, value_name = "FILE", requires = "nats_url")]
    pub nats_credentials: Option<PathBuf>,
    /// Read PostgreSQL's URL, for `doctor`, from this file, or from standard input with `-`; it is kept in the profile
    #[arg(long, value_name = "FILE")]
    pub database_url_file: Option<PathBuf>,
    /// Make it the current one
    #[arg(long)]
    pub r#use: bool,
}

/// Does it.
///
/// # Errors
/// When the file cannot be read or written, or there is no such profile.
pub async fn run(context: &Context, what: &Commands) -> Result<(), Failure> {
    let path = &context.environment.profiles;
    let mut profiles = Profiles::read(path)?;
    match what {
        Commands::List => {
            if profiles.profiles.is_empty() && !context.global.json {
                context.note("no profiles; `statusctl profile add --help` says how to make one");
                return Ok(());
            }
            let all: Vec<Shown> = profiles
                .profiles
                .iter()
                .map(|(name, profile)| Shown::of(name, profile, &profiles))
                .collect();
            context.answer(&all, |look| list(&all, look));
        }
        Commands::Add(add) => {
            let profile = made(context, add).await?;
            profiles.profiles.insert(add.name.clone(), profile);
            if add.r#use || profiles.current.is_none() {
                profiles.current = Some(add.name.clone());
            }
            profiles.write(path)?;
            changed(context, &profiles, &add.name, "added");
        }
        Commands::Use { name } => {
            profiles.get(name)?;
            profiles.current = Some(name.clone());
            profiles.write(path)?;
            changed(context, &profiles, name, "is the current profile");
        }
        Commands::Remove { name } => {
            profiles.get(name)?;
            profiles.profiles.remove(name);
            if profiles.current.as_ref() == Some(name) {
                profiles.current = None;
            }
            profiles.write(path)?;
            context.told(&serde_json::json!({ "name": name }), &format!("{name} removed"));
        }
        Commands::Show { name } => {
            let named = name.as_ref().or(context.global.profile.as_ref());
            let name = named
                .or(profiles.current.as_ref())
                .ok_or_else(|| Failure::new(Exit::NotFound, "there is no current profile: name one"))?;
            let shown = Shown::of(name, profiles.get(name)?, &profiles);
            context.answer(&shown, |look| details(&shown, look));
        }
    }
    Ok(())
}

fn changed(context: &Context, profiles: &Profiles, name: &str, what: &str) {
    if let Some(profile) = profiles.profiles.get(name) {
        context.told(&Shown::of(name, profile, profiles), &format!("{name} {what}"));
    }
}

async fn made(context: &Context, add: &Add) -> Result<Profile, Failure> {
    let api_url = context
        .global
        .api_url
        .clone()
        .ok_or_else(|| Failure::usage("a profile needs the API's address: give --api-url"))?;
    let url = api_url.parse().map_err(|_| {
        Failure::usage("the API's URL cannot be read: expected http://host:port or https://host")
    })?;
    // Whatever a client would refuse is refused now.
    crate::api::Client::new(&url, None, crate::api::Limits::default())?;
    if let Some(board) = &add.board_url {
        crate::ctl::board::address(board)?;
    }
    let is_stdin = |path: &Path| path.as_os_str() == "-";
    let (token, token_file) = match &context.global.token_file {
        Some(path) if is_stdin(path) => (Some(read_file_or_stdin(path).await?), None),
        Some(path) => (None, Some(absolute(path)?)),
        None => (None, None),
    };
    let database_url = match &add.database_url_file {
        Some(path) => Some(read_file_or_stdin(path).await?),
        None => None,
    };
    Ok(Profile {
        api_url,
        token,
        token_file,
        token_command: add.token_command.clone(),
        board_url: add.board_url.clone(),
        nats_url: add.nats_url.clone(),
        nats_credentials: add
            .nats_credentials
            .as_ref()
            .map(|path| absolute(path))
            .transpose()?,
        database_url,
    })
}

/// A profile is used from any folder.
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path)
        .map_err(|error| Failure::usage(format!("{} cannot be a file: {error}", path.display())))
}

/// A profile, as far as it may be shown.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    name: String,
    current: bool,
    api_url: String,
    /// Where it comes from, in words.
    token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    board: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nats: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nats_credentials: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<String>,
}

impl Shown {
    fn of(name: &str, profile: &Profile, profiles: &Profiles) -> Self {
        let database = profile.database_url.as_ref();
        Self {
            name: name.to_owned(),
            current: profiles.current.as_deref() == Some(name),
            api_url: profile.api_url.clone(),
            token: profile.token_kind(),
            board: profile.board_url.clone(),
            nats: profile.nats_url.as_deref().map(without_login),
            nats_credentials: profile.nats_credentials.clone(),
            database: database.map(|url| without_login(url.expose_secret())),
        }
    }
}

/// Addresses without users and passwords.
fn without_login(urls: &str) -> String {
    let one = |text: &str| {
        let host = text.rsplit_once('@').map_or(text, |(_, host)| host);
        let host = host.split_once("://").map_or(host, |(_, host)| host);
        // A query may hold a password as well.
        host.split('?').next().unwrap_or_default().to_owned()
    };
    urls.split(',')
        .map(str::trim)
        .map(one)
        .collect::<Vec<_>>()
        .join(",")
}

fn list(all: &[Shown], look: Look) -> String {
    const COLUMNS: [Column; 4] = [
        Column::fixed(""),
        Column::fixed("PROFILE"),
        Column::elastic("API"),
        Column::elastic("TOKEN").rank(1),
    ];
    let rows: Vec<Vec<Cell>> = all
        .iter()
        .map(|one| {
            let mark = if one.current { "*" } else { "" };
            vec![
                mark.into(),
                Cell::new(&one.name),
                Cell::new(&one.api_url),
                Cell::new(&one.token),
            ]
        })
        .collect();
    render(&COLUMNS, &rows, look)
}

fn details(profile: &Shown, look: Look) -> String {
    let mut pairs = Pairs::default();
    pairs
        .add("Profile", &profile.name)
        .add("Current", if profile.current { "yes" } else { "no" })
        .add("API", &profile.api_url)
        .add("Token", &profile.token)
        .maybe("Board", profile.board.as_deref())
        .maybe("NATS", profile.nats.as_deref())
        .maybe(
            "NATS login",
            profile
                .nats_credentials
                .as_ref()
                .map(|path| path.display().to_string()),
        )
        .maybe("PostgreSQL", profile.database.as_deref());
    pairs.render(look)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::testing::look;

    #[test]
    fn profiles_are_shown_without_what_is_secret() {
        let profiles: Profiles = serde_json::from_value(serde_json::json!({
            "current": "prod",
            "profiles": {
                "prod": {"apiUrl": "https://status.example", "tokenFile": "/home/a/.status-token",
                         "boardUrl": "https://board.example", "natsUrl": "nats://hush:hush@one:4222, tls://hush@two", "natsCredentials": "/home/a/nats.creds",
                         "databaseUrl": "postgres://hush:hu%40sh@db:5432/status?password=hush"},
                "test": {"apiUrl": "http://127.0.0.1:8082", "token": "hush"},
                "other": {"apiUrl": "http://127.0.0.1:8083", "tokenCommand": "pass show status"},
                "none": {"apiUrl": "http://127.0.0.1:8084"},
            }
        }))
        .unwrap();
        let all: Vec<Shown> = profiles
            .profiles
            .iter()
            .map(|(name, profile)| Shown::of(name, profile, &profiles))
            .collect();
        let shown = [
            list(&all, look(None)),
            list(&all, look(Some(50))),
            details(&all[2], look(None)),
            crate::show::json(&all[2]),
        ]
        .join("\n");
        assert!(!shown.contains("hush") && !shown.contains("hu%40sh"), "{shown}");
        insta::assert_snapshot!(shown);
    }
}
