//! What can be asked for, and the command line that says it to PostgreSQL.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::HOST;
use crate::programs::PostgresPrograms;

/// What kind of PostgreSQL to run. `..PostgresOptions::new(dir)` fills in the rest.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Data folder: cluster, password and log. Created when missing; one live instance each.
    pub dir: PathBuf,
    /// Port on the loopback address; `None` (or 0) picks a free one, which then stays the server's for its restarts.
    pub port: Option<u16>,
    /// Whether what is committed survives a power cut. Without it everything is faster and the cluster may be
    /// thrown away: for tests.
    pub durable: bool,
    /// Most connections at a time, at least 10.
    pub max_connections: u16,
    /// Longest time to become ready, crash recovery included.
    pub start_timeout: Duration,
    /// Longest time for an orderly stop before an immediate shutdown.
    pub stop_timeout: Duration,
    /// The programs; `None` looks for them ([`Search::from_env`](crate::Search::from_env)), for an existing cluster
    /// of the version that made it.
    pub programs: Option<PostgresPrograms>,
}

impl PostgresOptions {
    /// A free port, durable, 100 connections, a minute to start and twenty seconds to stop.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            port: None,
            durable: true,
            max_connections: 100,
            start_timeout: Duration::from_secs(60),
            stop_timeout: Duration::from_secs(20),
            programs: None,
        }
    }

    /// The arguments of `postgres`. The cluster's path among them also marks the process as ours.
    pub(super) fn arguments(&self, cluster: &Path, port: u16) -> Vec<OsString> {
        let mut settings = vec![
            format!("listen_addresses={HOST}"),
            format!("port={port}"),
            // Its working directory, the cluster.
            "unix_socket_directories=.".to_owned(),
            format!("max_connections={}", self.max_connections),
            "log_line_prefix=%m [%p] ".to_owned(),
            // A line every five minutes for as long as it runs, about nothing.
            "log_checkpoints=off".to_owned(),
            // A failing statement's text may hold what must not be logged.
            "log_min_error_statement=panic".to_owned(),
        ];
        if !self.durable {
            settings
                .extend(["fsync=off", "synchronous_commit=off", "full_page_writes=off"].map(str::to_owned));
        }
        let mut arguments: Vec<OsString> = vec!["-D".into(), cluster.into()];
        arguments.extend(
            settings
                .into_iter()
                .flat_map(|setting| ["-c".into(), setting.into()]),
        );
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(options: &PostgresOptions) -> Vec<String> {
        let arguments = options.arguments(Path::new("/cluster"), 5432);
        arguments
            .into_iter()
            .map(|argument| argument.into_string().unwrap())
            .collect()
    }

    #[test]
    fn it_listens_on_loopback_and_in_its_cluster_only() {
        let settings = settings(&PostgresOptions::new("/unused"));
        assert_eq!(settings[..2], ["-D", "/cluster"]);
        assert!(
            settings.contains(&"listen_addresses=127.0.0.1".to_owned()),
            "{settings:?}"
        );
        assert!(
            settings.contains(&"unix_socket_directories=.".to_owned()),
            "{settings:?}"
        );
    }

    #[test]
    fn only_a_cluster_that_may_be_lost_runs_without_syncing() {
        let lax = PostgresOptions {
            durable: false,
            ..PostgresOptions::new("/unused")
        };
        assert!(settings(&lax).contains(&"fsync=off".to_owned()));
        let durable = settings(&PostgresOptions::new("/unused"));
        assert!(
            !durable
                .iter()
                .any(|setting| setting.contains("fsync") || setting.contains("synchronous_commit"))
        );
    }
}
