//! The private nats-server, for real.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use embedded::{NatsOptions, NatsServer, Search};
use support::nats::Client;
use support::{is_alive, pid_in, wait_until};

fn options(dir: &Path) -> NatsOptions {
    NatsOptions {
        sync_always: false,
        ..NatsOptions::new(dir.join("nats"))
    }
}

async fn start(dir: &Path) -> NatsServer {
    NatsServer::start(options(dir)).await.unwrap()
}

#[tokio::test]
async fn it_runs_jetstream_on_loopback_and_takes_large_messages() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    assert!(server.address().ip().is_loopback());
    assert_eq!(server.url(), format!("nats://{}", server.address()));
    let client = Client::connect(server.address());
    assert_eq!(client.info["jetstream"], true);
    assert_eq!(client.info["max_payload"], 8 << 20);
    assert_eq!(client.info["version"], server.version().to_string());
    assert_eq!(pid_in(&server.dir().join("nats-server.pid")), server.pid());
}

#[tokio::test]
async fn a_restart_keeps_port_and_data_and_so_does_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = start(dir.path()).await;
    let address = server.address();
    let mut client = Client::connect(address);
    client.make_stream();
    client.request("t", "one");

    let first = server.pid().unwrap();
    server.restart().await.unwrap();
    assert!(!is_alive(first) && server.pid() != Some(first));
    assert_eq!(server.address(), address);
    let mut client = Client::connect(address);
    assert_eq!(client.messages(), 1);
    client.request("t", "two");

    let second = server.pid().unwrap();
    server.kill().await.unwrap();
    assert!(!is_alive(second));
    assert_eq!(server.pid(), None);
    assert!(TcpStream::connect(address).is_err());
    server.restart().await.unwrap();
    assert_eq!(Client::connect(address).messages(), 2);

    server.stop().await.unwrap();
    assert_eq!(server.pid(), None);
    server.stop().await.unwrap();
    drop(server);
    // Another instance, later, on the same folder.
    assert_eq!(Client::connect(start(dir.path()).await.address()).messages(), 2);
}

#[tokio::test]
async fn paused_it_answers_nobody_and_resumed_everybody() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = start(dir.path()).await;
    let mut client = Client::connect(server.address());
    assert!(client.answers_within(support::PATIENCE));
    server.pause().await.unwrap();
    assert!(!client.answers_within(Duration::from_millis(200)));
    server.resume().unwrap();
    assert!(client.answers_within(support::PATIENCE));
    // A paused server can be stopped, too, and in the orderly way: its log says so.
    server.pause().await.unwrap();
    server.stop().await.unwrap();
    let log = std::fs::read_to_string(server.dir().join("nats-server.log")).unwrap();
    assert!(log.contains("Server Exiting"), "{log}");
    assert!(server.resume().is_err());
}

#[tokio::test]
async fn every_write_is_synced_when_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    for sync_always in [true, false] {
        // A free port at this moment; should another test take it first, the server says so and the test fails.
        let monitor = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let options = NatsOptions {
            monitor_port: Some(monitor.port()),
            sync_always,
            ..options(dir.path())
        };
        let _server = NatsServer::start(options).await.unwrap();
        let page = get(monitor, "/varz");
        let varz: serde_json::Value = serde_json::from_str(page.split_once("\r\n\r\n").unwrap().1).unwrap();
        let config = &varz["jetstream"]["config"];
        assert_eq!(
            config["sync_always"].as_bool().unwrap_or(false),
            sync_always,
            "{config}"
        );
        assert_eq!(config["max_storage"], 4_u64 << 30);
        assert_eq!(config["max_memory"], 256 << 20);
    }
}

fn get(address: std::net::SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    page
}

#[tokio::test]
async fn a_second_instance_on_the_same_folder_is_refused_and_harms_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let error = NatsServer::start(options(dir.path()))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("in use by another instance"), "{error}");
    assert!(error.contains(&std::process::id().to_string()), "{error}");
    assert!(Client::connect(server.address()).answers_within(support::PATIENCE));
}

#[tokio::test]
async fn a_server_left_behind_by_an_earlier_run_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = start(dir.path()).await;
    let address = server.address();
    server.stop().await.unwrap();
    let config = server.dir().join("nats-server.conf");
    drop(server);
    // As an earlier host would have started it, but without the tie to its life.
    let program = Search::from_env().nats_server().unwrap().path;
    let mut stale = Command::new(program)
        .arg("-c")
        .arg(config)
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the stale server listens", || TcpStream::connect(address).is_ok());

    let server = NatsServer::start(NatsOptions {
        port: Some(address.port()),
        ..options(dir.path())
    })
    .await
    .unwrap();
    assert!(!is_alive(stale.id()));
    assert!(Client::connect(server.address()).answers_within(support::PATIENCE));
    stale.wait().unwrap();
}

#[tokio::test]
async fn a_port_of_somebody_else_is_told_and_never_taken_for_ours() {
    let dir = tempfile::tempdir().unwrap();
    let other_dir = tempfile::tempdir().unwrap();
    // Another nats-server, so that what answers on the port looks right.
    let other = start(other_dir.path()).await;
    let port = Some(other.address().port());
    let error = NatsServer::start(NatsOptions {
        port,
        ..options(dir.path())
    })
    .await
    .unwrap_err()
    .to_string();
    assert!(error.contains("address already in use"), "{error}");
    // The folder is free again.
    start(dir.path()).await;
}

#[tokio::test]
async fn many_start_at_once_each_on_its_own_port() {
    let dir = tempfile::tempdir().unwrap();
    let mut starting = tokio::task::JoinSet::new();
    for number in 0..6 {
        let dir = dir.path().join(number.to_string());
        starting.spawn(async move { start(&dir).await });
    }
    let servers = starting.join_all().await;
    let mut ports: Vec<u16> = servers.iter().map(|server| server.address().port()).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 6);
}

#[tokio::test]
async fn a_host_learns_that_its_server_has_died() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let exited = server.exited();
    let pid = rustix::process::Pid::from_raw(i32::try_from(server.pid().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    tokio::time::timeout(support::PATIENCE, exited).await.unwrap();
    assert_eq!(server.pid(), None);
}

#[tokio::test]
async fn dropping_it_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let pid = server.pid().unwrap();
    drop(server);
    assert!(!is_alive(pid));
}

#[tokio::test]
async fn odd_paths_and_settings_it_refuses_are_handled() {
    let dir = tempfile::tempdir().unwrap();
    let odd = dir.path().join("a \"quoted\" ünïcode {path} $x\\");
    let server = start(&odd).await;
    assert!(Client::connect(server.address()).answers_within(support::PATIENCE));
    drop(server);
    let host = "192.0.2.1".parse().unwrap();
    let error = NatsServer::start(NatsOptions {
        host,
        port: Some(4222),
        ..options(dir.path())
    })
    .await;
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("ended before it was ready") && error.contains("192.0.2.1"),
        "{error}"
    );
}
