//! `embedded-serve`: the environment it gives its command, and that nothing outlives it however it ends.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use embedded::{Postgres, PostgresOptions};
use rustix::process::{Pid, Signal, kill_process};
use support::pg::Client;
use support::{is_alive, pid_in, wait_until};

/// The tool, with its temporary folders in `tmp`.
fn serve(tmp: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_embedded-serve"));
    command
        .args(arguments)
        .env("TMPDIR", tmp)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(tmp: &Path, arguments: &[&str]) -> Output {
    serve(tmp, arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A folder that PostgreSQL's user may pass through, as a cluster elsewhere would not be seen below.
fn open_dir() -> tempfile::TempDir {
    tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o755))
        .tempdir()
        .unwrap()
}

/// A run in a folder of its own: the tool, and the ids of the two servers and the command that it consists of besides.
struct Family {
    host: Child,
    members: [u32; 3],
    /// What the command got.
    database_url: String,
}

impl Family {
    fn start(dir: &Path) -> Self {
        let note = dir.join("note");
        // Renamed, so that it is seen whole or not at all.
        let script = format!(
            "cd '{}' && echo \"$$ $DATABASE_URL\" > n && mv n note && setpriv --pdeathsig KILL sleep 600; exit 0",
            dir.display()
        );
        let arguments = [
            "--postgres",
            "--nats",
            "--dir",
            dir.to_str().unwrap(),
            "--",
            "sh",
            "-c",
            script.as_str(),
        ];
        let mut host = serve(dir, &arguments).spawn().unwrap();
        wait_until("the command runs", || {
            assert!(host.try_wait().unwrap().is_none(), "the tool ended early");
            note.exists()
        });
        let note = fs::read_to_string(note).unwrap();
        let (command, database_url) = note.trim().split_once(' ').unwrap();
        let pid = |path: &str| pid_in(&dir.join(path)).unwrap();
        let members = [
            pid("postgres/cluster/postmaster.pid"),
            pid("nats/nats-server.pid"),
            command.parse().unwrap(),
        ];
        assert!(members.iter().all(|pid| is_alive(*pid)));
        Self {
            host,
            members,
            database_url: database_url.to_owned(),
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.host), signal).unwrap();
    }

    fn wait_until_gone(&self) {
        for (name, pid) in ["PostgreSQL", "nats-server", "the command"]
            .iter()
            .zip(self.members)
        {
            wait_until(&format!("{name} ends"), || !is_alive(pid));
        }
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        let _ = self.host.kill();
        let _ = self.host.wait();
    }
}

#[test]
fn the_command_gets_both_servers_and_its_exit_code_is_passed_on() {
    let tmp = open_dir();
    let script = "echo \"$DATABASE_URL $NATS_URL\"; exit 7";
    let output = run(
        tmp.path(),
        &[
            "--postgres",
            "--nats",
            "--database",
            "app",
            "--",
            "sh",
            "-c",
            script,
        ],
    );
    assert_eq!(output.status.code(), Some(7), "{}", text(&output.stderr));
    let out = text(&output.stdout);
    let (database, nats) = out.trim().split_once(' ').unwrap();
    assert!(
        database.starts_with("postgres://postgres:") && database.contains("/app?"),
        "{database}"
    );
    assert!(nats.starts_with("nats://127.0.0.1:"), "{nats}");
    assert!(Client::connect(database).is_err(), "it was stopped");
    assert_eq!(
        fs::read_dir(tmp.path()).unwrap().count(),
        0,
        "the temporary folder was removed"
    );
}

#[test]
fn only_what_is_asked_for_is_started() {
    let tmp = open_dir();
    let script = "echo \"${DATABASE_URL-none} $NATS_URL\"";
    let mut command = serve(tmp.path(), &["--nats", "--", "sh", "-c", script]);
    // These tests themselves may run with a database around them.
    let output = command.env_remove("DATABASE_URL").output().unwrap();
    assert!(text(&output.stdout).starts_with("none nats://"), "{output:?}");
}

