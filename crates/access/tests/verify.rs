//! Which tokens prove whom, and which nothing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::time::{Duration, Instant};

use access::{AccessOptions, Denied, NewToken, Principal, Role, Verifier, Viewer, mint};
use domain::AccountId;
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use support::{
    ACCOUNT, Answer, Issuer, KeyServer, NOW, RsaKey, SECRET, encode, hmac_of, hs256, jwks, now, running,
    token, user, with_keys_at,
};

fn account() -> AccountId {
    ACCOUNT.parse().unwrap()
}

fn options() -> AccessOptions {
    AccessOptions::new(Some(SECRET.into()), None)
}

fn verifier(options: &AccessOptions) -> Verifier {
    let (verifier, keeper) = Verifier::from_options(options).unwrap();
    assert!(keeper.is_none(), "there is nothing to fetch");
    verifier
}

/// Verifies, and makes sure that a refusal repeats nothing of the token.
async fn ask(verifier: &Verifier, token: &str, now: Timestamp) -> Result<Principal, Denied> {
    let outcome = verifier.verify(token, now).await;
    if let Err(denied) = &outcome {
        let texts = format!("{denied} {denied:?} {}", denied.label());
        for part in token
            .split('.')
            .chain([token, ACCOUNT, SECRET])
            .filter(|part| part.len() > 3)
        {
            assert!(!texts.contains(part), "{texts:?} repeats {part:?}");
        }
    }
    outcome
}

async fn signed(claims: &Value) -> Result<Principal, Denied> {
    ask(&verifier(&options()), &hs256(SECRET.as_bytes(), claims), now()).await
}

#[tokio::test]
async fn a_user_an_admin_and_a_service() {
    let expires_at = Timestamp::from_second(NOW + 3_600).unwrap();
    let expected = Principal {
        viewer: Viewer::Account(account()),
        role: Role::User,
        actor: ACCOUNT.to_owned(),
        account: Some(account()),
        expires_at,
    };
    assert_eq!(signed(&user(json!({}))).await, Ok(expected.clone()));
    assert_eq!(signed(&user(json!({"role": null}))).await, Ok(expected));

    let admin = |subject: Value| user(json!({"app_metadata": {"role": "admin"}, "sub": subject}));
    let principal = signed(&admin(json!(ACCOUNT))).await.unwrap();
    assert_eq!((principal.viewer, principal.role), (Viewer::All, Role::Admin));
    assert_eq!(
        (principal.actor.as_str(), principal.account),
        (ACCOUNT, Some(account()))
    );
    let principal = signed(&admin(json!("ops@example.com"))).await.unwrap();
    assert_eq!(
        (principal.actor.as_str(), principal.account),
        ("ops@example.com", None)
    );
    assert_eq!(signed(&admin(Value::Null)).await.unwrap().actor, "admin");

    // As Supabase issues them: without a subject or an audience.
    let service = json!({"role": "service_role", "iss": "supabase", "exp": NOW + 3_600});
    let principal = signed(&service).await.unwrap();
    assert_eq!((principal.viewer, principal.role), (Viewer::All, Role::Service));
    assert_eq!(
        (principal.actor.as_str(), principal.account),
        ("service_role", None)
    );
}

#[tokio::test]
async fn what_the_audit_shows_is_short_and_plain() {
    let admin = |subject: &str| user(json!({"app_metadata": {"role": "admin"}, "sub": subject}));
    let actor = async |subject: &str| signed(&admin(subject)).await.unwrap().actor;
    assert_eq!(actor("o\u{1b}[31mps\r\n\u{0}").await, "o[31mps");
    assert_eq!(actor(&"ä".repeat(500)).await, "ä".repeat(128));
    assert_eq!(actor("\n ").await, "admin");
}

