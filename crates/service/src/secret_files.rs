//! Secrets that come from files, as container engines hand them over: `JWT_SECRET_FILE` names a file that holds what
//! `JWT_SECRET` would.
//!
//! An option is a secret when its help does not show its value (`hide_env_values`); nothing else has to be declared.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use clap::builder::Resettable;
use clap::{Arg, Command};
use secrecy::{ExposeSecret as _, SecretString};

/// A secret is a line; what is longer is the wrong file, and must not fill the memory.
const LONGEST: u64 = 64 * 1024;

/// Gives every secret of a command line the content of the file that its variable with `_FILE` names, and says so in
/// the help.
///
/// # Errors
/// Names the variable whose file cannot be read, or that is given both ways.
pub(crate) fn apply(
    command: Command,
    variable: impl Fn(&str) -> Option<OsString>,
) -> anyhow::Result<Command> {
    let names: Vec<String> = command.get_arguments().filter_map(name_of_secret).collect();
    if names.is_empty() {
        return Ok(command);
    }
    let mut contents = BTreeMap::new();
    for name in &names {
        if let Some(secret) = read(name, &variable)? {
            contents.insert(name.clone(), secret);
        }
    }
    let help = format!(
        "Secrets may come from files: with _FILE behind its name, a variable names a file that holds the value \
         ({}).",
        names
            .iter()
            .map(|name| format!("{name}_FILE"))
            .collect::<Vec<_>>()
            .join(", ")
    );
    let command = command.mut_args(move |argument| {
        match name_of_secret(&argument).and_then(|name| contents.remove(&name)) {
            // The lowest rank: an option on the command line wins, as it does over a variable.
            Some(secret) => argument
                .required(false)
                .env(Resettable::Reset)
                .default_value(secret.expose_secret().to_owned())
                .hide_default_value(true),
            None => argument,
        }
    });
    Ok(command.after_long_help(help.clone()).after_help(help))
}

/// What the file holds that `{name}_FILE` names, without the line's end; `None` where no file is named. Empty variables
/// count as not given.
///
/// # Errors
/// When it cannot be read, or `name` is given as well. Repeats neither the content nor the path: who took one variable
/// for the other has a secret there.
pub fn read(name: &str, variable: impl Fn(&str) -> Option<OsString>) -> anyhow::Result<Option<SecretString>> {
    let given = |name: &str| variable(name).filter(|value| !value.is_empty());
    let with_file = format!("{name}_FILE");
    let Some(path) = given(&with_file) else {
        return Ok(None);
    };
    ensure!(
        given(name).is_none(),
        "{name} and {with_file} are both given: which of them is meant?"
    );
    content(Path::new(&path))
        .map(Some)
        .with_context(|| format!("failed to read the file that {with_file} names"))
}

fn content(path: &Path) -> anyhow::Result<SecretString> {
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    file.take(LONGEST + 1).read_to_string(&mut text)?;
    ensure!(
        u64::try_from(text.len()).is_ok_and(|length| length <= LONGEST),
        "it is longer than {LONGEST} bytes"
    );
    let line = text.trim_end_matches(['\r', '\n']);
    ensure!(!line.is_empty(), "it is empty");
    Ok(SecretString::from(line))
}

fn name_of_secret(argument: &Arg) -> Option<String> {
    let name = argument.get_env()?.to_str()?;
    argument.is_hide_env_values_set().then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, FromArgMatches as _, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Host {
        /// A secret that must be given
        #[arg(long, env = "SECRET_FILES_TEST_KEY", hide_env_values = true)]
        key: SecretString,
        /// One that need not
        #[arg(long, env = "SECRET_FILES_TEST_TOKEN", hide_env_values = true)]
        token: Option<SecretString>,
        /// None
        #[arg(long, env = "SECRET_FILES_TEST_LEVEL", default_value = "info")]
        level: String,
    }

    fn parse(
        variables: &[(&str, &str)],
        arguments: &[&str],
    ) -> anyhow::Result<(String, Option<String>, String)> {
        let variables: BTreeMap<_, _> = variables.iter().copied().collect();
        let command = apply(Host::command(), |name| variables.get(name).map(OsString::from))?;
        command.clone().debug_assert();
        let matches = command.try_get_matches_from(["host"].iter().chain(arguments))?;
        let host = Host::from_arg_matches(&matches)?;
        let token = host.token.map(|token| token.expose_secret().to_owned());
        Ok((host.key.expose_secret().to_owned(), token, host.level))
    }

    #[test]
    fn files_fill_in_secrets_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (key, token, level) = (
            file("key", " k=,\n"),
            file("token", "t\r\n"),
            file("level", "debug"),
        );
        let variables = [
            ("SECRET_FILES_TEST_KEY_FILE", key.as_str()),
            ("SECRET_FILES_TEST_TOKEN_FILE", &token),
            ("SECRET_FILES_TEST_LEVEL_FILE", &level),
        ];
        let found = parse(&variables, &[]).unwrap();
        assert_eq!(
            found,
            (" k=,".to_owned(), Some("t".to_owned()), "info".to_owned())
        );
        let found = parse(&variables, &["--key", "other"]).unwrap();
        assert_eq!(found.0, "other", "the command line wins");
        assert_eq!(parse(&variables[..1], &[]).unwrap().1, None);
        // Engines set variables to nothing for "not given".
        let empty = [
            variables[0],
            ("SECRET_FILES_TEST_KEY", ""),
            ("SECRET_FILES_TEST_TOKEN_FILE", ""),
        ];
        assert_eq!(parse(&empty, &[]).unwrap().1, None);
        assert!(parse(&[], &[]).is_err(), "required as ever");
    }

    #[test]
    fn what_cannot_be_is_named_without_the_secret() {
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().join("empty");
        std::fs::write(&empty, "\n").unwrap();
        let long = dir.path().join("long");
        std::fs::write(&long, "hush".repeat(20_000)).unwrap();
        for (variables, expected) in [
            (
                vec![("SECRET_FILES_TEST_KEY_FILE", "hush-hush")],
                "failed to read the file that SECRET_FILES_TEST_KEY_FILE names: No such file",
            ),
            (
                vec![("SECRET_FILES_TEST_KEY_FILE", empty.to_str().unwrap())],
                "failed to read the file that SECRET_FILES_TEST_KEY_FILE names: it is empty",
            ),
            (
                vec![("SECRET_FILES_TEST_KEY_FILE", long.to_str().unwrap())],
                "failed to read the file that SECRET_FILES_TEST_KEY_FILE names: it is longer",
            ),
            (
                vec![
                    ("SECRET_FILES_TEST_KEY_FILE", "hush-hush"),
                    ("SECRET_FILES_TEST_KEY", "hush"),
                ],
                "SECRET_FILES_TEST_KEY and SECRET_FILES_TEST_KEY_FILE are both given",
            ),
        ] {
            let error = format!("{:#}", parse(&variables, &[]).unwrap_err());
            assert!(error.starts_with(expected), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn the_help_tells_of_it_and_shows_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "hush").unwrap();
        let variable =
            |name: &str| (name == "SECRET_FILES_TEST_KEY_FILE").then(|| path.clone().into_os_string());
        let mut command = apply(Host::command(), variable).unwrap();
        let help = command.render_long_help().to_string();
        assert!(
            help.contains("SECRET_FILES_TEST_KEY_FILE, SECRET_FILES_TEST_TOKEN_FILE"),
            "{help}"
        );
        assert!(!help.contains("hush"), "{help}");
    }
}