#[test]
fn scripts_are_run_in_order_before_the_command_and_a_failing_one_is_named() {
    let tmp = open_dir();
    let script = |name: &str, text: &str| {
        let path = tmp.path().join(name);
        fs::write(&path, text).unwrap();
        path.into_os_string().into_string().unwrap()
    };
    let (first, second) = (
        script("1.sql", "CREATE TABLE a (x int)"),
        script("2.sql", "INSERT INTO a VALUES (1)"),
    );
    let order = [
        "--postgres",
        "--sql",
        first.as_str(),
        "--sql",
        second.as_str(),
        "--",
        "true",
    ];
    let output = run(tmp.path(), &order);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let output = run(
        tmp.path(),
        &["--postgres", "--sql", second.as_str(), "--", "true"],
    );
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("2.sql") && error.contains("42P01"), "{error}");
}

#[test]
fn a_command_that_cannot_be_run_is_told() {
    let tmp = open_dir();
    // A PATH whose folders are all open to us: in a closed one there might be such a program.
    let mut command = serve(tmp.path(), &["--", "no-such-program-anywhere"]);
    let output = command.env("PATH", "/usr/bin:/bin").output().unwrap();
    assert_eq!(output.status.code(), Some(127), "{output:?}");
    assert!(
        text(&output.stderr).contains("no-such-program-anywhere"),
        "{output:?}"
    );
}

#[test]
fn sigterm_is_passed_on_and_everything_is_stopped_in_order() {
    let dir = open_dir();
    let mut family = Family::start(dir.path());
    family.signal(Signal::TERM);
    let status = family.host.wait().unwrap();
    assert_eq!(status.code(), Some(128 + 15));
    family.wait_until_gone();
    let log = fs::read_to_string(dir.path().join("postgres/postgres.log")).unwrap();
    assert!(
        log.contains("received fast shutdown request") && log.contains("database system is shut down"),
        "{log}"
    );
    let log = fs::read_to_string(dir.path().join("nats/nats-server.log")).unwrap();
    assert!(log.contains("Server Exiting"), "{log}");
}

#[tokio::test]
async fn kill_9_of_the_host_leaves_no_child_and_no_harm() {
    let dir = open_dir();
    let mut family = Family::start(dir.path());
    Client::connect(&family.database_url)
        .unwrap()
        .query("CREATE TABLE a (x int)")
        .unwrap();
    family.signal(Signal::KILL);
    family.host.wait().unwrap();
    family.wait_until_gone();
    let server = Postgres::start(PostgresOptions::new(dir.path().join("postgres")))
        .await
        .unwrap();
    assert_eq!(
        Client::connect(&server.url("postgres"))
            .unwrap()
            .query("SELECT count(*) FROM a")
            .unwrap(),
        ["0"]
    );
}

#[test]
fn an_interruption_reaches_the_command_and_all_it_started_but_no_server() {
    let dir = open_dir();
    let mut family = Family::start(dir.path());
    // What a terminal does is signal the process group in its foreground, the host's.
    let group = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit_once(") ")
            .unwrap()
            .1
            .split(' ')
            .nth(2)
            .unwrap()
            .to_owned()
    };
    let host = group(family.host.id());
    assert!(family.members.iter().all(|pid| group(*pid) != host));
    let [postgres, nats, command] = family.members;
    assert!(group(postgres) != group(nats));
    // Until the shell's child has become the program, a signal would be the shell's to lose.
    let mut child = 0;
    wait_until("the command has a child", || {
        let children = fs::read_to_string(format!("/proc/{command}/task/{command}/children")).unwrap();
        child = children.trim().parse().unwrap_or(0);
        fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|name| name == "sleep\n")
    });
    assert_eq!(group(child), group(command));
    family.signal(Signal::INT);
    assert_eq!(family.host.wait().unwrap().code(), Some(128 + 2));
    family.wait_until_gone();
    wait_until("the command's own child ends", || !is_alive(child));
}

#[test]
fn a_server_that_dies_under_the_command_makes_it_a_failure() {
    let dir = open_dir();
    let pid_file = dir.path().join("data/nats/nats-server.pid");
    let script = format!(
        "kill -9 $(cat '{0}'); while kill -0 $(cat '{0}') 2>/dev/null; do sleep 0.05; done; exit 0",
        pid_file.display()
    );
    let data = dir.path().join("data");
    let output = run(
        dir.path(),
        &[
            "--nats",
            "--dir",
            data.to_str().unwrap(),
            "--",
            "sh",
            "-c",
            script.as_str(),
        ],
    );
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        text(&output.stderr).contains("nats-server ended while the command was running"),
        "{output:?}"
    );
}