#[tokio::test]
async fn claims_that_prove_nothing() {
    for (changes, expected) in [
        (json!({"role": "anon"}), Denied::Role),
        (json!({"role": "postgres"}), Denied::Role),
        (json!({"role": ""}), Denied::Role),
        (json!({"role": ["service_role"]}), Denied::Role),
        (json!({"role": "service_role", "aud": "others"}), Denied::Audience),
        (json!({"role": "service_role", "aud": []}), Denied::Audience),
        (json!({"aud": null}), Denied::Audience),
        (
            json!({"aud": null, "app_metadata": {"role": "admin"}}),
            Denied::Audience,
        ),
        (json!({"aud": "others"}), Denied::Audience),
        (json!({"aud": ["others", "Authenticated"]}), Denied::Audience),
        (json!({"aud": {"authenticated": true}}), Denied::Audience),
        (json!({"sub": null}), Denied::Subject),
        (json!({"sub": ""}), Denied::Subject),
        (json!({"sub": "somebody"}), Denied::Subject),
        (json!({"sub": 7}), Denied::Subject),
        (
            json!({"sub": "somebody", "user_metadata": {"role": "admin"}}),
            Denied::Subject,
        ),
        (json!({"exp": null}), Denied::NoExpiry),
        (json!({"exp": "tomorrow"}), Denied::Malformed),
        (json!({"exp": (NOW + 60) * 1_000_000}), Denied::Malformed),
        (json!({"exp": 1e300}), Denied::Malformed),
        (json!({"exp": -1}), Denied::Expired),
        (json!({"nbf": "yesterday"}), Denied::Malformed),
    ] {
        assert_eq!(signed(&user(changes.clone())).await, Err(expected), "{changes}");
    }
    for changes in [
        json!({"aud": ["others", "authenticated"]}),
        json!({"role": "service_role", "aud": "authenticated"}),
        json!({"exp": 1_800_000_060.5}),
        json!({"exp": 1e10}),
    ] {
        assert!(signed(&user(changes.clone())).await.is_ok(), "{changes}");
    }
}

#[tokio::test]
async fn time_counts_to_the_edge_of_the_leeway() {
    // The leeway is 30 seconds.
    for (changes, at, expected) in [
        (json!({"exp": NOW - 29}), now(), None),
        (json!({"exp": NOW - 30}), now(), Some(Denied::Expired)),
        (
            json!({"exp": NOW - 30}),
            now() - jiff::SignedDuration::from_nanos(1),
            None,
        ),
        (json!({"nbf": NOW + 30}), now(), None),
        (json!({"nbf": NOW + 31}), now(), Some(Denied::NotYetValid)),
        (
            json!({"nbf": NOW + 30}),
            now() - jiff::SignedDuration::from_nanos(1),
            Some(Denied::NotYetValid),
        ),
        (json!({"exp": NOW - 29, "nbf": NOW + 30}), now(), None),
    ] {
        let token = hs256(SECRET.as_bytes(), &user(changes.clone()));
        let denied = ask(&verifier(&options()), &token, at).await.err();
        assert_eq!(denied, expected, "{changes} at {at}");
    }
    let mut strict = options();
    strict.jwt_leeway = Duration::ZERO;
    let at_its_end = hs256(SECRET.as_bytes(), &user(json!({"exp": NOW})));
    assert_eq!(
        ask(&verifier(&strict), &at_its_end, now()).await,
        Err(Denied::Expired)
    );
}

#[tokio::test]
async fn the_issuer_counts_for_everybody_once_it_is_given() {
    let mut options = options();
    options.jwt_issuer = Some("https://project.example/auth/v1".to_owned());
    let verifier = verifier(&options);
    let service = json!({"role": "service_role", "iss": "supabase", "exp": NOW + 60});
    for (claims, expected) in [
        (user(json!({"iss": "https://project.example/auth/v1"})), None),
        (
            user(json!({"iss": "https://project.example/auth/v1/"})),
            Some(Denied::Issuer),
        ),
        (
            user(json!({"iss": ["https://project.example/auth/v1"]})),
            Some(Denied::Issuer),
        ),
        (user(json!({})), Some(Denied::Issuer)),
        (service, Some(Denied::Issuer)),
    ] {
        let outcome = ask(&verifier, &hs256(SECRET.as_bytes(), &claims), now()).await;
        assert_eq!(outcome.err(), expected, "{claims}");
    }
}

