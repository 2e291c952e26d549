//! The search, over folders of fake programs.

use std::fs;

use super::*;

/// A script that answers `--version` like the program it stands for.
fn fake(path: &Path, says: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("#!/bin/sh\necho '{says}'\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn fake_postgres(bin_dir: &Path, version: &str) {
    for program in ["postgres", "initdb"] {
        fake(
            &bin_dir.join(program),
            &format!("{program} (PostgreSQL) {version}"),
        );
    }
}

#[test]
fn the_cache_comes_before_path_and_its_newest_before_its_others() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, path) = (dir.path().join("cache"), dir.path().join("bin"));
    fake(&path.join("nats-server"), "nats-server: v2.14.0");
    let search = Search {
        caches: vec![cache.clone()],
        path: vec![path.clone()],
        ..Search::default()
    };
    assert_eq!(search.nats_server().unwrap().path, path.join("nats-server"));
    fake(
        &cache.join("nats-server/2.14.9/nats-server"),
        "nats-server: v2.14.9",
    );
    fake(
        &cache.join("nats-server/2.14.10/nats-server"),
        "nats-server: v2.14.10",
    );
    let found = search.nats_server().unwrap();
    assert_eq!(found.path, cache.join("nats-server/2.14.10/nats-server"));
    assert_eq!(found.version.to_string(), "2.14.10");
}

#[test]
fn one_that_is_too_old_is_passed_over_and_named_when_nothing_else_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let old = dir.path().join("bin/nats-server");
    fake(&old, "nats-server: v2.9.10");
    let search = Search {
        path: vec![dir.path().join("bin")],
        ..Search::default()
    };
    let error = search.nats_server().unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "no nats-server 2.14 or newer was found ({} is 2.9.10); run scripts/setup, or name one in \
             MCP_STATUS_NATS_SERVER",
            old.display()
        )
    );
}

#[test]
fn an_override_is_the_only_candidate() {
    let dir = tempfile::tempdir().unwrap();
    fake(&dir.path().join("bin/nats-server"), "nats-server: v2.15.1");
    let absent = dir.path().join("absent");
    let search = Search {
        nats_override: Some(absent.clone()),
        postgres_override: Some(absent.clone()),
        path: vec![dir.path().join("bin")],
        ..Search::default()
    };
    assert!(
        search
            .nats_server()
            .unwrap_err()
            .to_string()
            .contains(&absent.display().to_string())
    );
    let error = search.postgres_for(None, None).unwrap_err().to_string();
    assert!(error.contains(&absent.display().to_string()), "{error}");
}

#[test]
fn postgres_is_found_through_a_link_on_path_and_newest_first_under_its_root() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("lib");
    fake_postgres(&root.join("9.6/bin"), "9.6.24");
    fake_postgres(&root.join("15/bin"), "15.2");
    fake_postgres(&root.join("16/bin"), "16.1");
    let path = dir.path().join("bin");
    fs::create_dir(&path).unwrap();
    let mut search = Search {
        postgres_root: Some(root.clone()),
        ..Search::default()
    };
    assert_eq!(
        search.postgres_for(None, None).unwrap().bin_dir,
        root.join("16/bin")
    );
    std::os::unix::fs::symlink(root.join("15/bin/postgres"), path.join("postgres")).unwrap();
    search.path.push(path);
    let found = search.postgres_for(None, None).unwrap();
    assert_eq!(found.bin_dir, fs::canonicalize(root.join("15/bin")).unwrap());
}

#[test]
fn a_cluster_gets_the_major_version_that_made_it() {
    let dir = tempfile::tempdir().unwrap();
    fake_postgres(&dir.path().join("15/bin"), "15.2");
    fake_postgres(&dir.path().join("16/bin"), "16.1");
    let search = Search {
        postgres_root: Some(dir.path().to_owned()),
        ..Search::default()
    };
    assert_eq!(search.postgres_for(Some(15), None).unwrap().version.major, 15);
    let error = search.postgres_for(Some(17), None).unwrap_err().to_string();
    assert!(
        error.starts_with("this cluster was made by PostgreSQL 17, which was not found ("),
        "{error}"
    );
}

#[test]
fn a_postgres_without_initdb_or_behind_a_closed_folder_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let bin_dir = dir.path().join("15/bin");
    fake(&bin_dir.join("postgres"), "postgres (PostgreSQL) 15.2");
    let search = Search {
        postgres_root: Some(dir.path().to_owned()),
        ..Search::default()
    };
    let error = search.postgres_for(None, None).unwrap_err().to_string();
    assert!(error.contains("initdb is not there"), "{error}");

    fake_postgres(&bin_dir, "15.2");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let stranger = ServerUser {
        name: "stranger".into(),
        uid: 54_321,
        gid: 54_321,
    };
    let error = search
        .postgres_for(None, Some(&stranger))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("cannot be reached by the user stranger"),
        "{error}"
    );
}
