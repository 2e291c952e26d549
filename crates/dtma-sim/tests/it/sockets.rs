//! Connections: keep-alive, limits, and how a simulation ends.

use std::time::{Duration, Instant};

use dtma_sim::{DialectMix, Misbehaviour, Sim, SimConfig, SimHandle};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::support::{PATIENCE, client, config, start, until};

async fn connect(sim: &SimHandle) -> TcpStream {
    TcpStream::connect(sim.base_url().strip_prefix("http://").unwrap())
        .await
        .unwrap()
}

async fn ask(stream: &mut TcpStream, sim: &SimHandle, path: &str) {
    let request = format!("GET /t/{}{path} HTTP/1.1\r\nHost: sim\r\n\r\n", sim.toolbox(0).id);
    stream.write_all(request.as_bytes()).await.unwrap();
}

/// Reads until `end` is in the text, or the connection ends.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4_096];
    while !text.contains(end) {
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut buffer))
            .await
            .unwrap()
            .unwrap_or(0);
        if read == 0 {
            break;
        }
        text.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    text
}

#[tokio::test]
async fn a_connection_serves_many_requests_and_ends_when_idle() {
    let keep_alive = Duration::from_millis(1_000);
    let sim = start(SimConfig {
        keep_alive,
        ..config(1, DialectMix::OpenC)
    })
    .await;
    let mut stream = connect(&sim).await;
    for _ in 0..3 {
        ask(&mut stream, &sim, "/health").await;
        let text = read_until(&mut stream, "\r\n\r\nOK").await;
        assert!(
            text.starts_with("HTTP/1.1 200") && text.contains("keep-alive: timeout=1"),
            "{text}"
        );
    }
    let begun = Instant::now();
    assert_eq!(read_until(&mut stream, "never").await, "");
    let idle = begun.elapsed();
    assert!(idle >= keep_alive / 2, "closed after {idle:?}");
}

#[tokio::test]
async fn a_slow_answer_is_not_idleness() {
    let keep_alive = Duration::from_millis(50);
    let sim = start(SimConfig {
        keep_alive,
        ..config(1, DialectMix::OpenC)
    })
    .await;
    let slow = Misbehaviour::Slow {
        delay: Duration::from_millis(400),
        stale: false,
    };
    sim.misbehave(sim.toolbox(0).id, slow).unwrap();
    let mut stream = connect(&sim).await;
    ask(&mut stream, &sim, "/health").await;
    assert!(read_until(&mut stream, "\r\n\r\nOK").await.ends_with("OK"));
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_one_to_end() {
    let sim = start(SimConfig {
        max_connections: 2,
        ..config(1, DialectMix::OpenC)
    })
    .await;
    let mut first = connect(&sim).await;
    let mut second = connect(&sim).await;
    for stream in [&mut first, &mut second] {
        ask(stream, &sim, "/health").await;
        read_until(stream, "\r\n\r\nOK").await;
    }
    let mut third = connect(&sim).await;
    ask(&mut third, &sim, "/health").await;
    let early = tokio::time::timeout(Duration::from_millis(200), third.readable()).await;
    assert!(early.is_err(), "the third must wait");
    assert_eq!(
        sim.toolbox_stats(sim.toolbox(0).id).unwrap().requests["GET /health"],
        2
    );
    drop(first);
    assert!(read_until(&mut third, "\r\n\r\nOK").await.ends_with("OK"));
}

#[tokio::test]
async fn a_shutdown_ends_hung_and_unread_answers_within_a_second() {
    let sim = start(config(2, DialectMix::OpenC)).await;
    sim.misbehave(sim.toolbox(0).id, Misbehaviour::Hang).unwrap();
    let mut hung = connect(&sim).await;
    ask(&mut hung, &sim, "/status").await;
    until("the poll hangs", || sim.stats().max_concurrent_polls == 1).await;
    let unread = sim.toolbox(1);
    sim.misbehave(
        unread.id,
        Misbehaviour::HugeBody {
            mib: 512,
            content_length: false,
        },
    )
    .unwrap();
    let mut stuck = connect(&sim).await;
    let request = format!("GET /t/{}/status HTTP/1.1\r\nHost: sim\r\n\r\n", unread.id);
    stuck.write_all(request.as_bytes()).await.unwrap();
    stuck.readable().await.unwrap();
    let base = sim.base_url().to_owned();
    let begun = Instant::now();
    tokio::time::timeout(PATIENCE, sim.shutdown())
        .await
        .unwrap()
        .unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(read_until(&mut hung, "never").await, "");
    assert!(
        client()
            .get(format!("{base}/control/fleet"))
            .send()
            .await
            .is_err()
    );
}

#[tokio::test]
async fn the_caller_s_token_and_a_dropped_handle_end_it_too() {
    let shutdown = CancellationToken::new();
    let sim = Sim::start(SimConfig::default(), shutdown.clone()).await.unwrap();
    shutdown.cancel();
    tokio::time::timeout(PATIENCE, sim.wait()).await.unwrap().unwrap();

    let sim = start(SimConfig::default()).await;
    let mut stream = connect(&sim).await;
    ask(&mut stream, &sim, "/health").await;
    read_until(&mut stream, "\r\n\r\nOK").await;
    drop(sim);
    assert_eq!(read_until(&mut stream, "never").await, "");
}

#[tokio::test]
async fn a_taken_port_is_an_error_that_names_it() {
    let sim = start(SimConfig::default()).await;
    let listen = sim.base_url().strip_prefix("http://").unwrap().parse().unwrap();
    let again = Sim::start(
        SimConfig {
            listen,
            ..SimConfig::default()
        },
        CancellationToken::new(),
    )
    .await;
    let error = format!("{:#}", again.unwrap_err());
    assert!(error.contains(&listen.to_string()), "{error}");
}

#[tokio::test]
async fn chaos_moves_the_fleet() {
    let sim = start(SimConfig {
        chaos_per_minute: 60_000.0,
        ..config(5, DialectMix::Mixed)
    })
    .await;
    let states = || {
        let all = sim
            .fleet()
            .into_iter()
            .flat_map(|toolbox| sim.containers(toolbox.id).unwrap());
        all.filter(|container| container.instance_id.is_some())
            .map(|container| container.state)
            .collect::<Vec<_>>()
    };
    until("something is down", || {
        states()
            .iter()
            .any(|state| *state != dtma_sim::DockerState::Running)
    })
    .await;
    assert!(sim.stats().chaos_events > 0);
    sim.shutdown().await.unwrap();
}
