//! One-use sign-ins.

use bus::SignIns;
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use wire::streams::SIGN_IN_TTL;

use crate::ground::Ground;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;
const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl";

fn token() -> SecretString {
    TOKEN.into()
}

fn after(duration: SignedDuration) -> Timestamp {
    NOW + duration
}

async fn sign_ins(ground: &Ground) -> SignIns {
    ground.bus.sign_ins().await.unwrap()
}

#[tokio::test]
async fn of_many_who_bring_one_code_at_once_one_gets_the_token() {
    let ground = Ground::bare().await;
    let (here, there) = (
        sign_ins(&ground).await,
        ground.another_bus().await.sign_ins().await.unwrap(),
    );
    let ends = after(SignedDuration::from_hours(12));
    for _ in 0..10 {
        let issued = here.issue(&token(), ends, NOW).await.unwrap();
        let code = issued.code.expose_secret();
        let tries = (0..20).map(|number| if number % 2 == 0 { &here } else { &there });
        let outcomes = join_all(tries.map(|sign_ins| sign_ins.redeem(code, NOW))).await;
        let won: Vec<_> = outcomes.into_iter().filter_map(Result::unwrap).collect();
        assert_eq!(won.len(), 1);
        assert_eq!(won[0].token.expose_secret(), TOKEN);
        assert_eq!(won[0].expires_at, ends);
        assert!(there.redeem(code, NOW).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn the_bucket_alone_opens_nothing() {
    let ground = Ground::bare().await;
    let sign_ins = sign_ins(&ground).await;
    let ends = after(SignedDuration::from_hours(12));
    let issued = sign_ins.issue(&token(), ends, NOW).await.unwrap();
    let other = sign_ins.issue(&token(), ends, NOW).await.unwrap();
    let (code, other) = (issued.code.expose_secret(), other.code.expose_secret());
    let stream = ground.plain.get_stream("KV_sign_ins").await.unwrap();
    let message = stream.get_raw_message(1).await.unwrap();
    let text = String::from_utf8_lossy(&message.payload).into_owned();
    for secret in [code, TOKEN] {
        assert!(!message.subject.contains(secret) && !text.contains(secret));
    }
    let ttl = message.headers.get("Nats-TTL").unwrap().as_str();
    assert_eq!(ttl, SIGN_IN_TTL.as_secs().to_string());
    assert!(!format!("{issued:?}").contains(code));
    // Put where another code leads, it opens for neither.
    let elsewhere = stream.get_raw_message(2).await.unwrap().subject;
    ground
        .plain
        .publish(elsewhere, message.payload)
        .await
        .unwrap()
        .await
        .unwrap();
    assert!(sign_ins.redeem(other, NOW).await.unwrap().is_none());
    assert!(sign_ins.redeem(code, NOW).await.unwrap().is_some());
}

#[tokio::test]
async fn a_code_works_no_longer_than_its_time_and_its_token() {
    let ground = Ground::bare().await;
    let sign_ins = sign_ins(&ground).await;
    for (ends, valid) in [
        (SignedDuration::from_hours(12), SignedDuration::from_mins(15)),
        (SignedDuration::from_secs(90), SignedDuration::from_secs(90)),
    ] {
        for (late, works) in [(valid - SignedDuration::from_secs(1), true), (valid, false)] {
            let issued = sign_ins.issue(&token(), after(ends), NOW).await.unwrap();
            assert_eq!(issued.valid_until, after(valid));
            let code = issued.code.expose_secret();
            let redeemed = sign_ins.redeem(code, after(late)).await.unwrap();
            assert_eq!(redeemed.is_some(), works, "{ends:?} {late:?}");
        }
    }
    // And the bucket keeps it no longer.
    sign_ins
        .issue(&token(), after(SignedDuration::from_secs(90)), NOW)
        .await
        .unwrap();
    let stream = ground.plain.get_stream("KV_sign_ins").await.unwrap();
    let last = stream.get_info().await.unwrap().state.last_sequence;
    let message = stream.get_raw_message(last).await.unwrap();
    assert_eq!(message.headers.get("Nats-TTL").unwrap().as_str(), "90");
}
