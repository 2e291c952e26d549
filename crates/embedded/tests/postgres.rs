//! The private PostgreSQL, for real.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod support;

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use embedded::{Postgres, PostgresOptions, Search};
use support::pg::{Client, query};
use support::{is_alive, is_root, pid_in, wait_until};

fn options(dir: &Path) -> PostgresOptions {
    PostgresOptions {
        durable: false,
        ..PostgresOptions::new(dir.join("postgres"))
    }
}

async fn start(dir: &Path) -> Postgres {
    Postgres::start(options(dir)).await.unwrap()
}

#[tokio::test]
async fn it_listens_on_loopback_for_those_who_know_the_password() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    assert_eq!(query(&server, "postgres", "SHOW listen_addresses"), ["127.0.0.1"]);
    assert_eq!(query(&server, "postgres", "SHOW server_encoding"), ["UTF8"]);
    assert_eq!(query(&server, "postgres", "SHOW timezone"), ["UTC"]);

    let password = fs::read_to_string(server.dir().join("password")).unwrap();
    let mode = fs::metadata(server.dir().join("password"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(password.len() == 32 && server.url("postgres").contains(&password));
    let wrong = server.url("postgres").replace(&password, "guess");
    let refused = Client::connect(&wrong).err().unwrap();
    assert!(
        refused.0.contains("password authentication failed"),
        "{refused:?}"
    );

    // The only copies are the file and the URL.
    assert!(!format!("{server:?}").contains(&password));
    let log = fs::read_to_string(server.dir().join("postgres.log")).unwrap();
    assert!(!log.contains(&password));
    assert!(!server.dir().join("initdb-password").exists());
    let cmdline = fs::read_to_string(format!("/proc/{}/cmdline", server.pid().unwrap())).unwrap();
    assert!(!cmdline.contains(&password));
}

#[tokio::test]
async fn databases_are_made_once_and_scripts_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let (one, two) = tokio::join!(server.ensure_database("app"), server.ensure_database("app"));
    one.unwrap();
    two.unwrap();
    server.ensure_database("app").await.unwrap();
    assert!(server.ensure_database("no\"name").await.is_err());
    assert_eq!(
        query(
            &server,
            "postgres",
            "SELECT count(*) FROM pg_database WHERE datname = 'app'"
        ),
        ["1"]
    );

    server
        .run_script("app", "CREATE TABLE a (x int); INSERT INTO a VALUES (1), (2);")
        .await
        .unwrap();
    let error = server
        .run_script("app", "INSERT INTO a VALUES (3); SELECT 1 / 0;")
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(error, "PostgreSQL answered 22012: division by zero");
    assert!(server.run_script("app", "COPY a FROM STDIN").await.is_err());
    assert_eq!(query(&server, "app", "SELECT count(*) FROM a"), ["2"]);
}

#[tokio::test]
async fn a_restart_keeps_port_password_and_data_and_so_does_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = start(dir.path()).await;
    let url = server.url("postgres");
    server
        .run_script("postgres", "CREATE TABLE a (x int); INSERT INTO a VALUES (1);")
        .await
        .unwrap();
    // A session that is open all the while must hold up neither the stop nor the restart.
    let mut session = Client::connect(&url).unwrap();

    let first = server.pid().unwrap();
    server.restart().await.unwrap();
    assert!(!is_alive(first));
    assert_eq!(server.url("postgres"), url);
    assert!(session.query("SELECT 1").is_err());
    assert_eq!(query(&server, "postgres", "SELECT x FROM a"), ["1"]);

    let mut session = Client::connect(&url).unwrap();
    let backend: u32 = session.query("SELECT pg_backend_pid()").unwrap()[0]
        .parse()
        .unwrap();
    let second = server.pid().unwrap();
    server.kill().await.unwrap();
    assert!(!is_alive(second));
    // Backends have sessions of their own and end when they notice that the postmaster is gone.
    wait_until("the backend ends", || !is_alive(backend));
    assert!(Client::connect(&url).is_err());
    assert!(server.ensure_database("app").await.is_err());
    server.restart().await.unwrap();
    assert_eq!(query(&server, "postgres", "SELECT x FROM a"), ["1"]);

    server.stop().await.unwrap();
    drop(server);
    let again = start(dir.path()).await;
    assert_eq!(query(&again, "postgres", "SELECT x FROM a"), ["1"]);
}

#[tokio::test]
async fn durability_is_what_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    for (durable, setting) in [(true, "on"), (false, "off")] {
        let server = Postgres::start(PostgresOptions {
            durable,
            ..options(dir.path())
        })
        .await
        .unwrap();
        for name in ["fsync", "synchronous_commit", "full_page_writes"] {
            assert_eq!(
                query(&server, "postgres", &format!("SHOW {name}")),
                [setting],
                "{name}"
            );
        }
    }
}

