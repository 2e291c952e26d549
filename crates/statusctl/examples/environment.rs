//! Writes the part of `deploy/compose/.env.example` that documents the services' options, from their command lines. With
//! `--check` it writes nothing and fails when the file differs.

#![allow(clippy::print_stderr, reason = "a program for the command line")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::ExitCode;

use clap::{Arg, Args as _, Command, CommandFactory as _};
use dtma_sim::SimConfig;

const FILE: &str = "deploy/compose/.env.example";
const COMPOSE: &str = "deploy/compose/compose.yaml";
/// What stands above this line is written by hand.
const MARK: &str = "# ── Written by scripts/generate from here on ";
const WIDTH: usize = 123;

fn main() -> ExitCode {
    let check = std::env::args().nth(1).as_deref() == Some("--check");
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");
    let path = format!("{root}{FILE}");
    let written = std::fs::read_to_string(&path)
        .and_then(|have| Ok((have, std::fs::read_to_string(format!("{root}{COMPOSE}"))?)))
        .and_then(|(have, compose)| {
            let by_hand = have
                .split_inclusive('\n')
                .take_while(|line| !line.starts_with(MARK));
            let text = by_hand.collect::<String>() + &documented(&compose);
            if check {
                return Ok(have == text);
            }
            std::fs::write(&path, text).map(|()| true)
        });
    match written {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("{FILE} is not what the services' options say: run scripts/generate");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{FILE}, {COMPOSE}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn documented(compose: &str) -> String {
    let services = [
        dtma_poller::Config::command(),
        status_mapper::Config::command(),
        status_api::Config::command(),
        notifier::Config::command(),
        SimConfig::augment_args(Command::new("dtma-sim, of the profile demo")),
    ];
    let mut text = line(MARK);
    // What several have stands first, once.
    let mut users: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for service in &services {
        for name in service.get_arguments().filter_map(variable) {
            users.entry(name).or_default().push(service.get_name());
        }
    }
    let mut told = BTreeSet::new();
    for service in &services {
        for argument in service.get_arguments() {
            if let Some(name) = variable(argument)
                && users[&name].len() > 1
                && told.insert(name.clone())
            {
                entry(&mut text, compose, &name, argument, Some(&users[&name]));
            }
        }
    }
    for service in &services {
        text.push('\n');
        text.push_str(&line(&format!("# ── {} ", service.get_name())));
        for argument in service.get_arguments() {
            if let Some(name) = variable(argument).filter(|name| users[name].len() == 1) {
                entry(&mut text, compose, &name, argument, None);
            }
        }
    }
    text
}

fn variable(argument: &Arg) -> Option<String> {
    Some(argument.get_env()?.to_str()?.to_owned())
}

fn entry(text: &mut String, compose: &str, name: &str, argument: &Arg, users: Option<&[&str]>) {
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let users = users
        .map(|users| format!(" ({})", users.join(", ")))
        .unwrap_or_default();
    // Writing to a String cannot fail.
    for line in wrapped(&format!("{help}{users}")) {
        let _ = writeln!(text, "# {line}");
    }
    if let Some((_, value)) = compose.split_once(&format!(" {name}: ${{{name}:-")) {
        let _ = writeln!(text, "#{name}={}", value.split('}').next().unwrap_or_default());
    } else if compose.contains(&format!(" {name}: ")) {
        let _ = writeln!(text, "# {name} is set in compose.yaml");
    } else if compose.contains(&format!(" {name}_FILE: ")) {
        let _ = writeln!(text, "# {name}_FILE is set in compose.yaml");
    } else {
        let defaults = argument.get_default_values();
        let value: Vec<_> = defaults.iter().map(|value| value.to_string_lossy()).collect();
        let _ = writeln!(text, "#{name}={}", value.join(","));
    }
}

fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().expect("there is one at least");
        if !last.is_empty() && last.chars().count() + 1 + word.chars().count() > WIDTH - 2 {
            lines.push(word.to_owned());
        } else {
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}

fn line(title: &str) -> String {
    let rest = WIDTH.saturating_sub(title.chars().count());
    format!("{title}{}\n", "─".repeat(rest))
}