#[tokio::test]
async fn what_is_no_token_of_ours() {
    let verifier = verifier(&options());
    let claims = user(json!({}));
    let good = hs256(SECRET.as_bytes(), &claims);
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (head, _) = message.split_once('.').unwrap();
    let by_secret = |header: Value| token(&header, &claims, |message| hmac_of(SECRET.as_bytes(), message));
    let unsigned = |algorithm: &str| token(&json!({"alg": algorithm}), &claims, |_| Vec::new());
    let service = encode(user(json!({"role": "service_role"})).to_string());
    for (token, expected) in [
        (String::new(), Denied::Malformed),
        ("garbage".to_owned(), Denied::Malformed),
        ("a.b.c".to_owned(), Denied::Malformed),
        ("..".to_owned(), Denied::Malformed),
        ("\u{0}.ä.\n".to_owned(), Denied::Malformed),
        (message.to_owned(), Denied::Malformed),
        (format!("{good}.{signature}"), Denied::Malformed),
        (format!("{good}="), Denied::Malformed),
        (format!(" {good}"), Denied::Malformed),
        (format!("{head}.{}.{signature}", encode("[]")), Denied::Signature),
        (hs256(SECRET.as_bytes(), &json!([])), Denied::Malformed),
        (
            hs256(SECRET.as_bytes(), &user(json!({"x": "y".repeat(8 << 10)}))),
            Denied::Malformed,
        ),
        (format!("{message}."), Denied::Signature),
        (format!("{head}.{service}.{signature}"), Denied::Signature),
        (
            hs256(b"another secret of more than thirty-two bytes", &claims),
            Denied::Signature,
        ),
        (hs256(b"", &claims), Denied::Signature),
        (unsigned("none"), Denied::Algorithm),
        (unsigned("None"), Denied::Algorithm),
        (unsigned(""), Denied::Algorithm),
        (by_secret(json!({"alg": "none"})), Denied::Algorithm),
        (by_secret(json!({"alg": "HS384"})), Denied::Algorithm),
        (by_secret(json!({"alg": "HS512"})), Denied::Algorithm),
        (by_secret(json!({"alg": "RS256"})), Denied::Algorithm),
        (by_secret(json!({"alg": ["HS256"]})), Denied::Malformed),
        (by_secret(json!({"typ": "JWT"})), Denied::Malformed),
        (
            by_secret(json!({"alg": "HS256", "crit": ["b64"], "b64": false})),
            Denied::Malformed,
        ),
    ] {
        assert_eq!(ask(&verifier, &token, now()).await, Err(expected), "{token}");
    }
    // Supabase's tokens by HS256 have a key id, too.
    let named = by_secret(json!({"alg": "HS256", "kid": "any"}));
    assert!(ask(&verifier, &named, now()).await.is_ok());
}

#[tokio::test]
async fn every_kind_of_key_verifies_its_own_algorithms_only() {
    let key = RsaKey::new();
    let issuers = [
        Issuer::es256("a"),
        Issuer::es384("b"),
        Issuer::ed25519("c"),
        Issuer::rs256("d", &key),
    ];
    let server = KeyServer::start(Answer::Body(jwks(&issuers.each_ref()))).await;
    let claims = user(json!({}));
    let mut both = with_keys_at(&server.url);
    both.jwt_secret = Some(SECRET.into());
    for (options, has_secret) in [(with_keys_at(&server.url), false), (both, true)] {
        let (verifier, _guard) = running(&options);
        for issuer in &issuers {
            assert!(
                ask(&verifier, &issuer.token(&claims), now()).await.is_ok(),
                "{}",
                issuer.header
            );
            let nameless = issuer.token_with(json!({"kid": null}), &claims);
            assert!(
                ask(&verifier, &nameless, now()).await.is_ok(),
                "{}",
                issuer.header
            );
            let expired = issuer.token(&user(json!({"exp": NOW - 60})));
            assert_eq!(ask(&verifier, &expired, now()).await, Err(Denied::Expired));
        }
        let pss = Issuer::ps384("d", &key).token(&claims);
        assert!(
            ask(&verifier, &pss, now()).await.is_ok(),
            "an RSA key without alg verifies PS384"
        );

        // What everybody knows of an RSA key, taken for a shared secret.
        let confused = token(&json!({"alg": "HS256", "kid": "d"}), &claims, |message| {
            hmac_of(key.pem().as_bytes(), message)
        });
        let expected = if has_secret {
            Denied::Signature
        } else {
            Denied::Algorithm
        };
        assert_eq!(ask(&verifier, &confused, now()).await, Err(expected));

        let stranger = Issuer::es256("a");
        let own_key = json!({"jwk": stranger.jwk, "jku": server.url});
        for (token, expected) in [
            (stranger.token(&claims), Denied::Signature),
            (stranger.token_with(own_key, &claims), Denied::Signature),
            (
                stranger.token_with(json!({"kid": null}), &claims),
                Denied::Signature,
            ),
            (
                issuers[0].token_with(json!({"kid": "b"}), &claims),
                Denied::Algorithm,
            ),
            (
                issuers[0].token_with(json!({"alg": "ES384"}), &claims),
                Denied::Algorithm,
            ),
            (
                issuers[0].token_with(json!({"alg": "EdDSA", "kid": "c"}), &claims),
                Denied::Signature,
            ),
            (
                issuers[3].token_with(json!({"alg": "RS512"}), &claims),
                Denied::Signature,
            ),
            (
                issuers[0].token_with(json!({"alg": "none"}), &claims),
                Denied::Algorithm,
            ),
        ] {
            assert_eq!(ask(&verifier, &token, now()).await, Err(expected), "{token}");
        }
    }
}

