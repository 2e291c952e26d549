//! Issuers that sign as real ones do, and a key server that behaves and misbehaves.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use access::{AccessOptions, Verifier};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA384, RsaEncoding, RsaKeyPair,
};
use aws_lc_rs::{hmac, rsa};
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

pub const SECRET: &str = "a secret of more than thirty-two bytes";
pub const ACCOUNT: &str = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";
/// When all tests are.
pub const NOW: i64 = 1_800_000_000;

pub fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A good user's claims with some of them changed; `null` takes one away.
pub fn user(changes: Value) -> Value {
    let claims = json!({"sub": ACCOUNT, "role": "authenticated", "aud": "authenticated", "exp": NOW + 3_600});
    change(claims, changes)
}

pub fn change(mut claims: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

/// Puts a token together, whatever is in it.
pub fn token(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
    format!("{message}.{}", encode(sign(message.as_bytes())))
}

pub fn hs256(secret: &[u8], claims: &Value) -> String {
    token(&json!({"alg": "HS256", "typ": "JWT"}), claims, |message| {
        hmac_of(secret, message)
    })
}

pub fn hmac_of(secret: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message)
        .as_ref()
        .to_vec()
}

/// Whoever signs with a key of his own.
pub struct Issuer {
    pub header: Value,
    pub jwk: Value,
    sign: Sign,
}

type Sign = Box<dyn Fn(&[u8]) -> Vec<u8> + Send + Sync>;

impl Issuer {
    fn new(
        algorithm: &str,
        kid: &str,
        jwk: Value,
        sign: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        Self {
            header: json!({"alg": algorithm, "typ": "JWT", "kid": kid}),
            jwk: change(jwk, json!({"kid": kid, "use": "sig"})),
            sign: Box::new(sign),
        }
    }

    fn ec(algorithm: &str, curve: &str, kid: &str, signing: &'static EcdsaSigningAlgorithm) -> Self {
        let pair = EcdsaKeyPair::generate(signing).unwrap();
        let point = &pair.public_key().as_ref()[1..];
        let (x, y) = point.split_at(point.len() / 2);
        let jwk = json!({"kty": "EC", "crv": curve, "x": encode(x), "y": encode(y), "alg": algorithm});
        Self::new(algorithm, kid, jwk, move |message| {
            pair.sign(&SystemRandom::new(), message)
                .unwrap()
                .as_ref()
                .to_vec()
        })
    }

    pub fn es256(kid: &str) -> Self {
        Self::ec("ES256", "P-256", kid, &ECDSA_P256_SHA256_FIXED_SIGNING)
    }

    pub fn es384(kid: &str) -> Self {
        Self::ec("ES384", "P-384", kid, &ECDSA_P384_SHA384_FIXED_SIGNING)
    }

    pub fn ed25519(kid: &str) -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key())});
        Self::new("EdDSA", kid, jwk, move |message| {
            pair.sign(message).as_ref().to_vec()
        })
    }

    pub fn rs256(kid: &str, key: &RsaKey) -> Self {
        Self::rsa("RS256", kid, key, &RSA_PKCS1_SHA256)
    }

    pub fn ps384(kid: &str, key: &RsaKey) -> Self {
        Self::rsa("PS384", kid, key, &RSA_PSS_SHA384)
    }

    fn rsa(algorithm: &str, kid: &str, key: &RsaKey, encoding: &'static dyn RsaEncoding) -> Self {
        let pair = Arc::clone(&key.0);
        Self::new(algorithm, kid, key.jwk(), move |message| {
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(encoding, &SystemRandom::new(), message, &mut signature)
                .unwrap();
            signature
        })
    }

    pub fn token(&self, claims: &Value) -> String {
        self.token_with(json!({}), claims)
    }

    /// With some of the header changed; `null` takes one away.
    pub fn token_with(&self, header: Value, claims: &Value) -> String {
        token(&change(self.header.clone(), header), claims, &self.sign)
    }
}

