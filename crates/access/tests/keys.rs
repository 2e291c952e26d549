//! Keys of a real server: fetched, rotated, gone.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use access::{Denied, Verifier};
use serde_json::json;
use support::{Answer, Issuer, KeyServer, eventually, jwks, now, running, user, with_keys_at};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

async fn outcome(verifier: &Verifier, issuer: &Issuer) -> Option<Denied> {
    verifier
        .verify(&issuer.token(&user(json!({}))), now())
        .await
        .err()
}

#[tokio::test]
async fn a_new_key_is_fetched_when_it_first_shows_and_the_old_one_is_gone() {
    let (old, new) = (Issuer::es256("old"), Issuer::es256("new"));
    let server = KeyServer::start(Answer::Body(jwks(&[&old]))).await;
    let (verifier, _guard) = running(&with_keys_at(&server.url));
    assert_eq!(outcome(&verifier, &old).await, None);
    server.answers(Answer::Body(jwks(&[&new])));
    assert_eq!(
        outcome(&verifier, &old).await,
        None,
        "nobody has asked for another"
    );
    assert_eq!(server.hits(), 1);
    assert_eq!(outcome(&verifier, &new).await, None);
    assert_eq!(outcome(&verifier, &old).await, Some(Denied::UnknownKey));
    assert_eq!(server.hits(), 2);
}

#[tokio::test]
async fn keys_are_fetched_anew_from_time_to_time() {
    let (old, new) = (Issuer::es256("old"), Issuer::es256("new"));
    let server = KeyServer::start(Answer::Body(jwks(&[&old]))).await;
    let mut options = with_keys_at(&server.url);
    options.jwks_refresh = Duration::from_secs(1);
    let (verifier, _guard) = running(&options);
    assert_eq!(outcome(&verifier, &old).await, None);
    server.answers(Answer::Body(jwks(&[&new])));
    // Its id is known for as long as the old keys are, so this asks for no fetch.
    eventually("the old key is gone", async || {
        outcome(&verifier, &old).await == Some(Denied::UnknownKey)
    })
    .await;
    assert_eq!(outcome(&verifier, &new).await, None);
}

#[tokio::test]
async fn whatever_the_key_server_does_the_old_keys_go_on() {
    let (old, new) = (Issuer::es256("old"), Issuer::es256("new"));
    let symmetric = json!({"keys": [{"kty": "oct", "k": "AAAA", "kid": "new"}]}).to_string();
    let huge = format!("{}{}", " ".repeat(256 << 10), jwks(&[&new]));
    for (what, answer) in [
        ("error", Answer::Status(500)),
        ("not found", Answer::Status(404)),
        ("no content", Answer::Status(204)),
        ("redirect", Answer::Redirect),
        (
            "HTML",
            Answer::Body("<!doctype html><title>Sign in</title>".to_owned()),
        ),
        ("cut off", Answer::Body(jwks(&[&new])[..60].to_owned())),
        ("no keys", Answer::Body(jwks(&[]))),
        ("no usable keys", Answer::Body(symmetric)),
        ("huge", Answer::Body(huge)),
    ] {
        let server = KeyServer::start(Answer::Body(jwks(&[&old]))).await;
        let (verifier, _guard) = running(&with_keys_at(&server.url));
        assert_eq!(outcome(&verifier, &old).await, None, "{what}");
        server.answers(answer);
        assert_eq!(outcome(&verifier, &new).await, Some(Denied::UnknownKey), "{what}");
        assert!(server.hits() >= 2, "{what}: was not asked");
        assert_eq!(server.redirected(), 0, "{what}: was followed");
        assert_eq!(outcome(&verifier, &old).await, None, "{what}");
    }
    let server = KeyServer::start(Answer::Body(jwks(&[&old]))).await;
    let (verifier, _guard) = running(&with_keys_at(&server.url));
    assert_eq!(outcome(&verifier, &old).await, None);
    server.stop().await;
    assert_eq!(outcome(&verifier, &new).await, Some(Denied::UnknownKey));
    assert_eq!(outcome(&verifier, &old).await, None);
}