#[tokio::test]
async fn what_is_minted_is_taken() {
    let verifier = verifier(&options());
    let new = NewToken {
        subject: Some(account()),
        role: "authenticated",
        audience: Some("authenticated"),
        issuer: None,
        issued_at: now(),
        expires_at: Timestamp::from_second(NOW + 60).unwrap(),
    };
    let token = mint(&SECRET.into(), &new).unwrap();
    let principal = ask(&verifier, token.expose_secret(), now()).await.unwrap();
    assert_eq!(principal.viewer, Viewer::Account(account()));
    assert_eq!(principal.expires_at, new.expires_at);
    let service = NewToken {
        subject: None,
        role: "service_role",
        audience: None,
        ..new
    };
    let token = mint(&SECRET.into(), &service).unwrap();
    assert_eq!(
        ask(&verifier, token.expose_secret(), now()).await.unwrap().role,
        Role::Service
    );
    let error = mint(&"hush-hush".into(), &new).unwrap_err().to_string();
    assert!(error.contains("32 bytes") && !error.contains("hush"), "{error}");
}

#[tokio::test]
async fn nothing_that_is_printed_holds_the_secret() {
    let mut options = options();
    options.jwks_url = Some("https://keys.example/?apikey=hush-hush".to_owned());
    let (verifier, keeper) = Verifier::from_options(&options).unwrap();
    let shown = format!("{verifier:?} {options:?}");
    assert!(!shown.contains(SECRET) && !shown.contains("hush"), "{shown}");
    drop(keeper);
}

/// `cargo test -p access --release --test verify -- --ignored --nocapture`
#[tokio::test]
#[ignore = "a measurement"]
async fn how_long_a_verification_takes() {
    let claims =
        user(json!({"email": "a@example.com", "app_metadata": {"provider": "email"}, "session_id": ACCOUNT}));
    let key = RsaKey::new();
    let issuers = [Issuer::es256("a"), Issuer::ed25519("b"), Issuer::rs256("c", &key)];
    let server = KeyServer::start(Answer::Body(jwks(&issuers.each_ref()))).await;
    let mut options = with_keys_at(&server.url);
    options.jwt_secret = Some(SECRET.into());
    let (verifier, _guard) = running(&options);
    let tokens = issuers.iter().map(|issuer| issuer.token(&claims));
    for token in tokens.chain([hs256(SECRET.as_bytes(), &claims)]) {
        const ROUNDS: u32 = 5_000;
        verifier.verify(&token, now()).await.unwrap();
        let start = Instant::now();
        for _ in 0..ROUNDS {
            verifier.verify(&token, now()).await.unwrap();
        }
        let each = start.elapsed() / ROUNDS;
        println!(
            "{} bytes, {}: {each:?}",
            token.len(),
            token.split('.').next().unwrap()
        );
    }
}
