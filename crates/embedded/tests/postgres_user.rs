//! Whom PostgreSQL runs as, and where its cluster goes when we are root and its folder is closed to that user.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use embedded::{Postgres, PostgresOptions};
use support::is_root;
use support::pg::query;

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
async fn it_never_runs_as_root_and_stays_in_a_folder_that_its_user_can_reach() {
    let dir = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o755))
        .tempdir()
        .unwrap();
    let server = start(dir.path()).await;
    let uid = fs::metadata(format!("/proc/{}", server.pid().unwrap()))
        .unwrap()
        .uid();
    assert_ne!(uid, 0);
    assert_eq!(fs::metadata(server.cluster()).unwrap().uid(), uid);
    assert_eq!(server.cluster(), server.dir().join("cluster"));
    assert!(
        !fs::symlink_metadata(server.dir().join("cluster"))
            .unwrap()
            .is_symlink()
    );
    // Others may at most pass through.
    let mode = fs::metadata(server.dir()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, if is_root() { 0o711 } else { 0o700 });
}

#[tokio::test]
async fn in_a_folder_closed_to_its_user_the_cluster_goes_elsewhere() {
    let dir = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o700))
        .tempdir()
        .unwrap();
    let mut server = start(dir.path()).await;
    server
        .run_script("postgres", "CREATE TABLE a (x int); INSERT INTO a VALUES (1);")
        .await
        .unwrap();
    if !is_root() {
        assert_eq!(
            server.cluster(),
            server.dir().join("cluster"),
            "our own folders are open to us"
        );
        return;
    }
    let cluster = server.cluster().to_owned();
    assert!(
        cluster.starts_with("/var/lib/mcp-status-sync"),
        "{}",
        cluster.display()
    );
    assert_eq!(fs::read_link(server.dir().join("cluster")).unwrap(), cluster);
    assert_eq!(
        fs::metadata(dir.path()).unwrap().permissions().mode() & 0o777,
        0o700,
        "not ours to open"
    );

    server.stop().await.unwrap();
    drop(server);
    let server = start(dir.path()).await;
    assert_eq!(server.cluster(), cluster);
    assert_eq!(query(&server, "postgres", "SELECT x FROM a"), ["1"]);

    // A copy of the folder leads to the same cluster, which must not be used twice.
    let copy = dir.path().join("copy");
    fs::create_dir(&copy).unwrap();
    fs::copy(server.dir().join("cluster-id"), copy.join("cluster-id")).unwrap();
    let error = Postgres::start(PostgresOptions {
        dir: copy,
        ..options(dir.path())
    })
    .await
    .unwrap_err()
    .to_string();
    assert!(error.contains("in use by another instance"), "{error}");

    let home = cluster.parent().unwrap().to_owned();
    server.remove().await.unwrap();
    assert!(!home.exists());
}

#[tokio::test]
async fn a_disposable_cluster_elsewhere_goes_after_its_folder() {
    if !is_root() {
        // Only root's clusters go elsewhere, which the test above covers.
        return;
    }
    let closed = || {
        tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .unwrap()
    };
    let dir = closed();
    let server = start(dir.path()).await;
    let cluster = server.cluster().to_owned();
    drop(server);
    drop(dir);
    assert!(cluster.exists());
    let other = closed();
    let server = start(other.path()).await;
    assert!(!cluster.exists(), "the next start tidies up");
    server.remove().await.unwrap();
}