#[tokio::test]
async fn a_key_server_that_was_never_there_is_our_fault_until_it_comes() {
    let issuer = Issuer::es256("a");
    let server = KeyServer::start(Answer::Body(String::new())).await;
    let url = server.url.clone();
    server.stop().await;
    let (verifier, _guard) = running(&with_keys_at(&url));
    let denied = outcome(&verifier, &issuer).await.unwrap();
    assert_eq!(denied, Denied::KeysUnavailable);
    assert!(denied.is_ours() && !Denied::UnknownKey.is_ours());
    let address = url.trim_start_matches("http://").trim_end_matches("/keys");
    let _server = KeyServer::at(address, Answer::Body(jwks(&[&issuer]))).await;
    eventually("the keys are there", async || {
        outcome(&verifier, &issuer).await.is_none()
    })
    .await;
}

#[tokio::test]
async fn who_comes_before_the_first_keys_waits_for_them() {
    let issuer = Issuer::es256("a");
    let gate = Arc::new(Notify::new());
    let server = KeyServer::start(Answer::Late(Arc::clone(&gate), jwks(&[&issuer]))).await;
    let (verifier, _guard) = running(&with_keys_at(&server.url));
    let early = tokio::spawn(async move { outcome(&verifier, &issuer).await });
    eventually("the key server is asked", async || server.hits() == 1).await;
    gate.notify_one();
    assert_eq!(early.await.unwrap(), None);
}

#[tokio::test]
async fn a_flood_of_forged_key_ids_is_one_fetch() {
    let issuer = Issuer::es256("a");
    let server = KeyServer::start(Answer::Body(jwks(&[&issuer]))).await;
    let (verifier, _guard) = running(&with_keys_at(&server.url));
    assert_eq!(outcome(&verifier, &issuer).await, None);
    let claims = user(json!({}));
    let mut flood = JoinSet::new();
    for number in 0..300 {
        let forged = issuer.token_with(json!({"kid": format!("forged-{number}")}), &claims);
        let verifier = verifier.clone();
        flood.spawn(async move { verifier.verify(&forged, now()).await.err() });
    }
    for denied in flood.join_all().await {
        assert_eq!(denied, Some(Denied::UnknownKey));
    }
    for number in 0..50 {
        let forged = issuer.token_with(json!({"kid": format!("more-{number}")}), &claims);
        assert_eq!(verifier.verify(&forged, now()).await, Err(Denied::UnknownKey));
    }
    assert_eq!(server.hits(), 2);
    assert_eq!(outcome(&verifier, &issuer).await, None);
}

#[tokio::test]
async fn a_key_server_that_hangs_holds_nobody_up_for_long() {
    let (old, new) = (Issuer::es256("old"), Issuer::es256("new"));
    let server = KeyServer::start(Answer::Body(jwks(&[&old]))).await;
    let (verifier, _guard) = running(&with_keys_at(&server.url));
    assert_eq!(outcome(&verifier, &old).await, None);
    server.answers(Answer::Late(Arc::default(), String::new()));
    let start = Instant::now();
    assert_eq!(outcome(&verifier, &new).await, Some(Denied::UnknownKey));
    let took = start.elapsed();
    assert!(
        took >= Duration::from_secs(2) && took < Duration::from_secs(8),
        "{took:?}"
    );
    assert_eq!(outcome(&verifier, &old).await, None);
}

#[tokio::test]
async fn the_keeper_stops_when_told_even_while_it_fetches() {
    let server = KeyServer::start(Answer::Late(Arc::default(), String::new())).await;
    let (_verifier, keeper) = Verifier::from_options(&with_keys_at(&server.url)).unwrap();
    let shutdown = CancellationToken::new();
    let keeper = tokio::spawn(keeper.unwrap().run(shutdown.clone()));
    eventually("the key server is asked", async || server.hits() == 1).await;
    shutdown.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(5), keeper).await;
    ended.expect("does not stop").unwrap().unwrap();
}
