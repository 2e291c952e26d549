//! How long a single status takes within the router, when it is in memory. Prints; to be run by hand, in release:
//! `cargo test --release -p status-api --lib latency -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use access::{NewToken, Verifier, mint};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use bus::{Bus, BusOptions};
use clap::Parser as _;
use domain::{AccountId, InstanceName, ServerId, ToolboxId};
use embedded::{NatsOptions, NatsServer, Postgres, PostgresOptions};
use jiff::SignedDuration;
use secrecy::{ExposeSecret as _, SecretString};
use store::{Database, DatabaseOptions, entries};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::{Config, clock, router, run};

const ROUNDS: usize = 50_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test"]
async fn of_a_cached_single_status() {
    let dir = tempfile::tempdir().unwrap();
    let nats = NatsServer::start(NatsOptions::new(dir.path().join("nats")))
        .await
        .unwrap();
    let postgres = Postgres::start(PostgresOptions {
        durable: false,
        ..PostgresOptions::new(dir.path().join("postgres"))
    })
    .await
    .unwrap();
    let url = postgres.url("postgres");
    let database = Database::connect(&DatabaseOptions::new(url.clone().into()))
        .await
        .unwrap();
    database.migrate().await.unwrap();
    let (account, toolbox, server) = (
        AccountId(Uuid::from_u128(1)),
        ToolboxId(Uuid::from_u128(2)),
        ServerId(Uuid::from_u128(3)),
    );
    let entry = entries::ToolboxEntry {
        id: toolbox,
        account,
        name: "box".to_owned(),
        base_url: None,
        public_ip: None,
        token: None,
    };
    entries::add_toolbox(database.pool(), &entry).await.unwrap();
    let name = InstanceName::new("mcp").unwrap();
    entries::add_server(database.pool(), server, toolbox, &name, true)
        .await
        .unwrap();

    let secret: SecretString = "a secret of at least thirty-two bytes".into();
    let config = Config::parse_from([
        "status-api",
        "--database-url",
        &url,
        "--jwt-secret",
        secret.expose_secret(),
        "--rate",
        "1000000",
        "--rate-burst",
        "1000000",
    ]);
    let issued_at = clock::now();
    let token = NewToken {
        subject: Some(account),
        role: "authenticated",
        audience: Some("authenticated"),
        issuer: None,
        issued_at,
        expires_at: issued_at + SignedDuration::from_hours(1),
    };
    let token = mint(&secret, &token).unwrap();
    let bearer = format!("Bearer {}", token.expose_secret());
    let bus = Bus::connect(BusOptions::new(nats.url(), "test")).await.unwrap();
    bus.ensure_streams().await.unwrap();
    let (verifier, _) = Verifier::from_options(&config.access).unwrap();
    let app = run::assemble(&config, database, bus.clone().into(), verifier);
    let shutdown = CancellationToken::new();
    let present = tokio::spawn(live::run(bus, app.fleet.clone(), shutdown.clone()));
    app.fleet.loaded().wait_for(|loaded| *loaded).await.unwrap();

    let router = router::router(app);
    let mut took = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let request = Request::get(format!("/v1/servers/{server}"))
            .header("authorization", &bearer)
            .body(Body::empty())
            .unwrap();
        let begun = Instant::now();
        let response = router.clone().oneshot(request).await.unwrap();
        took.push(begun.elapsed());
        assert_eq!(response.status(), StatusCode::OK);
    }
    took.sort();
    let at = |share: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index of fifty thousand"
        )]
        let index = ((ROUNDS as f64) * share) as usize;
        took[index.min(ROUNDS - 1)]
    };
    println!(
        "p50 {:?}, p99 {:?}, p99.9 {:?}, longest {:?}",
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
    assert!(at(0.5) < Duration::from_millis(5));
    shutdown.cancel();
    present.await.unwrap().unwrap();
}