#[tokio::test]
async fn a_second_instance_on_the_same_folder_is_refused_and_harms_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let error = Postgres::start(options(dir.path()))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("in use by another instance"), "{error}");
    assert_eq!(query(&server, "postgres", "SELECT 1"), ["1"]);
}

#[tokio::test]
async fn a_server_left_behind_by_an_earlier_run_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = start(dir.path()).await;
    server.stop().await.unwrap();
    let (cluster, port) = (server.cluster().to_owned(), server.port().to_string());
    drop(server);
    // As an earlier host would have started it, but without the tie to its life.
    let owner = fs::metadata(&cluster).unwrap();
    let mut command = Command::new("setpriv");
    if is_root() {
        command.args([
            "--reuid",
            &owner.uid().to_string(),
            "--regid",
            &owner.gid().to_string(),
            "--clear-groups",
        ]);
    }
    let program = Search::from_env().postgres().unwrap().bin_dir.join("postgres");
    let mut stale = command
        .args(["--pdeathsig", "KILL", "--"])
        .arg(program)
        .arg("-D")
        .arg(&cluster)
        .args(["-c", &format!("port={port}"), "-c", "unix_socket_directories=."])
        .args(["-c", "listen_addresses=127.0.0.1"])
        .current_dir("/")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let socket = cluster.join(format!(".s.PGSQL.{port}"));
    wait_until("the stale server listens", || {
        socket.exists() && pid_in(&cluster.join("postmaster.pid")).is_some()
    });

    let server = start(dir.path()).await;
    assert!(!is_alive(stale.id()));
    assert_eq!(query(&server, "postgres", "SELECT 1"), ["1"]);
    stale.wait().unwrap();
    if server.port().to_string() != port {
        assert!(!socket.exists(), "its socket was left");
    }
}

#[tokio::test]
async fn a_port_of_somebody_else_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = Some(other.local_addr().unwrap().port());
    let error = Postgres::start(PostgresOptions {
        port,
        ..options(dir.path())
    })
    .await
    .unwrap_err()
    .to_string();
    assert!(error.to_lowercase().contains("address already in use"), "{error}");
    start(dir.path()).await;
}

#[tokio::test]
async fn a_lost_password_file_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let old = server.url("postgres");
    fs::remove_file(server.dir().join("password")).unwrap();
    drop(server);
    let server = start(dir.path()).await;
    assert_ne!(server.url("postgres").split('@').next(), old.split('@').next());
    assert_eq!(query(&server, "postgres", "SELECT 1"), ["1"]);
}

#[tokio::test]
async fn a_cluster_of_another_major_version_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let file = server.cluster().join("PG_VERSION");
    drop(server);
    fs::write(file, "99\n").unwrap();
    let error = format!("{:#}", Postgres::start(options(dir.path())).await.unwrap_err());
    assert!(error.contains("made by PostgreSQL 99"), "{error}");
}

#[tokio::test]
async fn a_host_learns_that_its_server_has_died() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = start(dir.path()).await;
    let exited = server.exited();
    let pid = rustix::process::Pid::from_raw(i32::try_from(server.pid().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    tokio::time::timeout(support::PATIENCE, exited).await.unwrap();
    assert_eq!(server.pid(), None);
    // Its backends may outlive it for a moment, and a new server refuses to start beside them.
    server.restart().await.unwrap();
    assert_eq!(query(&server, "postgres", "SELECT 1"), ["1"]);
}

#[tokio::test]
async fn dropping_it_ends_it_and_removing_it_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let pid = server.pid().unwrap();
    drop(server);
    assert!(!is_alive(pid));
    let server = start(dir.path()).await;
    let (pid, folder, cluster) = (
        server.pid().unwrap(),
        server.dir().to_owned(),
        server.cluster().to_owned(),
    );
    server.remove().await.unwrap();
    assert!(!is_alive(pid) && !folder.exists() && !cluster.exists());
}

#[tokio::test]
async fn an_initdb_that_fails_is_told_and_may_be_tried_again() {
    let dir = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o755))
        .tempdir()
        .unwrap();
    let real = Search::from_env().postgres().unwrap();
    let broken = dir.path().join("bin");
    fs::create_dir(&broken).unwrap();
    fs::write(
        broken.join("initdb"),
        "#!/bin/sh\necho no room on the disk >&2\nexit 1\n",
    )
    .unwrap();
    fs::set_permissions(broken.join("initdb"), Permissions::from_mode(0o755)).unwrap();
    let programs = Some(embedded::PostgresPrograms {
        bin_dir: broken,
        version: real.version,
    });
    let options = PostgresOptions {
        programs,
        start_timeout: Duration::from_secs(60),
        ..options(dir.path())
    };
    let error = format!("{:#}", Postgres::start(options).await.unwrap_err());
    assert!(
        error.contains("initdb failed (exit status: 1)") && error.contains("no room on the disk"),
        "{error}"
    );
    assert_eq!(query(&start(dir.path()).await, "postgres", "SELECT 1"), ["1"]);
}
