//! `statusctl` as the containers run it: a process whose secrets are files.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use embedded::{Postgres, PostgresOptions};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::PgPool;

const DATABASE: &str = "mcp_status";

fn statusctl(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_statusctl"));
    command
        .args(arguments)
        .env_clear()
        .env("HOME", home)
        .env("DATABASE_URL_FILE", home.join("database_url"));
    command
}

/// Exit code, standard output, standard error.
fn ended(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_migrated_and_a_fleet_registers_itself() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    let mut postgres = Postgres::start(PostgresOptions::new(home.join("postgres")))
        .await
        .unwrap();
    postgres.ensure_database(DATABASE).await.unwrap();
    let url = postgres.url(DATABASE);
    std::fs::write(home.join("database_url"), format!("{url}\n")).unwrap();

    let (code, out, err) = ended(&mut statusctl(home, &["migrate"]));
    assert_eq!(code, Some(0), "{err}");
    assert!(out.starts_with("applied 1 owner tables, 2 labels"), "{out}");
    let (_, out, _) = ended(&mut statusctl(home, &["migrate"]));
    assert_eq!(out, "the schema was up to date\n");
    let (_, out, _) = ended(&mut statusctl(home, &["migrate", "--json"]));
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&out).unwrap()["applied"],
        serde_json::json!([])
    );

    let (code, _, err) = ended(statusctl(home, &["migrate"]).env("DATABASE_URL", &url));
    assert_eq!(code, Some(1));
    assert!(
        err.contains("DATABASE_URL and DATABASE_URL_FILE are both given"),
        "{err}"
    );
    assert!(!err.contains("postgres://"), "{err}");

    let mut sim = statusctl(home, &["sim", "--register", "--toolboxes", "2"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(sim.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(ready["toolboxes"], 2);
    let pool = PgPool::connect(&url).await.unwrap();
    let reached: Vec<String> = sqlx::query_scalar("SELECT dtma_base_url FROM account_tool_environments")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(reached.len(), 2);
    assert!(
        reached
            .iter()
            .all(|base| base.starts_with(ready["url"].as_str().unwrap())),
        "{reached:?}"
    );
    pool.close().await;
    kill_process(Pid::from_child(&sim), Signal::TERM).unwrap();
    assert_eq!(sim.wait().unwrap().code(), Some(0));

    postgres.stop().await.unwrap();
    // Nothing answers there any more.
    let (code, _, err) = ended(&mut statusctl(home, &["migrate", "--wait", "0s"]));
    assert_eq!(code, Some(6), "{err}");
}