pub struct RsaKey(Arc<RsaKeyPair>);

impl RsaKey {
    pub fn new() -> Self {
        Self(Arc::new(rsa::KeyPair::generate(KeySize::Rsa2048).unwrap()))
    }

    fn jwk(&self) -> Value {
        let public = self.0.public_key();
        json!({
            "kty": "RSA",
            "n": encode(public.modulus().big_endian_without_leading_zero()),
            "e": encode(public.exponent().big_endian_without_leading_zero()),
        })
    }

    /// The public key as everybody may have it in a file.
    pub fn pem(&self) -> String {
        let lines: Vec<String> = STANDARD
            .encode(self.0.public_key())
            .as_bytes()
            .chunks(64)
            .map(|line| String::from_utf8(line.to_vec()).unwrap())
            .collect();
        format!(
            "-----BEGIN RSA PUBLIC KEY-----\n{}\n-----END RSA PUBLIC KEY-----\n",
            lines.join("\n")
        )
    }
}

pub fn jwks(issuers: &[&Issuer]) -> String {
    json!({"keys": issuers.iter().map(|issuer| &issuer.jwk).collect::<Vec<_>>()}).to_string()
}

/// What a key server answers.
#[derive(Clone)]
pub enum Answer {
    Body(String),
    Status(u16),
    Redirect,
    /// After the gate is opened, with this.
    Late(Arc<Notify>, String),
}

/// A key server. Stops when dropped.
pub struct KeyServer {
    pub url: String,
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    answer: Mutex<Answer>,
    hits: AtomicUsize,
    redirected: AtomicUsize,
}

impl KeyServer {
    pub async fn start(answer: Answer) -> Self {
        Self::at("127.0.0.1:0", answer).await
    }

    pub async fn at(address: &str, answer: Answer) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let state = Arc::new(State {
            answer: Mutex::new(answer),
            hits: AtomicUsize::new(0),
            redirected: AtomicUsize::new(0),
        });
        let (keys, elsewhere) = (Arc::clone(&state), Arc::clone(&state));
        let router = Router::new()
            .route("/keys", get(move || async move { keys.answer().await }))
            .route(
                "/elsewhere",
                get(move || async move {
                    elsewhere.redirected.fetch_add(1, Ordering::SeqCst);
                }),
            );
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, state, task }
    }

    pub fn answers(&self, answer: Answer) {
        *self.state.answer.lock().unwrap() = answer;
    }

    pub fn hits(&self) -> usize {
        self.state.hits.load(Ordering::SeqCst)
    }

    pub fn redirected(&self) -> usize {
        self.state.redirected.load(Ordering::SeqCst)
    }

    pub async fn stop(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    async fn answer(&self) -> Response {
        self.hits.fetch_add(1, Ordering::SeqCst);
        let answer = self.answer.lock().unwrap().clone();
        match answer {
            Answer::Body(body) => body.into_response(),
            Answer::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
            Answer::Redirect => (StatusCode::FOUND, [(header::LOCATION, "/elsewhere")]).into_response(),
            Answer::Late(gate, body) => {
                gate.notified().await;
                body.into_response()
            }
        }
    }
}

/// A verifier whose keeper runs until the guard is dropped.
pub fn running(options: &AccessOptions) -> (Verifier, DropGuard) {
    let (verifier, keeper) = Verifier::from_options(options).unwrap();
    let shutdown = CancellationToken::new();
    tokio::spawn(keeper.unwrap().run(shutdown.clone()));
    (verifier, shutdown.drop_guard())
}

pub fn with_keys_at(url: &str) -> AccessOptions {
    AccessOptions::new(None, Some(url.to_owned()))
}

/// Waits for a condition, and fails when it does not come true.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let outcome = tokio::time::timeout(Duration::from_secs(20), async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(outcome.await.is_ok(), "never: {what}");
}
