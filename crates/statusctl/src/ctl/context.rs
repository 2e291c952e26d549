//! What every command has at hand: the global options, the terminal, the clock, the installation.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use jiff::Timestamp;
use secrecy::SecretString;
use serde::Serialize;

use crate::api::{Client, Limits};
use crate::endpoints::Endpoints;
use crate::exit::{Exit, Failure};
use crate::place::profiles::Profiles;
use crate::place::{Environment, Installation, Selection, resolve};
use crate::show::{Look, json};

/// Options that every command takes.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Use this profile; also STATUS_PROFILE, else the current one (see `statusctl profile`)
    #[arg(long, global = true, value_name = "NAME")]
    pub profile: Option<String>,
    /// Ask the status-api at this address; also STATUS_API_URL
    #[arg(long, global = true, value_name = "URL", conflicts_with = "profile")]
    pub api_url: Option<String>,
    /// Read the token from the first line of this file, or of standard input with `-`; also STATUS_API_TOKEN, which holds the token itself
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Data folder of the `statusctl up` that is meant; by default a folder of the user's own
    #[arg(long, global = true, value_name = "DIR", conflicts_with_all = ["profile", "api_url"])]
    pub data_dir: Option<PathBuf>,
    /// Print JSON: one document, an array for what takes or lists several things
    #[arg(long, global = true)]
    pub json: bool,
    /// What to log to standard error: a level, or directives such as `info,bus=debug`
    #[arg(
        long,
        global = true,
        env = "LOG",
        default_value = "warn",
        value_name = "LEVEL"
    )]
    pub log: String,
}

/// What is known of the terminal.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    /// Its columns; `None`: standard output is none.
    pub columns: Option<usize>,
    /// Whether it may be coloured.
    pub color: bool,
}

impl Terminal {
    /// Looks at standard output.
    pub fn look(environment: &Environment) -> Self {
        let out = std::io::stdout();
        if !out.is_terminal() {
            return Self {
                columns: None,
                color: false,
            };
        }
        let size = rustix::termios::tcgetwinsize(out);
        Self {
            columns: Some(size.map_or(100, |size| usize::from(size.ws_col.max(40)))),
            color: !environment.no_color,
        }
    }
}

/// What every command has at hand.
#[derive(Debug)]
pub struct Context {
    /// The global options.
    pub global: Global,
    /// What the environment says.
    pub environment: Environment,
    /// Where the output goes.
    pub terminal: Terminal,
    clock: fn() -> Timestamp,
}

impl Context {
    /// The process's own.
    ///
    /// # Errors
    /// When a file that a variable names cannot be read.
    pub fn new(global: Global) -> Result<Self, Failure> {
        let environment = Environment::read()?;
        #[expect(clippy::disallowed_methods, reason = "the shell of commands that show ages")]
        let clock = || Timestamp::now();
        Ok(Self {
            global,
            terminal: Terminal::look(&environment),
            environment,
            clock,
        })
    }

    /// Our clock.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// For whom things are shown.
    pub fn look(&self) -> Look {
        Look {
            columns: self.terminal.columns,
            color: self.terminal.color,
            now: self.now(),
        }
    }

    /// The data folder that is meant, or would be.
    pub fn data_dir(&self) -> PathBuf {
        let given = self.global.data_dir.clone();
        given.unwrap_or_else(|| self.environment.data_dir.clone())
    }

    /// The installation that is meant.
    ///
    /// # Errors
    /// As [`resolve`].
    pub fn installation(&self) -> Result<Installation, Failure> {
        self.installation_with(None, None)
    }

    /// The same, with what `watch` and `doctor` are told about NATS.
    ///
    /// # Errors
    /// As [`resolve`].
    pub fn installation_with(
        &self,
        nats_url: Option<String>,
        nats_credentials: Option<PathBuf>,
    ) -> Result<Installation, Failure> {
        let selection = Selection {
            profile: self.global.profile.clone(),
            api_url: self.global.api_url.clone(),
            token_file: self.global.token_file.clone(),
            data_dir: self.global.data_dir.clone(),
            nats_url,
            nats_credentials,
        };
        let profiles = Profiles::read(&self.environment.profiles)?;
        resolve(&selection, &self.environment, &profiles, Endpoints::read)
    }

    /// The database of the installation that is meant.
    ///
    /// # Errors
    /// As [`resolve`], and when it is not known where that is.
    pub fn database_url(&self) -> Result<SecretString, Failure> {
        self.installation()?.database.ok_or_else(|| {
            Failure::usage("it is not known where the database is: set DATABASE_URL or DATABASE_URL_FILE")
        })
    }

    /// Asks the status-api of the installation that is meant.
    ///
    /// # Errors
    /// When it is not known where that is, or there is no token.
    pub async fn client(&self) -> Result<Client, Failure> {
        self.client_of(&self.installation()?).await
    }

    /// The same, of one that is known already.
    ///
    /// # Errors
    /// As [`Context::client`].
    pub async fn client_of(&self, installation: &Installation) -> Result<Client, Failure> {
        let url = installation.api.clone()?;
        let token = installation.token.fetch(self.now()).await?.ok_or_else(|| {
            Failure::new(
                Exit::NotPermitted,
                format!(
                    "there is no token for {}: give one with --token-file or STATUS_API_TOKEN",
                    installation.name
                ),
            )
        })?;
        Client::new(&url, Some(token), Limits::default())
    }

    /// Prints text as it is. Who no longer reads is no failure of ours.
    pub fn print(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// Prints an answer: as JSON, or as people read it.
    pub fn answer<T: Serialize>(&self, value: &T, text: impl FnOnce(Look) -> String) {
        if self.global.json {
            self.print(&json(value));
        } else {
            self.print(&text(self.look()));
        }
    }

    /// Prints what was done, for people: in JSON there is the thing itself instead.
    pub fn told<T: Serialize>(&self, value: &T, text: &str) {
        self.answer(value, |_| format!("{}\n", crate::show::clean(text)));
    }

    /// One line on standard error: it never disturbs what a program reads.
    pub fn note(&self, text: &str) {
        let _ = writeln!(std::io::stderr(), "statusctl: {text}");
    }

    /// Says so when an answer is only the last that was known.
    pub fn note_stale(&self, stale: bool) {
        if stale {
            self.note("the database or the bus is away: this is the last that was known");
        }
    }
}
